"""Stacks in target accounts: change sets made and executed, and why something failed."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from foothold.aws.clients import aws_call, error_code
from foothold.partitions import partition_of
from foothold.releases.model import CLOUDFORMATION_ROLE, Cell
from foothold.releases.ports import SetStanding, StackState
from foothold.stores.register import ArtifactStore

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

# How the status reason of a change set begins that has nothing to change. AWS documents neither;
# both are met (ansible-collections/amazon.aws#507).
NO_CHANGES = ("The submitted information didn't contain changes", "No updates are to be performed")
# What CloudFormation says of resources that it only stopped because another one failed.
CANCELLED = ("resource creation cancelled", "resource update cancelled")
NOT_FOUND = frozenset({"ChangeSetNotFound", "ChangeSetNotFoundException"})
TOKEN_LENGTH = 128


class DeployedStacks:
    """`releases.ports.TargetStacks` on CloudFormation.

    `client_of` gives the client for an account and a region, as the account's deploy role;
    CloudFormation itself acts as its `execution_role`.
    """

    def __init__(
        self,
        client_of: "Callable[[str, str], CloudFormationClient]",
        execution_role: str = CLOUDFORMATION_ROLE,
    ) -> None:
        self._client_of = client_of
        self._execution_role = execution_role

    def state(self, cell: Cell) -> StackState | None:
        with aws_call(f"look at stack {cell}"):
            stack = described(self._client(cell), cell.stack)
        if not stack:
            return None
        return StackState(
            stack["StackStatus"],
            stack.get("StackStatusReason", ""),
            {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())},
            {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())},
        )

    def create_change_set(
        self,
        cell: Cell,
        name: str,
        *,
        template_url: str,
        configuration: Mapping[str, Any],
        capabilities: Sequence[str],
    ) -> str:
        """Its type is CREATE where there is no stack, or one with nothing but change sets (AWS
        CloudFormation API Reference, "CreateChangeSet"). A stack policy is not a part of a change
        set: CloudFormation takes it with the stack only, so it is left to pipelines."""
        client = self._client(cell)
        with aws_call(f"make the change set {name} of {cell}"):
            stack = described(client, cell.stack)
            new = stack.get("StackStatus", "REVIEW_IN_PROGRESS") == "REVIEW_IN_PROGRESS"
            partition = partition_of(cell.region).name
            asked: Any = {
                "StackName": cell.stack,
                "ChangeSetName": name,
                "ChangeSetType": "CREATE" if new else "UPDATE",
                "TemplateURL": template_url,
                "RoleARN": f"arn:{partition}:iam::{cell.account}:role/{self._execution_role}",
                "Capabilities": list(capabilities),
                "Parameters": [
                    {"ParameterKey": key, "ParameterValue": value}
                    for key, value in configuration.get("Parameters", {}).items()
                ],
                "Tags": [
                    {"Key": key, "Value": value}
                    for key, value in configuration.get("Tags", {}).items()
                ],
            }
            try:
                return client.create_change_set(**asked)["Id"]
            except ClientError as error:
                if error_code(error) != "AlreadyExistsException":
                    raise
            found = client.describe_change_set(StackName=cell.stack, ChangeSetName=name)
            return found["ChangeSetId"]

    def standing(self, cell: Cell, change_set_id: str) -> SetStanding:
        with aws_call(f"look at the change set of {cell}"):
            try:
                found: Any = self._client(cell).describe_change_set(
                    StackName=cell.stack, ChangeSetName=change_set_id
                )
            except ClientError as error:
                if says_missing(error):
                    return SetStanding.GONE
                raise
        return standing_of(found)

    def execute(self, cell: Cell, change_set_id: str) -> None:
        """The same token executes it once (AWS CloudFormation API Reference,
        "ExecuteChangeSet": ClientRequestToken)."""
        client = self._client(cell)
        token = hashlib.sha256(change_set_id.encode()).hexdigest()[:TOKEN_LENGTH]
        with aws_call(f"execute the change set of {cell}"):
            try:
                client.execute_change_set(
                    StackName=cell.stack, ChangeSetName=change_set_id, ClientRequestToken=token
                )
            except ClientError as error:
                if error_code(error) != "InvalidChangeSetStatus":
                    raise
                again = client.describe_change_set(
                    StackName=cell.stack, ChangeSetName=change_set_id
                )
                if standing_of(again) not in {SetStanding.EXECUTING, SetStanding.EXECUTED}:
                    raise

    def why_failed(self, cell: Cell, change_set_id: str = "") -> str:
        client = self._client(cell)
        with aws_call(f"ask why {cell} failed"):
            if not change_set_id:
                return why_failed(client, cell.stack)
            found = client.describe_change_set(StackName=cell.stack, ChangeSetName=change_set_id)
            reason = found.get("StatusReason", "")
            more = reported_events(client, ChangeSetName=change_set_id)
            return "; ".join((reason, *more)) if reason else "; ".join(more)

    def _client(self, cell: Cell) -> "CloudFormationClient":
        return self._client_of(cell.account, cell.region)


def standing_of(found: Mapping[str, Any]) -> SetStanding:
    """How a change set stands, as CloudFormation describes it (AWS CloudFormation API Reference,
    "DescribeChangeSet": Status, ExecutionStatus)."""
    status, execution = str(found.get("Status", "")), str(found.get("ExecutionStatus", ""))
    if status == "FAILED":
        nothing = str(found.get("StatusReason", "")).startswith(NO_CHANGES)
        return SetStanding.EMPTY if nothing else SetStanding.FAILED
    if status.startswith("DELETE"):
        return SetStanding.GONE
    if status != "CREATE_COMPLETE":
        return SetStanding.MAKING
    return {
        "AVAILABLE": SetStanding.READY,
        "EXECUTE_IN_PROGRESS": SetStanding.EXECUTING,
        "EXECUTE_COMPLETE": SetStanding.EXECUTED,
    }.get(execution, SetStanding.FAILED)


def described(cloudformation: Any, name: str) -> dict[str, Any]:
    """The stack as CloudFormation describes it; nothing where there is none."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if says_missing(error):
            return {}
        raise
    return dict(stack)


