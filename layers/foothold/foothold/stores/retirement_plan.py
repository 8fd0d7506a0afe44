"""How a store is taken away, and what is remembered of it. Pure: values in, values out.

What is remembered is one parameter beside the store's own. It is written before anything is
taken away and forgotten only once the store is back, so that whoever comes next, after whatever
interruption, knows which way to go on.

Anybody may have written a parameter. So the bucket and the key themselves carry the time at which
their retirement began, as a tag, and a record that does not repeat it takes nothing away.
"""

from collections.abc import Mapping

from foothold.stores.aspects import BucketAspect, KeyAspect
from foothold.stores.model import RETIRING_TAG, STATE_TAG, StoreSpec
from foothold.stores.ownership import refuse_to_take_away
from foothold.stores.register import Adoption, Retirement
from foothold.stores.steps import (
    KeepStep,
    KeepVerb,
    ObservedKey,
    ObservedStore,
    RetireStep,
    RetireVerb,
)


def proven(spec: StoreSpec, retirement: Retirement, seen: ObservedStore) -> bool:
    """Whether the control plane itself began this retirement: all that is left of the store
    says so. Where nothing is left there is nothing to be taken away, so nothing to prove."""
    left = [tags for tags in _tags_left(seen) if spec.owns(tags)]
    if not left:
        parameters = (*seen.home_parameters, *seen.regional_parameters)
        ours = (*spec.parameters(spec.home_path, ""), *spec.parameters(spec.regional_path, ""))
        return not set(ours) & set(parameters)
    return all(tags.get(RETIRING_TAG) == retirement.mark for tags in left)


def _tags_left(seen: ObservedStore) -> list[Mapping[str, str]]:
    keys = [seen.settings.get(KeyAspect.TAGS) or {}] if seen.key else []
    keys += [key.tags for key in seen.tagged_keys]
    return keys + ([seen.settings.get(BucketAspect.TAGS) or {}] if seen.bucket_exists else [])


def distrust(spec: StoreSpec) -> KeepStep:
    """What a person hears of a record that nothing proves."""
    name = spec.retirement_parameter
    return KeepStep(
        KeepVerb.DISTRUST,
        f"the parameter {name} says that {spec.region} goes, but no tag {RETIRING_TAG} of its "
        "bucket or key does, so the control plane did not begin it: find out who wrote it; "
        f"`foothold regions retire {spec.region} --undo` deletes the parameter",
    )


def plan(spec: StoreSpec, seen: ObservedStore) -> tuple[RetireStep, ...]:
    """The steps that take away what is left of a store, in running order; none means retired.

    Parameters go first, so that nobody is pointed at what is about to go; the key goes last,
    because it can be brought back and is needed for nothing after that. Of an adopted store
    the bucket and the key stay. Raises PermanentError where the bucket or key is not ours.
    """
    refuse_to_take_away(spec, seen)
    steps = []
    for verb, path, published in (
        (RetireVerb.WITHDRAW_HOME, spec.home_path, seen.home_parameters),
        (RetireVerb.WITHDRAW_REGIONAL, spec.regional_path, seen.regional_parameters),
    ):
        names = tuple(name for name in spec.parameters(path, "") if name in published)
        if names:
            steps.append(RetireStep(verb, f"{spec.region} is being retired", names=names))
    if spec.adopted:
        return (*steps, *_give_back(spec, spec.adopted, seen))
    if seen.bucket_exists:
        if not seen.bucket_empty:
            steps.append(RetireStep(RetireVerb.DRAIN_BUCKET, f"{spec.bucket} holds artifacts"))
        steps.append(
            RetireStep(RetireVerb.DELETE_BUCKET, f"{spec.bucket} holds nothing that is published")
        )
    for key in _keys(seen):
        if not key.is_pending_deletion:
            reason = f"{key.arn} encrypts nothing once the bucket is gone"
            steps.append(RetireStep(RetireVerb.SCHEDULE_KEY_DELETION, reason, key=key.arn))
    if seen.key:
        steps.append(
            RetireStep(RetireVerb.DELETE_ALIAS, f"{spec.key_alias} points at {seen.key.arn}")
        )
    return tuple(steps)


def _give_back(spec: StoreSpec, adopted: Adoption, seen: ObservedStore) -> list[RetireStep]:
    steps = []
    if seen.key:
        reason = f"{spec.key_alias} points at {seen.key.arn}"
        steps.append(RetireStep(RetireVerb.DELETE_ALIAS, reason))
    reason = f"{spec.bucket} was not made by Foothold: it and its key stay as they are"
    ours = (*spec.tags, STATE_TAG, RETIRING_TAG)
    forget = RetireStep(RetireVerb.FORGET_ADOPTION, reason, key=adopted.key_arn, names=ours)
    return [*steps, forget]


def _keys(seen: ObservedStore) -> tuple[ObservedKey, ...]:
    return (seen.key,) if seen.key else seen.tagged_keys
