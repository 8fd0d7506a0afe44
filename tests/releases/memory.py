"""Artifact stores in memory, and a release to put there."""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from foothold.releases.model import (
    Release,
    ReleaseRegion,
    ReleaseTarget,
    configuration_name,
)
from foothold.stores.published import Published
from foothold.stores.register import ArtifactStore

HOME = "eu-central-1"
REGIONS = (HOME, "eu-west-1", "us-east-1")


class Killed(BaseException):
    """The process is gone: nothing catches this."""


def store(region: str) -> ArtifactStore:
    key_arn = f"arn:aws:kms:{region}:111111111111:key/{region}"
    return ArtifactStore(region, f"foothold-111111111111-{region}-an", key_arn)


@dataclass
class MemoryRecords:
    """`releases.ports.Records`, and what is published: the stores of some regions. `before` is
    told of every call, as its operation, region and key; what it raises, the call raises."""

    regions: Sequence[str] = REGIONS
    refused: Mapping[str, str] = field(default_factory=dict)
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    before: Callable[[str, str, str], None] = lambda *_: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ready(self) -> Published:
        return Published({region: store(region) for region in self.regions}, self.refused)

    def read(self, store: ArtifactStore, key: str) -> tuple[bytes, str] | None:
        with self.lock:
            self.before("read", store.region, key)
            body = self.objects.get((store.bucket, key))
            return None if body is None else (body, hashlib.sha256(body).hexdigest())

    def has(self, store: ArtifactStore, key: str) -> bool:
        with self.lock:
            self.before("has", store.region, key)
            return (store.bucket, key) in self.objects

    def create(self, store: ArtifactStore, key: str, body: bytes) -> bool:
        with self.lock:
            self.before("create", store.region, key)
            return self.objects.setdefault((store.bucket, key), body) is body

    def replace(self, store: ArtifactStore, key: str, body: bytes, etag: str) -> bool:
        with self.lock:
            self.before("replace", store.region, key)
            there = self.objects.get((store.bucket, key))
            if there is None or hashlib.sha256(there).hexdigest() != etag:
                return False
            self.objects[store.bucket, key] = body
            return True

    def newest(self, store: ArtifactStore, prefix: str, name: str) -> str | None:
        """What was created last; one that was written over keeps its place."""
        with self.lock:
            self.before("newest", store.region, prefix)
            found = [
                key
                for bucket, key in self.objects
                if bucket == store.bucket and key.startswith(prefix) and key.endswith(f"/{name}")
            ]
            return found[-1] if found else None

    def folders(self, store: ArtifactStore, prefix: str) -> Sequence[str]:
        with self.lock:
            self.before("folders", store.region, prefix)
            names = [
                key.removeprefix(prefix)
                for bucket, key in self.objects
                if bucket == store.bucket and key.startswith(prefix)
            ]
            return sorted({name.partition("/")[0] for name in names if "/" in name})

    def below(self, region: str, prefix: str) -> dict[str, bytes]:
        """What lies in a region's store below a prefix, by the rest of its name."""
        return {
            key.removeprefix(prefix): body
            for (bucket, key), body in self.objects.items()
            if bucket == store(region).bucket and key.startswith(prefix)
        }


def killing(records: MemoryRecords, after: int) -> None:
    """Let so many calls through, and none after them."""
    calls = 0

    def count(*_: str) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Killed

    records.before = count


def target(name: str = "Prod", regions: Sequence[str] = REGIONS) -> ReleaseTarget:
    return ReleaseTarget(name, "222222222222", "shop", tuple((region,) for region in regions))


def release(
    content: str = "a", *, regions: Sequence[str] = REGIONS, project: str = "shop", at: str = ""
) -> Release:
    each = {
        region: ReleaseRegion(
            region,
            store(region).bucket,
            store(region).key_arn,
            hashlib.sha256(template(content, region)).hexdigest(),
            content,
        )
        for region in regions
    }
    return Release(project, each, (target(regions=regions),), packaged_at=at, packaged_by="me")


def template(content: str, region: str) -> bytes:
    return f"{content} in {region}".encode()


def files(kept: Release) -> dict[str, dict[str, Callable[[], bytes]]]:
    """What packaging would leave for it."""

    def of(region: str) -> dict[str, Callable[[], bytes]]:
        content = kept.regions[region].neutral
        return {
            f"template-export-{region}.yml": lambda: template(content, region),
            "manifest.json": content.encode,
            configuration_name("Prod", region): lambda: b"{}",
        }

    return {region: of(region) for region in kept.regions}
