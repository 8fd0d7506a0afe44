"""Keep every desired region's artifact store as it should be.

For each region: observe, plan, apply, verify, publish. The schedule is the source of truth;
custom resources, events and operators only ask for the same work earlier.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from foothold.errors import (
    FootholdError,
    PermanentError,
    RegionNotEnabledError,
    RegionRefusedError,
    RequestRefusedError,
    TemporaryError,
)
from foothold.stores import planner
from foothold.stores.aspects import (
    BUCKET_ASPECTS,
    EVERYTHING,
    KEY_ASPECTS,
    BucketAspect,
    KeyAspect,
    LookedAt,
)
from foothold.stores.model import RETIRING_TAG, ControlPlane, StoreSpec, Use
from foothold.stores.observe import Observer
from foothold.stores.ownership import refuse_anothers_key, refuse_others, refuse_others_bucket
from foothold.stores.ports import (
    OPTED_IN,
    USABLE,
    Announcements,
    Buckets,
    Capacity,
    Keys,
    Parameters,
    Regions,
)
from foothold.stores.register import ArtifactStore, Phase, Register, Retirement
from foothold.stores.retirement_plan import distrust, proven
from foothold.stores.steps import KEY_TO_COME, KeepStep, KeepVerb, KeyState, ObservedStore, Outcome

Answer = TypeVar("Answer")

AT_ONCE = 40
AFTER_VERIFYING = frozenset(
    {
        KeepVerb.PUBLISH_REGIONAL,
        KeepVerb.PUBLISH_HOME,
        KeepVerb.ANNOUNCE,
        KeepVerb.FORGET_RETIREMENT,
    }
)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a run begins with: what is written about stores at home, and the regions whose store
    was retired, or is being retired, by the control plane itself."""

    register: Register
    going: frozenset[str]

    @property
    def kept(self) -> frozenset[str]:
        """The regions that anything is written about, and whose store does not go."""
        return frozenset(self.register.regions) - self.going


