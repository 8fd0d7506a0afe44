"""What an operator does with regions: look at them, add them, take them off the list."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from foothold.errors import PermanentError, TemporaryError
from foothold.partitions import partition_of
from foothold.stores.ports import USABLE, Parameters, Regions, Requests
from foothold.stores.published import Published
from foothold.stores.register import ArtifactStore, Phase, Register, WantedBy
from foothold.stores.steps import KeepVerb
from foothold.stores.trust import PublishedStores
from foothold.stores.wanted import ALL_ENABLED, EXCEPT, OpenRequest, RegionList

WAIT_SECONDS = 300.0
LOOK_EVERY_SECONDS = 2.0
FRESH_LOOKS = 10


class State(StrEnum):
    """How a region is, for a person. It is as it should be where it is ready, or retiring."""

    READY = "ready"
    BROKEN = "broken"  # published, and not as it should be
    REFUSED = "refused"
    PENDING = "pending"  # wanted, and to be made by the next look
    RETIRING = "retiring"


@dataclass(frozen=True, slots=True)
class RegionStatus:
    """One region as an operator sees it: its store where one is published that may be used, who
    wants it, the phase of its retirement where one is under way, what is noted of it while it is
    not ready, and why its published store may not be used."""

    region: str
    store: ArtifactStore | None
    wanted: WantedBy
    phase: str | None = None
    request: OpenRequest | None = None
    refused: str | None = None

    def judged(self, found: Mapping[str, Any] | None) -> tuple[State, tuple[str, ...]]:
        """The region's state, and whole lines that say why; `found` is what the command "plan"
        answered about it, None where nobody has looked."""
        state, lines = self._judged(found)
        if (self.phase or "").startswith(Phase.CALLED_OFF):
            return state, (f"its retirement was {self.phase}", *lines)
        return state, lines

    def _judged(self, found: Mapping[str, Any] | None) -> tuple[State, tuple[str, ...]]:
        noted = (*((self.request.reason,) if self.request else ()), *self._refusal)
        if self.phase == UNREADABLE:
            return State.BROKEN, ("the record of its retirement is garbage", *noted)
        steps = [step["step"] for step in (found or {}).get("steps", ())]
        if self.phase in (Phase.ASKED, Phase.RETIRING) and KeepVerb.DISTRUST not in steps:
            return State.RETIRING, noted
        if found is None:
            return self._unseen(noted)
        if "error" in found:
            missing = State.PENDING if found["temporary"] else State.REFUSED
            return State.BROKEN if self._stands else missing, (found["error"], *self._refusal)
        return self._seen(found["steps"], noted)

    @property
    def _stands(self) -> bool:
        """Whether a store is published, be it one that may not be used."""
        return self.store is not None or self.refused is not None

    @property
    def _refusal(self) -> tuple[str, ...]:
        return (self.refused,) if self.refused else ()

    def _unseen(self, noted: tuple[str, ...]) -> tuple[State, tuple[str, ...]]:
        if noted:
            return State.BROKEN if self._stands else State.REFUSED, noted
        return State.READY if self.store else State.PENDING, ()

    def _seen(
        self, steps: Sequence[Mapping[str, Any]], noted: tuple[str, ...]
    ) -> tuple[State, tuple[str, ...]]:
        """`noted` is why the last run could not take these steps; nothing where none has tried."""
        mine = [f"{step['step']}: {step['reason']}" for step in steps if _matters(step)]
        theirs = [
            f"{step['step']}: {step['reason']}; run `{step['command']}`"
            for step in steps
            if step["left_to_a_person"]
        ]
        if not mine:
            return State.READY, (*theirs, *self._refusal)
        if self._stands:
            return State.BROKEN, (*noted, *mine, *theirs)
        return (State.REFUSED, noted) if noted else (State.PENDING, ("it is not made yet",))


UNREADABLE = "unreadable"


def _matters(step: Mapping[str, Any]) -> bool:
    """Whether the store cannot be trusted without this step."""
    return not step["left_to_a_person"] and step["step"] != KeepVerb.DISCARD_KEY


class OperatorRegions:
    """The regions that an operator keeps: told in parameters and one event."""

    def __init__(
        self,
        home_region: str,
        stores: PublishedStores,
        parameters: Parameters,
        regions: Regions,
        requests: Requests,
    ) -> None:
        self._home = home_region
        self._stores = stores
        self._parameters = parameters
        self._regions = regions
        self._requests = requests

    def status(self) -> tuple[RegionStatus, ...]:
        """Every region that is wanted or has a store, sorted by name. Raises PermanentError
        where Foothold is not deployed."""
        register, published = self._stores.looked_at()
        phases, noted = _phases(register), register.requests
        all_enabled = self._all_enabled(register) if register.listed.all_enabled else ()
        wanted = register.wanted(all_enabled)
        stores = {**published.stores, **published.refused}
        return tuple(
            RegionStatus(
                region,
                published.stores.get(region),
                wanted.get(region, WantedBy()),
                phases.get(region),
                noted.get(region),
                published.refused.get(region),
            )
            for region in sorted({*wanted, *phases, *noted, *stores})
        )

    def add(self, regions: Sequence[str], excepted: Sequence[str] = ()) -> tuple[str, ...]:
        """Put the regions on the list, `excepted` as those that all-enabled leaves out; return
        the list as it is now.

        Raises PermanentError, before anything is written, for a region that this account does
        not know or has not enabled, or that the stack's parameters do not allow.
        """
        register = self._stores.register()
        listed = register.listed
        names = [name for name in dict.fromkeys(regions) if name != ALL_ENABLED]
        for name in excepted:
            partition_of(name)
        statuses = self._regions.statuses()
        for name in names:
            partition_of(name)
            if statuses.get(name) is None:
                raise PermanentError(f"{name} is not a region that this account knows")
            if statuses[name] not in USABLE:
                told = self._regions.opt_in_status(name) or statuses[name]
                raise PermanentError(
                    f"{name} is {told.lower()} for this account: enable it with "
                    f"`aws account enable-region --region-name {name}`, then add it"
                )
        refused = register.region_policy.refusals(
            names, home=self._home, stores=register.stores, wanted=register.wanted()
        )
        for error in refused.values():
            raise error
        now = RegionList(
            tuple(dict.fromkeys((*(n for n in listed.names if n not in excepted), *names))),
            listed.all_enabled or ALL_ENABLED in regions,
            tuple(dict.fromkeys((*(n for n in listed.excepted if n not in names), *excepted))),
        )
        self._write(register, now)
        return now.entries

    def asked_for(self, regions: Sequence[str]) -> tuple[str, ...]:
        """The regions that these entries of the list stand for."""
        names = tuple(name for name in regions if name != ALL_ENABLED)
        if ALL_ENABLED not in regions:
            return tuple(dict.fromkeys(names))
        return tuple(dict.fromkeys((*names, *self._all_enabled(self._stores.register()))))

    def request(self, regions: Sequence[str]) -> None:
        """Ask for the regions by an event, and wait for nothing."""
        if regions:
            self._requests.request(regions)

    def remove(self, regions: Sequence[str]) -> tuple[str, ...]:
        """Take the regions off the list, drop what an event has asked for, and keep the stores;
        return the list as it is now.

        Raises PermanentError for a region that neither is on the list nor was asked for.
        """
        register = self._stores.register()
        listed = register.listed
        requested = {
            name: register.names.request(name)
            for name in regions
            if register.names.request(name) in register.parameters
        }
        for name in regions:
            if name not in (*listed.entries, *requested):
                on_it = ", ".join(listed.entries) or "nothing"
                way = f"; `foothold regions add {ALL_ENABLED} --except {name}` leaves it out"
                raise PermanentError(
                    f"{name} is not on the list, which holds {on_it}"
                    f"{way if listed.all_enabled else ''}"
                )
        now = RegionList(
            tuple(name for name in listed.names if name not in regions),
            listed.all_enabled and ALL_ENABLED not in regions,
            tuple(name for name in listed.excepted if f"{EXCEPT}{name}" not in regions),
        )
        self._write(register, now)
        if requested:
            self._parameters.delete(self._home, tuple(requested.values()))
        return now.entries

    def wait(
        self,
        regions: Sequence[str],
        sleep: Callable[[float], None],
        ready: Callable[[ArtifactStore], None],
    ) -> None:
        """Wait until every region's store is published, telling `ready` of each as it comes.

        Raises PermanentError with the reasons of those that met a refusal, as soon as these are
        written down, and TemporaryError naming those that are not ready after five minutes.
        """
        missing = dict.fromkeys(regions)
        published = Published({})
        noted: dict[str, OpenRequest] | None = None
        for look in range(int(WAIT_SECONDS / LOOK_EVERY_SECONDS)):
            register, published = self._stores.looked_at(missing)
            now = register.requests
            noted = now if noted is None else noted
            for region, store in published.stores.items():
                del missing[region]
                ready(store)
            if not missing:
                return
            # What was noted before and still is, is what this request meets too: a record is not
            # written again for the same reason.
            met = [n for n in missing if n in now and (look >= FRESH_LOOKS or now != noted)]
            if len(met) == len(missing):
                raise PermanentError("; ".join(f"{name}: {now[name].reason}" for name in met))
            sleep(LOOK_EVERY_SECONDS)
        why = "".join(f"; {line}" for line in published.refused.values())
        raise TemporaryError(
            f"{', '.join(missing)} not ready after {WAIT_SECONDS:.0f} s; the log of the "
            f"reconcile function says why, and the schedule tries again{why}"
        )

    def _all_enabled(self, register: Register) -> tuple[str, ...]:
        """The regions that the list's word for all enabled regions stands for."""
        usable = [name for name, status in self._regions.statuses().items() if status in USABLE]
        return register.listed.by_all_enabled(
            usable, register.region_policy, self._home, register.stores, register.wanted()
        )

    def _write(self, register: Register, now: RegionList) -> None:
        name = register.names.regions
        if now == register.listed:
            return
        if now.entries:
            self._parameters.put_list(self._home, name, now.entries)
        else:
            self._parameters.delete(self._home, (name,))  # a StringList cannot be empty


def _phases(register: Register) -> dict[str, str]:
    """The phase of every retirement that is under way; of one that is garbage, that it is."""
    phases = {}
    for region in register.regions:
        try:
            retirement = register.retirement(region)
        except PermanentError:
            phases[region] = UNREADABLE
            continue
        if retirement and retirement.phase is not Phase.RETIRED:
            called_off = retirement.phase is Phase.CALLED_OFF
            phases[region] = retirement.phase + (f": {retirement.reason}" if called_off else "")
    return phases
