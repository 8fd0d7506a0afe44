"""What comes in, as typed values: custom resource requests and EventBridge events.

Below this module nobody checks types again. A request that cannot be met is refused with one
line for the person whose stack it is; an event that asks for nothing is `Ignored`, because
nobody waits for an answer to it.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from foothold.errors import PermanentError
from foothold.partitions import partition_of
from foothold.reading import CLOSED, STRICT, Ignored, RegionName, RegionNames, complaints
from foothold.stores.custom_resource.claim import (
    Claim,
    ClaimDropped,
    NothingClaimed,
    Request,
    StoresWanted,
    attributes,
    physical_id,
    success,
)
from foothold.stores.register import ArtifactStore, Names
from foothold.stores.triggers import (
    ParameterChanged,
    RegionOptIn,
    RegionsRequested,
    Scheduled,
    StoreTouched,
    Trigger,
)

# What is said of a property, which people write in a template.
PROPERTIES = {
    "extra_forbidden": "there is no property {name}; remove it",
    "missing": "{name} is missing",
}


def _list(value: object) -> object:
    if isinstance(value, str):
        raise PydanticCustomError(
            "comma_string",
            "{text} is one text, not a list; give a list, such as !Split [',', {text}]",
            {"text": repr(value[:80])},
        )
    return value


# --- Custom resource requests (AWS CloudFormation User Guide, "Custom resource reference") ---


class _Resource(BaseModel):
    model_config = CLOSED

    # CloudFormation's own: where the request goes, and how long it waits for the answer.
    service_token: Any = Field(alias="ServiceToken", default=None)
    service_timeout: Any = Field(alias="ServiceTimeout", default=None)


class _ArtifactStore(_Resource):
    """The properties of Custom::ArtifactStore."""

    region: RegionName = Field(alias="Region")


class _ArtifactStores(_Resource):
    """The properties of Custom::ArtifactStores."""

    regions: Annotated[RegionNames, BeforeValidator(_list)] = Field(alias="Regions")


class _Request(BaseModel):
    """A request as CloudFormation sends it; what it may add some day is no concern of ours."""

    model_config = STRICT

    request_type: Literal["Create", "Update", "Delete"] = Field(alias="RequestType")
    resource_type: Literal["Custom::ArtifactStore", "Custom::ArtifactStores"] = Field(
        alias="ResourceType"
    )
    stack_id: str = Field(alias="StackId")
    logical_id: str = Field(alias="LogicalResourceId")
    properties: dict[str, Any] = Field(alias="ResourceProperties")


def parse_request(event: Mapping[str, Any]) -> Request:
    """What a custom resource request asks for.

    A Delete always parses: its properties may be the very mistake that the stack is rolled
    back for. It drops a claim only where its physical id is the one that Foothold gives to
    this resource of this stack.

    Raises PermanentError with one line that names each wrong property, and the way out.
    """
    if event.get("RequestType") == "Delete":
        return _delete(event)
    request = _checked(_Request, event, "the request")
    claim = Claim.of(request.stack_id, request.logical_id)
    if request.resource_type == "Custom::ArtifactStore":
        one = _checked(_ArtifactStore, request.properties, request.resource_type)
        return StoresWanted((one.region,), claim, singular=True)
    many = _checked(_ArtifactStores, request.properties, request.resource_type)
    wanted = StoresWanted(tuple(dict.fromkeys(many.regions)), claim, singular=False)
    _refuse_too_many(event, wanted.regions)
    return wanted


def _delete(event: Mapping[str, Any]) -> ClaimDropped | NothingClaimed:
    stack_id, logical_id = event.get("StackId"), event.get("LogicalResourceId")
    if not isinstance(stack_id, str) or not isinstance(logical_id, str):
        return NothingClaimed()
    if event.get("PhysicalResourceId") != physical_id(stack_id, logical_id):
        return NothingClaimed()
    try:
        return ClaimDropped(Claim.of(stack_id, logical_id))
    except PermanentError:
        return NothingClaimed()


def _refuse_too_many(event: Mapping[str, Any], regions: tuple[str, ...]) -> None:
    """Before anything is made, refuse a list whose answer could not be sent: names are reckoned
    as long as S3 and KMS allow."""
    longest = {
        region: ArtifactStore(
            region,
            "b" * 63,
            f"arn:{partition_of(region).name}:kms:{region}:{'1' * 12}:key/{'k' * 36}",
        )
        for region in regions
    }
    try:
        success(event, attributes(longest, singular=False))
    except PermanentError as error:
        raise PermanentError(
            f"Regions names {len(regions)} regions: {error}. Ask for each region by itself: "
            "Fn::ForEach over Custom::ArtifactStore"
        ) from None


Model = TypeVar("Model", bound=BaseModel)


def _checked(model: type[Model], value: object, subject: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise PermanentError(f"{subject}: {complaints(error, PROPERTIES)}") from None


# --- EventBridge events ------------------------------------------------------------------------


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


# The calls that break a store, or take its guard away, by the names that CloudTrail has for them.
# Of the lifecycle and the public access block it has another name than S3's API (as recorded
# events show; Amazon S3 User Guide, "Amazon S3 CloudTrail events"): both count. The rules in
# template.yaml and pipelines/region-events.yaml ask for these, and for nothing else.
BREAKING = {
    "s3.amazonaws.com": frozenset(
        {
            "DeleteBucket",
            "DeleteBucketEncryption",
            "DeleteBucketLifecycle",
            "DeleteBucketOwnershipControls",
            "DeleteBucketPolicy",
            "DeleteBucketPublicAccessBlock",
            "DeleteBucketTagging",
            "DeletePublicAccessBlock",
            "PutBucketEncryption",
            "PutBucketLifecycle",
            "PutBucketLifecycleConfiguration",
            "PutBucketOwnershipControls",
            "PutBucketPolicy",
            "PutBucketPublicAccessBlock",
            "PutBucketTagging",
            "PutBucketVersioning",
            "PutPublicAccessBlock",
        }
    ),
    "kms.amazonaws.com": frozenset(
        {
            "DeleteAlias",
            "DisableKey",
            "DisableKeyRotation",
            "PutKeyPolicy",
            "ScheduleKeyDeletion",
            "UntagResource",
            "UpdateAlias",
        }
    ),
}


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
