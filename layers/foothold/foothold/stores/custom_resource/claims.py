"""Who wants a region: a claim is a parameter, written for each custom resource."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from foothold.errors import FootholdError, PermanentError, TemporaryError
from foothold.partitions import partition_of
from foothold.stores.custom_resource.reply import attributes
from foothold.stores.custom_resource.request import (
    Claim,
    ClaimDropped,
    HeldClaim,
    Request,
    StoresWanted,
)
from foothold.stores.model import ControlPlane
from foothold.stores.ports import Parameters, Stacks
from foothold.stores.reconcile import Reconciler
from foothold.stores.register import ArtifactStore, Phase, Retirement
from foothold.stores.steps import KeepVerb, Outcome

# Less than template.yaml's Timeout of the function, and what its responder keeps of it.
LONGEST_SECONDS = 220.0
DAY = 86_400.0  # long enough for somebody to bring a stack back, or to see that it is gone


class TooLateError(TemporaryError):
    """The stack was told of a failure meanwhile, and has gone on."""


class Claims:
    """Stores made for custom resources, and the record of who asked for them. `clock` is in
    seconds since the epoch. `stacks` None: every stack is taken to exist."""

    def __init__(
        self,
        control_plane: ControlPlane,
        reconciler: Reconciler,
        parameters: Parameters,
        clock: Callable[[], float],
        stacks: Stacks | None = None,
    ) -> None:
        self._control_plane = control_plane
        self._home, self._names = control_plane.home_region, control_plane.names
        self._reconciler = reconciler
        self._parameters = parameters
        self._clock = clock
        self._stacks = stacks

    def ensure(self, regions: Sequence[str], claim: Claim) -> Mapping[str, ArtifactStore]:
        """Converge every region, then let the claim stand for exactly these regions.

        Raises TemporaryError or PermanentError that names the regions that failed; the claim
        is unchanged then, and where the control plane retires, the stores that were made for it
        are given back. So it is where this takes so long that the stack has been told of a
        failure meanwhile: Lambda freezes a function that has answered, and may wake what it left
        behind after the stack's next request, which must not be undone.
        """
        if not self._is_here(claim):
            plane = self._control_plane
            raise PermanentError(
                f"the stack of this request is not in {plane.home_region} of account "
                f"{plane.account}, where this control plane answers: CloudFormation asks from the "
                "function's own account and region only"
            )
        started = self._clock()
        held = self._held(claim)
        holds = set(held)
        outcomes = self._reconciler.reconcile(regions, held=holds)
        made: list[str] = []
        try:
            stores = ready(outcomes)
            for region in regions:
                self._refuse_when_late(started, region)
                if held.get(region) != claim.value:
                    made += [] if region in held else [region]
                    name = self._names.claim(region, claim.name)
                    self._parameters.put(self._home, name, claim.value)
        except TooLateError:
            raise  # the stack may have claimed anew what would be given back
        except FootholdError:
            self._give_back(claim, made, outcomes)
            raise
        self._drop([(region, claim.name) for region in held if region not in regions])
        return stores

    def release(self, claim: Claim) -> None:
        """Drop the claim wherever it stands. The stores stay: others may need them. Where the
        control plane retires, the retirement of regions that nobody wants now is asked for.
        A stack of elsewhere has none."""
        if self._is_here(claim):
            self._drop([(region, claim.name) for region in self._held(claim)])

    def _is_here(self, claim: Claim) -> bool:
        """Whether its stack can have asked: one of our account and region (AWS CloudFormation
        User Guide, "Custom resource reference", ServiceToken)."""
        plane = self._control_plane
        here = (partition_of(plane.home_region).name, plane.home_region, plane.account)
        return claim.place in (None, here)

    def standing(self) -> tuple[HeldClaim, ...]:
        """Every claim, and whether its stack still exists; one that cannot be read does."""
        return self._with_their_stacks(self._all())

    def release_of(self, claims: Sequence[tuple[str, str]]) -> None:
        """Drop these claims, each a region and a name, by hand. Raises PermanentError where one
        does not stand."""
        standing = self._control_plane.register(self._below(self._names.claims)).claims
        for region, name in claims:
            if name not in standing.get(region, ()):
                line = f"there is no claim {region}/{name}"
                raise PermanentError(f"{line}: `foothold regions claims` lists them")
        self._drop(claims)

    def release_of_gone_stacks(self) -> tuple[HeldClaim, ...]:
        """Drop the claims whose stack went a day ago or longer, which nobody else can; return
        them. Looks for stacks only where a claim of another stack is that old."""
        then = self._clock() - DAY
        own = self._control_plane.stack
        old = [claim for claim in self._all() if claim.since <= then and claim.stack != own]
        dropped = tuple(
            claim
            for claim in self._with_their_stacks(old)
            if claim.gone and (claim.gone_since or claim.since) <= then
        )
        self._drop([(claim.region, claim.name) for claim in dropped])
        return dropped

    def _all(self) -> tuple[HeldClaim, ...]:
        found = self._parameters.dated(self._home, self._names.claims)
        values = {name: value for name, (value, _) in sorted(found.items())}
        return tuple(
            HeldClaim.read(region, name, *found[self._names.claim(region, name)])
            for region, names in self._control_plane.register(values).claims.items()
            for name in names
        )

    def _with_their_stacks(self, claims: Sequence[HeldClaim]) -> tuple[HeldClaim, ...]:
        """Stacks of other accounts and regions are not ours to read, so they exist."""
        plane = self._control_plane
        here = f":cloudformation:{plane.home_region}:{plane.account}:stack/"
        ids = {claim.stack_id for claim in claims if claim.stack_id and here in claim.stack_id}
        gone: Mapping[str, float | None] = {}
        if ids and self._stacks:
            with suppress(FootholdError):
                gone = self._stacks.gone(ids)
        return tuple(
            replace(claim, gone=True, gone_since=gone[claim.stack_id])
            if claim.stack_id and claim.stack_id in gone
            else claim
            for claim in claims
        )

    def _refuse_when_late(self, started: float, region: str) -> None:
        if self._clock() - started > LONGEST_SECONDS:
            raise TooLateError(f"{region}: too late to claim, the stack has gone on")

    def _give_back(self, claim: Claim, made: Sequence[str], outcomes: Sequence[Outcome]) -> None:
        """Undo what a request that failed has claimed and made, as far as that can be done: the
        stack is told why it failed, not that this failed too."""
        new = {
            outcome.region
            for outcome in outcomes
            if any(step.verb is KeepVerb.CREATE_BUCKET for step in outcome.steps)
        }
        with suppress(FootholdError):
            self._drop([(region, claim.name) for region in made], new)

    def _held(self, claim: Claim) -> Mapping[str, str]:
        """The regions in which the claim stands, and its values there."""
        below = self._below(self._names.claims)
        return {
            region: below[self._names.claim(region, claim.name)]
            for region, names in self._control_plane.register(below).claims.items()
            if claim.name in names
        }

    def _below(self, path: str) -> Mapping[str, str]:
        return self._parameters.below(self._home, path)

    def _drop(self, claims: Sequence[tuple[str, str]], made: Collection[str] = ()) -> None:
        """Drop these claims, each a region and a name. Of their regions, and of those whose store
        was made in vain, the retirement is asked for where the control plane retires and nobody
        wants them."""
        if claims:
            names = tuple(self._names.claim(region, name) for region, name in claims)
            self._parameters.delete(self._home, names)
        regions = {*made, *(region for region, _ in claims)}
        if regions and self._control_plane.retires:
            for region in sorted(regions - set(self._reconciler.wanted_by())):
                self._ask_for_retirement(region)

    def _ask_for_retirement(self, region: str) -> None:
        register = self._control_plane.register(self._below(self._names.stores))
        written = register.retirement(region)
        # One that was called off before does not count any more: this is a new occasion.
        free = written is None or written.phase is Phase.CALLED_OFF
        if region in register.regions and free:
            asked = Retirement(Phase.ASKED, int(self._clock()))
            self._parameters.put(self._home, self._names.retirement(region), asked.text)


def ready(outcomes: Sequence[Outcome]) -> Mapping[str, ArtifactStore]:
    """The stores of outcomes that all succeeded. Raises one error for those that did not: a
    TemporaryError where a retry may help any of them."""
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if errors:
        line = "; ".join(str(error) for error in errors)
        kind: type[FootholdError] = PermanentError
        if any(isinstance(error, TemporaryError) for error in errors):
            kind = TemporaryError
        raise kind(line)
    return {outcome.region: outcome.store for outcome in outcomes if outcome.store}


def fulfil(request: Request, claims: Callable[[], Claims]) -> Mapping[str, str]:
    """Do what is asked, and return what Fn::GetAtt is to give.

    `claims` is called only where there is work: a stack that holds nothing of ours can be
    deleted even while the control plane cannot reach AWS.
    """
    if isinstance(request, StoresWanted):
        made = claims().ensure(request.regions, request.claim)
        return attributes(made, singular=request.singular)
    if isinstance(request, ClaimDropped):
        claims().release(request.claim)
    return {}
