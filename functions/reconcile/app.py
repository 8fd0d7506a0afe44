"""EventBridge or an operator asks; answer with what had to change in each region."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from foothold.app import App
from foothold.observability import counted, logger
from foothold.stores.events import answer_event

tracer, metrics, app = Tracer(), Metrics(), App()


@logger.inject_lambda_context(correlation_id_path="id")
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> Mapping[str, Any]:
    if "command" in event:
        # An event need not wait for what only operators need.
        from foothold.stores.operator.commands import answer_command  # noqa: PLC0415

        return answer_command(event, app.commands)
    return counted(answer_event(event, app.control_plane, app.events), metrics)
