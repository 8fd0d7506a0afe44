"""Makes a key, and may do nothing else with any: who may change keys tags none as Foothold's."""

from typing import Any

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from foothold import bootstrap
from foothold.observability import logger

tracer = Tracer()


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return bootstrap.make_key(event)
