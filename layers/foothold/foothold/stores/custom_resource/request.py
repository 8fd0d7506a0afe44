"""A stack's resource asks for artifact stores: the request, as values.

After this module nobody checks types again. A request that cannot be met is refused with one line
for the person whose stack it is. What CloudFormation sends is told in the AWS CloudFormation User
Guide, "Custom resource reference".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from foothold.errors import PermanentError
from foothold.partitions import partition_of
from foothold.reading import CLOSED, STRICT, RegionName, RegionNames, complaints
from foothold.stores.custom_resource.reply import (
    LOGICAL_ID,
    STACK_ID,
    attributes,
    physical_id,
    success,
)
from foothold.stores.register import ArtifactStore

# What is said of a property, which people write in a template.
PROPERTIES = {
    "extra_forbidden": "there is no property {name}; remove it",
    "missing": "{name} is missing",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """That one resource of one stack wants a store.

    `name` is unique to the resource, and made of letters, digits, hyphens and dots, as a part
    of a parameter's name is; `value` says to a person whose claim it is. `place` is the
    partition, region and account of the stack, None for a claim of the control plane's own.
    """

    name: str
    value: str
    place: tuple[str, str, str] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, stack_id: str, logical_id: str) -> "Claim":
        """The claim of the resource `logical_id` in the stack with the ARN `stack_id`. Raises
        PermanentError where they are not what CloudFormation sends."""
        stack = STACK_ID.fullmatch(stack_id)
        if not stack:
            raise PermanentError("StackId is not the ARN of a stack")
        if not LOGICAL_ID.fullmatch(logical_id):
            raise PermanentError("LogicalResourceId is not the name of a stack's resource")
        return cls(
            f"{stack['stack']}.{stack['uuid']}.{logical_id}",
            f"{stack_id} {logical_id}",
            (stack["partition"], stack["region"], stack["account"]),
        )


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """A claim as it stands in a parameter, written `since` (seconds since the epoch). `stack_id`
    is None where the value does not say whose it is. `gone` says that the stack is known not to
    exist any more, `gone_since` when it went, None where nobody remembers."""

    region: str
    name: str
    stack_id: str | None
    resource: str
    since: float
    gone: bool = False
    gone_since: float | None = None

    @classmethod
    def read(cls, region: str, name: str, value: str, since: float) -> "HeldClaim":
        """The claim that the parameter `<claims>/<region>/<name>` holds."""
        stack_id, _, resource = value.partition(" ")
        known = STACK_ID.fullmatch(stack_id) is not None
        return cls(region, name, stack_id if known else None, resource, since)

    @property
    def stack(self) -> str:
        """The name of its stack, as far as anything tells it."""
        found = self.stack_id and STACK_ID.fullmatch(self.stack_id)
        return found["stack"] if found else self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class StoresWanted:
    """Create or Update: converge these regions, and let the claim stand for exactly them."""

    regions: tuple[str, ...]
    claim: Claim
    singular: bool


@dataclass(frozen=True, slots=True)
class ClaimDropped:
    """Delete: nobody needs the claim any more. The stores stay."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class NothingClaimed:
    """Delete of something that is not ours: there is nothing to do."""


Request = StoresWanted | ClaimDropped | NothingClaimed


def _list(value: object) -> object:
    if isinstance(value, str):
        raise PydanticCustomError(
            "comma_string",
            "{text} is one text, not a list; give a list, such as !Split [',', {text}]",
            {"text": repr(value[:80])},
        )
    return value


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
