"""Change sets in target accounts, read and put into our words."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from foothold.aws.clients import aws_call
from foothold.errors import FootholdError
from foothold.releases.changes import (
    Action,
    ChangeSet,
    PropertyChange,
    Replacement,
    ResourceChange,
    SetState,
    without_references,
)
from foothold.releases.gateways.stacks import NO_CHANGES, says_missing
from foothold.releases.model import Cell

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

Json = Mapping[str, Any]

THREADS = 32
NESTED_STACKS_DEEP = 8
CAN_BE_EXECUTED = frozenset({"AVAILABLE", "EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE"})


class TargetChangeSets:
    """`releases.ports.ChangeSetReader` on CloudFormation.

    `client_of` gives the client for an account and a region, with a role that may describe and get
    change sets; it may raise TemporaryError and PermanentError.
    """

    def __init__(self, client_of: "Callable[[str, str], CloudFormationClient]") -> None:
        self._client_of = client_of

    def read_all(self, cells: Sequence[Cell], name: str) -> list[ChangeSet]:
        if not cells:
            return []
        with ThreadPoolExecutor(min(THREADS, len(cells))) as pool:
            return list(pool.map(lambda cell: self.read(cell, name), cells))

    def read(self, cell: Cell, name: str) -> ChangeSet:
        try:
            with aws_call(f"read the change set of {cell}"):
                return self._read(self._client_of(cell.account, cell.region), cell, name)
        except FootholdError as error:
            return ChangeSet(cell, SetState.UNREAD, reason=" ".join(str(error).split()))

    def _read(self, client: "CloudFormationClient", cell: Cell, name: str) -> ChangeSet:
        try:
            found, changes = _described(client, name, cell.stack)
        except ClientError as error:
            if not says_missing(error):
                raise
            return ChangeSet(cell, SetState.MISSING, reason="there is no such change set")
        state, reason = _state(found)
        given: Json = {
            "cell": cell,
            "state": state,
            "id": str(found.get("ChangeSetId", "")),
            "reason": without_references(reason),
        }
        if state is not SetState.READY:
            return ChangeSet(**given)
        return ChangeSet(
            **given,
            changes=tuple(_change(client, one, NESTED_STACKS_DEEP) for one in changes),
            parameters=dict(_parameters(found)),
            tags={tag["Key"]: tag["Value"] for tag in found.get("Tags", ())},
            template_sha256=_template_digest(client, cell.stack, given["id"] or name),
        )


def _described(
    client: "CloudFormationClient", name: str, stack: str | None = None
) -> tuple[Json, list[Json]]:
    """A change set as CloudFormation describes it, and the changes of all its pages."""
    asked: dict[str, Any] = {"ChangeSetName": name, "IncludePropertyValues": True}
    if stack is not None:
        asked["StackName"] = stack
    first: Any = client.describe_change_set(**asked)
    changes, page = list(first.get("Changes", ())), first
    while page.get("NextToken"):
        page = client.describe_change_set(**asked, NextToken=page["NextToken"])
        changes += page.get("Changes", ())
    return first, [one["ResourceChange"] for one in changes if "ResourceChange" in one]


def _state(found: Json) -> tuple[SetState, str]:
    """How a change set stands, and why (AWS CloudFormation API Reference, "DescribeChangeSet":
    Status, ExecutionStatus)."""
    status, reason = str(found.get("Status", "")), str(found.get("StatusReason", ""))
    may_be_executed = str(found.get("ExecutionStatus", ""))
    if status == "FAILED":
        nothing = reason.startswith(NO_CHANGES)
        return (SetState.EMPTY, "") if nothing else (SetState.FAILED, reason or "no reason is told")
    if status.startswith("DELETE"):
        return SetState.MISSING, "it was deleted"
    if status != "CREATE_COMPLETE":
        return SetState.UNREAD, f"it is still being made ({status})"
    if may_be_executed not in CAN_BE_EXECUTED:
        return SetState.FAILED, f"it cannot be executed any more ({may_be_executed})"
    return SetState.READY, ""


def _parameters(found: Json) -> Iterator[tuple[str, str]]:
    """What the stack is given; CloudFormation itself masks what is NoEcho."""
    for one in found.get("Parameters", ()):
        value = one.get("ParameterValue", one.get("ResolvedValue"))
        if value is not None:
            yield one["ParameterKey"], without_references(value)


def _template_digest(client: "CloudFormationClient", stack: str, change_set: str) -> str:
    """SHA-256 of the template as it was submitted, in hexadecimal. botocore reads one that is
    JSON; it then counts in one spelling."""
    body: Any = client.get_template(
        StackName=stack, ChangeSetName=change_set, TemplateStage="Original"
    )["TemplateBody"]
    text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _change(client: "CloudFormationClient", one: Json, deep: int) -> ResourceChange:
    nested = one.get("ChangeSetId")
    before, after = _context(one.get("BeforeContext")), _context(one.get("AfterContext"))
    return ResourceChange(
        action=_action(one),
        logical_id=str(one["LogicalResourceId"]),
        type=str(one["ResourceType"]),
        physical_id=one.get("PhysicalResourceId"),
        replacement=_replacement(one),
        scope=tuple(one.get("Scope", ())),
        policy=one.get("PolicyAction"),
        properties=tuple(map(_property, one.get("Details", ()))),
        before=before,
        after=after,
        drift=one.get("ResourceDriftStatus"),
        nested_change_set=nested,
        nested=_nested(client, nested, deep) if nested else None,
    )


def _action(one: Json) -> Action:
    """What CloudFormation does; a word that is new to us is one of which we do not know what."""
    word = one.get("Action")
    return Action(word) if word in set(Action) else Action.DYNAMIC


def _replacement(one: Json) -> Replacement:
    word = one.get("Replacement", Replacement.NO)
    return Replacement(word) if word in set(Replacement) else Replacement.PERHAPS


def _nested(
    client: "CloudFormationClient", change_set: str, deep: int
) -> tuple[ResourceChange, ...] | None:
    """What becomes of a nested stack's resources, None where it cannot be read."""
    if not deep:
        return None
    try:
        with aws_call("read a nested change set"):
            found, changes = _described(client, change_set)
    except FootholdError:
        return None
    if _state(found)[0] is SetState.EMPTY:
        return ()
    if found.get("Status") != "CREATE_COMPLETE":  # it is executed with the one it lies in
        return None
    return tuple(_change(client, one, deep - 1) for one in changes)


def _property(detail: Json) -> PropertyChange:
    """One property (AWS CloudFormation API Reference, "ResourceTargetDefinition")."""
    target = detail.get("Target", {})
    attribute = str(target.get("Attribute", "Properties"))
    path = target.get("Path") or "/".join(filter(None, ("", attribute, target.get("Name"))))
    return PropertyChange(
        path=path,
        attribute=attribute,
        before=_text(target.get("BeforeValue")),
        after=_text(target.get("AfterValue")),
        recreation=str(target.get("RequiresRecreation", "Never")),
        cause=detail.get("CausingEntity"),
    )


def _text(value: str | None) -> str | None:
    return None if value is None else without_references(value)


def _context(text: str | None) -> Json | None:
    """A resource's properties, None where they are not told, or told in part: what is large is
    cut."""
    try:
        found = json.loads(without_references(text)).get("Properties", {}) if text else None
    except (AttributeError, ValueError):
        return None
    return found if isinstance(found, dict) else None
