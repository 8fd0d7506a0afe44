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


Command = PlanRegions | AddRegions | CheckRegions | RetireRegion | UndoRetirement | AdoptStore
