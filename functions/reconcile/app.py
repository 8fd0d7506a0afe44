"""EventBridge or an operator asks; answer with what had to change in each region."""

from typing import Any

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from foothold import bootstrap, bootstrap_operations
from foothold.observability import logger, metrics

tracer = Tracer()


@logger.inject_lambda_context(correlation_id_path="id")
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    if "command" in event:
        return bootstrap_operations.answer_command(event)
    return bootstrap.answer_event(event)
