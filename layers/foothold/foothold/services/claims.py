"""Who wants a region: a claim is a parameter, written for each custom resource."""

from collections.abc import Mapping, Sequence

from foothold.domain.claims import Claim
from foothold.domain.errors import FootholdError, PermanentError, TemporaryError
from foothold.domain.models import ArtifactStore, ControlPlane, Outcome
from foothold.services.ports import Parameters
from foothold.services.reconcile import Reconciler


class Claims:
    """Stores made for custom resources, and the record of who asked for them."""

    def __init__(
        self, control_plane: ControlPlane, reconciler: Reconciler, parameters: Parameters
    ) -> None:
        self._control_plane = control_plane
        self._reconciler = reconciler
        self._parameters = parameters

    def ensure(self, regions: Sequence[str], claim: Claim) -> Mapping[str, ArtifactStore]:
        """Converge every region, then let the claim stand for exactly these regions.

        Raises TemporaryError or PermanentError that names the regions that failed; the claim
        is unchanged then.
        """
        stores = ready(self._reconciler.reconcile(regions))
        held = self._held(claim)
        for region in regions:
            name = f"{self._control_plane.claims_path}/{region}/{claim.name}"
            if held.get(name) != claim.value:
                self._parameters.put(self._control_plane.home_region, name, claim.value)
        self._drop([name for name in held if self._region(name) not in regions])
        return stores

    def release(self, claim: Claim) -> None:
        """Drop the claim wherever it stands. The stores stay: others may need them."""
        self._drop(list(self._held(claim)))

    def _held(self, claim: Claim) -> Mapping[str, str]:
        plane = self._control_plane
        below = self._parameters.below(plane.home_region, plane.claims_path)
        return {name: value for name, value in below.items() if name.endswith(f"/{claim.name}")}

    def _region(self, name: str) -> str:
        return name.removeprefix(f"{self._control_plane.claims_path}/").split("/")[0]

    def _drop(self, names: Sequence[str]) -> None:
        if names:
            self._parameters.delete(self._control_plane.home_region, tuple(names))


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
