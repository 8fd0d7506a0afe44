"""Keep every desired region's artifact store as it should be.

For each region: observe, plan, apply, verify, publish. The schedule is the source of truth;
custom resources and events enter by other doors and walk the same corridor.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from foothold.domain import planner
from foothold.domain.errors import (
    BucketMissingError,
    FootholdError,
    PermanentError,
    TemporaryError,
)
from foothold.domain.models import (
    BUCKET_ASPECTS,
    KEY_ASPECTS,
    ArtifactStore,
    Aspect,
    ControlPlane,
    KeyState,
    ObservedStore,
    Outcome,
    Step,
    StoreSpec,
    Verb,
)
from foothold.services.ports import Buckets, Keys, Parameters, Regions

Answer = TypeVar("Answer")

AT_ONCE = 40
ALL_ENABLED = "all-enabled"
# Account Management API Reference, "Region": the two statuses in which a region can be used.
USABLE = frozenset({"ENABLED", "ENABLED_BY_DEFAULT"})


class Reconciler:
    """Artifact stores, desired and observed, of one control plane."""

    def __init__(
        self,
        control_plane: ControlPlane,
        keys: Keys,
        buckets: Buckets,
        parameters: Parameters,
        regions: Regions,
    ) -> None:
        self._control_plane = control_plane
        self._keys = keys
        self._buckets = buckets
        self._parameters = parameters
        self._regions = regions

    def reconcile(
        self, regions: Iterable[str], aspects: Sequence[Aspect] = planner.EVERYTHING
    ) -> tuple[Outcome, ...]:
        """Converge each region, all at the same time, and say what became of it.

        `aspects` are the settings to look at; where they show any drift, the whole store is
        looked at before anything is changed. A region that fails does not stop the others: its
        outcome carries the error. Raises only what concerns all regions alike, such as a
        missing permission to list them.
        """
        names = tuple(dict.fromkeys(regions))
        if not names:
            return ()
        statuses = self._regions.statuses()
        published = self._parameters.below(
            self._control_plane.home_region, self._control_plane.stores_path
        )

        def converge(region: str) -> Outcome:
            steps: list[Step] = []
            try:
                self._refuse_unusable(region, statuses)
                spec = self._control_plane.spec(region)
                store = self._converge(spec, published, aspects, steps)
            except FootholdError as error:
                return Outcome(region, None, tuple(steps), error)
            return Outcome(region, store, tuple(steps))

        return _side_by_side(converge, names)

    def plan(self, regions: Iterable[str]) -> Mapping[str, tuple[Step, ...] | FootholdError]:
        """What `reconcile` would do in each region, or the error it would meet. Reads only."""
        names = tuple(dict.fromkeys(regions))
        statuses = self._regions.statuses()
        published = self._parameters.below(
            self._control_plane.home_region, self._control_plane.stores_path
        )

        def look(region: str) -> tuple[Step, ...] | FootholdError:
            try:
                self._refuse_unusable(region, statuses)
                spec = self._control_plane.spec(region)
                return planner.plan(spec, self._observe(spec, published, planner.EVERYTHING))
            except FootholdError as error:
                return error

        return dict(zip(names, _side_by_side(look, names), strict=True))

    def desired_regions(self) -> tuple[str, ...]:
        """Every region that somebody wants or that has a store: the operator's list, the
        claims, and the stores already published (they are retained until they are retired)."""
        plane = self._control_plane
        listed = self._parameters.get(plane.home_region, (plane.regions_parameter,))
        names = [name.strip() for name in listed.get(plane.regions_parameter, "").split(",")]
        names = [name for name in names if name]
        if ALL_ENABLED in names:
            names = [name for name in names if name != ALL_ENABLED]
            names += [
                region for region, status in self._regions.statuses().items() if status in USABLE
            ]
        for path in (plane.claims_path, plane.stores_path):
            below = self._parameters.below(plane.home_region, path)
            names += [name.removeprefix(f"{path}/").split("/")[0] for name in below]
        return tuple(sorted(set(names)))

    def _refuse_unusable(self, region: str, statuses: Mapping[str, str]) -> None:
        status = statuses.get(region)
        if status in USABLE:
            return
        account = self._control_plane.account
        if status is None:
            raise PermanentError(f"{region} is not a region that account {account} knows")
        if status == "ENABLING":
            raise TemporaryError(
                f"{region} is still being enabled for account {account}, which can take hours; "
                "the store is made on the first schedule after that"
            )
        raise PermanentError(
            f"{region} is {status.lower()} for account {account}: enable it with "
            f"`aws account enable-region --region-name {region}`, then ask again"
        )

    def _converge(
        self,
        spec: StoreSpec,
        published: Mapping[str, str],
        aspects: Sequence[Aspect],
        taken: list[Step],
    ) -> ArtifactStore:
        seen = self._observe(spec, published, aspects)
        steps = planner.plan(spec, seen)
        if steps and _partly_seen(seen):
            seen = self._observe(spec, published, planner.EVERYTHING)
            steps = planner.plan(spec, seen)
        key_arn = seen.key.arn if seen.key else None
        verified = False
        for step in steps:
            if step.verb in (Verb.PUBLISH_REGIONAL, Verb.PUBLISH_HOME) and not verified:
                self._verify(spec)
                verified = True
            key_arn = self._apply(spec, step, key_arn, seen)
            taken.append(step)
        if steps and not verified:
            self._verify(spec)
        assert key_arn is not None  # every plan without a key creates or adopts one
        return planner.store(spec, key_arn)

    def _observe(
        self, spec: StoreSpec, published: Mapping[str, str], aspects: Sequence[Aspect]
    ) -> ObservedStore:
        key = self._keys.aliased(spec)
        seen = ObservedStore(
            key=key,
            tagged_keys=() if key else self._keys.tagged(spec),
            home_parameters={
                name: value
                for name, value in published.items()
                if name.startswith(f"{spec.home_path}/")
            },
            regional_parameters=self._parameters.get(
                spec.region, tuple(spec.parameters(spec.regional_path, ""))
            ),
        )
        settings = {}
        if key:
            for aspect in KEY_ASPECTS:
                if aspect in aspects:
                    settings[aspect] = self._keys.read(spec, key.arn, aspect)
        exists = True
        try:
            for aspect in BUCKET_ASPECTS:
                if aspect in aspects:
                    settings[aspect] = self._buckets.read(spec, aspect)
        except BucketMissingError:
            exists = False
        untagged = exists and settings.get(Aspect.BUCKET_TAGS, {"": ""}) in (None, {})
        return replace(
            seen,
            settings=settings,
            bucket_exists=exists,
            bucket_empty=self._buckets.is_empty(spec) if untagged else None,
        )

    def _apply(
        self, spec: StoreSpec, step: Step, key_arn: str | None, seen: ObservedStore
    ) -> str | None:
        """Take one step; return the ARN of the key that the store has from now on."""
        match step.verb:
            case Verb.CREATE_BUCKET:
                self._buckets.create(spec)
            case Verb.SET if step.aspect in KEY_ASPECTS:
                value = planner.desired_settings(spec, "")[step.aspect]
                self._keys.write(spec, _named(key_arn), step.aspect, value)
            case Verb.SET if step.aspect is not None:
                value = planner.desired_settings(spec, _named(key_arn))[step.aspect]
                self._buckets.write(spec, step.aspect, value)
            case Verb.PUBLISH_REGIONAL:
                self._publish(spec, spec.region, spec.regional_path, key_arn, seen)
            case Verb.PUBLISH_HOME:
                home = self._control_plane.home_region
                self._publish(spec, home, spec.home_path, key_arn, seen)
            case _:
                return self._apply_to_key(spec, step, key_arn)
        return key_arn

    def _apply_to_key(self, spec: StoreSpec, step: Step, key_arn: str | None) -> str | None:
        match step.verb:
            case Verb.CREATE_KEY:
                policy = planner.desired_settings(spec, "")[Aspect.KEY_POLICY]
                created = self._keys.create(spec, policy)
                winner = self._keys.point_alias(spec, created)
                if winner != created:
                    self._keys.discard(spec, created)
                return winner
            case Verb.ADOPT_KEY:
                return self._keys.point_alias(spec, _named(step.key))
            case Verb.ENABLE_KEY:
                self._keys.enable(spec, _named(step.key))
            case Verb.CANCEL_KEY_DELETION:
                self._keys.cancel_deletion(spec, _named(step.key))
        return key_arn

    def _publish(
        self, spec: StoreSpec, region: str, path: str, key_arn: str | None, seen: ObservedStore
    ) -> None:
        published = {**seen.regional_parameters, **seen.home_parameters}
        for name, value in spec.parameters(path, _named(key_arn)).items():
            if published.get(name) != value:
                self._parameters.put(region, name, value)

    def _verify(self, spec: StoreSpec) -> None:
        """Raise unless the store can be used, so that nobody is pointed at a broken one."""
        self._buckets.verify(spec)
        key = self._keys.aliased(spec)
        if key is None or key.state != KeyState.ENABLED:
            raise TemporaryError(
                f"{spec.key_alias} in {spec.region} is not usable yet "
                f"({key.state if key else 'it points at no key'}); it is looked at again soon"
            )


def _partly_seen(seen: ObservedStore) -> bool:
    readable = (KEY_ASPECTS if seen.key else ()) + (BUCKET_ASPECTS if seen.bucket_exists else ())
    return any(aspect not in seen.settings for aspect in readable)


def _named(value: str | None) -> str:
    assert value is not None  # the planner names a key before any step needs it
    return value


def _side_by_side(work: Callable[[str], Answer], regions: Sequence[str]) -> tuple[Answer, ...]:
    with ThreadPoolExecutor(max_workers=max(1, min(AT_ONCE, len(regions)))) as pool:
        return tuple(pool.map(work, regions))
