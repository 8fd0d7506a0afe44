"""A pipeline asks how the wave does that it has just deployed, again and again."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from foothold.app import App
from foothold.observability import logger
from foothold.releases.actions import answer_rollout

tracer, app = Tracer(), App()


# A job's event carries credentials: it is logged nowhere, whatever the environment says.
@logger.inject_lambda_context(log_event=False)
@tracer.capture_lambda_handler(capture_response=False)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> Mapping[str, Any]:
    seconds_left = context.get_remaining_time_in_millis() / 1000
    return answer_rollout(event, lambda: app.bakes, app.jobs, seconds_left).report
