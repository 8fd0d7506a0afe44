"""Why the reconciler is woken: what an EventBridge event asks, without the event.

After this module nobody checks types again. An event that asks for nothing is `Ignored`, because
nobody waits for an answer to it.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from foothold.reading import CLOSED, STRICT, Ignored, RegionName, RegionNames
from foothold.stores.aspects import BREAKING
from foothold.stores.register import Names


@dataclass(frozen=True, slots=True)
class RegionsRequested:
    """Somebody wants stores in these regions."""

    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegionOptIn:
    """Our own account's opt-in to a region has a new status; by now it may have another."""

    region: str
    status: Literal["ENABLING", "ENABLED", "DISABLING", "DISABLED"]
    account: str


@dataclass(frozen=True, slots=True)
class ParameterChanged:
    """One of our parameters has changed in `region`. The event does not say to what."""

    name: str
    operation: Literal["Create", "Update", "Delete"]
    region: str


@dataclass(frozen=True, slots=True)
class StoreTouched:
    """Somebody else has called what may have broken the store in `region`."""

    region: str
    call: str


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Time has passed."""


Trigger = RegionsRequested | RegionOptIn | ParameterChanged | StoreTouched | Scheduled


class _Envelope(BaseModel):
    """What every event has (Amazon EventBridge User Guide, "Events")."""

    model_config = STRICT

    source: str
    detail_type: str = Field(alias="detail-type")
    region: RegionName
    detail: Any = None


class _RegionsRequested(BaseModel):
    """Our own event, which anybody with PutEvents may send."""

    model_config = CLOSED

    regions: RegionNames


class _RegionOptIn(BaseModel):
    """AWS Account Management Reference Guide, "Monitoring with EventBridge"."""

    model_config = STRICT

    account_id: str = Field(alias="accountId")
    region_name: RegionName = Field(alias="regionName")
    status: Literal["ENABLING", "ENABLED", "DISABLING", "DISABLED"]


class _ParameterChanged(BaseModel):
    """AWS Systems Manager User Guide, "EventBridge events": the value is not in the event."""

    model_config = STRICT

    operation: Literal["Create", "Update", "Delete", "LabelParameterVersion"]
    name: str
    exception: Any = None


class _ApiCall(BaseModel):
    """A management event of AWS CloudTrail (AWS CloudTrail User Guide, "Record contents")."""

    model_config = STRICT

    source: str = Field(alias="eventSource")
    name: str = Field(alias="eventName")
    region: RegionName = Field(alias="awsRegion")
    account: str = Field(alias="recipientAccountId")
    error_code: Any = Field(alias="errorCode", default=None)


def parse_event(event: object, *, account: str, parameter_root: str) -> Trigger | Ignored:
    """What an EventBridge event asks of the control plane of `account`, whose parameters stand
    below `parameter_root`. Never raises: whatever is not understood is Ignored."""
    try:
        envelope = _Envelope.model_validate(event)
    except ValidationError:
        return Ignored("not an EventBridge event")
    try:
        return _trigger(envelope, account, parameter_root)
    except ValidationError:
        return Ignored(f"malformed {envelope.detail_type}")


def _trigger(envelope: _Envelope, account: str, parameter_root: str) -> Trigger | Ignored:
    match envelope.source, envelope.detail_type:
        # A rule's schedule says aws.events; EventBridge Scheduler says aws.scheduler.
        case "aws.events" | "aws.scheduler", "Scheduled Event":
            return Scheduled()
        case "foothold", "Regions Requested":
            return _regions_requested(envelope.detail)
        case "aws.account", "Region Opt-In Status Change":
            return _region_opt_in(envelope.detail, account)
        case "aws.s3" | "aws.kms", "AWS API Call via CloudTrail":
            return _api_call(envelope.detail, account)
        case "aws.ssm", "Parameter Store Change":
            return _parameter_changed(envelope.detail, envelope.region, parameter_root)
        case _:
            return Ignored("not an event that Foothold answers")


def _regions_requested(detail: object) -> RegionsRequested:
    requested = _RegionsRequested.model_validate(detail)
    return RegionsRequested(tuple(dict.fromkeys(requested.regions)))


def _region_opt_in(detail: object, account: str) -> RegionOptIn | Ignored:
    opt_in = _RegionOptIn.model_validate(detail)
    if opt_in.account_id != account:
        # The event goes to the account that called, which may have called for another one.
        return Ignored("another account's region")
    return RegionOptIn(opt_in.region_name, opt_in.status, opt_in.account_id)


def _parameter_changed(detail: object, region: str, root: str) -> ParameterChanged | Ignored:
    change = _ParameterChanged.model_validate(detail)
    if not Names(root).is_about_stores(change.name):
        return Ignored("not one of Foothold's parameters")
    if change.operation == "LabelParameterVersion":
        return Ignored("a label changes no value")
    if change.exception is not None:
        return Ignored("the change of the parameter failed")
    return ParameterChanged(change.name, change.operation, region)


def _api_call(detail: object, account: str) -> StoreTouched | Ignored:
    call = _ApiCall.model_validate(detail)
    if call.account != account:
        return Ignored("another account's call")
    if call.name not in BREAKING.get(call.source, ()):
        return Ignored("a call that breaks no store")
    if call.error_code is not None:
        return Ignored("the call failed")
    return StoreTouched(call.region, call.name)
