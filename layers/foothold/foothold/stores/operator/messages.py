"""An operator's commands as they reach the function, by direct invocation, and the answers.

Not by an event: anybody who may put events may ask for a region, but only who may invoke the
function may take one away.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from foothold.errors import PermanentError
from foothold.reading import CLOSED, MOST_REGIONS, RegionName, RegionNames, complaints
from foothold.stores.model import Use

# The function's own time is 300 s; a retirement hands back before the caller's patience ends.
LONGEST_SECONDS = 120.0


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


Regions = Annotated[RegionNames, AfterValidator(_once)]


class _Closed(BaseModel):
    model_config = CLOSED


class PlanRegions(_Closed):
    """Say what a reconcile would do. No regions: all that are desired or being retired."""

    command: Literal["plan"] = "plan"
    regions: Annotated[list[RegionName], Field(max_length=MOST_REGIONS), AfterValidator(_once)] = []


class AddRegions(_Closed):
    """Make the stores of regions that the operator has put on the list, and say how it went."""

    command: Literal["add"] = "add"
    regions: Regions


class CheckRegions(_Closed):
    """Say whether these regions can have a store."""

    command: Literal["check"] = "check"
    regions: Regions


class PreviewRetirement(_Closed):
    """Say what a retirement of the region would take away, or why it is refused."""

    command: Literal["preview-retirement"] = "preview-retirement"
    region: RegionName


class RetireRegion(_Closed):
    """Retire the region's store, or go on with it for some seconds."""

    command: Literal["retire"] = "retire"
    region: RegionName
    seconds: float = Field(default=60.0, gt=0, le=LONGEST_SECONDS)


class UndoRetirement(_Closed):
    """Bring the region's store back."""

    command: Literal["undo"] = "undo"
    region: RegionName


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


class AdoptStore(_Closed):
    """Adopt the bucket and the key for the region."""

    command: Literal["adopt"] = "adopt"
    region: RegionName
    bucket: Annotated[str, AfterValidator(_bucket)]
    key_arn: str = Field(min_length=1, max_length=2048)
    replace_policies: bool = False


class ListClaims(_Closed):
    """Say which claims stand, and whether their stacks still exist."""

    command: Literal["claims"] = "claims"


class NamedClaim(_Closed):
    """A claim, by its region and its name."""

    region: RegionName
    claim: str = Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z0-9_.-]+$")


class ReleaseClaims(_Closed):
    """Drop these claims."""

    command: Literal["release"] = "release"
    claims: list[NamedClaim] = Field(min_length=1, max_length=1000)


class HandOver(_Closed):
    """Give the region's store to the control plane of another stack or home region."""

    command: Literal["hand-over"] = "hand-over"
    region: RegionName
    # AWS CloudFormation API Reference, "CreateStack".
    to_stack: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,127}$")
    to_home: RegionName


# What only looks, and what changes something.
Look = PlanRegions | CheckRegions | PreviewRetirement | ListClaims
Change = AddRegions | RetireRegion | UndoRetirement | AdoptStore | HandOver | ReleaseClaims
Command = Look | Change
_COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="command")])


class _KeyWish(_Closed):
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
        return _COMMAND.validate_python(event)
    except ValidationError as error:
        raise PermanentError(f"the command cannot be understood: {complaints(error)}") from None