class Reconciler:
    """Artifact stores, desired and observed, of one control plane.

    `announcements` None: nobody is told of a replaced store. `capacity` None: nothing is asked
    before a store is made. `clock` is in seconds since the epoch.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        keys: Keys,
        buckets: Buckets,
        parameters: Parameters,
        regions: Regions,
        *,
        announcements: Announcements | None = None,
        capacity: Capacity | None = None,
        clock: Callable[[], float],
    ) -> None:
        self._control_plane = control_plane
        self._keys = keys
        self._buckets = buckets
        self._parameters = parameters
        self._observer = Observer(keys, buckets, parameters)
        self._regions = regions
        self._announcements = announcements
        self._capacity = capacity
        self._clock = clock

    def reconcile(
        self,
        regions: Iterable[str],
        aspects: Sequence[LookedAt] = EVERYTHING,
        *,
        held: Collection[str] = (),
    ) -> tuple[Outcome, ...]:
        """Converge each region that somebody asks for, all at the same time, and say what
        became of it. A retirement of such a region is called off.

        `aspects` are the settings to look at; where they show any drift, the whole store is
        looked at before anything is changed. `held` are regions that whoever asks has already,
        and may keep whatever AllowedRegions says now. A region that fails does not stop the
        others: its outcome carries the error. Raises only what concerns all regions alike, such
        as a missing permission to list them.
        """
        names, inventory = tuple(dict.fromkeys(regions)), self._inventory()
        refused = self._refused(names, inventory, exempt=held)
        return self._converge_all(
            names, aspects, inventory, calls_off=names, refused=refused, asked=True
        )

    def request(self, regions: Iterable[str]) -> tuple[Outcome, ...]:
        """Converge each region that an event asks for. Whoever may put events may ask for a
        region, but calls no retirement off: that is for claims and for the operator's list."""
        names, inventory = tuple(dict.fromkeys(regions)), self._inventory()
        refused = self._refused(names, inventory, exempt=())
        recorded = [name for name in names if inventory.register.has_retirement(name)]
        insisting = self._insisting() if recorded else ()
        for name in recorded:
            if name in inventory.going and name not in insisting:
                refused[name] = RequestRefusedError(
                    f"{name} is being retired, or was, and an event calls no retirement off: "
                    f"`foothold regions add {name}` does, or `foothold regions retire {name} "
                    "--undo`"
                )
        return self._converge_all(
            names, EVERYTHING, inventory, calls_off=insisting, refused=refused
        )

    def keep(
        self,
        regions: Iterable[str] | None = None,
        aspects: Sequence[LookedAt] = EVERYTHING,
    ) -> tuple[Outcome, ...]:
        """Converge those of the regions that are not being retired; where None is given, all
        that are desired. This is what the schedule and events about stores ask, which want
        nothing for themselves."""
        inventory, insisting = self._inventory(), self._insisting()
        desired = self._desired(inventory, insisting)
        if regions is not None:
            going = inventory.going
            desired = tuple(name for name in regions if name in desired or name not in going)
        names = tuple(dict.fromkeys(desired))
        refused = self._refused(names, inventory, exempt=inventory.kept)
        return self._converge_all(names, aspects, inventory, calls_off=insisting, refused=refused)

    def _converge_all(
        self,
        names: Sequence[str],
        aspects: Sequence[LookedAt],
        inventory: Inventory,
        *,
        calls_off: Collection[str],
        refused: Mapping[str, FootholdError],
        asked: bool = False,
    ) -> tuple[Outcome, ...]:
        """`calls_off` are the regions that somebody insists on: even a retirement that has taken
        nothing away yet is called off for them. `refused` are those that may not be had. `asked`:
        by somebody who may call any retirement off, and forget any record of one."""
        if not names:
            return ()
        statuses = self._regions.statuses()

        def converge(region: str) -> Outcome:
            steps: list[KeepStep] = []
            try:
                self._refuse(region, statuses, refused)
                spec, called_off, distrusted = self._wish(
                    region, inventory, calls_off=region in calls_off, asked=asked
                )
                steps += distrusted
                store = self._converge(spec, inventory.register, aspects, steps, called_off)
            except FootholdError as error:
                told = _not_yet_everywhere(region, statuses, error)
                return Outcome(region, None, tuple(steps), told)
            return Outcome(region, store, tuple(steps))

        return _side_by_side(converge, names)

    def plan(self, regions: Iterable[str]) -> Mapping[str, tuple[KeepStep, ...] | FootholdError]:
        """What `keep` would do in each region, or the error it would meet. Reads only."""
        names = tuple(dict.fromkeys(regions))
        statuses = self._regions.statuses()
        inventory = self._inventory()
        refused = self._refused(names, inventory, exempt=inventory.kept)

        def look(region: str) -> tuple[KeepStep, ...] | FootholdError:
            try:
                self._refuse(region, statuses, refused)
                spec, called_off, distrusted = self._wish(region, inventory)
                seen = self._observer.look(spec, inventory.register, EVERYTHING, called_off)
                return (*distrusted, *planner.plan(spec, seen, self._clock(), called_off))
            except FootholdError as error:
                return _not_yet_everywhere(region, statuses, error)

        return dict(zip(names, _side_by_side(look, names), strict=True))

    def desired_regions(self, just_enabled: Sequence[str] = ()) -> tuple[str, ...]:
        """Every region that somebody wants or that has a store: the operator's list, the
        claims, what events asked for in vain, and the stores already published (they are retained
        until they are retired). `just_enabled` are regions that count as enabled, whatever their
        status says still."""
        return self._desired(self._inventory(), self._insisting(just_enabled))

    def _desired(self, inventory: Inventory, insisting: Collection[str]) -> tuple[str, ...]:
        requested = self._requested() - inventory.going
        return tuple(sorted({*inventory.kept, *requested, *insisting}))

    def wanted_by(self) -> Mapping[str, tuple[str, ...]]:
        """By region, who wants it: names of claims, the operator's list, and events that asked
        for it and have not got it yet."""
        register, all_enabled = self._read_insisting()
        requests = self._below(self._control_plane.names.requests)
        whole = self._control_plane.register({**register.parameters, **requests})
        return {region: by.names for region, by in whole.wanted(all_enabled).items()}

    def _insisting(self, just_enabled: Sequence[str] = ()) -> Collection[str]:
        """The regions that somebody wants so much that a retirement is called off: by a claim, or
        on the list."""
        register, all_enabled = self._read_insisting(just_enabled)
        return register.wanted(all_enabled)

    def _read_insisting(self, just_enabled: Sequence[str] = ()) -> tuple[Register, tuple[str, ...]]:
        """Claims and the list, and what its word for all enabled regions stands for."""
        plane = self._control_plane
        claims = self._below(plane.names.claims)
        listed = self._parameters.get(plane.home_region, (plane.names.regions,))
        register = plane.register({**claims, **listed})
        return register, self._all_enabled(register, just_enabled)

    def _all_enabled(self, register: Register, just_enabled: Sequence[str]) -> tuple[str, ...]:
        if not register.listed.all_enabled:
            return ()
        plane, enabled = self._control_plane, (*self._usable(), *just_enabled)
        # Who has a store already counts only where not all may have one.
        stores = self._inventory().kept if plane.region_policy.most else ()
        return register.listed.by_all_enabled(
            enabled, plane.region_policy, plane.home_region, stores, tuple(register.wanted())
        )

    def _requested(self) -> set[str]:
        plane = self._control_plane
        return set(plane.register(self._below(plane.names.requests)).wanted())

    def _refused(
        self,
        names: Sequence[str],
        inventory: Inventory,
        *,
        exempt: Collection[str],
    ) -> dict[str, FootholdError]:
        """Those of the regions that the stack's parameters refuse, and why."""
        plane = self._control_plane
        wanted = tuple(self.wanted_by()) if plane.region_policy.most else ()
        return {
            **plane.region_policy.refusals(
                names,
                home=plane.home_region,
                stores=inventory.kept,
                wanted=wanted,
                exempt=exempt,
            )
        }

    def refuse_what_may_not_be_asked_for(self, region: str) -> None:
        """Raise RequestRefusedError where the stack's parameters do not allow this region."""
        refused = self._refused((region,), self._inventory(), exempt=())
        if region in refused:
            raise refused[region]

    def _usable(self) -> list[str]:
        """The regions that are enabled and have what a store needs."""
        missing = self._capacity.missing_services if self._capacity else lambda _region: ()
        statuses = self._regions.statuses().items()
        return [name for name, status in statuses if status in USABLE and not missing(name)]

    def _below(self, path: str) -> Mapping[str, str]:
        return self._parameters.below(self._control_plane.home_region, path)

    def _inventory(self) -> Inventory:
        register = self._control_plane.register(self._below(self._control_plane.names.stores))
        named = [region for region in register.regions if register.has_retirement(region)]
        found = _side_by_side(lambda region: self.is_going(region, register), named)
        going = {region for region, goes in zip(named, found, strict=True) if goes}
        return Inventory(register, frozenset(going))

    def is_going(self, region: str, register: Register) -> bool:
        """Whether the store was retired, or is being retired, by the control plane itself;
        `register` is what is written about stores at home."""
        try:
            spec = self._control_plane.spec(region, register.adoption(region))
            retirement = register.retirement(region)
        except FootholdError:
            return False  # garbage is reported where the region is reconciled
        if retirement is None or retirement.phase not in (Phase.RETIRING, Phase.RETIRED):
            return False
        try:
            return proven(spec, retirement, self._observer.left(spec, register, retirement))
        except FootholdError:
            return True  # nobody can tell, so nobody touches it: who goes on with it says why

    def _wish(
        self,
        region: str,
        inventory: Inventory,
        *,
        calls_off: bool = False,
        asked: bool = False,
    ) -> tuple[StoreSpec, Retirement | None, tuple[KeepStep, ...]]:
        """The desired store, the retirement that is to be called off for it, and what a person
        should hear about a record that is none of the control plane's own."""
        register = inventory.register
        spec = self._control_plane.spec(region, register.adoption(region))
        retirement = register.retirement(region)
        if retirement is None or asked or retirement.phase is Phase.RESTORING:
            return spec, retirement, ()
        if retirement.phase is Phase.CALLED_OFF:
            return spec, None, ()
        if retirement.phase is Phase.ASKED and self._control_plane.retires:
            return spec, retirement if calls_off else None, ()
        if region in inventory.going:
            return spec, retirement, ()
        return spec, None, (distrust(spec),)

    def _refuse(
        self, region: str, statuses: Mapping[str, str], refused: Mapping[str, FootholdError]
    ) -> None:
        """Refuse what nobody can have, then what the stack's parameters do not allow."""
        self._refuse_unusable(region, statuses)
        if region in refused:
            raise refused[region]

    def _refuse_unusable(self, region: str, statuses: Mapping[str, str]) -> None:
        status = statuses.get(region)
        if status in USABLE:
            return
        account = self._control_plane.account
        if status is None:
            raise RequestRefusedError(f"{region} is not a region that account {account} knows")
        told = self._regions.opt_in_status(region) or status
        if told == "ENABLING":
            raise TemporaryError(
                f"{region} is still being enabled for account {account}, which can take hours; "
                "the store is made on the first schedule after that"
            )
        if told in USABLE:
            raise TemporaryError(
                f"{region} was enabled for account {account} a moment ago, and not every API "
                "knows it yet; it is looked at again soon"
            )
        raise RegionNotEnabledError(
            f"{region} is {told.lower()} for account {account}: enable it with "
            f"`aws account enable-region --region-name {region}`, then ask again"
        )

    def _converge(
        self,
        spec: StoreSpec,
        register: Register,
        aspects: Sequence[LookedAt],
        taken: list[KeepStep],
        called_off: Retirement | None,
    ) -> ArtifactStore:
        aspects = EVERYTHING if called_off else aspects
        seen = self._observer.look(spec, register, aspects, called_off)
        steps = planner.plan(spec, seen, self._clock(), called_off)
        if steps and _partly_seen(seen):
            seen = self._observer.look(spec, register, EVERYTHING, called_off)
            steps = planner.plan(spec, seen, self._clock(), called_off)
        if any(step.verb in (KeepVerb.CREATE_KEY, KeepVerb.CREATE_BUCKET) for step in steps):
            self._refuse_below_anothers_root(spec, register)
            self._refuse_without_capacity(spec)
        key_arn = seen.key.arn if seen.key else KEY_TO_COME
        verified = False
        for step in steps:
            if step.verb in AFTER_VERIFYING and not verified:
                self._verify(spec)
                verified = True
            key_arn = self._apply(spec, step, key_arn)
            taken.append(step)
        if steps and not verified:
            self._verify(spec)
        return spec.store(key_arn)

    def _apply(  # noqa: C901, PLR0912  one case a verb
        self, spec: StoreSpec, step: KeepStep, key_arn: str
    ) -> str:
        """Take one step of a store whose key is `key_arn`; return the ARN of the key that it has
        from now on."""
        key, value = step.key or key_arn, step.value_with(key_arn)
        match step.verb:
            case KeepVerb.CREATE_KEY:
                return self._create_key(spec, value, step.use)
            case KeepVerb.ADOPT_KEY:
                return self._point_alias(spec, key)
            case KeepVerb.ENABLE_KEY:
                self._keys.enable(spec, key)
            case KeepVerb.CANCEL_KEY_DELETION:
                self._keys.cancel_deletion(spec, key)
            case KeepVerb.DISCARD_KEY:
                self._keys.discard(spec, key)
            case KeepVerb.CREATE_BUCKET:
                self._refuse_to_replace_an_adopted_bucket(spec)
                self._buckets.create(spec, step.use)
                self._refuse_foreign_bucket(spec)
            case KeepVerb.SET | KeepVerb.SET_ASIDE:
                assert step.aspect  # the one that is set
                if isinstance(step.aspect, KeyAspect):
                    self._keys.write(spec, key, step.aspect, value)
                else:
                    self._buckets.write(spec, step.aspect, value)
            case KeepVerb.UNTAG:
                if step.aspect is KeyAspect.TAGS:
                    self._keys.untag(spec, key, (RETIRING_TAG,))
                else:
                    self._buckets.untag(spec, (RETIRING_TAG,))
            case KeepVerb.TAG_PARAMETERS:
                for region, names in value:
                    self._parameters.tag(region, names)
            case KeepVerb.PUBLISH_REGIONAL:
                self._put(spec.region, value)
            case KeepVerb.PUBLISH_HOME:
                self._put(self._control_plane.home_region, value)
            case KeepVerb.ANNOUNCE:
                if self._announcements:
                    self._announcements.replaced(spec.store(key_arn))
            case KeepVerb.RESTORE:
                if value:
                    self._record(spec, value)
            case KeepVerb.FORGET_RETIREMENT:
                if value:
                    self._record(spec, value)
                else:
                    home = self._control_plane.home_region
                    self._parameters.delete(home, (spec.retirement_parameter,))
            case KeepVerb.LEAVE | KeepVerb.DISTRUST:
                pass  # only told
        return key_arn

    def _put(self, region: str, parameters: Mapping[str, str]) -> None:
        for name, value in parameters.items():
            self._parameters.put(region, name, value)

    def _record(self, spec: StoreSpec, retirement: Retirement) -> None:
        home, name = self._control_plane.home_region, spec.retirement_parameter
        self._parameters.put(home, name, retirement.text)

    def _refuse_below_anothers_root(self, spec: StoreSpec, register: Register) -> None:
        """Whose the parameters at home are, the key of the home region's store tells: it is the
        first that a control plane makes."""
        home = self._control_plane.spec(self._control_plane.home_region)
        _, name = self._control_plane.names.publishing(home.home_path)
        arn = register.parameters.get(name)
        key = self._keys.find(home, arn) if arn and home.region != spec.region else None
        if key:
            refuse_anothers_key(home, key, f"below {home.home_path}")

    def _refuse_without_capacity(self, spec: StoreSpec) -> None:
        if self._capacity is None:
            return
        missing = self._capacity.missing_services(spec.region)
        if missing:
            raise PermanentError(
                f"{spec.region} does not have {', '.join(missing)}, which an artifact store needs"
            )
        room = self._capacity.bucket_room()
        if room is not None and room < 1:
            raise PermanentError(
                f"account {spec.account} may have no more buckets, so {spec.region} gets no "
                "store: raise the quota with `aws service-quotas request-service-quota-increase "
                "--service-code s3 --quota-code L-DC2B2D3D`, or delete buckets"
            )

    def _refuse_to_replace_an_adopted_bucket(self, spec: StoreSpec) -> None:
        if spec.adopted:
            raise PermanentError(
                f"bucket {spec.bucket}, which was adopted for {spec.region}, is gone: adopt "
                f"another, or delete the parameter {spec.adoption_parameter}, and the region "
                "gets a bucket of Foothold's own"
            )

    def _create_key(self, spec: StoreSpec, policy: Mapping[str, Any], use: Use) -> str:
        """Create a key for the alias; return the ARN of the one that the alias points at then."""
        created = self._keys.create(spec, policy, use)
        winner = self._keys.point_alias(spec, created)
        if winner != created:
            # Its tags take minutes to count, so KMS may refuse: then it is a spare key, which is
            # discarded an hour later.
            with suppress(FootholdError):
                self._keys.discard(spec, created)
            self._refuse_foreign_key(spec, winner)
        return winner

    def _point_alias(self, spec: StoreSpec, key_arn: str) -> str:
        winner = self._keys.point_alias(spec, key_arn)
        if winner != key_arn:
            self._refuse_foreign_key(spec, winner)
        return winner

    def _refuse_foreign_key(self, spec: StoreSpec, key_arn: str) -> None:
        """Whoever was faster with the alias need not be a parallel run of our own."""
        key = self._keys.find(spec, key_arn)
        name = f"{spec.key_alias} in {spec.region} now points at {key_arn}, which"
        way_out = "point the alias at Foothold's own key, or delete it"
        refuse_others(spec, name, key.tags if key else {}, way_out)

    def _refuse_foreign_bucket(self, spec: StoreSpec) -> None:
        """CreateBucket also succeeds, or says that the bucket is ours already, where anybody else
        in this account made it since it was looked for."""
        tags = self._buckets.read(spec, BucketAspect.TAGS) or {}
        empty = not tags and self._buckets.is_empty(spec)
        refuse_others_bucket(spec, tags, empty=empty)

    def _verify(self, spec: StoreSpec) -> None:
        """Raise unless the store can be used, so that nobody is pointed at a broken one."""
        self._buckets.verify(spec)
        key = self._keys.aliased(spec)
        if key is None or key.state != KeyState.ENABLED:
            raise TemporaryError(
                f"{spec.key_alias} in {spec.region} is not usable yet "
                f"({key.state if key else 'it points at no key'}); it is looked at again soon"
            )


def _not_yet_everywhere(
    region: str, statuses: Mapping[str, str], error: FootholdError
) -> FootholdError:
    """A region that was enabled lets the account in some time after its status says so."""
    if isinstance(error, RegionRefusedError) and statuses.get(region) == OPTED_IN:
        return TemporaryError(f"{error}; its status says so, and it is asked again")
    return error


def _partly_seen(seen: ObservedStore) -> bool:
    readable = (*(KEY_ASPECTS if seen.key else ()), *(BUCKET_ASPECTS if seen.bucket_exists else ()))
    return any(aspect not in seen.settings for aspect in readable)


def _side_by_side(work: Callable[[str], Answer], regions: Sequence[str]) -> tuple[Answer, ...]:
    with ThreadPoolExecutor(max_workers=max(1, min(AT_ONCE, len(regions)))) as pool:
        return tuple(pool.map(work, regions))
