"""Decide what to change in one region. Pure: values in, values out."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from foothold.errors import PermanentError
from foothold.stores.aspects import (
    BUCKET_ASPECTS,
    KEY_ASPECTS,
    NONCURRENT_DAYS,
    SETTINGS,
    Aspect,
    BucketAspect,
    KeyAspect,
    desired_settings,
)
from foothold.stores.beside import Beside, lifecycle_beside, policy_beside
from foothold.stores.model import RETIRING_TAG, STATE_TAG, StoreSpec, Use
from foothold.stores.ownership import refuse_to_keep
from foothold.stores.policies import canonical, key_policy
from foothold.stores.register import Phase, Retirement
from foothold.stores.steps import (
    KEY_TO_COME,
    KeepStep,
    KeepVerb,
    KeyState,
    ObservedKey,
    ObservedStore,
)

TAGS = (KeyAspect.TAGS, BucketAspect.TAGS)

# A key that another run is about to use is younger than this.
SPARE_AFTER_SECONDS = 3600


def plan(
    spec: StoreSpec, seen: ObservedStore, now: float, called_off: Retirement | None = None
) -> tuple[KeepStep, ...]:
    """The steps that turn `seen` into `spec`, in running order; none means converged.

    `now` is in seconds since the epoch; `called_off` is the retirement of a store that is wanted
    again. Only what was read is compared. Parameters come late, so that nobody ever reads half a
    store. A replacement is tagged as in use only after that has been told, so that a run cut short
    is finished by the next one. Raises PermanentError, with the command that would help, where the
    region holds what is not provably ours, or where a repair could take access to artifacts away.
    """
    refuse_to_keep(spec, seen)
    use = use_of_new(spec, seen, restoring=called_off is not None)
    steps = _key_steps(spec, seen, use)
    adopted = next((step.key for step in steps if step.key), "")
    key_arn = seen.key.arn if seen.key else adopted or KEY_TO_COME
    if not seen.bucket_exists:
        reason = f"{spec.bucket} does not exist"
        steps.append(KeepStep(KeepVerb.CREATE_BUCKET, reason, use=use))
    settings = _setting_steps(spec, seen, key_arn)
    replaced = _replaced(spec, seen, key_arn, use)
    if called_off and called_off.deleted > 0 and not replaced:
        replaced = f"artifacts in {spec.bucket} were deleted while it was being retired"
    late = TAGS if replaced else ()
    steps += [step for step in settings if step.aspect not in late]
    steps += _unmarking_steps(seen, adopted)
    for verb, path, published in (
        (KeepVerb.PUBLISH_REGIONAL, spec.regional_path, seen.regional_parameters),
        (KeepVerb.PUBLISH_HOME, spec.home_path, seen.home_parameters),
    ):
        if _unlike(spec.parameters(path, key_arn), published):
            named = spec.parameters(path, _key_in_values(seen)).items()
            value = {name: text for name, text in named if published.get(name) != text}
            steps.append(KeepStep(verb, f"{path} does not name the store", value=value))
    if replaced:
        steps.append(KeepStep(KeepVerb.ANNOUNCE, replaced))
    steps += [step for step in settings if step.aspect in late]
    in_use = {key_arn, *_published_keys(spec, seen)}
    spare = [
        KeepStep(
            KeepVerb.DISCARD_KEY,
            f"{key.arn} was created for {spec.region} and never used",
            key=key.arn,
        )
        for key in seen.spare_keys
        if key.arn not in in_use and now - key.created > SPARE_AFTER_SECONDS
    ]
    if called_off:
        restoring, forgetting = _restoring_steps(spec, called_off)
        return (restoring, *steps, forgetting, *spare)
    return (*steps, *spare)


def _restoring_steps(spec: StoreSpec, called_off: Retirement) -> tuple[KeepStep, KeepStep]:
    """What is written down before the first step, so that whoever comes next goes on with it, and
    after the last: nothing but why the retirement was called off, where it was by itself."""
    going_on = called_off.phase is Phase.RESTORING
    restoring = None if going_on else replace(called_off.to(Phase.RESTORING), reason=None)
    kept = called_off.to(Phase.CALLED_OFF) if going_on and called_off.reason else None
    return (
        KeepStep(KeepVerb.RESTORE, f"{spec.region} is wanted again", value=restoring),
        KeepStep(KeepVerb.FORGET_RETIREMENT, "the store is there again", value=kept),
    )


def use_of_new(spec: StoreSpec, seen: ObservedStore, *, restoring: bool) -> Use:
    """What a bucket or key that is created now is tagged with: whether it takes the place of
    one that somebody has been pointed at."""
    published = any(
        name in parameters
        for path, parameters in (
            (spec.home_path, seen.home_parameters),
            (spec.regional_path, seen.regional_parameters),
        )
        for name in spec.parameters(path, "")
    )
    return Use.REPLACEMENT if restoring or published else Use.UNUSED


def _replaced(spec: StoreSpec, seen: ObservedStore, key_arn: str, use: Use) -> str | None:
    """Why packages must be made again; None where they need not."""
    new = use is Use.REPLACEMENT
    if not seen.bucket_exists and new:
        return f"{spec.bucket} is new and empty"
    if key_arn == KEY_TO_COME and new:
        return "the key is new: what the old one encrypted cannot be read any more"
    for aspect in TAGS:
        if (seen.settings.get(aspect) or {}).get(STATE_TAG) == Use.REPLACEMENT:
            return "it was replaced, and nobody has been told yet"
    return None


def _key_steps(spec: StoreSpec, seen: ObservedStore, use: Use) -> list[KeepStep]:
    ours = tuple(key for key in seen.named_keys if spec.tags.items() <= key.tags.items())
    if seen.key:
        _refuse_a_moved_alias(spec, seen.key, ours)
        return _revive(seen.key)
    published = _published_keys(spec, seen)
    candidates = sorted(
        {key.arn: key for key in (*ours, *seen.tagged_keys)}.values(),
        key=lambda key: (
            key.arn not in published,
            key.is_pending_deletion,
            key.created,
            key.arn,
        ),
    )
    if candidates:
        found = candidates[0]
        reason = f"{spec.key_alias} points at no key, and {found.arn} carries its tags"
        return [*_revive(found), KeepStep(KeepVerb.ADOPT_KEY, reason, key=found.arn)]
    for key in seen.named_keys:
        tags = " ".join(f"TagKey={name},TagValue={value}" for name, value in spec.tags.items())
        raise PermanentError(
            f"{spec.key_alias} in {spec.region} points at no key, and {key.arn}, which a "
            f"parameter names, is not tagged as Foothold's: if it is, run `aws kms tag-resource "
            f"--region {spec.region} --key-id {key.arn} --tags {tags}`; if not, delete the "
            "parameter"
        )
    gone = f"; {', '.join(sorted(published))} is gone for good" if published else ""
    reason = f"{spec.key_alias} points at no key{gone}"
    return [KeepStep(KeepVerb.CREATE_KEY, reason, value=key_policy(spec), use=use)]


def _published_keys(spec: StoreSpec, seen: ObservedStore) -> set[str]:
    return spec.keys_named_in({**seen.home_parameters, **seen.regional_parameters})


def _refuse_a_moved_alias(
    spec: StoreSpec, aliased: ObservedKey, others: tuple[ObservedKey, ...]
) -> None:
    """The artifacts are under the key that was published, for as long as it can come back."""
    for key in others:
        raise PermanentError(
            f"{spec.key_alias} in {spec.region} was moved to {aliased.arn}, but the artifacts are "
            f"under {key.arn}, which is {key.state}: move it back with `aws kms update-alias "
            f"--region {spec.region} --alias-name {spec.key_alias} --target-key-id {key.arn}`"
        )


def _revive(key: ObservedKey) -> list[KeepStep]:
    """CancelKeyDeletion leaves a key disabled (AWS KMS Developer Guide, "Deleting keys")."""
    if key.state == KeyState.ENABLED:
        return []
    enable = KeepStep(KeepVerb.ENABLE_KEY, f"{key.arn} is {key.state}", key=key.arn)
    if key.state == KeyState.DISABLED:
        return [enable]
    if key.state == KeyState.PENDING_DELETION:
        cancel = KeepStep(KeepVerb.CANCEL_KEY_DELETION, f"{key.arn} is {key.state}", key=key.arn)
        return [cancel, enable]
    raise PermanentError(f"{key.arn} is {key.state}: only a person can tell what it needs")


def _setting_steps(spec: StoreSpec, seen: ObservedStore, key_arn: str) -> list[KeepStep]:
    steps = []
    desired = desired_settings(spec, key_arn)
    aspect: Aspect
    for aspect in KEY_ASPECTS:
        ours, found = desired[aspect], seen.settings.get(aspect)
        if seen.key is None:
            if not SETTINGS[aspect].at_creation or key_arn != KEY_TO_COME:
                steps.append(_set(aspect, "the key is not in use yet", ours))
        elif aspect in seen.settings and _differs(aspect, ours, found):
            steps.append(_set(aspect, _reason(found), ours))
    for aspect in BUCKET_ASPECTS:
        if not seen.bucket_exists:
            if not SETTINGS[aspect].at_creation:
                steps.append(_set(aspect, "the bucket is new", _to_write(spec, seen, aspect)))
        elif aspect in seen.settings:
            steps += _bucket_steps(spec, seen, aspect, desired[aspect])
    return steps


def _set(aspect: Aspect, reason: str, value: Any) -> KeepStep:
    return KeepStep(KeepVerb.SET, reason, aspect, value=value)


def _unmarking_steps(seen: ObservedStore, adopted: str) -> list[KeepStep]:
    """The mark of a retirement goes where there is none, whoever was cut short."""
    found = (*seen.named_keys, *seen.tagged_keys)
    tags: dict[Aspect, Any] = {
        BucketAspect.TAGS: seen.settings.get(BucketAspect.TAGS),
        KeyAspect.TAGS: seen.settings.get(KeyAspect.TAGS)
        if seen.key
        else next((key.tags for key in found if key.arn == adopted), None),
    }
    return [
        KeepStep(KeepVerb.UNTAG, "no retirement is under way", aspect)
        for aspect, carried in tags.items()
        if RETIRING_TAG in (carried or {})
    ]


def _bucket_steps(
    spec: StoreSpec, seen: ObservedStore, aspect: Aspect, ours: Any
) -> list[KeepStep]:
    """What puts one setting of a bucket right that is there."""
    found = seen.settings[aspect]
    wanted = _beside(spec, aspect, ours, found)
    if not wanted.differs:
        return []
    if aspect is BucketAspect.LIFECYCLE and _keeps_longer(found):
        return [_leave_lifecycle(spec, wanted.value)]
    value = _to_write(spec, seen, aspect)
    if wanted.set_aside:
        return [KeepStep(KeepVerb.SET_ASIDE, _opens(wanted.set_aside), aspect, value=value)]
    steps = [_set(aspect, _reason(found), value)]
    if aspect is BucketAspect.TAGS and _tags_are_new(spec, seen):
        names = (
            (spec.control_plane.home_region, tuple(seen.home_parameters)),
            (spec.region, tuple(seen.regional_parameters)),
        )
        reason = "they may lack the stack's Tags"
        steps.insert(0, KeepStep(KeepVerb.TAG_PARAMETERS, reason, value=names))
    return steps


def _to_write(spec: StoreSpec, seen: ObservedStore, aspect: Aspect) -> Any:
    """The whole value of one of the bucket's settings: Foothold's own part of it, and what others
    have put beside that and may keep."""
    ours = desired_settings(spec, _key_in_values(seen))[aspect]
    return _beside(spec, aspect, ours, seen.settings.get(aspect)).value


def _key_in_values(seen: ObservedStore) -> str:
    """What the values of a plan name as the store's key. Where the alias points at none, another
    run may be faster to point it at one, be it at another than this plan would."""
    return seen.key.arn if seen.key else KEY_TO_COME


def _beside(spec: StoreSpec, aspect: Aspect, ours: Any, found: Any) -> Beside:
    """What a setting should be, given what was found."""
    if aspect is BucketAspect.POLICY:
        return policy_beside(spec, ours, found)
    if aspect is BucketAspect.LIFECYCLE:
        return lifecycle_beside(ours, found)
    return Beside(ours, _differs(aspect, ours, found))


def _opens(set_aside: Iterable[tuple[str, str]]) -> str:
    """Why statements of others do not stay."""
    found = ", ".join(f"{name} lets {who} in" for name, who in set_aside)
    return (
        f"{found}, whom Foothold's policy would not; give a role access with ReaderRoleNames, or "
        "in its own account's policies"
    )


def _tags_are_new(spec: StoreSpec, seen: ObservedStore) -> bool:
    """Whether the bucket lacks tags of the organisation; it is the last to get them, so that it
    shows what the parameters have, which nobody reads."""
    published = {**seen.home_parameters, **seen.regional_parameters}
    tags = seen.settings.get(BucketAspect.TAGS) or {}
    return bool(published) and _unlike(dict(spec.control_plane.tags), tags)


def _keeps_longer(rules: Any) -> bool:
    """Whether these lifecycle rules delete replaced artifacts, but later than ours do."""
    days = [
        rule["NoncurrentVersionExpiration"].get("NoncurrentDays", 0)
        for rule in (rules if isinstance(rules, list) else ())
        if rule.get("Status") == "Enabled" and "NoncurrentVersionExpiration" in rule
    ]
    return bool(days) and min(days) > NONCURRENT_DAYS


def _leave_lifecycle(spec: StoreSpec, desired: Any) -> KeepStep:
    return KeepStep(
        KeepVerb.LEAVE,
        "it keeps replaced artifacts longer than Foothold does, which would delete them",
        BucketAspect.LIFECYCLE,
        command=(
            f"aws s3api put-bucket-lifecycle-configuration --region {spec.region} "
            f"--bucket {spec.bucket} --expected-bucket-owner {spec.account} "
            f"--lifecycle-configuration '{json.dumps({'Rules': desired}, default=str)}'"
        ),
    )


def _reason(value: Any) -> str:
    return "it is not set" if value in (None, {}, []) else "it differs from the desired one"


def _differs(aspect: Aspect, desired: Any, value: Any) -> bool:
    if aspect in (KeyAspect.TAGS, BucketAspect.TAGS):
        return _unlike(desired, value or {})
    return bool(canonical(desired) != canonical(value))


def _unlike(desired: Mapping[str, str], seen: Mapping[str, str]) -> bool:
    """Whether any desired pair is missing; pairs beside them belong to somebody else."""
    return any(seen.get(name) != value for name, value in desired.items())
