"""Take a region's store away without losing anything, and bring it back.

A retirement is written down before its first step and goes on from there, whoever runs next:
what is left to do is observed, never remembered. Pages of a bucket are deleted until the
caller's time is up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from foothold.domain import retirement as domain
from foothold.domain.errors import (
    BucketMissingError,
    FootholdError,
    PermanentError,
    TemporaryError,
)
from foothold.domain.models import (
    Aspect,
    ControlPlane,
    ObservedStore,
    Outcome,
    Step,
    StoreSpec,
    Verb,
)
from foothold.domain.retirement import Phase, Retirement
from foothold.services.ports import Buckets, Keys, Parameters, Usage
from foothold.services.reconcile import Reconciler, desired_spec

# How often somebody may change his mind while a bucket is drained.
PAGES_A_LOOK = 10
NAMED_IN_A_LINE = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a retirement has come. `steps` are those that were taken this time."""

    region: str
    retirement: Retirement
    steps: tuple[Step, ...] = ()


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
        self._usage = usage
        self._clock = clock

    def retire(self, region: str, until: float) -> Progress:
        """Retire a region, or go on with it, until it is done or the time is up.

        Raises PermanentError, before anything is changed, where the region has no store, is
        retired already, is wanted by somebody, or is used; and TemporaryError where the rest
        must wait.
        """
        spec, published = self._look(region)
        retirement = self._written(spec, published)
        if retirement and retirement.phase is Phase.RETIRED:
            raise PermanentError(
                f"{region} was retired already; `foothold regions retire {region} --undo` "
                f"brings it back, `foothold regions add {region}` does so later too"
            )
        self._refuse_while_wanted(region)
        if retirement is None or retirement.phase in (Phase.ASKED, Phase.RESTORING):
            retirement = self._begin(spec, published, retirement)
        return self._go_on(spec, retirement, until)

    def undo(self, region: str) -> Outcome:
        """Bring a store back that is being retired, or was. What its bucket held is gone, and
        whoever listens is told so. Raises PermanentError where there is nothing to undo, or
        where the key is gone."""
        spec, published = self._look(region)
        retirement = self._written(spec, published)
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
            except FootholdError as error:
                outcomes.append(Outcome(region, None, (), error))
        return tuple(outcomes)

    def unfinished(self) -> tuple[str, ...]:
        """The regions whose retirement has something left to do."""
        path = self._control_plane.stores_path
        published = self._parameters.below(self._home, path)
        regions = []
        for name in sorted({name.removeprefix(f"{path}/").split("/")[0] for name in published}):
            try:
                written = self._written(self._control_plane.spec(name), published)
            except FootholdError:
                continue  # garbage is reported where the region is reconciled
            if written and written.phase in (Phase.ASKED, Phase.RETIRING):
                regions.append(name)
        return tuple(regions)

    def plan(self, region: str) -> tuple[Step, ...]:
        """What `retire` has left to do in a region. Reads only."""
        spec, published = self._look(region)
        retirement = self._written(spec, published)
        steps = domain.plan(spec, self._observe(spec, published, retirement))
        last = Step(Verb.RECORD_RETIREMENT, f"{region} can be brought back for 30 days")
        return (*steps, last)

    def _look(self, region: str) -> tuple[StoreSpec, Mapping[str, str]]:
        published = self._parameters.below(self._home, self._control_plane.stores_path)
        return desired_spec(self._control_plane, region, published), published

    def _written(self, spec: StoreSpec, published: Mapping[str, str]) -> Retirement | None:
        text = published.get(spec.retirement_parameter)
        return None if text is None else Retirement.parse(spec.retirement_parameter, text)

    def _refuse_while_wanted(self, region: str) -> None:
        wanted = self._reconciler.wanted_by().get(region)
        if wanted:
            raise PermanentError(
                f"{region} is wanted by {', '.join(wanted)}: delete those resources, and take "
                f"it off the list with `foothold regions remove {region}`; then retire it"
            )

    def _begin(
        self, spec: StoreSpec, published: Mapping[str, str], retirement: Retirement | None
    ) -> Retirement:
        """Refuse what is used; else write down that the store goes, and from when."""
        seen = self._observe(spec, published, retirement)
        if not domain.plan(spec, seen):
            raise PermanentError(
                f"{spec.region} has no artifact store; `foothold status` shows the regions"
            )
        users = [
            f"pipeline {use.name}" for use in self._usage.pipelines(spec.bucket) if not use.follows
        ]
        users += [f"stack {name}" for name in self._usage.stacks(spec)]
        if users:
            named, more = users[:NAMED_IN_A_LINE], len(users) - NAMED_IN_A_LINE
            raise PermanentError(
                f"{spec.region} is used by {', '.join(named)}"
                f"{f' and {more} more' if more > 0 else ''}: take the region out of those "
                "pipelines and delete those stacks, or deploy them elsewhere; then retire it"
            )
        key = seen.key or next(iter(seen.tagged_keys), None)
        arn = key.arn if key and not spec.adopted else None  # an adopted key stays
        begun = Retirement(Phase.RETIRING, int(self._clock()), arn)
        self._write(spec, begun)
        return begun

    def _go_on(self, spec: StoreSpec, retirement: Retirement, until: float) -> Progress:
        published = self._parameters.below(self._home, self._control_plane.stores_path)
        steps = domain.plan(spec, self._observe(spec, published, retirement))
        taken: list[Step] = []
        for step in steps:
            if step.verb is Verb.DRAIN_BUCKET:
                self._wait_for_followers(spec)
                retirement, done = self._drain(spec, retirement, until)
                if not done:
                    return Progress(spec.region, retirement, (*taken, step))
            else:
                self._refuse_once_called_off(spec)
                self._apply(spec, step, published)
            taken.append(step)
        retirement = retirement.to(Phase.RETIRED)
        self._write(spec, retirement)
        return Progress(spec.region, retirement, tuple(taken))

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
            deleted, left = self._buckets.delete_page(spec)
            retirement = replace(retirement, deleted=retirement.deleted + deleted)
            pages += 1
        self._refuse_once_called_off(spec)
        self._write(spec, retirement)
        return retirement, not left

    def _refuse_once_called_off(self, spec: StoreSpec) -> None:
        name = spec.retirement_parameter
        text = self._parameters.get(self._home, (name,)).get(name)
        if (
            text is None
            or Retirement.parse(spec.retirement_parameter, text).phase is not Phase.RETIRING
        ):
            raise TemporaryError(f"{spec.region} is wanted again: its retirement was called off")

    def _apply(self, spec: StoreSpec, step: Step, published: Mapping[str, str]) -> None:
        match step.verb:
            case Verb.WITHDRAW_HOME:
                names = set(spec.parameters(spec.home_path, "")) & set(published)
                self._parameters.delete(self._home, tuple(sorted(names)))
            case Verb.WITHDRAW_REGIONAL:
                names = set(spec.parameters(spec.regional_path, ""))
                self._parameters.delete(spec.region, tuple(sorted(names)))
            case Verb.DELETE_BUCKET:
                self._buckets.delete(spec)
            case Verb.SCHEDULE_KEY_DELETION:
                assert step.key is not None  # the plan names the key
                self._keys.schedule_deletion(spec, step.key)
            case Verb.DELETE_ALIAS:
                self._keys.delete_alias(spec)
            case Verb.FORGET_ADOPTION:
                assert spec.adopted is not None  # the plan of an adopted store only
                if self._keys.find(spec, spec.adopted.key_arn):
                    self._keys.untag(spec, spec.adopted.key_arn)
                self._buckets.untag(spec)
                self._parameters.delete(self._home, (spec.adoption_parameter,))

    def _write(self, spec: StoreSpec, retirement: Retirement) -> None:
        self._parameters.put(self._home, spec.retirement_parameter, retirement.text)

    def _observe(
        self, spec: StoreSpec, published: Mapping[str, str], retirement: Retirement | None
    ) -> ObservedStore:
        key = self._keys.aliased(spec)
        former = None
        if key is None and retirement and retirement.key_arn:
            former = self._keys.find(spec, retirement.key_arn)
            if former and not spec.tags.items() <= former.tags.items():
                former = None  # whatever the parameter says, it is not ours
        settings = {}
        if key:
            settings[Aspect.KEY_TAGS] = self._keys.read(spec, key.arn, Aspect.KEY_TAGS)
        exists, empty = True, None
        try:
            settings[Aspect.BUCKET_TAGS] = self._buckets.read(spec, Aspect.BUCKET_TAGS)
            empty = self._buckets.is_empty(spec)
        except BucketMissingError:
            exists = False
        return ObservedStore(
            key=key,
            tagged_keys=(former,) if former else (),
            bucket_exists=exists,
            bucket_empty=empty,
            settings=settings,
            home_parameters=published,
            regional_parameters=self._parameters.get(
                spec.region, tuple(spec.parameters(spec.regional_path, ""))
            ),
        )
