"""What an operator asks the control plane to do, as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlanRegions:
    """Say what a reconcile would do. No regions: all that are desired or being retired."""

    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddRegions:
    """Make the stores of regions that the operator has put on the list, and say how it went."""

    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckRegions:
    """Say whether these regions can have a store."""

    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RetireRegion:
    """Retire the region's store, or go on with it for some seconds."""

    region: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PreviewRetirement:
    """Say what a retirement of the region would take away, or why it is refused."""

    region: str


@dataclass(frozen=True, slots=True)
class UndoRetirement:
    """Bring the region's store back."""

    region: str


@dataclass(frozen=True, slots=True)
class AdoptStore:
    """Adopt the bucket and the key for the region."""

    region: str
    bucket: str
    key_arn: str
    replace_policies: bool = False


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give the region's store to the control plane of another stack or home region."""

    region: str
    to_stack: str
    to_home: str


@dataclass(frozen=True, slots=True)
class ListClaims:
    """Say which claims stand, and whether their stacks still exist."""


@dataclass(frozen=True, slots=True)
class ReleaseClaims:
    """Drop these claims, each a region and a claim's name."""

    claims: tuple[tuple[str, str], ...]


Look = PlanRegions | CheckRegions | PreviewRetirement | ListClaims
Change = AddRegions | RetireRegion | UndoRetirement | AdoptStore | HandOver | ReleaseClaims
Command = Look | Change
