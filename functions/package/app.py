"""A pipeline's job, a build that ended, or a person asks; the answer is a template per region."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Metrics, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

import foothold.packaging_caller  # noqa: F401  while Lambda starts, not while a job waits
from foothold.app import App
from foothold.observability import counted, logger
from foothold.packaging.jobs import answer_package

tracer, metrics, app = Tracer(), Metrics(), App()


# A job's event carries credentials: it is logged nowhere, whatever the environment says.
@logger.inject_lambda_context(log_event=False)
@tracer.capture_lambda_handler(capture_response=False)
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> Mapping[str, Any]:
    seconds_left = context.get_remaining_time_in_millis() / 1000
    answer = answer_package(event, lambda: app.package_function, app.jobs, seconds_left)
    return counted(answer, metrics)
