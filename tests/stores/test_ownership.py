"""What is somebody else's is refused with whose it is, and with the way out."""

from dataclasses import replace

import pytest

from foothold.errors import NotOursError
from foothold.stores.aspects import Aspect, BucketAspect, KeyAspect
from foothold.stores.model import HOME_TAG, REGION_TAG, STACK_TAG
from foothold.stores.ownership import (
    refuse_anothers_key,
    refuse_others,
    refuse_to_keep,
    refuse_to_take_away,
)
from foothold.stores.register import Adoption
from foothold.stores.steps import ObservedKey, ObservedStore
from tests.stores.test_planner import PLANE, SPEC

ADOPTED = PLANE.spec("eu-west-1", Adoption("old-artifacts", "arn:aws:kms:eu-west-1:1:key/abc"))
THEIRS = {STACK_TAG: "other", HOME_TAG: "us-east-1"}
KEY = ObservedKey("arn:aws:kms:eu-west-1:111111111111:key/abc", "Enabled", tags=THEIRS)
HAND_OVER = "`foothold regions hand-over eu-west-1 --to-stack foothold --to-home eu-central-1`"


def found(bucket: object = None, key: object = None) -> ObservedStore:
    """A store with these tags, as far as they were read."""
    settings: dict[Aspect, object] = {BucketAspect.TAGS: bucket, KeyAspect.TAGS: key}
    read = {aspect: tags for aspect, tags in settings.items() if tags is not None}
    return ObservedStore(key=KEY, bucket_exists=True, settings=read)


@pytest.mark.parametrize(
    ("tags", "line"),
    [
        (
            {},
            "it does not carry the tag foothold:stack: it is not Foothold's, nothing was changed; move it",  # noqa: E501  one line, as it is shown
        ),
        (
            {STACK_TAG: "foothold"},
            "it carries foothold:stack=foothold, but not foothold:home, so that nobody can tell "
            "whether it is this control plane's, nothing was changed; if it is, run " + HAND_OVER,
        ),
        (
            {STACK_TAG: "other"},
            "it belongs to the control plane of stack other; this one is stack foothold with its "
            "home in eu-central-1: it is not Foothold's to change from here, nothing was changed; "
            "give this one another NamePrefix and ParameterRoot, or hand the region over there "
            "with " + HAND_OVER,
        ),
        (
            THEIRS,
            "it belongs to the control plane of stack other with its home in us-east-1; this one "
            "is stack foothold with its home in eu-central-1: it is not Foothold's to change from "
            "here, nothing was changed; give this one another NamePrefix and ParameterRoot, or "
            "hand the region over there with " + HAND_OVER,
        ),
    ],
)
def test_a_refusal_says_whose_it_is_and_the_way_out(tags: dict[str, str], line: str) -> None:
    with pytest.raises(NotOursError) as refused:
        refuse_others(SPEC, "it", tags, "move it")
    assert str(refused.value) == line


def test_a_parameter_that_names_a_strangers_key_is_to_be_deleted() -> None:
    stranger = replace(KEY, tags={HOME_TAG: "us-east-1"})
    with pytest.raises(NotOursError, match=r"abc, which the parameters here name, .*delete the p"):
        refuse_anothers_key(SPEC, stranger, "here")
    with pytest.raises(NotOursError, match=r"; delete the parameter$"):
        refuse_anothers_key(SPEC, stranger, "here")
    refuse_anothers_key(SPEC, replace(KEY, tags={}), "here")


def test_an_alias_that_points_at_a_strangers_key_is_a_persons_matter() -> None:
    with pytest.raises(NotOursError) as refused:
        refuse_to_keep(SPEC, found(key={"owner": "somebody"}))
    assert str(refused.value).endswith(
        "; point the alias at Foothold's own key, or delete the alias"
    )


def test_a_bucket_that_lost_one_tag_of_two_is_ours_where_its_key_does_not_say_otherwise() -> None:
    lost = {STACK_TAG: "foothold", "other": "tag"}
    refuse_to_keep(SPEC, found(lost))
    refuse_to_keep(SPEC, found(lost, SPEC.tags))
    with pytest.raises(NotOursError, match="bucket foothold-111111111111-eu-west-1-an exists but"):
        refuse_to_keep(SPEC, replace(found(lost), key=None))


def test_an_adopted_bucket_that_lost_the_tag_of_its_region_is_kept() -> None:
    tags = {name: value for name, value in ADOPTED.tags.items() if name != REGION_TAG}
    refuse_to_keep(ADOPTED, found(tags))
    with pytest.raises(NotOursError, match="is the store of us-east-1: the parameter"):
        refuse_to_keep(ADOPTED, found({**tags, REGION_TAG: "us-east-1"}))


@pytest.mark.parametrize(
    ("store", "name"),
    [
        (found(key={"owner": "somebody"}), KEY.arn),
        (found({"owner": "somebody"}), f"bucket {SPEC.bucket}"),
        (found({}), f"bucket {SPEC.bucket}"),
    ],
)
def test_what_does_not_carry_our_tags_is_not_taken_away(store: ObservedStore, name: str) -> None:
    with pytest.raises(NotOursError) as refused:
        refuse_to_take_away(SPEC, store)
    assert str(refused.value).startswith(f"{name} does not carry the tag")
    assert str(refused.value).endswith("; it is not taken away")


def test_what_is_ours_or_was_given_back_already_stops_nothing() -> None:
    refuse_to_take_away(SPEC, found(SPEC.tags, SPEC.tags))
    refuse_to_take_away(ADOPTED, found({"owner": "platform"}, {}))
    with pytest.raises(NotOursError, match="belongs to the control plane of stack other"):
        refuse_to_take_away(ADOPTED, found(THEIRS))
