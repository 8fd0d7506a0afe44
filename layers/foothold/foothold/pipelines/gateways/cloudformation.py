"""CloudFormation stacks of one region."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from foothold.aws.clients import aws_call, error_code
from foothold.errors import FootholdError
from foothold.pipelines.declaration import DIGEST_OUTPUT
from foothold.pipelines.follow import FollowingStack, StackBusyError
from foothold.stores.model import FOLLOW_TAG

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

# CloudFormation API Reference, "ListStacks": every status but DELETE_COMPLETE.
LIVING: list[Any] = [
    f"{operation}_{state}"
    for operation, states in (
        ("CREATE", ("COMPLETE", "FAILED", "IN_PROGRESS")),
        ("DELETE", ("FAILED", "IN_PROGRESS")),
        ("IMPORT", ("COMPLETE", "IN_PROGRESS")),
        ("IMPORT_ROLLBACK", ("COMPLETE", "FAILED", "IN_PROGRESS")),
        ("REVIEW", ("IN_PROGRESS",)),
        ("ROLLBACK", ("COMPLETE", "FAILED", "IN_PROGRESS")),
        ("UPDATE", ("COMPLETE", "COMPLETE_CLEANUP_IN_PROGRESS", "FAILED", "IN_PROGRESS")),
        (
            "UPDATE_ROLLBACK",
            ("COMPLETE", "COMPLETE_CLEANUP_IN_PROGRESS", "FAILED", "IN_PROGRESS"),
        ),
    )
    for state in states
]


class CloudFormationStacks:
    """`pipelines.follow.FollowingStacks` on AWS."""

    def __init__(self, client: "CloudFormationClient") -> None:
        self._client = client

    def following(self) -> Iterator[FollowingStack]:
        """One paginated read of all stacks: it brings tags, outputs and states together."""
        with aws_call("list the stacks that follow the artifact stores"):
            for page in self._client.get_paginator("describe_stacks").paginate():
                for stack in page["Stacks"]:
                    tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}
                    if tags.get(FOLLOW_TAG) == "true":
                        yield _following(stack)

    def gone(self, stack_ids: Collection[str]) -> Mapping[str, float | None]:
        """`stores.ports.Stacks.gone`: one list of all that live, and a look at each that is not
        on it. A deleted stack is remembered for 90 days (CloudFormation API Reference,
        "DescribeStacks")."""
        with aws_call("list the stacks that exist"):
            pages = self._client.get_paginator("list_stacks").paginate(StackStatusFilter=LIVING)
            living = {one["StackId"] for page in pages for one in page["StackSummaries"]}
        gone: dict[str, float | None] = {}
        for stack_id in sorted(set(stack_ids) - living):
            with suppress(FootholdError), aws_call(f"look for stack {stack_id}"):
                try:
                    (stack,) = self._client.describe_stacks(StackName=stack_id)["Stacks"]
                except ClientError as error:
                    if "does not exist" not in str(error) or error_code(error) != "ValidationError":
                        raise
                    gone[stack_id] = None
                else:
                    if stack["StackStatus"] == "DELETE_COMPLETE":
                        at = stack.get("DeletionTime")
                        gone[stack_id] = at.timestamp() if at else None
        return gone

    def original_template(self, name: str) -> str:
        with aws_call(f"read the template of stack {name}"):
            body: object = self._client.get_template(StackName=name, TemplateStage="Original")[
                "TemplateBody"
            ]
        return body if isinstance(body, str) else json.dumps(body)

    def update(self, stack: FollowingStack, template: str) -> bool:
        with aws_call(f"update stack {stack.name}"):
            try:
                self._client.update_stack(
                    StackName=stack.name,
                    TemplateBody=template,
                    Parameters=[
                        {"ParameterKey": name, "UsePreviousValue": True}
                        for name in stack.parameters
                    ],
                    # Whoever deployed it acknowledged both: it uses a macro and has named roles.
                    Capabilities=["CAPABILITY_AUTO_EXPAND", "CAPABILITY_NAMED_IAM"],
                )
            except ClientError as error:
                return _refused(error, stack.name)
        return True


def _refused(error: ClientError, name: str) -> bool:
    """False where there was nothing to do. CloudFormation has one error code, ValidationError,
    for all that it refuses; only its message tells them apart."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    if error_code(error) == "ValidationError":
        if "No updates are to be performed" in message:
            return False
        if "_IN_PROGRESS state" in message:
            raise StackBusyError(f"stack {name} is being worked on: {message}") from error
    raise error


def _following(stack: "StackTypeDef") -> FollowingStack:
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", ())}
    return FollowingStack(
        name=stack["StackName"],
        status=stack["StackStatus"],
        digest=outputs.get(DIGEST_OUTPUT),
        has_role="RoleARN" in stack,
        parameters=tuple(item["ParameterKey"] for item in stack.get("Parameters", ())),
    )
