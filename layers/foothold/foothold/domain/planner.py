"""Decide what to change in one region. Pure: values in, values out."""

from collections.abc import Mapping
from typing import Any

from foothold.domain.errors import PermanentError
from foothold.domain.models import (
    BUCKET_ASPECTS,
    KEY_ASPECTS,
    STACK_TAG,
    ArtifactStore,
    Aspect,
    KeyState,
    ObservedKey,
    ObservedStore,
    Step,
    StoreSpec,
    Verb,
)
from foothold.domain.policies import bucket_policy, canonical, key_policy

# Given at creation, so a bucket that is about to be created needs no step for them.
SET_AT_CREATION = frozenset({Aspect.OWNERSHIP, Aspect.KEY_POLICY, Aspect.KEY_TAGS})
# What is looked at in every tick: whatever takes access away or lets somebody in.
ALWAYS_LOOKED_AT = (Aspect.KEY_POLICY, Aspect.BUCKET_POLICY)
LOOKED_AT_IN_TURN = tuple(aspect for aspect in Aspect if aspect not in ALWAYS_LOOKED_AT)
IN_TURN_AT_ONCE = 2
EVERYTHING = tuple(Aspect)

NONCURRENT_DAYS = 30
UPLOAD_DAYS = 1


def turn(number: int) -> tuple[Aspect, ...]:
    """The aspects that tick `number` looks at: all that guard access, and two of the others.

    Four ticks in a row look at everything, with six reads a region each instead of twelve.
    """
    first = number * IN_TURN_AT_ONCE % len(LOOKED_AT_IN_TURN)
    return ALWAYS_LOOKED_AT + LOOKED_AT_IN_TURN[first : first + IN_TURN_AT_ONCE]


def desired_settings(spec: StoreSpec, key_arn: str) -> Mapping[Aspect, Any]:
    """Every setting of a store, in the shape its AWS API takes."""
    return {
        Aspect.KEY_POLICY: key_policy(spec),
        Aspect.KEY_ROTATION: True,
        Aspect.KEY_TAGS: spec.tags,
        Aspect.PUBLIC_ACCESS: {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
        Aspect.OWNERSHIP: "BucketOwnerEnforced",
        Aspect.VERSIONING: "Enabled",
        Aspect.ENCRYPTION: {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": key_arn,
            "BucketKeyEnabled": True,
        },
        Aspect.LIFECYCLE: [
            {
                "ID": "expire-replaced-artifacts",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_DAYS},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS},
            }
        ],
        Aspect.BUCKET_TAGS: spec.tags,
        Aspect.BUCKET_POLICY: bucket_policy(spec, key_arn),
    }


def plan(spec: StoreSpec, seen: ObservedStore) -> tuple[Step, ...]:
    """The steps that turn `seen` into `spec`, in running order; none means converged.

    Only what was read is compared. Parameters come last, so that nobody ever reads half a
    store. Raises PermanentError where the region holds something that is not provably ours.
    """
    _refuse_what_is_not_ours(spec, seen)
    steps = _key_steps(spec, seen)
    adopted = next((step.key for step in steps if step.key), None)
    key_arn = seen.key.arn if seen.key else adopted
    if not seen.bucket_exists:
        steps.append(Step(Verb.CREATE_BUCKET, f"{spec.bucket} does not exist"))
    steps += _setting_steps(spec, seen, key_arn)
    for verb, path, published in (
        (Verb.PUBLISH_REGIONAL, spec.regional_path, seen.regional_parameters),
        (Verb.PUBLISH_HOME, spec.home_path, seen.home_parameters),
    ):
        wrong = key_arn is None or _unlike(spec.parameters(path, key_arn), published)
        if wrong:
            steps.append(Step(verb, f"{path} does not name the store"))
    return tuple(steps)


def store(spec: StoreSpec, key_arn: str) -> ArtifactStore:
    """The store that a converged region holds."""
    return ArtifactStore(spec.region, spec.bucket, key_arn)


