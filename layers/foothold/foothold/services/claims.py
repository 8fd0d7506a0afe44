"""Who wants a region: a claim is a parameter, written for each custom resource."""

import time
from collections.abc import Callable, Mapping, Sequence

from foothold.domain.claims import Claim
from foothold.domain.errors import FootholdError, PermanentError, TemporaryError
from foothold.domain.models import ArtifactStore, ControlPlane, Outcome
from foothold.domain.retirement import Phase, Retirement
from foothold.services.ports import Parameters
from foothold.services.reconcile import Reconciler

# Less than template.yaml's Timeout of the function, and what its responder keeps of it.
LONGEST_SECONDS = 220.0


class Claims:
    """Stores made for custom resources, and the record of who asked for them. `clock` is in
    seconds since the epoch."""

    def __init__(
        self,
        control_plane: ControlPlane,
        reconciler: Reconciler,
        parameters: Parameters,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._control_plane = control_plane
        self._reconciler = reconciler
        self._parameters = parameters
        self._clock = clock

    def ensure(self, regions: Sequence[str], claim: Claim) -> Mapping[str, ArtifactStore]:
        """Converge every region, then let the claim stand for exactly these regions.

        Raises TemporaryError or PermanentError that names the regions that failed; the claim
        is unchanged then. So it is where this takes so long that the stack has been told of a
        failure meanwhile: Lambda freezes a function that has answered, and may wake what it left
        behind after the stack's next request, which must not be undone.
        """
        started = self._clock()
        stores = ready(self._reconciler.reconcile(regions))
        if self._clock() - started > LONGEST_SECONDS:
            raise TemporaryError(f"{', '.join(regions)}: too late to claim, the stack has gone on")
        held = self._held(claim)
        for region in regions:
            name = f"{self._control_plane.claims_path}/{region}/{claim.name}"
            if held.get(name) != claim.value:
                self._parameters.put(self._control_plane.home_region, name, claim.value)
        self._drop([name for name in held if self._region(name) not in regions])
        return stores

    def release(self, claim: Claim) -> None:
        """Drop the claim wherever it stands. The stores stay: others may need them. Where the
        control plane retires, the retirement of regions that nobody wants now is asked for."""
        self._drop(list(self._held(claim)))

    def _held(self, claim: Claim) -> Mapping[str, str]:
        plane = self._control_plane
        below = self._parameters.below(plane.home_region, plane.claims_path)
        return {name: value for name, value in below.items() if name.endswith(f"/{claim.name}")}

    def _region(self, name: str) -> str:
        return name.removeprefix(f"{self._control_plane.claims_path}/").split("/")[0]

    def _drop(self, names: Sequence[str]) -> None:
        if not names:
            return
        self._parameters.delete(self._control_plane.home_region, tuple(names))
        if self._control_plane.retires:
            wanted = self._reconciler.wanted_by()
            for region in {self._region(name) for name in names} - set(wanted):
                self._ask_for_retirement(region)

    def _ask_for_retirement(self, region: str) -> None:
        plane = self._control_plane
        spec = plane.spec(region)
        below = self._parameters.below(plane.home_region, plane.stores_path)
        published = {name for name in below if name.startswith(f"{spec.home_path}/")}
        if published and spec.retirement_parameter not in published:
            asked = Retirement(Phase.ASKED, int(self._clock()))
            self._parameters.put(plane.home_region, spec.retirement_parameter, asked.text)


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
