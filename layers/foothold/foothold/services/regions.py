"""What an operator does with regions: look at them, add them, take them off the list."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from foothold.domain.errors import PermanentError, TemporaryError
from foothold.domain.models import RETIREMENT, ArtifactStore
from foothold.domain.partitions import partition_of
from foothold.domain.retirement import Phase, Retirement
from foothold.services.ports import Parameters, Regions
from foothold.services.reconcile import ALL_ENABLED, USABLE

WAIT_SECONDS = 300.0
LOOK_EVERY_SECONDS = 2.0


class OperatorParameters(Parameters, Protocol):
    """Parameters, and the one list that an operator edits."""

    def put_list(self, region: str, name: str, values: tuple[str, ...]) -> None: ...


class Requests(Protocol):
    """The way to ask the control plane for regions."""

    def request(self, regions: Sequence[str]) -> None:
        """Send the event "Regions Requested"."""
        ...


@dataclass(frozen=True, slots=True)
class RegionStatus:
    """One region as an operator sees it: its store where it is ready, who wants it, and the
    phase of its retirement where one is under way."""

    region: str
    store: ArtifactStore | None
    listed: bool
    claims: tuple[str, ...]
    phase: str | None = None


class RegionDesk:
    """The operator's side of one control plane, told in parameters and one event."""

    def __init__(
        self,
        home_region: str,
        parameter_root: str,
        parameters: OperatorParameters,
        regions: Regions,
        requests: Requests,
    ) -> None:
        self._home = home_region
        self._root = parameter_root
        self._parameters = parameters
        self._regions = regions
        self._requests = requests

    def ready(self) -> Mapping[str, ArtifactStore]:
        """Every ready store by region. Raises PermanentError where Foothold is not deployed."""
        return _stores(self._below(), self._root)

    def status(self) -> tuple[RegionStatus, ...]:
        """Every region that is wanted or has a store, sorted by name. Raises PermanentError
        where Foothold is not deployed."""
        below = self._below()
        stores = _stores(below, self._root)
        listed = _listed(below.get(f"{self._root}/regions", ""))
        claims: dict[str, list[str]] = {}
        for name in below:
            path = name.removeprefix(f"{self._root}/claims/").split("/")
            if name.startswith(f"{self._root}/claims/"):
                claims.setdefault(path[0], []).append(path[-1])
        phases = _phases(below, self._root)
        wanted = (set(listed) - {ALL_ENABLED}) | set(claims) | set(stores) | set(phases)
        if ALL_ENABLED in listed:
            statuses = self._regions.statuses()
            wanted |= {name for name, status in statuses.items() if status in USABLE}
        return tuple(
            RegionStatus(
                region,
                stores.get(region),
                region in listed or ALL_ENABLED in listed,
                tuple(sorted(claims.get(region, ()))),
                phases.get(region),
            )
            for region in sorted(wanted)
        )

    def add(self, regions: Sequence[str]) -> tuple[str, ...]:
        """Put the regions on the list and ask for them; return the list as it is now.

        Raises PermanentError, before anything is written, for a region that this account does
        not know or has not enabled.
        """
        listed = self._listed()
        names = [name for name in dict.fromkeys(regions) if name != ALL_ENABLED]
        statuses = self._regions.statuses()
        for name in names:
            partition_of(name)
            if statuses.get(name) is None:
                raise PermanentError(f"{name} is not a region that this account knows")
            if statuses[name] not in USABLE:
                raise PermanentError(
                    f"{name} is {statuses[name].lower()} for this account: enable it with "
                    f"`aws account enable-region --region-name {name}`, then add it"
                )
        now = tuple(dict.fromkeys((*listed, *regions)))
        self._write(listed, now)
        if names:
            self._requests.request(names)
        return now

    def remove(self, regions: Sequence[str]) -> tuple[str, ...]:
        """Take the regions off the list, and keep their stores; return the list as it is now.

        Raises PermanentError for a region that is not on the list.
        """
        listed = self._listed()
        for name in regions:
            if name not in listed:
                on_it = ", ".join(listed) or "nothing"
                raise PermanentError(f"{name} is not on the list, which holds {on_it}")
        now = tuple(name for name in listed if name not in regions)
        self._write(listed, now)
        return now

    def wait(
        self,
        regions: Sequence[str],
        sleep: Callable[[float], None],
        ready: Callable[[ArtifactStore], None],
    ) -> None:
        """Wait until every region's store is published, telling `ready` of each as it comes.

        Raises TemporaryError naming those that are not ready after five minutes.
        """
        missing = dict.fromkeys(regions)
        for _ in range(int(WAIT_SECONDS / LOOK_EVERY_SECONDS)):
            stores = self.ready()
            for region in [name for name in missing if name in stores]:
                del missing[region]
                ready(stores[region])
            if not missing:
                return
            sleep(LOOK_EVERY_SECONDS)
        raise TemporaryError(
            f"{', '.join(missing)} not ready after {WAIT_SECONDS:.0f} s; the log of the "
            "reconcile function says why, and the schedule tries again"
        )

    def _below(self) -> Mapping[str, str]:
        below = self._parameters.below(self._home, self._root)
        if f"{self._root}/service-token" not in below:
            raise PermanentError(
                f"Foothold is not deployed in {self._home} of this account (there is no parameter "
                f"{self._root}/service-token): deploy it with `sam deploy`, or choose its region"
            )
        return below

    def _listed(self) -> tuple[str, ...]:
        return _listed(self._below().get(f"{self._root}/regions", ""))

    def _write(self, before: tuple[str, ...], now: tuple[str, ...]) -> None:
        name = f"{self._root}/regions"
        if now == before:
            return
        if now:
            self._parameters.put_list(self._home, name, now)
        else:
            self._parameters.delete(self._home, (name,))  # a StringList cannot be empty


def _listed(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _phases(below: Mapping[str, str], root: str) -> dict[str, str]:
    """The phase of every retirement that is under way; of one that is garbage, that it is."""
    phases = {}
    for name, text in below.items():
        path, _, leaf = name.rpartition("/")
        if leaf == RETIREMENT and path.startswith(f"{root}/artifact-stores/"):
            try:
                phase = Retirement.parse(name, text).phase.value
            except PermanentError:
                phase = "unreadable"
            if phase != Phase.RETIRED:
                phases[path.removeprefix(f"{root}/artifact-stores/")] = phase
    return phases


def _stores(below: Mapping[str, str], root: str) -> dict[str, ArtifactStore]:
    """The stores whose two parameters both stand, whatever else is below the root."""
    stores = {}
    for name, bucket in below.items():
        path, _, leaf = name.rpartition("/")
        key_arn = below.get(f"{path}/key-arn")
        if leaf == "bucket" and key_arn and path.startswith(f"{root}/artifact-stores/"):
            region = path.removeprefix(f"{root}/artifact-stores/")
            stores[region] = ArtifactStore(region, bucket, key_arn)
    return stores