def says_missing(error: ClientError) -> bool:
    """No such change set, or no such stack: CloudFormation has one code for all that it finds
    invalid."""
    if error_code(error) in NOT_FOUND:
        return True
    message = str(error.response.get("Error", {}).get("Message", ""))
    return error_code(error) == "ValidationError" and "does not exist" in message


def why_failed(cloudformation: Any, name: str, person: Any = None) -> str:
    """Each resource that failed in the stack's last operation, the first one first, with its
    reason; where that only points to DescribeEvents, with what `person` is told there."""
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    found: list[str] = []
    for event in events:  # newest first
        status, logical_id = event["ResourceStatus"], event["LogicalResourceId"]
        reason = event.get("ResourceStatusReason", status)
        own = event.get("PhysicalResourceId") == event.get("StackId")
        if status.endswith("_FAILED") and not own and not reason.lower().startswith(CANCELLED):
            found.append(f"{logical_id}: {reason}")
        if own and status in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"}:
            break
        if own and status.endswith("_FAILED") and reason != status:
            found.append(reason)
    reasons = list(dict.fromkeys(reversed(found)))
    if not reasons or any("DescribeEvents" in reason for reason in reasons):
        reasons += reported_events(person or cloudformation, StackName=name)
    return "; ".join(reasons) or "no reason given"


def reported_events(cloudformation: Any, **names: str) -> tuple[str, ...]:
    """What the failed events of an operation say: validations and hooks, too (AWS CloudFormation
    API Reference, "DescribeEvents"). Nothing where CloudFormation does not tell."""
    try:
        events = cloudformation.describe_events(**names, Filters={"FailedEvents": True})
    except (ClientError, BotoCoreError):
        return ()
    told = []
    for event in events.get("OperationEvents", ()):
        for kind in ("ValidationStatusReason", "HookStatusReason", "ResourceStatusReason"):
            if reason := event.get(kind):
                where = event.get("ValidationPath") or event.get("LogicalResourceId") or ""
                told.append(f"{where}: {reason}" if where else str(reason))
                break
    return tuple(dict.fromkeys(told))


def object_url(endpoint: str, store: ArtifactStore, key: str) -> str:
    """The URL of a template in a store, as CloudFormation reads it (AWS CloudFormation API
    Reference, "CreateChangeSet": TemplateURL). `endpoint` is that of our own S3 client: one that
    is not AWS's serves all regions, and knows buckets by their path."""
    suffix = partition_of(store.region).dns_suffix
    if (urlsplit(endpoint).hostname or "").endswith(f".{suffix}"):
        return f"https://{store.bucket}.s3.{store.region}.{suffix}/{quote(key)}"
    return f"{endpoint}/{store.bucket}/{quote(key)}"
