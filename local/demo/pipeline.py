"""The demo's chapter on a pipeline: rehearsed, and what it deployed is called."""

import json

from botocore.exceptions import ClientError
from rich.table import Table

from local.aws.embedded import PRODUCTION, RUNTIME, TEST, Embedded
from local.demo.console import LOOK, DemoError, console, foothold
from local.demo.stores import REGIONS


def pipeline(embedded: Embedded) -> None:
    """Rehearse the example pipeline, then call what it deployed, in every account and region."""
    foothold("pipeline", "rehearse", "pipelines/example.yaml", "--source", "examples/orders",
             "--approve", "--parameter", f"PythonRuntime={RUNTIME}")  # fmt: skip
    table = Table("Account", "Region", "Stage", title="What was deployed answers", **LOOK)
    for account in (TEST, PRODUCTION):
        for region in REGIONS:
            if answer := call(embedded, account, region):
                table.add_row(answer["account"], answer["region"], answer["stage"])
    console.print(table)
    if not table.row_count:
        raise DemoError("the rehearsed pipeline deployed nothing")


def call(embedded: Embedded, account: str, region: str) -> dict[str, str]:
    """What the function that the pipeline deployed answers; nothing where there is none."""
    session = embedded.session(account, region)
    try:
        (stack,) = session.client("cloudformation").describe_stacks(StackName="orders")["Stacks"]
    except ClientError:
        return {}
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    answer = session.client("lambda").invoke(
        FunctionName=outputs["PlaceFunction"],
        Payload=json.dumps({"customer": "demo", "items": []}),
    )
    place: dict[str, str] = json.loads(answer["Payload"].read())
    return place
