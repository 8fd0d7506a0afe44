"""A pipeline's job, a build that ended, or a person asks; the answer is a template per region."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from foothold.bootstrap_package_function import answer_package
from foothold.observability import logger, metrics

tracer = Tracer()


# A job's event carries credentials: it is logged nowhere, whatever the environment says.
@logger.inject_lambda_context(log_event=False)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> Mapping[str, Any]:
    return answer_package(event, context.get_remaining_time_in_millis() / 1000)
