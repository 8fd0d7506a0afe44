"""Stacks and change sets: made, waited for, and why they failed."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from foothold.errors import PermanentError
from foothold.releases.gateways.stacks import described, reported_events, standing_of, why_failed
from foothold.releases.ports import SetStanding
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
    match standing_of(found):
        case SetStanding.EMPTY:
            return Changes()
        case SetStanding.FAILED if found["Status"] == "FAILED":
            reason = found.get("StatusReason", "")
            more = reported_events(person, **names) if "DescribeEvents" in reason else ()
            said = "; ".join((reason, *more))
            raise ActionFailedError(f"change set of {names['StackName']}: {said}")
        case _:
            pass
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


def wait_for(look: Callable[[], Found], done: Callable[[Found], bool]) -> Found:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done(found := look()):
        if time.monotonic() > deadline:
            raise ActionFailedError(f"not done after {WAIT_SECONDS} s")
        time.sleep(LOOK_EVERY_SECONDS)
    return found
