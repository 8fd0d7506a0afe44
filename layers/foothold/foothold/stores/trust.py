"""The one reader of what is published about stores: whoever uses a store has it from here."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Protocol

from foothold.errors import FootholdError
from foothold.stores.model import ArtifactStore, ControlPlane, StoreSpec
from foothold.stores.published import (
    Published,
    check_key,
    check_names,
    check_tags,
    desired_spec,
    named_stores,
    refusal,
)

AT_ONCE = 40


class ParametersBelow(Protocol):
    """Parameters, as far as the stores' own are read."""

    def below(self, region: str, path: str) -> Mapping[str, str]:
        """Name and value of every parameter below the path, at any depth."""
        ...


class StoreBuckets(Protocol):
    """The stores' buckets, as far as they prove what the parameters say. Each call names the
    owner that it expects, and raises PermanentError where the bucket is somebody else's."""

    def default_key(self, store: ArtifactStore, owner: str) -> str | None:
        """What the bucket encrypts with where nobody says otherwise; None for no key of KMS."""
        ...

    def tags(self, store: ArtifactStore, owner: str) -> Mapping[str, str]: ...


class Trust:
    """Tells the stores that may be used from those that somebody's parameters only name.

    `path` is where they stand in the home region, such as `/foothold/artifact-stores`; `account`
    tells the caller's own account, which no parameter can. With a `control_plane` a bucket is
    known by its name; without, and where it was adopted, by its tags.
    """

    def __init__(
        self,
        home_region: str,
        path: str,
        buckets: StoreBuckets,
        account: Callable[[], str],
        control_plane: ControlPlane | None = None,
    ) -> None:
        self._home = home_region
        self._path = path
        self._buckets = buckets
        self._account = account
        self._control_plane = control_plane

    def among(
        self,
        read: Callable[[], Mapping[str, str]],
        regions: Collection[str] | None = None,
    ) -> Published:
        """The stores among the parameters that `read` returns, those of `regions` or all.

        All regions at the same time, with one read each, two where tags are looked at.
        """
        stores: dict[str, ArtifactStore] = {}
        refused: dict[str, str] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = pool.submit(self._account)
            below = read()
            owner = asked.result()
            found = {
                region: store
                for region, store in named_stores(below, self._path).items()
                if regions is None or region in regions
            }
            checks: dict[str, list[Future[None]]] = {}
            for region, store in sorted(found.items()):
                try:
                    checks[region] = self._checks(pool, store, owner, below)
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
        self, pool: Executor, store: ArtifactStore, owner: str, below: Mapping[str, str]
    ) -> list[Future[None]]:
        """What is looked at, under way. Raises for what the names alone can tell."""
        plane = self._control_plane
        wished = desired_spec(plane, store.region, below) if plane else None
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
    """`stores.ports.Stores` from the parameters below `path` in `home_region`."""

    def __init__(
        self, home_region: str, path: str, parameters: ParametersBelow, trust: Trust
    ) -> None:
        self._home = home_region
        self._path = path
        self._parameters = parameters
        self._trust = trust

    def ready(self) -> Published:
        return self._trust.among(self._below)

    def named(self) -> Mapping[str, ArtifactStore]:
        return named_stores(self._below(), self._path)

    def _below(self) -> Mapping[str, str]:
        return self._parameters.below(self._home, self._path)
