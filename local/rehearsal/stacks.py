"""Stacks and change sets: made, waited for, and why they failed."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from foothold.errors import PermanentError
from local.aws.embedded import HOME_REGION, Embedded
from local.rehearsal.execution import ActionFailedError, Changes, Json

WAIT_SECONDS = 600
LOOK_EVERY_SECONDS = 0.2
SUCCEEDED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})

Found = TypeVar("Found")


def deploy_stack(
    embedded: Embedded,
    account: str,
    name: str,
    template: Json | str,
    parameters: Mapping[str, str],
) -> None:
    """Create or update a stack of this account, as its root, and wait for it. Raises
    PermanentError where it fails."""
    cloudformation = embedded.session(account, HOME_REGION).client("cloudformation")
    body = template if isinstance(template, str) else json.dumps(template)
    more: Json = {
        "StackName": name,
        "TemplateBody": body,
        "Capabilities": ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        "Parameters": given(parameters),
    }
    try:
        cloudformation.create_stack(**more)
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**more)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
    status = ended(cloudformation, name)
    if status not in SUCCEEDED:
        raise PermanentError(
            f"stack {name} of account {account} is {status}: {why_failed(cloudformation, name)}"
        )


def given(parameters: Mapping[str, str]) -> list[dict[str, str]]:
    """The parameters of a stack as CloudFormation takes them."""
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]


def described(cloudformation: Any, name: str) -> Json:
    """The stack as CloudFormation describes it; nothing where there is none."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return {}
        raise
    return dict(stack)


def ended(cloudformation: Any, name: str) -> str:
    """The stack's status once its operation is over. Raises ActionFailedError where it is not
    within WAIT_SECONDS."""
    return wait_for(
        lambda: str(described(cloudformation, name)["StackStatus"]),
        lambda status: not status.endswith("_IN_PROGRESS"),
    )


def deletion(stack: str, status: str, where: tuple[str, str]) -> str:
    """The command that takes away a stack which can only be deleted, if it can only be deleted."""
    if status not in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
        return ""
    account, region = where
    command = f"sam delete --stack-name {stack} --region {region} --no-prompts"
    return f"AWS_ACCESS_KEY_ID={account} {command}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a change set is made of: a template, the action's configuration, parameters, tags."""

    template: str
    configuration: Json
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


def create_change_set(
    cloudformation: Any, wanted: Wanted, where: tuple[str, str], person: Any
) -> Changes:
    """Replace the change set, wait for it, and return what it would do."""
    configuration = wanted.configuration
    names = {
        "StackName": configuration["StackName"],
        "ChangeSetName": configuration["ChangeSetName"],
    }
    status = str(described(cloudformation, names["StackName"]).get("StackStatus", ""))
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise ActionFailedError(f"stack {names['StackName']} is {status}")
    if status == "ROLLBACK_COMPLETE":
        raise ActionFailedError(
            f"stack {names['StackName']} is {status}: delete it first",
            deletion(names["StackName"], status, where),
        )
    if status:
        cloudformation.delete_change_set(**names)
    cloudformation.create_change_set(
        **names,
        ChangeSetType="UPDATE" if status not in {"", "REVIEW_IN_PROGRESS"} else "CREATE",
        TemplateBody=wanted.template,
        RoleARN=configuration["RoleArn"],
        Capabilities=[name for name in configuration.get("Capabilities", "").split(",") if name],
        Parameters=given(wanted.parameters),
        Tags=[{"Key": name, "Value": value} for name, value in wanted.tags.items()],
    )
    found = wait_for(
        lambda: cloudformation.describe_change_set(**names),
        lambda found: found["Status"] in {"CREATE_COMPLETE", "FAILED"},
    )
    if found["Status"] == "FAILED":
        reason = found.get("StatusReason", "")
        if "didn't contain changes" in reason or "No updates are to be performed" in reason:
            return Changes()
        more = reported_events(person, **names) if "DescribeEvents" in reason else ()
        raise ActionFailedError(f"change set of {names['StackName']}: {'; '.join((reason, *more))}")
    each = [change["ResourceChange"] for change in found["Changes"]]
    actions = [change["Action"] for change in each]
    return Changes(
        actions.count("Add"),
        actions.count("Modify"),
        actions.count("Remove"),
        tuple(
            f"{change['Action']} {change['LogicalResourceId']} ({change['ResourceType']})"
            for change in each
        ),
    )


# What CloudFormation says of resources that it only stopped because another one failed.
CANCELLED = ("resource creation cancelled", "resource update cancelled")


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


def wait_for(look: Callable[[], Found], done: Callable[[Found], bool]) -> Found:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done(found := look()):
        if time.monotonic() > deadline:
            raise ActionFailedError(f"not done after {WAIT_SECONDS} s")
        time.sleep(LOOK_EVERY_SECONDS)
    return found
