"""Whose a bucket, a key or a parameter is. Several control planes may share one account.

Pure: tags in, an error out. Ours means that both tags of this control plane's identity match;
a name, a path or a record proves nothing.
"""

from collections.abc import Mapping

from foothold.errors import NotOursError, PermanentError
from foothold.stores.aspects import BucketAspect, KeyAspect
from foothold.stores.model import HOME_TAG, REGION_TAG, STACK_TAG, StoreSpec
from foothold.stores.steps import ObservedKey, ObservedStore

Tags = Mapping[str, str]


def refuse_others(spec: StoreSpec, name: str, tags: Tags | None, way_out: str) -> None:
    """Raise NotOursError unless the tags are those of the spec's own control plane.

    `name` is the bucket or key that carries them; `way_out` is for one that no control plane
    has tagged.
    """
    if not spec.owns(tags):
        raise NotOursError(f"{name} {_whose(spec, tags or {}, way_out)}")


def is_anothers(spec: StoreSpec, tags: Tags) -> bool:
    """Whether another control plane has tagged it."""
    identity = spec.control_plane.identity
    return any(name in tags and tags[name] != value for name, value in identity.items())


def refuse_anothers_key(spec: StoreSpec, key: ObservedKey, where: str) -> None:
    """Raise NotOursError where the key, which the parameters `where` name, is another's."""
    if is_anothers(spec, key.tags):
        name = f"{key.arn}, which the parameters {where} name,"
        refuse_others(spec, name, key.tags, "delete the parameter")


def refuse_others_bucket(spec: StoreSpec, tags: Tags | None, *, empty: bool) -> None:
    """Raise NotOursError where the bucket is not ours. One without any tag and any object is: it
    was left by a creation cut short."""
    if tags or not empty:
        way_out = "move it away or choose another NamePrefix"
        refuse_others(spec, f"bucket {spec.bucket} exists but", tags, way_out)


def refuse_to_keep(spec: StoreSpec, seen: ObservedStore) -> None:
    """Raise PermanentError, with what would help, unless all that was found of a store is ours to
    change."""
    key_tags = seen.settings.get(KeyAspect.TAGS) or {}
    bucket_tags = seen.settings.get(BucketAspect.TAGS, spec.tags) or {}
    if spec.adopted and seen.bucket_exists and STACK_TAG not in bucket_tags:
        raise PermanentError(
            f"the adoption of bucket {spec.bucket} was cut short, or its tags were taken off: "
            f"run `foothold regions adopt {spec.region} --bucket {spec.bucket} --key-arn "
            f"{spec.adopted.key_arn}` again"
        )
    if seen.key and KeyAspect.TAGS in seen.settings:
        way_out = "point the alias at Foothold's own key, or delete the alias"
        name = f"{spec.key_alias} in {spec.region} points at {seen.key.arn}, which"
        refuse_others(spec, name, key_tags, way_out)
    # With a key of our own here, a parameter that names another is only wrong.
    for key in () if seen.key else seen.named_keys:
        refuse_anothers_key(spec, key, f"of {spec.region}")
    if seen.bucket_exists and BucketAspect.TAGS in seen.settings:
        # One tag of two is gone: whose the bucket is, its key tells, once that is looked at.
        told_by_key = KeyAspect.TAGS not in seen.settings or spec.owns(key_tags)
        drifted = (
            seen.key is not None
            and told_by_key
            and bucket_tags.get(STACK_TAG) == spec.control_plane.stack
            and HOME_TAG not in bucket_tags
        )
        if not drifted:
            refuse_others_bucket(spec, bucket_tags, empty=bool(seen.bucket_empty))
    if spec.adopted and bucket_tags.get(REGION_TAG, spec.region) != spec.region:
        raise NotOursError(
            f"bucket {spec.bucket} is the store of {bucket_tags[REGION_TAG]}: the parameter "
            f"{spec.adoption_parameter} names it for {spec.region}, delete that parameter"
        )


def refuse_to_take_away(spec: StoreSpec, seen: ObservedStore) -> None:
    """Raise NotOursError unless the key and the bucket that were found are ours. Those of an
    adoption may have been given back already."""
    for aspect, name in (
        (KeyAspect.TAGS, seen.key.arn if seen.key else ""),
        (BucketAspect.TAGS, f"bucket {spec.bucket}"),
    ):
        if aspect in seen.settings:
            tags = seen.settings[aspect] or {}
            given_back = spec.adopted and STACK_TAG not in tags
            if not given_back:
                refuse_others(spec, name, tags, "it is not taken away")


def _whose(spec: StoreSpec, tags: Tags, way_out: str) -> str:
    plane = spec.control_plane
    hand_over = (
        f"`foothold regions hand-over {spec.region} --to-stack {plane.stack} "
        f"--to-home {plane.home_region}`"
    )
    stack, home = tags.get(STACK_TAG), tags.get(HOME_TAG)
    if stack is None:
        return (
            f"does not carry the tag {STACK_TAG}: it is not Foothold's, nothing was changed; "
            f"{way_out}"
        )
    if stack == plane.stack and home is None:
        return (
            f"carries {STACK_TAG}={stack}, but not {HOME_TAG}, so that nobody can tell whether it "
            f"is this control plane's, nothing was changed; if it is, run {hand_over}"
        )
    at_home = f" with its home in {home}" if home else ""
    return (
        f"belongs to the control plane of stack {stack}{at_home}; this one is stack "
        f"{plane.stack} with its home in {plane.home_region}: it is not Foothold's to change from "
        "here, nothing was changed; give this one another NamePrefix and ParameterRoot, or hand "
        f"the region over there with {hand_over}"
    )
