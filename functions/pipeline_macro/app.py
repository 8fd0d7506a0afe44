"""The CloudFormation macro: a template with declarations in, one with pipelines out."""

from typing import Any

from aws_lambda_powertools import Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from foothold.app import App
from foothold.observability import logger
from foothold.pipelines.macro import answer_macro

tracer, app = Tracer(), App()


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)
def lambda_handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    root, boundary = app.control_plane.parameter_root, app.settings.permissions_boundary_arn
    return answer_macro(event, app.stores, root, app.pipeline_regions, boundary=boundary)
