"""The one reader of what is published about stores: whoever uses a store has it from here."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from foothold.errors import FootholdError, PermanentError
from foothold.stores.model import ControlPlane, StoreSpec
from foothold.stores.ports import Parameters, StoreBuckets
from foothold.stores.published import (
    Published,
    check_key,
    check_names,
    check_tags,
    refusal,
)
from foothold.stores.register import ArtifactStore, Names, Register

AT_ONCE = 40


class Trust:
    """Tells the stores that may be used from those that somebody's parameters only name.

    `account` tells the caller's own account, which no parameter can. With a `control_plane` a
    bucket is known by its name; without, and where it was adopted, by its tags.
    """

    def __init__(
        self,
        home_region: str,
        buckets: StoreBuckets,
        account: Callable[[], str],
        control_plane: ControlPlane | None = None,
    ) -> None:
        self._home = home_region
        self._buckets = buckets
        self._account = account
        self._control_plane = control_plane

    def among(
        self,
        read: Callable[[], Register],
        regions: Collection[str] | None = None,
    ) -> Published:
        """The stores in the register that `read` returns, those of `regions` or all.

        All regions at the same time, with one read each, two where tags are looked at.
        """
        stores: dict[str, ArtifactStore] = {}
        refused: dict[str, str] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = pool.submit(self._account)
            register = read()
            owner = asked.result()
            found = {
                region: store
                for region, store in register.stores.items()
                if regions is None or region in regions
            }
            checks: dict[str, list[Future[None]]] = {}
            for region, store in sorted(found.items()):
                try:
                    checks[region] = self._checks(pool, store, owner, register)
                except FootholdError as error:
                    refused[region] = refusal(region, error)
            for region, started in checks.items():
                try:
                    for check in started:
                        check.result()
                except FootholdError as error:
                    refused[region] = refusal(region, error)
                else:
                    stores[region] = found[region]
        return Published(stores, refused)

    def _checks(
        self, pool: Executor, store: ArtifactStore, owner: str, register: Register
    ) -> list[Future[None]]:
        """What is looked at, under way. Raises for what the names alone can tell."""
        plane = self._control_plane
        wished = plane.spec(store.region, register.adoption(store.region)) if plane else None
        check_names(store, owner, wished)
        started = [pool.submit(self._check_key, store, owner)]
        if wished is None or wished.adopted:
            started.append(pool.submit(self._check_tags, store, owner, wished))
        return started

    def _check_key(self, store: ArtifactStore, owner: str) -> None:
        check_key(store, self._buckets.default_key(store, owner))

    def _check_tags(self, store: ArtifactStore, owner: str, wished: StoreSpec | None) -> None:
        check_tags(store, self._buckets.tags(store, owner), self._home, wished)


class PublishedStores:
    """`stores.published.Stores`: those of the register that `read` returns that `trust` lets be
    used. Every method raises what `read` raises."""

    def __init__(self, read: Callable[[], Register], trust: Trust) -> None:
        self._read = read
        self._trust = trust

    def ready(self, regions: Collection[str] | None = None) -> Published:
        """As the port says; of `regions` only, where they are given."""
        return self._trust.among(self._read, regions)

    def named(self) -> Mapping[str, ArtifactStore]:
        return self._read().stores

    def register(self) -> Register:
        """All that was read, proven by nothing."""
        return self._read()

    def looked_at(self, regions: Collection[str] | None = None) -> tuple[Register, Published]:
        """All that was read, and what `ready` says of it."""
        register = self._read()
        return register, self._trust.among(lambda: register, regions)


def read_where_deployed(parameters: Parameters, home_region: str, names: Names) -> Register:
    """All that is written below the root. Raises PermanentError where Foothold is not deployed."""
    register = Register(names, parameters.below(home_region, names.root))
    if names.service_token not in register.parameters:
        raise PermanentError(
            f"Foothold is not deployed in {home_region} of this account (there is no parameter "
            f"{names.service_token}): deploy it with `sam deploy`, or choose its region"
        )
    return register
