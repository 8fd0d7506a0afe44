"""What an operator's commands do, and what is told of it: values that JSON holds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from foothold.errors import FootholdError, TemporaryError, refusal
from foothold.observability import logger
from foothold.stores.adoption import Adoptions
from foothold.stores.custom_resource.claims import Claims
from foothold.stores.custom_resource.request import HeldClaim
from foothold.stores.events import report
from foothold.stores.handover import HandOvers
from foothold.stores.operator.messages import (
    AddRegions,
    AdoptStore,
    Change,
    CheckRegions,
    Command,
    HandOver,
    ListClaims,
    Look,
    PlanRegions,
    PreviewRetirement,
    ReleaseClaims,
    RetireRegion,
    UndoRetirement,
    parse_command,
)
from foothold.stores.preflight import Preflights
from foothold.stores.reconcile import Reconciler
from foothold.stores.requests import OpenRequests
from foothold.stores.retirement import Preview, Progress, Retirements
from foothold.stores.steps import KeepVerb, Outcome, Step


def answer_command(
    event: Mapping[str, Any], commands: Callable[[], "OperatorCommands"]
) -> dict[str, Any]:
    """The answer to a direct invocation; a refusal is one too. `commands` is called for a command
    that is understood, and begins a run."""
    try:
        command = parse_command(event)
        answer = commands().answer(command)
    except FootholdError as error:
        logger.warning("command refused", command=event.get("command"), error=str(error))
        return refusal(error)
    logger.info("command answered", command=event.get("command"), answer=answer)
    return answer


class OperatorCommands:
    """What carries out an operator's commands. `clock` is in seconds since the epoch. `alone`
    keeps every other run out for its block, and raises BusyError where one is at work."""

    def __init__(
        self,
        reconciler: Reconciler,
        retirements: Retirements,
        preflights: Preflights,
        *,
        adoptions: Adoptions,
        hand_overs: HandOvers,
        claims: Claims,
        requests: OpenRequests,
        clock: Callable[[], float],
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._reconciler = reconciler
        self._retirements = retirements
        self._preflights = preflights
        self._adoptions = adoptions
        self._claims = claims
        self._requests = requests
        self._hand_overs = hand_overs
        self._clock = clock
        self._alone = alone

    def answer(self, command: Command) -> dict[str, Any]:
        """Do what is asked; to look takes no turn. Raises TemporaryError or PermanentError."""
        with nullcontext() if isinstance(command, Look) else self._alone():
            return self._answer(command)

    def _answer(self, command: Command) -> dict[str, Any]:
        match command:
            case PlanRegions(regions=regions):
                return {"plan": self._plan(regions)}
            case CheckRegions(regions=regions):
                return {"checks": self._check(regions)}
            case PreviewRetirement(region=region):
                return _preview(self._retirements.preview(region))
            case ListClaims():
                return {"claims": [_claim(claim) for claim in self._claims.standing()]}
            case change:
                return self._change(change)

    def _change(self, command: Change) -> dict[str, Any]:
        match command:
            case AddRegions(regions=regions):
                return {"regions": self._add(regions)}
            case RetireRegion(region=region, seconds=seconds):
                return _progress(self._retirements.retire(region, self._clock() + seconds))
            case UndoRetirement(region=region):
                return _outcome(self._retirements.undo(region))
            case HandOver():
                self._hand_overs.hand_over(command.region, command.to_stack, command.to_home)
                return {"region": command.region}
            case ReleaseClaims(claims=claims):
                self._claims.release_of([(one.region, one.claim) for one in claims])
                return {"released": [one.model_dump() for one in claims]}
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

    def _add(self, regions: Sequence[str]) -> dict[str, Any]:
        outcomes = self._reconciler.reconcile(regions)
        self._requests.settle(outcomes)
        told = report(outcomes)
        for outcome in outcomes:
            told[outcome.region]["temporary"] = isinstance(outcome.error, TemporaryError)
        return told

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
            region: {"error": str(found), "temporary": isinstance(found, TemporaryError)}
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


def _preview(preview: Preview) -> dict[str, Any]:
    return {
        "region": preview.region,
        "bucket": preview.bucket,
        "versions": preview.versions,
        "more": preview.more,
        "key_arn": preview.key_arn,
        "readers": list(preview.readers),
        "steps": [str(step) for step in preview.steps],
    }


def _claim(claim: HeldClaim) -> dict[str, Any]:
    return {
        "region": claim.region,
        "claim": claim.name,
        "stack": claim.stack,
        "stack_id": claim.stack_id,
        "resource": claim.resource,
        "since": int(claim.since),
        "exists": not claim.gone,
        "gone_since": None if claim.gone_since is None else int(claim.gone_since),
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
        "step": step.what,
        "reason": step.reason,
        "left_to_a_person": step.verb is KeepVerb.LEAVE,
        "command": step.command,
    }
