"""The services' ports kept in memory. The same suite runs on them and on the AWS gateways."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from foothold.errors import BucketMissingError, PermanentError
from foothold.stores.aspects import Aspect, BucketAspect, KeyAspect
from foothold.stores.model import STATE_TAG, StoreSpec, Use
from foothold.stores.register import ArtifactStore
from foothold.stores.steps import ObservedKey

VERSIONS_A_PAGE = 1000


@dataclass
class FakeWorld:
    """One account's keys, buckets and parameters. `before` is called with the name of every
    call that is about to be made, and may raise."""

    calls: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _call: None
    keys: dict[str, ObservedKey] = field(default_factory=dict)
    key_settings: dict[tuple[str, Aspect], Any] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    buckets: dict[str, dict[Aspect, Any]] = field(default_factory=dict)
    foreign_buckets: set[str] = field(default_factory=set)
    filled_buckets: set[str] = field(default_factory=set)
    versions: dict[str, int] = field(default_factory=dict)
    openings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)
    keys_made: int = 0

    def call(self, name: str) -> None:
        self.calls.append(name)
        self.before(name)


class FakeKeys:
    def __init__(self, world: FakeWorld) -> None:
        self.world = world

    def aliased(self, spec: StoreSpec) -> ObservedKey | None:
        self.world.call("aliased")
        arn = self.world.aliases.get((spec.region, spec.key_alias))
        return self.world.keys.get(arn) if arn else None

    def tagged(self, spec: StoreSpec) -> tuple[ObservedKey, ...]:
        self.world.call("tagged")
        return self._tagged(spec)

    def _tagged(self, spec: StoreSpec) -> tuple[ObservedKey, ...]:
        return tuple(
            self._with_tags(arn)
            for arn in self.world.keys
            if arn.split(":")[3] == spec.region
            and spec.tags.items() <= self.world.key_settings[arn, KeyAspect.TAGS].items()
        )

    def _with_tags(self, arn: str) -> ObservedKey:
        tags = self.world.key_settings[arn, KeyAspect.TAGS]
        return replace(self.world.keys[arn], tags=dict(tags))

    def unused(self, spec: StoreSpec) -> tuple[ObservedKey, ...]:
        self.world.call("look for spare keys")
        return tuple(
            key
            for key in self._tagged(spec)
            if key.tags.get(STATE_TAG) in (Use.UNUSED, Use.REPLACEMENT)
            and not key.is_pending_deletion
        )

    def find(self, spec: StoreSpec, key_arn: str) -> ObservedKey | None:
        self.world.call("find key")
        ours = f"arn:{spec.partition.name}:kms:{spec.region}:{spec.account}:key/"
        if key_arn not in self.world.keys or not key_arn.startswith(ours):
            return None
        return self._with_tags(key_arn)

    def create(self, spec: StoreSpec, policy: Mapping[str, Any], use: Use = Use.UNUSED) -> str:
        self.world.call("create key")
        number = self.world.keys_made
        self.world.keys_made += 1
        arn = f"arn:{spec.partition.name}:kms:{spec.region}:{spec.account}:key/{number}"
        self.world.keys[arn] = ObservedKey(arn, "Enabled", float(number))
        self.world.key_settings[arn, KeyAspect.POLICY] = policy
        self.world.key_settings[arn, KeyAspect.ROTATION] = False
        self.world.key_settings[arn, KeyAspect.TAGS] = spec.tags_in(use)
        return arn

    def point_alias(self, spec: StoreSpec, key_arn: str) -> str:
        self.world.call("point alias")
        return self.world.aliases.setdefault((spec.region, spec.key_alias), key_arn)

    def discard(self, spec: StoreSpec, key_arn: str) -> None:
        self._set_state("discard key", key_arn, "PendingDeletion")

    def schedule_deletion(self, spec: StoreSpec, key_arn: str) -> None:
        self._set_state("schedule deletion", key_arn, "PendingDeletion")

    def delete_alias(self, spec: StoreSpec) -> None:
        self.world.call("delete alias")
        self.world.aliases.pop((spec.region, spec.key_alias), None)

    def untag(self, spec: StoreSpec, key_arn: str, names: Sequence[str]) -> None:
        self.world.call("untag key")
        assert not self.world.keys[key_arn].is_pending_deletion, "KMS refuses"
        for name in names:
            self.world.key_settings[key_arn, KeyAspect.TAGS].pop(name, None)

    def enable(self, spec: StoreSpec, key_arn: str) -> None:
        self._set_state("enable key", key_arn, "Enabled")

    def cancel_deletion(self, spec: StoreSpec, key_arn: str) -> None:
        self._set_state("cancel deletion", key_arn, "Disabled")

    def _set_state(self, call: str, key_arn: str, state: str) -> None:
        self.world.call(call)
        self.world.keys[key_arn] = replace(self.world.keys[key_arn], state=state)

    def read(self, spec: StoreSpec, key_arn: str, aspect: Aspect) -> Any:
        self.world.call(f"read {aspect}")
        return self.world.key_settings[key_arn, aspect]

    def write(self, spec: StoreSpec, key_arn: str, aspect: Aspect, value: Any) -> None:
        self.world.call(f"write {aspect}")
        if aspect is KeyAspect.TAGS:
            assert not self.world.keys[key_arn].is_pending_deletion, "KMS refuses"
            value = {**self.world.key_settings[key_arn, aspect], **value}
        self.world.key_settings[key_arn, aspect] = value


class FakeBuckets:
    def __init__(self, world: FakeWorld) -> None:
        self.world = world

    def _bucket(self, spec: StoreSpec) -> dict[Aspect, Any]:
        if spec.bucket in self.world.foreign_buckets:
            raise PermanentError(f"bucket {spec.bucket} belongs to another account")
        if spec.bucket not in self.world.buckets:
            raise BucketMissingError(f"there is no bucket {spec.bucket}")
        return self.world.buckets[spec.bucket]

    def read(self, spec: StoreSpec, aspect: Aspect) -> Any:
        self.world.call(f"read {aspect}")
        return self._bucket(spec).get(aspect)

    def is_empty(self, spec: StoreSpec) -> bool:
        self.world.call("list versions")
        filled = spec.bucket in self.world.filled_buckets
        return not filled and not self.world.versions.get(spec.bucket)

    def delete_page(self, spec: StoreSpec) -> tuple[int, bool]:
        self.world.call("delete versions")
        self._bucket(spec)
        left = self.world.versions.get(spec.bucket, 0)
        page = min(left, VERSIONS_A_PAGE)
        self.world.versions[spec.bucket] = left - page
        return page, left > page

    def delete(self, spec: StoreSpec) -> None:
        self.world.call("delete bucket")
        assert not self.world.versions.get(spec.bucket), "S3 refuses while there are versions"
        self.world.buckets.pop(spec.bucket, None)

    def count(self, spec: StoreSpec) -> tuple[int, bool]:
        self.world.call("list versions")
        versions = self.world.versions.get(spec.bucket, 0)
        return min(versions, 10 * VERSIONS_A_PAGE), versions > 10 * VERSIONS_A_PAGE

    def lock(self, spec: StoreSpec) -> str | None:
        self.world.call("read object lock")
        return self.world.locks.get(spec.bucket)

    def untag(self, spec: StoreSpec, names: Sequence[str]) -> None:
        self.world.call("untag bucket")
        tags = dict(self._bucket(spec)[BucketAspect.TAGS] or {})
        for name in names:
            tags.pop(name, None)
        self._bucket(spec)[BucketAspect.TAGS] = tags

    def openings(self, spec: StoreSpec) -> tuple[str, ...]:
        self.world.call("read openings")
        return self.world.openings.get(spec.bucket, ())

    def create(self, spec: StoreSpec, use: Use = Use.UNUSED) -> None:
        self.world.call("create bucket")
        if spec.bucket in self.world.foreign_buckets:
            raise PermanentError(f"bucket {spec.bucket} belongs to another account")
        settings: dict[Aspect, Any] = {
            BucketAspect.OWNERSHIP: "BucketOwnerEnforced",
            BucketAspect.TAGS: spec.tags_in(use),
        }
        self.world.buckets.setdefault(spec.bucket, settings)

    def write(self, spec: StoreSpec, aspect: Aspect, value: Any) -> None:
        self.world.call(f"write {aspect}")
        if aspect is BucketAspect.TAGS:
            value = {**(self._bucket(spec).get(aspect) or {}), **value}
        self._bucket(spec)[aspect] = value

    def verify(self, spec: StoreSpec) -> None:
        self.world.call("head bucket")
        self._bucket(spec)


class FakeStoreBuckets:
    """Buckets as far as they prove what parameters say. One that is among `foreign_buckets` is
    another account's."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world

    def _read(self, store: ArtifactStore, aspect: Aspect) -> Any:
        self.world.call(f"prove {aspect}")
        if store.bucket in self.world.foreign_buckets:
            raise PermanentError(f"bucket {store.bucket} is not open to this account")
        return self.world.buckets.get(store.bucket, {}).get(aspect) or {}

    def default_key(self, store: ArtifactStore, owner: str) -> str | None:
        assert owner.isdigit()
        found: str | None = self._read(store, BucketAspect.ENCRYPTION).get("KMSMasterKeyID")
        return found

    def tags(self, store: ArtifactStore, owner: str) -> Mapping[str, str]:
        assert owner.isdigit()
        return dict(self._read(store, BucketAspect.TAGS))
