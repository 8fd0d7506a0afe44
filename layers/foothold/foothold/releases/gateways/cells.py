"""Stacks of target accounts and the code of their functions, as it is there now."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from foothold.aws.clients import aws_call
from foothold.errors import FootholdError
from foothold.releases.model import Cell
from foothold.releases.ports import SeenPlace, SeenResources, SeenStack

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_lambda import LambdaClient

Json = Mapping[str, Any]


class ClientOf(Protocol):
    """Gives a client in an account and a region; may raise TemporaryError and PermanentError."""

    @overload
    def __call__(
        self, service: Literal["cloudformation"], account: str, region: str
    ) -> "CloudFormationClient": ...
    @overload
    def __call__(self, service: Literal["lambda"], account: str, region: str) -> "LambdaClient": ...


class TargetCells:
    """`releases.ports.CellReader` on CloudFormation and Lambda, with clients of a role that may
    describe stacks and list functions."""

    def __init__(self, client_of: ClientOf) -> None:
        self._client_of = client_of

    def place(self, account: str, region: str, *, code: bool = True) -> SeenPlace:
        try:
            stacks = self._stacks(account, region)
        except FootholdError as error:
            return SeenPlace(account, region, unread=_line(error))
        if not code:
            return SeenPlace(account, region, stacks)
        try:
            return SeenPlace(account, region, stacks, self._code(account, region))
        except FootholdError as error:
            return SeenPlace(account, region, stacks, code_unread=_line(error))

    def _stacks(self, account: str, region: str) -> dict[str, SeenStack]:
        """Without a name CloudFormation describes every stack that is not deleted (AWS
        CloudFormation API Reference, "DescribeStacks": it needs ListStacks, too)."""
        with aws_call(f"look at the stacks of {region} of {account}"):
            pages = self._client_of("cloudformation", account, region).get_paginator(
                "describe_stacks"
            )
            return {
                found["StackName"]: _stack(found)
                for page in pages.paginate()
                for found in page["Stacks"]
            }

    def _code(self, account: str, region: str) -> dict[str, str]:
        """AWS Lambda API Reference, "ListFunctions": CodeSha256 of each function's unpublished
        version, 50 functions a page."""
        with aws_call(f"look at the functions of {region} of {account}"):
            pages = self._client_of("lambda", account, region).get_paginator("list_functions")
            return {
                found["FunctionName"]: found["CodeSha256"]
                for page in pages.paginate()
                for found in page["Functions"]
            }

    def resources(self, cell: Cell) -> SeenResources:
        with aws_call(f"look at what {cell} is made of"):
            client = self._client_of("cloudformation", cell.account, cell.region)
            body: Any = client.get_template(StackName=cell.stack, TemplateStage="Original")
            pages = client.get_paginator("list_stack_resources")
            resources: Iterable[Json] = [
                found
                for page in pages.paginate(StackName=cell.stack)
                for found in page["StackResourceSummaries"]
                if found["ResourceStatus"] != "DELETE_COMPLETE"
            ]
        text, sha256 = _as_submitted(body["TemplateBody"])
        return SeenResources(
            text,
            sha256,
            {
                found["LogicalResourceId"]: found.get("PhysicalResourceId", "")
                for found in resources
                if found["ResourceType"] == "AWS::Lambda::Function"
            },
            tuple(
                found["LogicalResourceId"]
                for found in resources
                if found["ResourceType"] == "AWS::CloudFormation::Stack"
            ),
        )


def _stack(found: Any) -> SeenStack:
    changed_at = found.get("LastUpdatedTime") or found["CreationTime"]
    return SeenStack(
        found["StackName"],
        found["StackStatus"],
        {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())},
        changed_at.timestamp(),
        found.get("DriftInformation", {}).get("StackDriftStatus", ""),
        is_nested="ParentId" in found,
    )


def _as_submitted(body: Any) -> tuple[str, str]:
    """The template and its digest. botocore reads one that is JSON, so that its own spelling is
    lost."""
    if isinstance(body, str):
        return body, hashlib.sha256(body.encode()).hexdigest()
    return json.dumps(body), ""


def _line(error: FootholdError) -> str:
    return " ".join(str(error).split())
