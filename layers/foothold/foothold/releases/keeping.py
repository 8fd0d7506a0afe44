"""Releases in the artifact stores: written once in each, listed and read.

Every store that a release serves has all that it takes to deploy it there, so that no region owns
it. Its `release.json` is written last: what has none is no release yet, and whoever comes next
finishes it.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from foothold.errors import FootholdError, PermanentError, TemporaryError
from foothold.releases.model import RELEASE, RELEASE_ID, Release, releases_prefix
from foothold.releases.ports import Records
from foothold.stores.published import Stores
from foothold.stores.register import ArtifactStore

# The files of a release by region and name, each made when it is asked for.
Files = Mapping[str, Mapping[str, Callable[[], bytes]]]
PREFIX_OF_ID = re.compile("[0-9a-f]{1,16}")

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class KeptRelease:
    """A release as it stands in its stores, with the facts that whoever was first has told.
    `failed` names each region whose store has none of it, and why."""

    release: Release
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundReleases:
    """Releases, the newest first. `unread` names what could not be read, a region or a release,
    and why: what only that region's store has is not among them."""

    releases: tuple[Release, ...]
    unread: Mapping[str, str] = field(default_factory=dict)


class _EachAlone:
    """Work for regions. A region's failure is that region's only; its first one counts, and ends
    the work for it."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}

    def __call__(self, region: str, work: Callable[[], Answer]) -> Answer | None:
        try:
            return None if region in self.failed else work()
        except FootholdError as error:
            self.failed.setdefault(region, str(error))
            return None


class Releases:
    """The releases of all projects. `threads` is how many requests are under way at a time, over
    all regions; the store of `home_region` is asked first."""

    def __init__(
        self, records: Records, stores: Stores, home_region: str, *, threads: int = 64
    ) -> None:
        self._records = records
        self._stores = stores
        self._home_region = home_region
        self._threads = threads

    # Keeping

    def keep(
        self, release: Release, files: Callable[[], Files], *, is_new: bool = False
    ) -> KeptRelease:
        """Write what is missing of a release in every store that it serves.

        `files` gives the release's files of each of its regions, without `release.json`, where any
        is missing. A region whose store refuses, or holds anything else under such a name, is left
        out and named. `is_new` where hardly any store can have it yet: then none is asked first.
        """
        stores, prefix, alone = stores_of(release), release.prefix, _EachAlone()

        def look(region: str) -> bytes | None:
            return alone(region, lambda: self._if_told(stores[region], prefix))

        def write(region: str, name: str, render: Callable[[], bytes]) -> bool | None:
            return alone(region, lambda: self._write(stores[region], prefix + name, render()))

        with ThreadPoolExecutor(self._threads) as pool:
            found: dict[str, bytes | None] = dict.fromkeys(stores)
            if not is_new:
                found = dict(zip(stores, pool.map(look, stores), strict=True))
            known: dict[bytes, Release] = {}
            for region, body in found.items():
                # The same bytes in all stores, unless two were at work at once.
                if body is not None and body not in known:
                    read = alone(region, partial(_release, stores[region], prefix, body))
                    known |= {body: read} if read else {}
            first = next(iter(known.values()), release)
            kept = replace(
                release,
                source=first.source,
                packaged_at=first.packaged_at,
                packaged_by=first.packaged_by,
            )
            missing = [region for region, body in found.items() if body is None]
            if missing:
                made, own = files(), kept.render()
                before = [(region, *each) for region in missing for each in made[region].items()]
                list(pool.map(lambda each: write(*each), before))
                last = list(pool.map(lambda region: write(region, RELEASE, lambda: own), missing))
                if is_new and False in last:  # somebody was first
                    return self.keep(release, files)
        return KeptRelease(kept, alone.failed)

    def _if_told(self, store: ArtifactStore, prefix: str) -> bytes | None:
        """None also where S3 refuses to tell, which it does to whoever may not list the bucket
        (Amazon S3 API Reference, "GetObject"): whether it is there shows when it is written."""
        try:
            found = self._records.read(store, prefix + RELEASE)
        except PermanentError:
            return None
        return found[0] if found else None

    def _there(self, store: ArtifactStore, prefix: str) -> Release | None:
        found = self._records.read(store, prefix + RELEASE)
        return _release(store, prefix, found[0]) if found else None

    def _write(self, store: ArtifactStore, key: str, body: bytes) -> bool:
        """Write an object once; False where it is there. Raises PermanentError where something
        else has its name."""
        try:
            written = self._records.create(store, key, body)
        except TemporaryError:  # somebody else may be writing it at this moment
            written = self._records.create(store, key, body)
        if written or key.endswith(f"/{RELEASE}"):
            return written
        there = self._records.read(store, key)
        if there and there[0] != body:
            raise PermanentError(
                f"{key} in {store.bucket}, the artifact store of {store.region}, has other bytes "
                "than this release, and is not written over: take it away, and package again"
            )
        return False

    # Reading

    def all(self, project: str) -> FoundReleases:
        """A project's releases. What was not written to its end is none. Raises PermanentError
        for a project without releases, and where no store can be read."""
        ids, unread = self._ids(project)

        def one(id_: str) -> Release | None:
            try:
                return self._read(project, id_, ids[id_])
            except FootholdError as error:
                unread[id_] = str(error)
                return None

        with ThreadPoolExecutor(self._threads) as pool:
            releases = [release for release in pool.map(one, ids) if release]
        if not releases:
            raise PermanentError(_unknown(project, unread))
        releases.sort(key=lambda release: (release.packaged_at, release.id), reverse=True)
        return FoundReleases(tuple(releases), unread)

    def read(self, project: str, prefix: str = "") -> Release:
        """The release whose id begins like this; the newest where nothing is said.

        Raises PermanentError where there is none, or more than one.
        """
        if not prefix:
            return self.all(project).releases[0]
        if not PREFIX_OF_ID.fullmatch(prefix):
            raise PermanentError(
                f"{prefix!r} is no id of a release: 16 hexadecimal digits, or how they begin"
            )
        ids, unread = self._ids(project)
        fitting = [id_ for id_ in ids if id_.startswith(prefix)]
        found = [release for id_ in fitting if (release := self._read(project, id_, ids[id_]))]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(release.id for release in found)
            raise PermanentError(
                f"{project} has several releases whose ids begin with {prefix}: {names}"
            )
        if not ids:
            raise PermanentError(_unknown(project, unread))
        raise PermanentError(
            f"{project} has no release whose id begins with {prefix}: `foothold release list "
            f"{project}` shows those that there are{_but(unread)}"
        )

    def file(self, release: Release, name: str) -> bytes | None:
        """A file of a release that is the same in all of its stores, from the first that has it;
        None where none does. Raises what the last one raised where none answers."""
        failure: FootholdError | None = None
        for store in sorted(stores_of(release).values(), key=self._home_first):
            try:
                if found := self._records.read(store, release.prefix + name):
                    return found[0]
            except FootholdError as error:
                failure = error
        if failure:
            raise failure
        return None

    def gone(self, release: Release, keys: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
        """Of objects, by region, those that are not in the release's store any more, or of which
        it does not tell: one line for each region."""
        stores = stores_of(release)

        def missing(region: str, key: str) -> str:
            try:
                return "" if self._records.has(stores[region], key) else key
            except FootholdError as error:
                return str(error)

        asked = [(region, key) for region, several in keys.items() for key in several]
        found: dict[str, list[str]] = {}
        with ThreadPoolExecutor(self._threads) as pool:
            answers = pool.map(lambda each: missing(*each), asked)
            for (region, _), answer in zip(asked, answers, strict=True):
                if answer:
                    found.setdefault(region, []).append(answer)
        return tuple(
            f"{region}: {', '.join(dict.fromkeys(several))}" for region, several in found.items()
        )

    def _home_first(self, store: ArtifactStore) -> tuple[bool, str]:
        return store.region != self._home_region, store.region

    def _ids(self, project: str) -> tuple[Mapping[str, Sequence[ArtifactStore]], dict[str, str]]:
        """By the ids of a project's releases, the stores that have one, home first; and of each
        region whose store did not answer, why. Raises PermanentError where none did."""
        published = self._stores.ready()
        stores = sorted(published.stores.values(), key=self._home_first)
        unread = dict(published.refused)

        def listed(store: ArtifactStore) -> Sequence[str]:
            try:
                return self._records.folders(store, releases_prefix(project))
            except FootholdError as error:
                unread[store.region] = str(error)
                return ()

        ids: dict[str, list[ArtifactStore]] = {}
        with ThreadPoolExecutor(self._threads) as pool:
            for store, names in zip(stores, pool.map(listed, stores), strict=True):
                for name in names:
                    if RELEASE_ID.fullmatch(name):
                        ids.setdefault(name, []).append(store)
        if not ids and unread and len(unread) == len(stores) + len(published.refused):
            raise PermanentError("; ".join(unread.values()))
        return ids, unread

    def _read(self, project: str, id_: str, stores: Iterable[ArtifactStore]) -> Release | None:
        """The release as the first store that answers has it; None where it is in none of them.
        Raises what the last one raised where none answers."""
        failure: FootholdError | None = None
        for store in stores:
            try:
                if release := self._there(store, f"{releases_prefix(project)}{id_}/"):
                    return release
            except FootholdError as error:
                failure = error
        if failure:
            raise failure
        return None


def _release(store: ArtifactStore, prefix: str, body: bytes) -> Release:
    """What a `release.json` says. Raises PermanentError for what is not this release."""
    where = f"{prefix}{RELEASE} in {store.bucket}"
    release = Release.parse(body, where)
    if release.prefix != prefix:
        raise PermanentError(f"{where} holds another release, {release.prefix}: take it away")
    return release


def stores_of(release: Release) -> dict[str, ArtifactStore]:
    """The stores that it serves, by region."""
    return {
        region: ArtifactStore(region, each.bucket, each.key_arn)
        for region, each in release.regions.items()
    }


def own_names(
    stores: Mapping[str, ArtifactStore], manifest: bytes | None = None
) -> dict[str, dict[str, str]]:
    """By region, the names that are its own, each with what it stands for in all regions: its
    store's bucket and key and, where a release's manifest is given, the keys of its objects, which
    stand for their content without those names."""
    names = {
        region: {store.bucket: "store", store.key_arn: "store"} for region, store in stores.items()
    }
    try:
        for region, package in json.loads(manifest or b"{}").get("regions", {}).items():
            for one in package["objects"]:
                names.setdefault(region, {})[str(one["key"])] = str(one["neutral_sha256"])
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # then more is shown as different than is
    return names


def _unknown(project: str, unread: Mapping[str, str]) -> str:
    return (
        f"there is no release of {project} in any artifact store: package it with `foothold "
        f"package --project {project}`{_but(unread)}"
    )


def _but(unread: Mapping[str, str]) -> str:
    return f" (not read: {'; '.join(unread.values())})" if unread else ""
