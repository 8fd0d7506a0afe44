"""Say of a region, before anything is made, whether it can have an artifact store."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from foothold.errors import FootholdError, TemporaryError
from foothold.partitions import everywhere
from foothold.stores.model import ControlPlane
from foothold.stores.ports import Capacity
from foothold.stores.reconcile import Reconciler
from foothold.stores.steps import KeepVerb, Step


class Verdict(StrEnum):
    PASSED = "passed"
    WAITING = "waiting"  # it will pass by itself
    REFUSED = "refused"
    UNKNOWN = "unknown"  # nobody can tell, which stops nobody


@dataclass(frozen=True, slots=True)
class Check:
    """One question about a region, its answer, and what was seen or what to do."""

    name: str
    verdict: Verdict
    words: str


@dataclass(frozen=True, slots=True)
class Preflight:
    """All questions about one region."""

    region: str
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of them, where unknown counts as passed."""
        found = {check.verdict for check in self.checks}
        for verdict in (Verdict.REFUSED, Verdict.WAITING):
            if verdict in found:
                return verdict
        return Verdict.PASSED


class Preflights:
    """Pre-flight checks of one control plane. They read, and make nothing."""

    def __init__(
        self,
        control_plane: ControlPlane,
        reconciler: Reconciler,
        capacity: Capacity,
        has_codepipeline: Callable[[str], bool] = everywhere,
    ) -> None:
        self._control_plane = control_plane
        self._reconciler = reconciler
        self._capacity = capacity
        self._has_codepipeline = has_codepipeline

    def check(self, regions: Sequence[str]) -> tuple[Preflight, ...]:
        """Check each region. Raises only what concerns all of them alike."""
        plans = self._reconciler.plan(regions)
        room = self._quota(self._capacity.bucket_room())
        return tuple(
            Preflight(region, self._checks(region, found, room)) for region, found in plans.items()
        )

    def _checks(
        self, region: str, found: tuple[Step, ...] | FootholdError, quota: Check
    ) -> tuple[Check, ...]:
        if isinstance(found, TemporaryError):
            return (Check("store", Verdict.WAITING, str(found)),)
        if isinstance(found, FootholdError):
            return (Check("store", Verdict.REFUSED, str(found)),)
        verbs = {step.verb for step in found}
        if KeepVerb.CREATE_BUCKET not in verbs:
            changes = f"{len(found)} changes" if found else "nothing to do"
            there = Check("store", Verdict.PASSED, f"it is there: {changes}")
            return (there, *self._pipelines(region))
        store = Check("store", Verdict.PASSED, "the region is enabled and the name is free")
        checks = (store, self._services(region), quota, self._permissions(region))
        return (*checks, *self._pipelines(region))

    def _pipelines(self, region: str) -> Iterator[Check]:
        """A store is of use without CodePipeline, so this stops nobody."""
        if not self._has_codepipeline(region):
            line = "CodePipeline is not there, as far as the AWS SDK knows: no pipeline follows"
            yield Check("pipelines", Verdict.UNKNOWN, line)

    def _services(self, region: str) -> Check:
        missing = self._capacity.missing_services(region)
        if missing:
            return Check("services", Verdict.REFUSED, f"the region lacks {', '.join(missing)}")
        return Check("services", Verdict.PASSED, "all are there")

    def _quota(self, room: int | None) -> Check:
        if room is None:
            return Check("quota", Verdict.UNKNOWN, "the quota of buckets cannot be read")
        if room < 1:
            line = "no bucket is left: raise the quota L-DC2B2D3D of Amazon S3, or delete buckets"
            return Check("quota", Verdict.REFUSED, line)
        return Check("quota", Verdict.PASSED, f"{room} buckets are left")

    def _permissions(self, region: str) -> Check:
        denied = self._capacity.denied(self._control_plane.spec(region))
        if denied is None:
            return Check("permissions", Verdict.UNKNOWN, "they cannot be simulated")
        if denied:
            line = f"{', '.join(denied)} is denied: look at the organisation's policies (SCP)"
            return Check("permissions", Verdict.REFUSED, f"{line} and at the stack's role")
        return Check("permissions", Verdict.PASSED, "allowed, as far as a simulation can tell")
