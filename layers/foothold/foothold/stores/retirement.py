"""Take a region's store away without losing anything, and bring it back.

A retirement is written down before its first step and goes on from there, whoever runs next:
what is left to do is observed, never remembered. Pages of a bucket are deleted until the
caller's time is up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

from foothold.errors import (
    FootholdError,
    PermanentError,
    TemporaryError,
)
from foothold.stores import retirement_plan
from foothold.stores.aspects import BucketAspect, KeyAspect
from foothold.stores.model import RETIRING_TAG, ControlPlane, StoreSpec
from foothold.stores.observe import Observer
from foothold.stores.ports import Buckets, Keys, Parameters, Usage
from foothold.stores.reconcile import Reconciler
from foothold.stores.register import ArtifactStore, Phase, Register, Retirement
from foothold.stores.steps import ObservedStore, Outcome, RetireStep, RetireVerb

# How often somebody may change his mind while a bucket is drained.
PAGES_A_LOOK = 10
NAMED_IN_A_LINE = 5


class CalledOffError(PermanentError):
    """A retirement was called off, for this reason, and its store is there again."""

    def __init__(self, store: ArtifactStore | None, reason: str) -> None:
        super().__init__(f"the retirement was called off: {reason}; the store is published again")
        self.store, self.reason = store, reason


@dataclass(frozen=True, slots=True)
class Preview:
    """What a retirement would take away. `more` says that there are more versions than were
    counted; `readers` are the names of the roles that may read what the bucket holds."""

    region: str
    bucket: str | None
    versions: int
    more: bool
    key_arn: str | None
    readers: tuple[str, ...]
    steps: tuple[RetireStep, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a retirement has come. `steps` are those that were taken this time."""

    region: str
    retirement: Retirement
    steps: tuple[RetireStep, ...] = ()


