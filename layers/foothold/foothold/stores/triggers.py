"""Why the reconciler is woken: what an event asks, without the event."""

from dataclasses import dataclass
from typing import Literal


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
