import os
from typing import Any


def handler(_event: object, context: Any) -> str:
    account = context.invoked_function_arn.split(":")[4]
    return f"{os.environ['STAGE']} in {os.environ['AWS_REGION']} of {account}"
