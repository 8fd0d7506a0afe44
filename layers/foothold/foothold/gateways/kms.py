"""Keys in AWS KMS. The alias is the lock, because CreateKey has no idempotency token."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foothold.domain.models import Aspect, KeyState, ObservedKey, StoreSpec
from foothold.gateways.aws import Clients, aws_call

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_kms.type_defs import KeyMetadataTypeDef, TagTypeDef

# The shortest window there is (AWS KMS API Reference, "ScheduleKeyDeletion").
UNUSED_KEY_WINDOW_DAYS = 7


class KmsKeys:
    """`services.ports.Keys` on AWS."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def _kms(self, spec: StoreSpec) -> "KMSClient":
        return self._clients.get("kms", spec.region)

    def aliased(self, spec: StoreSpec) -> ObservedKey | None:
        kms = self._kms(spec)
        with aws_call(f"look up {spec.key_alias} in {spec.region}"):
            try:
                return _observed(kms.describe_key(KeyId=spec.key_alias)["KeyMetadata"])
            except kms.exceptions.NotFoundException:
                return None

    def tagged(self, spec: StoreSpec) -> tuple[ObservedKey, ...]:
        tagging = self._clients.get("resourcegroupstaggingapi", spec.region)
        kms = self._kms(spec)
        keys = []
        with aws_call(f"look for keys tagged {spec.tags} in {spec.region}"):
            pages = tagging.get_paginator("get_resources").paginate(
                ResourceTypeFilters=["kms:key"],
                TagFilters=[{"Key": name, "Values": [value]} for name, value in spec.tags.items()],
            )
            for page in pages:
                for resource in page["ResourceTagMappingList"]:
                    try:
                        answer = kms.describe_key(KeyId=resource["ResourceARN"])
                    except kms.exceptions.NotFoundException:
                        continue  # the tagging API still lists what was deleted a moment ago
                    keys.append(_observed(answer["KeyMetadata"]))
        return tuple(keys)

    def create(self, spec: StoreSpec, policy: Mapping[str, Any]) -> str:
        with aws_call(f"create a key in {spec.region}"):
            answer = self._kms(spec).create_key(
                Description=f"Artifacts of {spec.control_plane.stack} in {spec.region}",
                Policy=json.dumps(policy),
                Tags=_tag_list(spec.tags),
            )
        return answer["KeyMetadata"]["Arn"]

    def point_alias(self, spec: StoreSpec, key_arn: str) -> str:
        kms = self._kms(spec)
        with aws_call(f"create {spec.key_alias} in {spec.region}"):
            try:
                kms.create_alias(AliasName=spec.key_alias, TargetKeyId=key_arn)
            except kms.exceptions.AlreadyExistsException:
                return kms.describe_key(KeyId=spec.key_alias)["KeyMetadata"]["Arn"]
        return key_arn

    def discard(self, spec: StoreSpec, key_arn: str) -> None:
        kms = self._kms(spec)
        with aws_call(f"schedule the deletion of the unused key {key_arn}"):
            try:
                kms.schedule_key_deletion(KeyId=key_arn, PendingWindowInDays=UNUSED_KEY_WINDOW_DAYS)
            except kms.exceptions.KMSInvalidStateException:
                return  # already scheduled, by a reply that was lost

    def enable(self, spec: StoreSpec, key_arn: str) -> None:
        with aws_call(f"enable {key_arn}"):
            self._kms(spec).enable_key(KeyId=key_arn)

    def cancel_deletion(self, spec: StoreSpec, key_arn: str) -> None:
        kms = self._kms(spec)
        with aws_call(f"cancel the deletion of {key_arn}"):
            try:
                kms.cancel_key_deletion(KeyId=key_arn)
            except kms.exceptions.KMSInvalidStateException:
                key = _observed(kms.describe_key(KeyId=key_arn)["KeyMetadata"])
                if key.state == KeyState.PENDING_DELETION:
                    raise

    def read(self, spec: StoreSpec, key_arn: str, aspect: Aspect) -> Any:
        kms = self._kms(spec)
        with aws_call(f"read the {aspect} of {key_arn}"):
            match aspect:
                case Aspect.KEY_POLICY:
                    return json.loads(
                        kms.get_key_policy(KeyId=key_arn, PolicyName="default")["Policy"]
                    )
                case Aspect.KEY_ROTATION:
                    return kms.get_key_rotation_status(KeyId=key_arn)["KeyRotationEnabled"]
                case Aspect.KEY_TAGS:
                    pages = kms.get_paginator("list_resource_tags").paginate(KeyId=key_arn)
                    return {
                        tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]
                    }
        raise ValueError(aspect)

    def write(self, spec: StoreSpec, key_arn: str, aspect: Aspect, value: Any) -> None:
        kms = self._kms(spec)
        with aws_call(f"set the {aspect} of {key_arn}"):
            match aspect:
                case Aspect.KEY_POLICY:
                    kms.put_key_policy(
                        KeyId=key_arn, PolicyName="default", Policy=json.dumps(value)
                    )
                case Aspect.KEY_ROTATION:
                    kms.enable_key_rotation(KeyId=key_arn)
                case Aspect.KEY_TAGS:
                    kms.tag_resource(KeyId=key_arn, Tags=_tag_list(value))
                case _:
                    raise ValueError(aspect)


def _observed(metadata: "KeyMetadataTypeDef") -> ObservedKey:
    return ObservedKey(metadata["Arn"], metadata["KeyState"], metadata["CreationDate"].timestamp())


def _tag_list(tags: Mapping[str, str]) -> "list[TagTypeDef]":
    return [{"TagKey": name, "TagValue": value} for name, value in tags.items()]
