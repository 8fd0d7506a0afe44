"""How what comes in is read: the name of a region, and one line about what cannot be understood.

The line names fields and never repeats a value, which could be a secret put in the wrong place;
that of a region is shown, where it is not one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from foothold.errors import PermanentError
from foothold.partitions import partition_of

# Far above the number of AWS regions; far below what would hold a function up.
MOST_REGIONS = 100
LONGEST_REGION_NAME = 32
PYDANTIC_SAYS: Mapping[str, str] = MappingProxyType({})


def _region(name: str) -> str:
    try:
        if len(name) <= LONGEST_REGION_NAME:
            partition_of(name)
            return name
    except PermanentError:
        pass
    raise PydanticCustomError(
        "region", "{name} is not the name of an AWS region", {"name": repr(name[:40])}
    )


RegionName = Annotated[str, AfterValidator(_region)]
RegionNames = Annotated[list[RegionName], Field(min_length=1, max_length=MOST_REGIONS)]

# What AWS sends may grow; what people send may not be misspelt.
STRICT = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)
CLOSED = STRICT | ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that asks for nothing, and why."""

    reason: str


def complaints(error: ValidationError, words: Mapping[str, str] = PYDANTIC_SAYS) -> str:
    """Each wrong field and what is wrong with it, in one line.

    `words` are sentences about a field, which they call {name}, by pydantic's type of error;
    for every other type pydantic speaks for itself.
    """
    lines = []
    for wrong in error.errors(include_url=False, include_input=False):
        name = ".".join(map(str, wrong["loc"])) or "it"
        sentence = words.get(wrong["type"], "{name}: {said}")
        lines.append(sentence.format(name=name, said=wrong["msg"]))
    return "; ".join(lines)


def wrong_fields(error: ValidationError) -> str:
    """The names of the wrong fields at the top, with commas between them."""
    return ", ".join(str(wrong["loc"][0]) for wrong in error.errors())
