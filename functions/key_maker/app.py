"""Makes a key, and may do nothing else with any: who may change keys tags none as Foothold's."""

from typing import Any

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from foothold.app import App
from foothold.errors import FootholdError, refusal
from foothold.observability import logger
from foothold.stores.operator.messages import parse_key_wish
from foothold.stores.policies import key_policy

tracer, app = Tracer(), App()


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    try:
        region, use = parse_key_wish(event)
        spec = app.control_plane.spec(region)
        return {"key_arn": app.new_keys().create(spec, key_policy(spec), use)}
    except FootholdError as error:  # a refusal is an answer too
        logger.warning("no key was made", error=str(error))
        return refusal(error)
