"""Bring a bucket and a key that exist already in, and keep them like Foothold's own."""

from collections.abc import Mapping
from typing import Any

from foothold.errors import NotOursError, PermanentError
from foothold.stores.aspects import BucketAspect, KeyAspect
from foothold.stores.beside import listed, policy_beside
from foothold.stores.model import REGION_TAG, STACK_TAG, ControlPlane, StoreSpec, Use
from foothold.stores.policies import bucket_policy, canonical, key_policy
from foothold.stores.ports import Buckets, Keys, Parameters
from foothold.stores.reconcile import Reconciler
from foothold.stores.register import Adoption
from foothold.stores.steps import KeyState, ObservedKey, Outcome


class Adoptions:
    """The adoptions of one control plane."""

    def __init__(
        self,
        control_plane: ControlPlane,
        reconciler: Reconciler,
        *,
        keys: Keys,
        buckets: Buckets,
        parameters: Parameters,
    ) -> None:
        self._control_plane = control_plane
        self._reconciler = reconciler
        self._keys = keys
        self._buckets = buckets
        self._parameters = parameters

    def adopt(
        self, region: str, bucket: str, key_arn: str, *, replace_policies: bool = False
    ) -> Outcome:
        """Adopt the bucket and the key for the region; return what was done to keep them.

        Raises PermanentError, before anything is changed, for a bucket that is another
        account's, in another region, open to everybody or not encrypted with the key; for a key
        of another region or account; where the region has another store; and, unless
        `replace_policies`, where a policy allows what Foothold's own would not.
        """
        plane, home = self._control_plane, self._control_plane.home_region
        register = plane.register(self._parameters.below(home, plane.names.stores))
        spec = plane.spec(region, Adoption(bucket, key_arn))
        self._reconciler.refuse_what_may_not_be_asked_for(region)
        self._refuse_another_store(plane.spec(region, register.adoption(region)), spec)
        self._refuse_key(spec, key_arn)
        self._refuse_bucket(spec, key_arn)
        if not replace_policies:
            self._refuse_to_take_access_away(spec, key_arn)
        assert spec.adopted is not None  # given three lines above
        # The record first: from now on this bucket and key are the region's, whoever runs next.
        self._parameters.put(home, spec.adoption_parameter, spec.adopted.text)
        self._keys.write(spec, key_arn, KeyAspect.TAGS, spec.tags_in(Use.IN_USE))
        self._keys.point_alias(spec, key_arn)
        self._buckets.write(spec, BucketAspect.TAGS, spec.tags_in(Use.IN_USE))
        (outcome,) = self._reconciler.reconcile([region])
        return outcome

    def _refuse_another_store(self, now: StoreSpec, wished: StoreSpec) -> None:
        names = tuple(now.parameters(now.home_path, ""))
        published = self._parameters.get(self._control_plane.home_region, names)
        other_adopted = now.adopted and now.adopted != wished.adopted
        if other_adopted or (published and not now.adopted):
            raise PermanentError(
                f"{now.region} has the store {now.bucket} already: retire it with `foothold "
                f"regions retire {now.region}`, then adopt {wished.bucket}"
            )

    def _refuse_key(self, spec: StoreSpec, key_arn: str) -> None:
        where = f"arn:{spec.partition.name}:kms:{spec.region}:{spec.account}:key/"
        if not key_arn.startswith(where):
            raise PermanentError(
                f"{key_arn} is not a key in {spec.region} of account {spec.account}: give the "
                f"whole ARN of one, {where}..."
            )
        key = self._keys.find(spec, key_arn)
        if key is None:
            raise PermanentError(f"there is no key {key_arn}")
        if key.state != KeyState.ENABLED:
            raise PermanentError(f"{key_arn} is {key.state}: enable it, then adopt it")
        if not key.fit:
            raise PermanentError(
                f"{key_arn} is not a symmetric customer managed key for encryption: make the "
                "bucket use one, then adopt both"
            )
        self._refuse_others_tag(spec, key_arn, key.tags)
        self._refuse_others_alias(spec, key)

    def _refuse_others_alias(self, spec: StoreSpec, key: ObservedKey) -> None:
        aliased = self._keys.aliased(spec)
        if aliased and aliased.arn != key.arn:
            raise PermanentError(
                f"{spec.key_alias} in {spec.region} points at {aliased.arn}: it is the key of "
                "another store; retire that one first"
            )

    def _refuse_bucket(self, spec: StoreSpec, key_arn: str) -> None:
        self._buckets.verify(spec)
        openings = self._buckets.openings(spec)
        if openings:
            raise PermanentError(
                f"bucket {spec.bucket} is public ({'; '.join(openings)}): close it, then adopt it"
            )
        encryption = self._buckets.read(spec, BucketAspect.ENCRYPTION) or {}
        found = encryption.get("KMSMasterKeyID", encryption.get("SSEAlgorithm", "nothing"))
        if found != key_arn:
            raise PermanentError(
                f"bucket {spec.bucket} encrypts with {found}, not with {key_arn}: make that key "
                "the bucket's default, by its whole ARN, then adopt both"
            )
        tags = self._buckets.read(spec, BucketAspect.TAGS) or {}
        self._refuse_others_tag(spec, f"bucket {spec.bucket}", tags)

    def _refuse_others_tag(self, spec: StoreSpec, name: str, tags: Mapping[str, str]) -> None:
        theirs = {
            tag: tags[tag] for tag in spec.tags if tags.get(tag, spec.tags[tag]) != spec.tags[tag]
        }
        if theirs:
            carried = ", ".join(f"{tag}={tags[tag]}" for tag in spec.tags if tag in tags)
            raise NotOursError(
                f"{name} belongs to {tags.get(STACK_TAG, 'nobody')} in "
                f"{tags.get(REGION_TAG, spec.region)} ({carried}): it cannot be adopted"
            )

    def _refuse_to_take_access_away(self, spec: StoreSpec, key_arn: str) -> None:
        bucket = self._buckets.read(spec, BucketAspect.POLICY)
        beside = policy_beside(spec, bucket_policy(spec, key_arn), bucket)
        key = self._keys.read(spec, key_arn, KeyAspect.POLICY)
        for name, lost in (
            (f"bucket {spec.bucket}", tuple(name for name, _ in beside.set_aside)),
            (key_arn, allowed_only_by(key, key_policy(spec))),
        ):
            if lost:
                raise PermanentError(
                    f"the policy of {name} allows what Foothold's would not ({', '.join(lost)}): "
                    "give those roles access with the stack's OrganizationIds and "
                    "ReaderRoleNames, or in their own policies, then adopt with "
                    "--replace-policies"
                )


def allowed_only_by(now: Any, ours: Mapping[str, Any]) -> tuple[str, ...]:
    """What the policy `now` allows and `ours` does not: a statement's Sid, or its number."""
    kept = [_meaning(statement) for statement in ours["Statement"]]
    return tuple(
        statement.get("Sid") or f"statement {number}"
        for number, statement in enumerate(listed((now or {}).get("Statement", ())), start=1)
        if statement["Effect"] == "Allow" and _meaning(statement) not in kept
    )


def _meaning(statement: Mapping[str, Any]) -> Any:
    return canonical({name: value for name, value in statement.items() if name != "Sid"})
