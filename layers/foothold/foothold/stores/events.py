"""What each event asks of the reconciler. Its content only says where to look."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from foothold.errors import (
    NotOursError,
    RegionNotEnabledError,
    RequestRefusedError,
    TemporaryError,
)
from foothold.observability import FunctionAnswer, logger
from foothold.reading import Ignored
from foothold.stores.aspects import ALWAYS_LOOKED_AT, turn
from foothold.stores.custom_resource.claims import Claims
from foothold.stores.custom_resource.request import HeldClaim
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
    parse_event,
)

TURN_SECONDS = 900
# A retirement takes this much of the function's time; the next run goes on with it.
RETIREMENT_SECONDS = 120.0


def answer_event(
    event: Mapping[str, Any], control_plane: ControlPlane, events: Callable[[], "Events"]
) -> FunctionAnswer:
    """Do what an event of EventBridge asks for. `events` is called where it asks for anything, and
    begins a run; an event that asks for nothing is logged with its reason.

    Raises TemporaryError where another run is at work, and what concerns all regions alike.
    """
    trigger = parse_event(
        event, account=control_plane.account, parameter_root=control_plane.parameter_root
    )
    if isinstance(trigger, Ignored):
        logger.warning("event ignored", reason=trigger.reason)
        return FunctionAnswer()
    return events().answer(trigger)


def _nothing_follows() -> Mapping[str, int]:
    return {}


class Events:
    """Events on one side, reconciled regions on the other.

    `clock` is in seconds since the epoch and decides which settings a scheduled look takes in.
    `retirements` None: those that were begun are left to others. `requests` None: what is not
    ready is not written down. `claims` are read on schedule, to drop those of stacks that are gone;
    None: they stay. `follow` updates the stacks that follow the stores, and returns what CloudWatch
    is to count of it. `alone` keeps every other run out for its block, and raises BusyError where
    one is at work.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        reconciler: Reconciler,
        clock: Callable[[], float],
        retirements: Retirements | None = None,
        requests: OpenRequests | None = None,
        *,
        claims: Callable[[], Claims] | None = None,
        follow: Callable[[], Mapping[str, int]] = _nothing_follows,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._control_plane = control_plane
        self._reconciler = reconciler
        self._clock = clock
        self._retirements = retirements
        self._requests = requests
        self._claims = claims
        self._follow = follow
        self._alone = alone

    def answer(self, trigger: Trigger) -> FunctionAnswer:
        """Reconcile what the trigger is about, and all that comes of it: a report by region, and
        an error to retry after where a region failed for a while only, or where what comes after
        the regions failed."""
        with self._alone():
            scheduled = isinstance(trigger, Scheduled)
            if scheduled and self._claims:
                _tell_of_dropped(self._claims().release_of_gone_stacks())
            outcomes = self.reconcile(trigger)
            answer = FunctionAnswer(report(outcomes), _counts(outcomes), worth_a_retry(outcomes))
            _tell_of(outcomes, trigger, answer.report)
            try:
                if scheduled or any(outcome.steps for outcome in outcomes):
                    answer = replace(answer, counts={**answer.counts, **self._follow()})
                self.remember(trigger, outcomes)
            except Exception as error:  # noqa: BLE001  raised, once the counts are told
                answer = replace(answer, retry=error)
        return answer

    def reconcile(self, trigger: Trigger) -> tuple[Outcome, ...]:
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


def worth_a_retry(outcomes: Sequence[Outcome]) -> TemporaryError | None:
    """The error of the regions that failed for a while only; None where none did."""
    passing = [outcome.error for outcome in outcomes if isinstance(outcome.error, TemporaryError)]
    return TemporaryError("; ".join(str(error) for error in passing)) if passing else None


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return {
        "RegionsReconciled": len(outcomes),
        "RegionsFailed": sum(outcome.failed for outcome in outcomes),
        "StepsTaken": sum(len(outcome.steps) for outcome in outcomes),
        "StoresAlarmed": sum(len(outcome.alarms) for outcome in outcomes),
    }


def _tell_of(outcomes: Sequence[Outcome], trigger: Trigger, reported: Mapping[str, Any]) -> None:
    alarms = [str(step) for outcome in outcomes for step in outcome.alarms]
    if alarms:
        logger.error("a person should look at stores", alarms=alarms)
    log = logger.error if any(outcome.failed for outcome in outcomes) else logger.info
    log("regions reconciled", trigger=type(trigger).__name__, report=reported)


def _tell_of_dropped(claims: Sequence[HeldClaim]) -> None:
    if claims:
        names = [f"{claim.region}/{claim.name}" for claim in claims]
        logger.warning("claims of stacks that are gone were dropped", claims=names)