def _refuse_what_is_not_ours(spec: StoreSpec, seen: ObservedStore) -> None:
    owner = spec.tags[STACK_TAG]
    if seen.key and Aspect.KEY_TAGS in seen.settings:
        stack = (seen.settings[Aspect.KEY_TAGS] or {}).get(STACK_TAG)
        if stack != owner:
            raise PermanentError(
                f"{spec.key_alias} in {spec.region} points at {seen.key.arn}, whose tag "
                f"{STACK_TAG} is {stack!r}, not {owner!r}: point the alias at Foothold's own "
                "key, or delete the alias"
            )
    if seen.bucket_exists and Aspect.BUCKET_TAGS in seen.settings:
        tags = seen.settings[Aspect.BUCKET_TAGS] or {}
        # A bucket without any tag and any object is our own, left by a creation cut short.
        unfinished = not tags and seen.bucket_empty
        if tags.get(STACK_TAG) != owner and not unfinished:
            raise PermanentError(
                f"bucket {spec.bucket} exists but its tag {STACK_TAG} is "
                f"{tags.get(STACK_TAG)!r}, not {owner!r}: it is not Foothold's, nothing was "
                "changed; move it away or choose another NamePrefix"
            )


def _key_steps(spec: StoreSpec, seen: ObservedStore) -> list[Step]:
    if seen.key:
        return _revive(seen.key)
    published = {
        seen.regional_parameters.get(f"{spec.regional_path}/key-arn"),
        seen.home_parameters.get(f"{spec.home_path}/key-arn"),
    }
    candidates = sorted(
        seen.tagged_keys,
        key=lambda key: (
            key.arn not in published,
            key.state == KeyState.PENDING_DELETION,
            key.created,
            key.arn,
        ),
    )
    if not candidates:
        return [Step(Verb.CREATE_KEY, f"{spec.key_alias} points at no key")]
    found = candidates[0]
    reason = f"{spec.key_alias} points at no key, and {found.arn} carries its tags"
    return [*_revive(found), Step(Verb.ADOPT_KEY, reason, key=found.arn)]


def _revive(key: ObservedKey) -> list[Step]:
    """CancelKeyDeletion leaves a key disabled (AWS KMS Developer Guide, "Deleting keys")."""
    if key.state == KeyState.ENABLED:
        return []
    enable = Step(Verb.ENABLE_KEY, f"{key.arn} is {key.state}", key=key.arn)
    if key.state == KeyState.DISABLED:
        return [enable]
    if key.state == KeyState.PENDING_DELETION:
        cancel = Step(Verb.CANCEL_KEY_DELETION, f"{key.arn} is {key.state}", key=key.arn)
        return [cancel, enable]
    raise PermanentError(f"{key.arn} is {key.state}: only a person can tell what it needs")


def _setting_steps(spec: StoreSpec, seen: ObservedStore, key_arn: str | None) -> list[Step]:
    steps = []
    # Without a key the values that name it are still unknown, but so is every comparison.
    desired = desired_settings(spec, key_arn or "")
    key_is_new = seen.key is None and key_arn is None
    for aspect in KEY_ASPECTS:
        if seen.key is None:
            if aspect not in SET_AT_CREATION or not key_is_new:
                steps.append(Step(Verb.SET, "the key is not in use yet", aspect))
        elif aspect in seen.settings and _differs(aspect, desired[aspect], seen.settings[aspect]):
            steps.append(Step(Verb.SET, _reason(seen.settings[aspect]), aspect))
    for aspect in BUCKET_ASPECTS:
        if not seen.bucket_exists:
            if aspect not in SET_AT_CREATION:
                steps.append(Step(Verb.SET, "the bucket is new", aspect))
        elif aspect in seen.settings and _differs(aspect, desired[aspect], seen.settings[aspect]):
            steps.append(Step(Verb.SET, _reason(seen.settings[aspect]), aspect))
    return steps


def _reason(value: Any) -> str:
    return "it is not set" if value in (None, {}, []) else "it differs from the desired one"


def _differs(aspect: Aspect, desired: Any, value: Any) -> bool:
    if aspect in (Aspect.KEY_TAGS, Aspect.BUCKET_TAGS):
        return _unlike(desired, value or {})
    return bool(canonical(desired) != canonical(value))


def _unlike(desired: Mapping[str, str], seen: Mapping[str, str]) -> bool:
    """Whether any desired pair is missing; pairs beside them belong to somebody else."""
    return any(seen.get(name) != value for name, value in desired.items())
