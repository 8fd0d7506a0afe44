"""What an operator's commands do, and what is told of it: values that JSON holds."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from foothold.domain.commands import (
    AdoptStore,
    CheckRegions,
    Command,
    PlanRegions,
    RetireRegion,
    UndoRetirement,
)
from foothold.domain.errors import FootholdError
from foothold.domain.models import Outcome, Step, Verb
from foothold.services.adoption import Adoptions
from foothold.services.preflight import Preflights
from foothold.services.reconcile import Reconciler
from foothold.services.retirement import Progress, Retirements


class ControlPlaneFunction(Protocol):
    """The function that answers commands."""

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Its answer. Raises what the function refused with."""
        ...


class CommandDoor:
    """Commands on one side, answers on the other. `clock` is in seconds since the epoch."""

    def __init__(
        self,
        reconciler: Reconciler,
        retirements: Retirements,
        preflights: Preflights,
        adoptions: Adoptions,
        clock: Callable[[], float],
    ) -> None:
        self._reconciler = reconciler
        self._retirements = retirements
        self._preflights = preflights
        self._adoptions = adoptions
        self._clock = clock

    def answer(self, command: Command) -> dict[str, Any]:
        """Do what is asked. Raises TemporaryError or PermanentError."""
        match command:
            case PlanRegions(regions=regions):
                return {"plan": self._plan(regions)}
            case CheckRegions(regions=regions):
                return {"checks": self._check(regions)}
            case RetireRegion(region=region, seconds=seconds):
                return _progress(self._retirements.retire(region, self._clock() + seconds))
            case UndoRetirement(region=region):
                return _outcome(self._retirements.undo(region))
            case AdoptStore():
                adopt = self._adoptions.adopt
                return _outcome(
                    adopt(
                        command.region,
                        command.bucket,
                        command.key_arn,
                        replace_policies=command.replace_policies,
                    )
                )

    def _plan(self, regions: Sequence[str]) -> dict[str, Any]:
        going = self._retirements.unfinished()
        names = tuple(regions) or tuple({*self._reconciler.desired_regions(), *going})
        plans: dict[str, Any] = dict(self._reconciler.plan(n for n in names if n not in going))
        for region in set(names) & set(going):
            try:
                plans[region] = self._retirements.plan(region)
            except FootholdError as error:
                plans[region] = error
        return {
            region: {"error": str(found)}
            if isinstance(found, FootholdError)
            else {"steps": [_step(step) for step in found]}
            for region, found in sorted(plans.items())
        }

    def _check(self, regions: Sequence[str]) -> dict[str, Any]:
        return {
            preflight.region: {
                "verdict": preflight.verdict.value,
                "checks": [
                    {"name": check.name, "verdict": check.verdict.value, "words": check.words}
                    for check in preflight.checks
                ],
            }
            for preflight in self._preflights.check(regions)
        }


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "region": progress.region,
        "phase": progress.retirement.phase.value,
        "deleted": progress.retirement.deleted,
        "steps": [str(step) for step in progress.steps],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    if outcome.error:
        raise outcome.error
    assert outcome.store is not None  # an outcome has either
    return {
        "region": outcome.region,
        "bucket": outcome.store.bucket,
        "key_arn": outcome.store.key_arn,
        "steps": [str(step) for step in outcome.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "step": f"{step.verb} {step.aspect}" if step.aspect else step.verb.value,
        "reason": step.reason,
        "left_to_a_person": step.verb is Verb.LEAVE,
        "command": step.command,
    }
