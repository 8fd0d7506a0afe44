"""The services' ports kept in memory. The same suite runs on them and on the AWS gateways."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from foothold.domain.errors import BucketMissingError, PermanentError
from foothold.domain.models import Aspect, ObservedKey, StoreSpec


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
    parameters: dict[tuple[str, str], str] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)

    def call(self, name: str) -> None:
        self.calls.append(name)
        self.before(name)


class FakeKeys:
    def __init__(self, world: FakeWorld) -> None:
        self.world = world

    def aliased(self, spec: StoreSpec) -> ObservedKey | None:
        self.world.call("aliased")
        arn = self.world.aliases.get((spec.region, spec.key_alias))
        return self.world.keys[arn] if arn else None

    def tagged(self, spec: StoreSpec) -> tuple[ObservedKey, ...]:
        self.world.call("tagged")
        return tuple(
            key
            for arn, key in self.world.keys.items()
            if arn.split(":")[3] == spec.region
            and spec.tags.items() <= self.world.key_settings[arn, Aspect.KEY_TAGS].items()
        )

    def create(self, spec: StoreSpec, policy: Mapping[str, Any]) -> str:
        self.world.call("create key")
        number = len(self.world.keys)
        arn = f"arn:{spec.partition.name}:kms:{spec.region}:{spec.account}:key/{number}"
        self.world.keys[arn] = ObservedKey(arn, "Enabled", float(number))
        self.world.key_settings[arn, Aspect.KEY_POLICY] = policy
        self.world.key_settings[arn, Aspect.KEY_ROTATION] = False
        self.world.key_settings[arn, Aspect.KEY_TAGS] = dict(spec.tags)
        return arn

    def point_alias(self, spec: StoreSpec, key_arn: str) -> str:
        self.world.call("point alias")
        return self.world.aliases.setdefault((spec.region, spec.key_alias), key_arn)

    def discard(self, spec: StoreSpec, key_arn: str) -> None:
        self._set_state("discard key", key_arn, "PendingDeletion")

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
        return spec.bucket not in self.world.filled_buckets

    def create(self, spec: StoreSpec) -> None:
        self.world.call("create bucket")
        if spec.bucket in self.world.foreign_buckets:
            raise PermanentError(f"bucket {spec.bucket} belongs to another account")
        settings = {Aspect.OWNERSHIP: "BucketOwnerEnforced", Aspect.BUCKET_TAGS: dict(spec.tags)}
        self.world.buckets.setdefault(spec.bucket, settings)

    def write(self, spec: StoreSpec, aspect: Aspect, value: Any) -> None:
        self.world.call(f"write {aspect}")
        self._bucket(spec)[aspect] = value

    def verify(self, spec: StoreSpec) -> None:
        self.world.call("head bucket")
        self._bucket(spec)


class FakeParameters:
    def __init__(self, world: FakeWorld) -> None:
        self.world = world

    def get(self, region: str, names: tuple[str, ...]) -> Mapping[str, str]:
        self.world.call("get parameters")
        found = self.world.parameters
        return {name: found[region, name] for name in names if (region, name) in found}

    def below(self, region: str, path: str) -> Mapping[str, str]:
        self.world.call("get parameters by path")
        return {
            name: value
            for (where, name), value in self.world.parameters.items()
            if where == region and name.startswith(f"{path}/")
        }

    def put(self, region: str, name: str, value: str) -> None:
        self.world.call("put parameter")
        self.world.parameters[region, name] = value

    def put_list(self, region: str, name: str, values: tuple[str, ...]) -> None:
        self.put(region, name, ",".join(values))

    def delete(self, region: str, names: tuple[str, ...]) -> None:
        self.world.call("delete parameters")
        for name in names:
            self.world.parameters.pop((region, name), None)


class FakeRegions:
    def __init__(self, world: FakeWorld) -> None:
        self.world = world

    def statuses(self) -> Mapping[str, str]:
        self.world.call("list regions")
        return self.world.statuses
