"""Keys in AWS KMS. The alias is the lock, because CreateKey has no idempotency token."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from foothold.aws.clients import Clients, aws_call, waited
from foothold.aws.pace import Pace
from foothold.errors import TemporaryError
from foothold.stores.aspects import KeyAspect
from foothold.stores.model import STATE_TAG, StoreSpec, Use
from foothold.stores.steps import ObservedKey

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_kms.type_defs import KeyMetadataTypeDef, TagTypeDef

# The shortest window there is (AWS KMS API Reference, "ScheduleKeyDeletion").
UNUSED_KEY_WINDOW_DAYS = 7
LONGEST_WINDOW_DAYS = 30
# AWS KMS Developer Guide, "Request quotas": each of the calls that change a key, a second.
CHANGES_A_SECOND = 5


class KmsKeys:
    """`stores.ports.Keys` on AWS. `pace` keeps the changes in one region within its quota.
    `make` makes a key for a spec and a use, where that takes rights which this process must not
    have beside its own; None: it makes them itself."""

    def __init__(
        self,
        clients: Clients,
        pace: Pace | None = None,
        make: Callable[[StoreSpec, Use], str] | None = None,
    ) -> None:
        self._clients = clients
        self._pace = pace
        self._make = make

    def _kms(self, spec: StoreSpec) -> "KMSClient":
        return self._clients.get("kms", spec.region)

    def _changing(self, spec: StoreSpec) -> "KMSClient":
        if self._pace:
            self._pace.wait(spec.region)
        return self._kms(spec)

    def aliased(self, spec: StoreSpec) -> ObservedKey | None:
        kms = self._kms(spec)
        with aws_call(f"look up {spec.key_alias} in {spec.region}"):
            try:
                return _observed(kms.describe_key(KeyId=spec.key_alias)["KeyMetadata"])
            except kms.exceptions.NotFoundException as error:
                if waited(error):
                    raise TemporaryError(
                        f"{spec.key_alias} in {spec.region} still points at no key"
                    ) from error
                return None

    def tagged(self, spec: StoreSpec) -> tuple[ObservedKey, ...]:
        return self._tagged(spec, {name: (value,) for name, value in spec.tags.items()})

    def unused(self, spec: StoreSpec) -> tuple[ObservedKey, ...]:
        never_used = {STATE_TAG: (Use.UNUSED.value, Use.REPLACEMENT.value)}
        tags = {name: (value,) for name, value in spec.tags.items()} | never_used
        return tuple(key for key in self._tagged(spec, tags) if not key.is_pending_deletion)

    def _tagged(
        self, spec: StoreSpec, tags: Mapping[str, tuple[str, ...]]
    ) -> tuple[ObservedKey, ...]:
        tagging = self._clients.get("resourcegroupstaggingapi", spec.region)
        keys = []
        with aws_call(f"look for keys tagged {spec.tags} in {spec.region}"):
            pages = tagging.get_paginator("get_resources").paginate(
                ResourceTypeFilters=["kms:key"],
                TagFilters=[{"Key": name, "Values": list(values)} for name, values in tags.items()],
            )
            for page in pages:
                for resource in page["ResourceTagMappingList"]:
                    found = {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
                    keys.append(self._described(spec, resource["ResourceARN"], found))
        # The tagging API still lists what was deleted a moment ago.
        return tuple(key for key in keys if key)

    def find(self, spec: StoreSpec, key_arn: str) -> ObservedKey | None:
        ours = f"arn:{spec.partition.name}:kms:{spec.region}:{spec.account}:key/"
        if not re.fullmatch(f"{re.escape(ours)}[A-Za-z0-9-]+", key_arn):
            return None
        with aws_call(f"look up {key_arn}"):
            key = self._described(spec, key_arn, {})
        if key is None:
            return None
        return replace(key, tags=self.read(spec, key_arn, KeyAspect.TAGS))

    def _described(
        self, spec: StoreSpec, key_arn: str, tags: Mapping[str, str]
    ) -> ObservedKey | None:
        kms = self._kms(spec)
        try:
            key = _observed(kms.describe_key(KeyId=key_arn)["KeyMetadata"])
        except kms.exceptions.NotFoundException:
            return None
        return replace(key, tags=tags)

    def create(self, spec: StoreSpec, policy: Mapping[str, Any], use: Use = Use.UNUSED) -> str:
        kms = self._changing(spec)
        if self._make:
            return self._make(spec, use)
        with aws_call(f"create a key in {spec.region}"):
            answer = kms.create_key(
                Description=f"Artifacts of {spec.control_plane.stack} in {spec.region}",
                Policy=json.dumps(policy),
                Tags=_tag_list(spec.tags_in(use)),
            )
        return answer["KeyMetadata"]["Arn"]

    def point_alias(self, spec: StoreSpec, key_arn: str) -> str:
        kms = self._changing(spec)
        with aws_call(f"create {spec.key_alias} in {spec.region}"):
            try:
                kms.create_alias(AliasName=spec.key_alias, TargetKeyId=key_arn)
            except kms.exceptions.AlreadyExistsException:
                return kms.describe_key(KeyId=spec.key_alias)["KeyMetadata"]["Arn"]
            except kms.exceptions.KMSInvalidStateException:
                # Its maker has lost the race for the alias in the meantime, and discards it.
                winner = self.aliased(spec)
                if winner is None:
                    raise
                return winner.arn
        return key_arn

    def delete_alias(self, spec: StoreSpec) -> None:
        kms = self._changing(spec)
        with aws_call(f"delete {spec.key_alias} in {spec.region}"):
            try:
                kms.delete_alias(AliasName=spec.key_alias)
            except kms.exceptions.NotFoundException:
                return  # deleted by a reply that was lost

    def discard(self, spec: StoreSpec, key_arn: str) -> None:
        self._schedule_deletion(spec, key_arn, UNUSED_KEY_WINDOW_DAYS)

    def schedule_deletion(self, spec: StoreSpec, key_arn: str) -> None:
        self._schedule_deletion(spec, key_arn, LONGEST_WINDOW_DAYS)

    def _schedule_deletion(self, spec: StoreSpec, key_arn: str, days: int) -> None:
        kms = self._changing(spec)
        with aws_call(f"schedule the deletion of {key_arn}"):
            try:
                kms.schedule_key_deletion(KeyId=key_arn, PendingWindowInDays=days)
            except kms.exceptions.KMSInvalidStateException:
                key = self._described(spec, key_arn, {})
                if key and not key.is_pending_deletion:
                    raise  # otherwise already scheduled, by a reply that was lost

    def untag(self, spec: StoreSpec, key_arn: str, names: Sequence[str]) -> None:
        with aws_call(f"untag {key_arn}"):
            self._changing(spec).untag_resource(KeyId=key_arn, TagKeys=list(names))

    def enable(self, spec: StoreSpec, key_arn: str) -> None:
        with aws_call(f"enable {key_arn}"):
            self._changing(spec).enable_key(KeyId=key_arn)

    def cancel_deletion(self, spec: StoreSpec, key_arn: str) -> None:
        kms = self._changing(spec)
        with aws_call(f"cancel the deletion of {key_arn}"):
            try:
                kms.cancel_key_deletion(KeyId=key_arn)
            except kms.exceptions.KMSInvalidStateException:
                key = self._described(spec, key_arn, {})
                if key and key.is_pending_deletion:
                    raise

    def read(self, spec: StoreSpec, key_arn: str, aspect: KeyAspect) -> Any:
        kms = self._kms(spec)
        with aws_call(f"read the {aspect} of {key_arn}"):
            match aspect:
                case KeyAspect.POLICY:
                    return json.loads(
                        kms.get_key_policy(KeyId=key_arn, PolicyName="default")["Policy"]
                    )
                case KeyAspect.ROTATION:
                    return kms.get_key_rotation_status(KeyId=key_arn)["KeyRotationEnabled"]
                case KeyAspect.TAGS:
                    pages = kms.get_paginator("list_resource_tags").paginate(KeyId=key_arn)
                    return {
                        tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]
                    }

    def write(self, spec: StoreSpec, key_arn: str, aspect: KeyAspect, value: Any) -> None:
        kms = self._changing(spec)
        with aws_call(f"set the {aspect} of {key_arn}"):
            match aspect:
                case KeyAspect.POLICY:
                    kms.put_key_policy(
                        KeyId=key_arn, PolicyName="default", Policy=json.dumps(value)
                    )
                case KeyAspect.ROTATION:
                    kms.enable_key_rotation(KeyId=key_arn)
                case KeyAspect.TAGS:
                    kms.tag_resource(KeyId=key_arn, Tags=_tag_list(value))


def _observed(metadata: "KeyMetadataTypeDef") -> ObservedKey:
    fit = (
        metadata.get("KeyManager", "CUSTOMER") == "CUSTOMER"
        and metadata.get("KeySpec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT"
        and metadata.get("KeyUsage", "ENCRYPT_DECRYPT") == "ENCRYPT_DECRYPT"
    )
    created = metadata["CreationDate"].timestamp()
    return ObservedKey(metadata["Arn"], metadata["KeyState"], created, fit)


def _tag_list(tags: Mapping[str, str]) -> "list[TagTypeDef]":
    return [{"TagKey": name, "TagValue": value} for name, value in tags.items()]