class Retirements:
    """The retirements of one control plane."""

    def __init__(
        self,
        control_plane: ControlPlane,
        reconciler: Reconciler,
        *,
        keys: Keys,
        buckets: Buckets,
        parameters: Parameters,
        usage: Usage,
        clock: Callable[[], float],
    ) -> None:
        self._control_plane = control_plane
        self._home = control_plane.home_region
        self._reconciler = reconciler
        self._keys = keys
        self._buckets = buckets
        self._parameters = parameters
        self._observer = Observer(keys, buckets, parameters)
        self._usage = usage
        self._clock = clock

    def retire(self, region: str, until: float) -> Progress:
        """Retire a region, or go on with it, until it is done or the time is up.

        Raises PermanentError, before anything is changed, where the region has no store, is
        retired already, is wanted by somebody, is used or locked; and where that has become so
        since it began: it is called off then, and the store published again. Raises
        TemporaryError where the rest must wait.
        """
        spec, retirement, seen = self._look(region)
        going = retirement is not None and retirement_plan.proven(spec, retirement, seen)
        if retirement is None or not going or retirement.phase is not Phase.RETIRING:
            self._refuse(spec, seen, retirement)
            retirement = self._begin(spec, seen, retirement)
        return self._go_on(spec, retirement, until)

    def preview(self, region: str) -> Preview:
        """What `retire` would take away. Reads only. Raises PermanentError as `retire` does."""
        spec, retirement, seen = self._look(region)
        if retirement is None or retirement.phase is not Phase.RETIRING:
            self._refuse(spec, seen, retirement)
        versions, more = (0, False) if not seen.bucket_exists else self._buckets.count(spec)
        key = seen.key or next(iter(seen.tagged_keys), None)
        return Preview(
            region,
            spec.bucket if seen.bucket_exists else None,
            versions,
            more,
            key.arn if key else None,
            spec.control_plane.reader_roles if spec.control_plane.organization_ids else (),
            retirement_plan.plan(spec, seen),
        )

    def undo(self, region: str) -> Outcome:
        """Bring a store back that is being retired, or was. What its bucket held is gone, and
        whoever listens is told so. Raises PermanentError where there is nothing to undo, or
        where the key is gone."""
        register = self._register()
        spec = self._control_plane.spec(region, register.adoption(region))
        retirement = register.retirement(region)
        if retirement is None:
            raise PermanentError(
                f"{region} is not being retired: there is nothing to undo; `foothold status` "
                "shows the regions"
            )
        gone = retirement.key_arn and self._keys.find(spec, retirement.key_arn) is None
        if gone and self._keys.aliased(spec) is None:
            raise PermanentError(
                f"{retirement.key_arn} is gone for good, so the retirement of {region} cannot be "
                f"undone: `foothold regions add {region}` makes a new store"
            )
        (outcome,) = self._reconciler.reconcile([region])
        return outcome

    def go_on(self, until: float) -> tuple[Outcome, ...]:
        """Go on with every retirement that was begun or asked for, and that nobody stopped."""
        outcomes = []
        for region in self.unfinished():
            try:
                outcomes.append(Outcome(region, None, self.retire(region, until).steps))
            except CalledOffError as error:
                step = RetireStep(RetireVerb.CALL_OFF, error.reason)
                outcomes.append(Outcome(region, error.store, (step,)))
            except FootholdError as error:
                outcomes.append(Outcome(region, None, (), error))
        return tuple(outcomes)

    def unfinished(self) -> tuple[str, ...]:
        """The regions whose retirement has something left to do: those that the control plane
        began itself, and those that its own policy asks for."""
        register = self._register()
        regions = []
        for name in register.regions:
            try:
                self._control_plane.spec(name)  # raises where there is no such region
                written = register.retirement(name)
            except FootholdError:
                continue  # garbage is reported where the region is reconciled
            if written and (
                (written.phase is Phase.ASKED and self._control_plane.retires)
                or (written.phase is Phase.RETIRING and self._reconciler.is_going(name, register))
            ):
                regions.append(name)
        return tuple(regions)

    def plan(self, region: str) -> tuple[RetireStep, ...]:
        """What `retire` has left to do in a region. Reads only."""
        spec, _, seen = self._look(region)
        last = RetireStep(RetireVerb.RECORD_RETIREMENT, f"{region} can be brought back for 30 days")
        return (*retirement_plan.plan(spec, seen), last)

    def _register(self) -> Register:
        """What is written about stores at home."""
        plane = self._control_plane
        return plane.register(self._parameters.below(self._home, plane.names.stores))

    def _look(self, region: str) -> tuple[StoreSpec, Retirement | None, ObservedStore]:
        register = self._register()
        spec = self._control_plane.spec(region, register.adoption(region))
        retirement = register.retirement(region)
        return spec, retirement, self._observer.left(spec, register, retirement)

    def _refuse(self, spec: StoreSpec, seen: ObservedStore, retirement: Retirement | None) -> None:
        """Raise PermanentError where there is nothing to retire, or where somebody needs it."""
        region = spec.region
        retired = retirement is not None and retirement.phase is Phase.RETIRED
        if retirement and retired and retirement_plan.proven(spec, retirement, seen):
            raise PermanentError(
                f"{region} was retired already; `foothold regions retire {region} --undo` "
                f"brings it back, `foothold regions add {region}` does so later too"
            )
        for reason, way_out in self._reasons_to_stay(spec, seen):
            raise PermanentError(f"{reason}: {way_out}; then retire it")
        if not retirement_plan.plan(spec, seen):
            raise PermanentError(
                f"{spec.region} has no artifact store; `foothold status` shows the regions"
            )

    def _reasons_to_stay(self, spec: StoreSpec, seen: ObservedStore) -> Iterator[tuple[str, str]]:
        """Why the store must not be taken away, each with the way out."""
        wanted = self._reconciler.wanted_by().get(spec.region)
        if wanted:
            yield (
                f"{spec.region} is wanted by {', '.join(wanted)}",
                (
                    "delete those resources, and take it off the list with "
                    f"`foothold regions remove {spec.region}`"
                ),
            )
        if not retirement_plan.plan(spec, seen):
            return  # nothing is there that could be used
        users = [
            f"pipeline {use.name}" for use in self._usage.pipelines(spec.bucket) if not use.follows
        ]
        users += [f"stack {name}" for name in self._usage.stacks(spec)]
        if users:
            named, more = users[:NAMED_IN_A_LINE], len(users) - NAMED_IN_A_LINE
            yield (
                (
                    f"{spec.region} is used by {', '.join(named)}"
                    f"{f' and {more} more' if more > 0 else ''}"
                ),
                (
                    "take the region out of those pipelines and delete those stacks, or deploy "
                    "them elsewhere"
                ),
            )
        if seen.bucket_exists and not seen.bucket_empty and not spec.adopted:
            lock = self._buckets.lock(spec)
            if lock:
                yield (
                    (
                        f"bucket {spec.bucket} holds versions under object lock ({lock}), which "
                        "nobody may be able to delete"
                    ),
                    (
                        "keep the region, or delete them yourself once their retention has passed "
                        "and no legal hold is left"
                    ),
                )

    def _begin(
        self, spec: StoreSpec, seen: ObservedStore, retirement: Retirement | None
    ) -> Retirement:
        """Mark bucket and key, and write down that the store goes.

        The marks first: without the record they mean nothing and are taken off again; without
        them the record would mean nothing."""
        key = seen.key or next(iter(seen.tagged_keys), None)
        arn = key.arn if key and not spec.adopted else None  # an adopted key stays
        begun = Retirement(Phase.RETIRING, int(self._clock()), arn)
        if key and key.is_pending_deletion:
            # Its tags cannot be changed now. An undo that was cut short has left it so.
            tags = seen.settings.get(KeyAspect.TAGS) or key.tags
            if retirement is None or tags.get(RETIRING_TAG) != retirement.mark:
                raise TemporaryError(
                    f"{key.arn} is pending deletion: the next reconcile brings it back; then "
                    f"retire {spec.region}"
                )
            begun = replace(begun, since=retirement.since)
        mark = {RETIRING_TAG: begun.mark}
        if key and not key.is_pending_deletion:
            self._keys.write(spec, key.arn, KeyAspect.TAGS, mark)
        if seen.bucket_exists:
            self._buckets.write(spec, BucketAspect.TAGS, mark)
        self._write(spec, begun)
        return begun

    def _go_on(self, spec: StoreSpec, retirement: Retirement, until: float) -> Progress:
        seen = self._observer.left(spec, self._register(), retirement)
        taken: list[RetireStep] = []
        for step in retirement_plan.plan(spec, seen):
            self._look_again(spec, seen, retirement)
            if step.verb is RetireVerb.DRAIN_BUCKET:
                self._wait_for_followers(spec)
                retirement, done = self._drain(spec, retirement, until)
                if not done:
                    return Progress(spec.region, retirement, (*taken, step))
                seen = replace(seen, bucket_empty=True)
            else:
                self._apply(spec, step)
            taken.append(step)
        self._refuse_once_called_off(spec)
        retirement = retirement.to(Phase.RETIRED)
        self._write(spec, retirement)
        return Progress(spec.region, retirement, tuple(taken))

    def _look_again(self, spec: StoreSpec, seen: ObservedStore, retirement: Retirement) -> None:
        """Before anything more is taken away: does anybody need the store by now? What cannot
        be read counts as used; what cannot be read for a while only is read again later."""
        self._refuse_once_called_off(spec)
        try:
            reason, _ = next(self._reasons_to_stay(spec, seen), (None, None))
        except PermanentError as error:
            reason = str(error)
        if reason:
            self._call_off(spec, retirement, reason)

    def _call_off(self, spec: StoreSpec, retirement: Retirement, reason: str) -> NoReturn:
        """Bring the store back, and remember why. Raises CalledOffError with the reason, or
        what stands in the way of bringing it back: the next reconcile goes on with that."""
        self._write(spec, replace(retirement.to(Phase.RESTORING), reason=reason))
        (outcome,) = self._reconciler.reconcile([spec.region], held=(spec.region,))
        if outcome.error:
            raise type(outcome.error)(
                f"the retirement of {spec.region} was called off: {reason}; its store is not back "
                f"yet: {outcome.error}"
            )
        raise CalledOffError(outcome.store, reason)

    def _wait_for_followers(self, spec: StoreSpec) -> None:
        names = [use.name for use in self._usage.pipelines(spec.bucket)]
        if names:
            raise TemporaryError(
                f"{', '.join(names)} still names bucket {spec.bucket}, and drops it by itself now "
                f"that {spec.region} is withdrawn; the retirement goes on after that"
            )

    def _drain(
        self, spec: StoreSpec, retirement: Retirement, until: float
    ) -> tuple[Retirement, bool]:
        pages = 0
        left = True
        while left and self._clock() < until:
            if pages % PAGES_A_LOOK == 0:
                self._refuse_once_called_off(spec)
            try:
                deleted, left = self._buckets.delete_page(spec)
            except PermanentError as error:  # such as a legal hold: no later run gets further
                self._call_off(
                    spec, replace(retirement, deleted=retirement.deleted + 1), str(error)
                )
            retirement = replace(retirement, deleted=retirement.deleted + deleted)
            pages += 1
        self._refuse_once_called_off(spec)
        self._write(spec, retirement)
        return retirement, not left

    def _refuse_once_called_off(self, spec: StoreSpec) -> None:
        found = self._parameters.get(self._home, (spec.retirement_parameter,))
        written = self._control_plane.register(found).retirement(spec.region)
        if written is None or written.phase is not Phase.RETIRING:
            raise TemporaryError(f"{spec.region} is wanted again: its retirement was called off")

    def _apply(self, spec: StoreSpec, step: RetireStep) -> None:
        match step.verb:
            case RetireVerb.WITHDRAW_HOME:
                self._parameters.delete(self._home, step.names)
            case RetireVerb.WITHDRAW_REGIONAL:
                self._parameters.delete(spec.region, step.names)
            case RetireVerb.DELETE_BUCKET:
                self._buckets.delete(spec)
            case RetireVerb.SCHEDULE_KEY_DELETION:
                self._keys.schedule_deletion(spec, step.key)
            case RetireVerb.DELETE_ALIAS:
                self._keys.delete_alias(spec)
            case RetireVerb.FORGET_ADOPTION:
                if self._keys.find(spec, step.key):
                    self._keys.untag(spec, step.key, step.names)
                self._buckets.untag(spec, step.names)
                self._parameters.delete(self._home, (spec.adoption_parameter,))
            case RetireVerb.DRAIN_BUCKET | RetireVerb.RECORD_RETIREMENT | RetireVerb.CALL_OFF:
                pass  # whoever goes on with the retirement does these

    def _write(self, spec: StoreSpec, retirement: Retirement) -> None:
        self._parameters.put(self._home, spec.retirement_parameter, retirement.text)
