"""An operator's commands as they reach the function, by direct invocation, and the answers.

Not by an event: anybody who may put events may ask for a region, but only who may invoke the
function may take one away.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from foothold.errors import BusyError, FootholdError, PermanentError, TemporaryError
from foothold.reading import CLOSED, MOST_REGIONS, RegionName, RegionNames, complaints
from foothold.stores.model import Use
from foothold.stores.operator.orders import (
    AddRegions,
    AdoptStore,
    CheckRegions,
    Command,
    HandOver,
    ListClaims,
    PlanRegions,
    PreviewRetirement,
    ReleaseClaims,
    RetireRegion,
    UndoRetirement,
)

# The function's own time is 300 s; a retirement hands back before the caller's patience ends.
LONGEST_SECONDS = 120.0


class _Command(BaseModel):
    model_config = CLOSED


class _Plan(_Command):
    command: Literal["plan"]
    regions: list[RegionName] = Field(default=[], max_length=MOST_REGIONS)

    def value(self) -> PlanRegions:
        return PlanRegions(tuple(dict.fromkeys(self.regions)))


class _Add(_Command):
    command: Literal["add"]
    regions: RegionNames

    def value(self) -> AddRegions:
        return AddRegions(tuple(dict.fromkeys(self.regions)))


class _Check(_Command):
    command: Literal["check"]
    regions: RegionNames

    def value(self) -> CheckRegions:
        return CheckRegions(tuple(dict.fromkeys(self.regions)))


class _Preview(_Command):
    command: Literal["preview-retirement"]
    region: RegionName

    def value(self) -> PreviewRetirement:
        return PreviewRetirement(self.region)


class _Retire(_Command):
    command: Literal["retire"]
    region: RegionName
    seconds: float = Field(default=60.0, gt=0, le=LONGEST_SECONDS)

    def value(self) -> RetireRegion:
        return RetireRegion(self.region, self.seconds)


class _Undo(_Command):
    command: Literal["undo"]
    region: RegionName

    def value(self) -> UndoRetirement:
        return UndoRetirement(self.region)


def _bucket(name: str) -> str:
    """Amazon S3 User Guide, "General purpose bucket naming rules"."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
        raise PydanticCustomError(
            "bucket",
            "{name} is not the name of a bucket; write the name of the one to adopt: 3 to 63 "
            "lower-case letters, digits, dots and hyphens",
            {"name": repr(name[:80])},
        )
    return name


BucketName = Annotated[str, AfterValidator(_bucket)]


class _Adopt(_Command):
    command: Literal["adopt"]
    region: RegionName
    bucket: BucketName
    key_arn: str = Field(min_length=1, max_length=2048)
    replace_policies: bool = False

    def value(self) -> AdoptStore:
        return AdoptStore(self.region, self.bucket, self.key_arn, self.replace_policies)


class _Claims(_Command):
    command: Literal["claims"]

    def value(self) -> ListClaims:
        return ListClaims()


class _HeldClaim(BaseModel):
    model_config = CLOSED

    region: RegionName
    claim: str = Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z0-9_.-]+$")


class _Release(_Command):
    command: Literal["release"]
    claims: list[_HeldClaim] = Field(min_length=1, max_length=1000)

    def value(self) -> ReleaseClaims:
        return ReleaseClaims(tuple((one.region, one.claim) for one in self.claims))


class _HandOver(_Command):
    command: Literal["hand-over"]
    region: RegionName
    # AWS CloudFormation API Reference, "CreateStack".
    to_stack: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,127}$")
    to_home: RegionName

    def value(self) -> HandOver:
        return HandOver(self.region, self.to_stack, self.to_home)


_Look = _Plan | _Check | _Preview | _Claims
_Any = _Look | _Add | _Retire | _Undo | _Adopt | _HandOver | _Release
_COMMAND: TypeAdapter[_Any] = TypeAdapter(Annotated[_Any, Field(discriminator="command")])


class _KeyWish(_Command):
    region: RegionName
    use: Literal["unused", "replacement"]


def parse_key_wish(event: Mapping[str, Any]) -> tuple[str, Use]:
    """The region that a key is made for, and what it is tagged with. Raises PermanentError."""
    try:
        wish = _KeyWish.model_validate(event)
    except ValidationError:
        raise PermanentError("it takes a region and a use, nothing else") from None
    return wish.region, Use(wish.use)


def parse_command(event: Mapping[str, Any]) -> Command:
    """The command in a direct invocation. Raises PermanentError with one line that says what is
    wrong with it."""
    try:
        return _COMMAND.validate_python(event).value()
    except ValidationError as error:
        raise PermanentError(f"the command cannot be understood: {complaints(error)}") from None


def refusal(error: FootholdError) -> dict[str, Any]:
    """The answer to a command that failed."""
    return {
        "error": str(error),
        "temporary": isinstance(error, TemporaryError),
        "busy": isinstance(error, BusyError),
    }


def raise_refusal(answer: Mapping[str, Any]) -> None:
    """Raise the error that an answer stands for, if it does."""
    if "error" in answer:
        kind: type[FootholdError] = PermanentError
        if answer.get("temporary"):
            kind = BusyError if answer.get("busy") else TemporaryError
        raise kind(str(answer["error"]))
