"""What each event asks of the reconciler. Its content only says where to look."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from foothold.errors import (
    NotOursError,
    RegionNotEnabledError,
    RequestRefusedError,
    TemporaryError,
)
from foothold.stores.aspects import ALWAYS_LOOKED_AT, turn
from foothold.stores.model import ControlPlane
from foothold.stores.reconcile import Reconciler
from foothold.stores.requests import OpenRequests
from foothold.stores.retirement import Retirements
from foothold.stores.steps import Outcome
from foothold.stores.triggers import (
    ParameterChanged,
    RegionOptIn,
    RegionsRequested,
    Scheduled,
    StoreTouched,
    Trigger,
)

TURN_SECONDS = 900
# A retirement takes this much of the function's time; the next run goes on with it.
RETIREMENT_SECONDS = 120.0


class EventDoor:
    """Events on one side, reconciled regions on the other. `clock` is in seconds since the
    epoch and decides which settings a scheduled look takes in. `retirements` None: those that
    were begun are left to others. `requests` None: what is not ready is not written down."""

    def __init__(
        self,
        control_plane: ControlPlane,
        reconciler: Reconciler,
        clock: Callable[[], float],
        retirements: Retirements | None = None,
        requests: OpenRequests | None = None,
    ) -> None:
        self._control_plane = control_plane
        self._reconciler = reconciler
        self._clock = clock
        self._retirements = retirements
        self._requests = requests

    def answer(self, trigger: Trigger) -> tuple[Outcome, ...]:
        """Reconcile the regions that the trigger is about."""
        match trigger:
            case RegionsRequested(regions=regions):
                return tuple(map(_ignored_if_refused, self._reconciler.request(regions)))
            case RegionOptIn(region=region):
                wanted = region in self._reconciler.desired_regions(just_enabled=[region])
                kept = self._reconciler.keep([region] if wanted else [])
                return tuple(map(_until_enabled, kept))
            case StoreTouched(region=region):
                # What an event says may be hours old, or about a bucket that is none of ours.
                wanted = region in self._reconciler.desired_regions()
                return self._reconciler.keep([region] if wanted else [])
            case ParameterChanged(name=name, region=region):
                return self._parameter_changed(name, region)
            case Scheduled():
                looked_at = turn(int(self._clock() // TURN_SECONDS))
                return (*self._reconciler.keep(None, looked_at), *self._retire())

    def remember(self, trigger: Trigger, outcomes: Sequence[Outcome]) -> None:
        """Write down which regions are not ready and why, and forget those that are by now."""
        if self._requests is None:
            return
        match trigger:
            case RegionsRequested(regions=regions):
                self._requests.settle(outcomes, asked=regions)
            case Scheduled():
                self._requests.settle(outcomes, everything=True)
            case _:
                self._requests.settle(outcomes)

    def _parameter_changed(self, name: str, region: str) -> tuple[Outcome, ...]:
        plane = self._control_plane
        if name == plane.names.regions:
            return self._reconciler.keep(None, ALWAYS_LOOKED_AT)
        about = plane.names.region_of_store(name)
        region = region if about is None else about
        if name == plane.spec(region).retirement_parameter:
            # Where nothing proves the record, it is kept like the others, and a person is told.
            return (*self._reconciler.keep([region]), *self._retire())
        # Withdrawing a store changes its parameters too: what is being retired stays away.
        outcomes = self._reconciler.keep([region])
        if any(isinstance(outcome.error, NotOursError) for outcome in outcomes):
            # A store that was handed over is no fault, unless somebody here still wants it.
            return outcomes if region in self._reconciler.desired_regions() else ()
        return outcomes

    def _retire(self) -> tuple[Outcome, ...]:
        if self._retirements is None:
            return ()
        return self._retirements.go_on(self._clock() + RETIREMENT_SECONDS)


def _ignored_if_refused(outcome: Outcome) -> Outcome:
    """Anybody who may put events may ask: what they may not have is answered, and alarms nobody."""
    return replace(outcome, ignored=isinstance(outcome.error, RequestRefusedError))


def _until_enabled(outcome: Outcome) -> Outcome:
    """The event that a region was enabled may be faster than the status that says so."""
    if isinstance(outcome.error, RegionNotEnabledError):
        return replace(outcome, error=TemporaryError(str(outcome.error)))
    return outcome


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The outcomes as a value for logs and callers: by region, its store, steps and error, or
    why nothing was done."""
    return {
        outcome.region: {
            "bucket": outcome.store.bucket if outcome.store else None,
            "key_arn": outcome.store.key_arn if outcome.store else None,
            "steps": [str(step) for step in outcome.steps],
            "error": str(outcome.error) if outcome.failed else None,
            "ignored": str(outcome.error) if outcome.ignored else None,
        }
        for outcome in outcomes
    }


def raise_what_a_retry_may_help(outcomes: Sequence[Outcome]) -> None:
    """Raise TemporaryError where any region failed for a while only."""
    passing = [outcome.error for outcome in outcomes if isinstance(outcome.error, TemporaryError)]
    if passing:
        raise TemporaryError("; ".join(str(error) for error in passing))
