"""What a region needs, decided from values alone."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.errors import NotOursError, PermanentError
from foothold.stores import planner
from foothold.stores.aspects import (
    BUCKET_ASPECTS,
    EVERYTHING,
    KEY_ASPECTS,
    Aspect,
    BucketAspect,
    KeyAspect,
    LookedAt,
    desired_settings,
    turn,
)
from foothold.stores.model import RETIRING_TAG, ControlPlane, StoreSpec, Use
from foothold.stores.policies import bucket_policy, key_policy
from foothold.stores.register import Adoption, ArtifactStore, Phase, Retirement
from foothold.stores.steps import KeepStep, KeepVerb, KeyState, ObservedKey, ObservedStore

PLANE = ControlPlane(
    account="111111111111",
    home_region="eu-central-1",
    stack="foothold",
    organization_ids=("o-example",),
    reader_roles=("foothold-deploy",),
)
SPEC = PLANE.spec("eu-west-1")
KEY = ObservedKey("arn:aws:kms:eu-west-1:111111111111:key/abc", "Enabled", 1.0)
CONVERGED = ObservedStore(
    key=KEY,
    bucket_exists=True,
    settings=desired_settings(SPEC, KEY.arn),
    home_parameters=SPEC.parameters(SPEC.home_path, KEY.arn),
    regional_parameters=SPEC.parameters(SPEC.regional_path, KEY.arn),
)


def plan(
    seen: ObservedStore,
    now: float = 0.0,
    called_off: Retirement | None = None,
    spec: StoreSpec = SPEC,
) -> tuple[KeepStep, ...]:
    return planner.plan(spec, seen, now, called_off)


def verbs(seen: ObservedStore) -> list[KeepVerb]:
    return [step.verb for step in plan(seen)]


def with_setting(aspect: Aspect, value: object) -> ObservedStore:
    """The converged region, but for one setting."""
    return replace(CONVERGED, settings={**CONVERGED.settings, aspect: value})


def other_key(name: str, **more: Any) -> ObservedKey:
    return replace(KEY, arn=KEY.arn.replace("abc", name), **more)


def test_a_converged_region_gets_no_steps() -> None:
    assert plan(CONVERGED) == ()


def test_every_setting_of_a_store_has_the_shape_that_aws_takes() -> None:
    tags = {
        "foothold:stack": "foothold",
        "foothold:home": "eu-central-1",
        "foothold:region": "eu-west-1",
        "foothold:state": "in-use",
    }
    assert desired_settings(SPEC, KEY.arn) == {
        KeyAspect.POLICY: key_policy(SPEC),
        KeyAspect.ROTATION: True,
        KeyAspect.TAGS: tags,
        BucketAspect.PUBLIC_ACCESS: {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
        BucketAspect.OWNERSHIP: "BucketOwnerEnforced",
        BucketAspect.VERSIONING: "Enabled",
        BucketAspect.ENCRYPTION: {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": KEY.arn,
            "BucketKeyEnabled": True,
        },
        BucketAspect.LIFECYCLE: [
            {
                "ID": "expire-replaced-artifacts",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            }
        ],
        BucketAspect.TAGS: tags,
        BucketAspect.POLICY: bucket_policy(SPEC, KEY.arn),
    }


def test_a_converged_region_holds_the_store_that_it_is_asked_for() -> None:
    assert SPEC.store(KEY.arn) == ArtifactStore("eu-west-1", SPEC.bucket, KEY.arn)


def test_an_empty_region_gets_a_key_then_a_bucket_then_its_parameters() -> None:
    steps = verbs(ObservedStore())
    assert steps[0] is KeepVerb.CREATE_KEY
    assert steps.index(KeepVerb.CREATE_KEY) < steps.index(KeepVerb.CREATE_BUCKET)
    assert steps[-2:] == [KeepVerb.PUBLISH_REGIONAL, KeepVerb.PUBLISH_HOME]


def test_a_new_bucket_gets_every_setting_that_its_creation_does_not_give_it() -> None:
    steps = plan(ObservedStore())
    assert {step.aspect for step in steps if step.verb is KeepVerb.SET} == {
        KeyAspect.ROTATION,
        KeyAspect.TAGS,
        BucketAspect.PUBLIC_ACCESS,
        BucketAspect.VERSIONING,
        BucketAspect.ENCRYPTION,
        BucketAspect.LIFECYCLE,
        BucketAspect.TAGS,
        BucketAspect.POLICY,
    }


@pytest.mark.parametrize("aspect", list(CONVERGED.settings))
def test_a_setting_that_differs_is_the_only_thing_set(aspect: Aspect) -> None:
    identity = {"foothold:stack": "foothold", "foothold:home": "eu-central-1"}
    wrong = identity if "tags" in aspect else {"not": "this"}
    steps = plan(with_setting(aspect, wrong))
    assert [(step.verb, step.aspect) for step in steps] == [(KeepVerb.SET, aspect)]
    assert steps[0].reason == "it differs from the desired one"


@pytest.mark.parametrize(
    "aspect", [BucketAspect.POLICY, BucketAspect.LIFECYCLE, BucketAspect.ENCRYPTION]
)
def test_a_setting_that_is_gone_is_set_again(aspect: Aspect) -> None:
    (step,) = plan(with_setting(aspect, None))
    assert (step.verb, step.aspect, step.reason) == (KeepVerb.SET, aspect, "it is not set")


@given(st.sets(st.sampled_from(EVERYTHING)))
def test_what_was_not_read_is_not_planned(unread: set[LookedAt]) -> None:
    read = {name: value for name, value in CONVERGED.settings.items() if name not in unread}
    assert plan(replace(CONVERGED, settings=read)) == ()


def test_stale_parameters_are_the_only_thing_published() -> None:
    stale = {f"{SPEC.regional_path}/bucket": "another"}
    assert verbs(replace(CONVERGED, regional_parameters=stale)) == [KeepVerb.PUBLISH_REGIONAL]
    assert verbs(replace(CONVERGED, home_parameters={})) == [KeepVerb.PUBLISH_HOME]


def test_a_disabled_key_is_enabled() -> None:
    seen = replace(CONVERGED, key=replace(KEY, state="Disabled"))
    assert verbs(seen) == [KeepVerb.ENABLE_KEY]


def test_a_key_pending_deletion_is_saved_and_never_replaced() -> None:
    seen = replace(CONVERGED, key=replace(KEY, state="PendingDeletion"))
    assert verbs(seen) == [KeepVerb.CANCEL_KEY_DELETION, KeepVerb.ENABLE_KEY]


def test_a_key_in_any_other_state_is_left_to_a_person() -> None:
    with pytest.raises(PermanentError, match="Unavailable"):
        plan(replace(CONVERGED, key=replace(KEY, state="Unavailable")))


def test_a_tagged_key_without_an_alias_is_adopted_instead_of_a_second_one() -> None:
    seen = replace(CONVERGED, key=None, tagged_keys=(KEY,))
    steps = verbs(seen)
    assert KeepVerb.CREATE_KEY not in steps
    assert steps[0] is KeepVerb.ADOPT_KEY


def test_of_several_tagged_keys_the_published_one_is_adopted() -> None:
    older = ObservedKey("arn:aws:kms:eu-west-1:111111111111:key/older", "Enabled", 0.5)
    seen = replace(CONVERGED, key=None, tagged_keys=(older, KEY))
    assert plan(seen)[0].key == KEY.arn


def test_of_several_unpublished_keys_the_oldest_is_adopted() -> None:
    newer = ObservedKey("arn:aws:kms:eu-west-1:111111111111:key/aaa", "Enabled", 2.0)
    seen = ObservedStore(tagged_keys=(newer, KEY))
    assert plan(seen)[0].key == KEY.arn


def test_an_alias_on_a_key_of_somebody_else_is_refused() -> None:
    with pytest.raises(PermanentError, match="points at"):
        plan(with_setting(KeyAspect.TAGS, {"owner": "somebody"}))


def test_a_bucket_tagged_for_another_stack_is_refused() -> None:
    with pytest.raises(PermanentError, match="not Foothold's"):
        plan(with_setting(BucketAspect.TAGS, {"foothold:stack": "another"}))


def test_a_refused_bucket_comes_with_both_ways_out() -> None:
    with pytest.raises(PermanentError, match=r"move it away or choose another NamePrefix$"):
        plan(with_setting(BucketAspect.TAGS, {"owner": "other"}))


def test_a_bucket_that_went_while_it_was_looked_at_is_refused_to_nobody() -> None:
    seen = with_setting(BucketAspect.TAGS, {"owner": "other"})
    steps = [step.verb for step in plan(replace(seen, bucket_exists=False))]
    assert KeepVerb.CREATE_BUCKET in steps


ANOTHERS = (
    {"foothold:stack": "another", "foothold:home": "eu-central-1"},
    {"foothold:stack": "foothold", "foothold:home": "us-east-1"},
    {"foothold:stack": "another", "foothold:home": "us-east-1"},
)


@pytest.mark.parametrize("aspect", [BucketAspect.TAGS, KeyAspect.TAGS])
@pytest.mark.parametrize("tags", ANOTHERS)
def test_a_store_of_another_control_plane_is_refused_with_its_name_and_the_ways_out(
    aspect: Aspect, tags: dict[str, str]
) -> None:
    with pytest.raises(NotOursError) as refusal:
        plan(with_setting(aspect, {**tags, "foothold:region": "eu-west-1"}))
    stack, home = tags.values()
    assert f"control plane of stack {stack} with its home in {home}" in str(refusal.value)
    assert "give this one another NamePrefix and ParameterRoot" in str(refusal.value)
    assert (
        "`foothold regions hand-over eu-west-1 --to-stack foothold --to-home eu-central-1`"
    ) in str(refusal.value)


@pytest.mark.parametrize("tags", ANOTHERS)
def test_where_the_parameters_name_another_control_planes_key_nothing_is_made(
    tags: dict[str, str],
) -> None:
    theirs = other_key("theirs", tags=tags)
    with pytest.raises(NotOursError, match="which the parameters of eu-west-1 name"):
        plan(ObservedStore(named_keys=(theirs,)))


def test_a_store_that_no_home_region_is_written_on_is_refused_with_the_command_that_claims_it() -> (
    None
):
    older = {"foothold:stack": "foothold", "foothold:region": "eu-west-1"}
    seen = with_setting(BucketAspect.TAGS, older)
    with pytest.raises(NotOursError, match="foothold regions hand-over eu-west-1"):
        plan(replace(seen, settings={**seen.settings, KeyAspect.TAGS: older}))


def test_a_bucket_that_lost_its_home_region_is_told_by_its_key() -> None:
    lost = {"foothold:stack": "foothold"}
    (step,) = plan(with_setting(BucketAspect.TAGS, lost))
    assert (step.verb, step.aspect) == (KeepVerb.SET, BucketAspect.TAGS)


def test_an_adoption_that_names_another_regions_bucket_is_refused() -> None:
    spec = SPEC.control_plane.spec("eu-west-1", Adoption("theirs", KEY.arn))
    tags = {**SPEC.tags_in(Use.IN_USE), "foothold:region": "eu-north-1"}
    with pytest.raises(NotOursError, match="is the store of eu-north-1"):
        planner.plan(spec, with_setting(BucketAspect.TAGS, tags), 0.0)


@pytest.mark.parametrize("aspect", [BucketAspect.TAGS, KeyAspect.TAGS])
def test_a_mark_without_a_retirement_is_taken_off(aspect: Aspect) -> None:
    marked = {**SPEC.tags_in(Use.IN_USE), RETIRING_TAG: "7"}
    (step,) = plan(with_setting(aspect, marked))
    assert (step.verb, step.aspect) == (KeepVerb.UNTAG, aspect)


def test_a_key_that_comes_back_loses_its_mark() -> None:
    marked = replace(KEY, tags={**SPEC.tags, RETIRING_TAG: "7"})
    steps = plan(ObservedStore(named_keys=(marked,)))
    assert (KeepVerb.UNTAG, KeyAspect.TAGS) in [(step.verb, step.aspect) for step in steps]


@pytest.mark.parametrize(("empty", "refused"), [(True, False), (False, True)])
def test_an_untagged_bucket_is_completed_only_while_it_is_empty(empty: bool, refused: bool) -> None:
    seen = replace(with_setting(BucketAspect.TAGS, None), bucket_empty=empty)
    if refused:
        with pytest.raises(PermanentError):
            plan(seen)
    else:
        assert [step.aspect for step in plan(seen)] == [BucketAspect.TAGS]


def test_tags_beside_ours_are_nobodys_drift() -> None:
    more = {**SPEC.tags_in(Use.IN_USE), "cost-centre": "platform"}
    assert plan(with_setting(BucketAspect.TAGS, more)) == ()


@given(st.integers(min_value=0))
def test_five_ticks_in_a_row_look_at_everything(first: int) -> None:
    ticks = range(first, first + 5)
    assert {aspect for tick in ticks for aspect in turn(tick)} == set(EVERYTHING)


@given(st.integers(min_value=0))
def test_every_tick_looks_at_what_guards_access(tick: int) -> None:
    assert {KeyAspect.POLICY, BucketAspect.POLICY} <= set(turn(tick))
    assert len(turn(tick)) == 4


def test_whichever_key_the_alias_will_point_at_is_the_one_that_the_values_name() -> None:
    winner = other_key("winner").arn
    for seen in (ObservedStore(), ObservedStore(tagged_keys=(KEY,))):
        steps = plan(seen)
        values = {step.aspect: step.value_with(winner) for step in steps if step.aspect}
        desired = desired_settings(SPEC, winner)
        assert values == {aspect: desired[aspect] for aspect in values}
        assert {BucketAspect.ENCRYPTION, BucketAspect.POLICY} < set(values)
        put = [step.value_with(winner) for step in steps if step.verb.startswith("publish")]
        assert put == [
            SPEC.parameters(path, winner) for path in (SPEC.regional_path, SPEC.home_path)
        ]


def test_what_is_written_is_what_differs() -> None:
    stale = {**CONVERGED.home_parameters, f"{SPEC.home_path}/bucket": "another"}
    (step,) = plan(replace(CONVERGED, home_parameters=stale))
    assert step.value == {f"{SPEC.home_path}/bucket": SPEC.bucket}


# --- Keys that something else leads to ---------------------------------------------------------


def test_the_setting_of_an_adopted_key_is_not_taken_on_trust() -> None:
    steps = plan(ObservedStore(tagged_keys=(KEY,)))
    set_first = [step for step in steps if step.verb is KeepVerb.SET][:3]
    assert [step.aspect for step in set_first] == list(KEY_ASPECTS)
    assert {step.reason for step in set_first} == {"the key is not in use yet"}


def test_a_key_that_only_a_parameter_names_is_adopted_by_its_tags() -> None:
    named = replace(KEY, tags={**SPEC.tags, "cost-centre": "platform"})
    for key in (named, replace(KEY, tags=SPEC.tags)):
        adopt = plan(replace(CONVERGED, key=None, named_keys=(key,)))[0]
        assert (adopt.verb, adopt.key) == (KeepVerb.ADOPT_KEY, KEY.arn)


def test_a_key_that_a_parameter_names_without_our_tags_is_left_to_a_person() -> None:
    named = replace(KEY, tags={"foothold:stack": "foothold"})
    with pytest.raises(PermanentError) as refusal:
        plan(replace(CONVERGED, key=None, named_keys=(named,)))
    assert (
        f"`aws kms tag-resource --region eu-west-1 --key-id {KEY.arn} --tags "
        "TagKey=foothold:stack,TagValue=foothold TagKey=foothold:home,TagValue=eu-central-1 "
        "TagKey=foothold:region,TagValue=eu-west-1`"
    ) in str(refusal.value)


def test_an_alias_that_was_moved_off_the_published_key_is_left_to_a_person() -> None:
    old = other_key("old", state="Disabled", tags=SPEC.tags)
    with pytest.raises(PermanentError) as refusal:
        plan(replace(CONVERGED, named_keys=(old,)))
    assert f"under {old.arn}, which is Disabled" in str(refusal.value)
    assert f"--target-key-id {old.arn}`" in str(refusal.value)


def test_a_key_that_somebody_wrote_into_a_parameter_does_not_move_the_alias() -> None:
    theirs = other_key("theirs", tags={"foothold:stack": "another"})
    assert plan(replace(CONVERGED, named_keys=(theirs,))) == ()


@given(
    st.lists(
        st.tuples(st.sampled_from(["Enabled", "Disabled", "PendingDeletion"]), st.integers(0, 3)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 3),
)
def test_of_many_keys_the_published_then_the_usable_then_the_oldest_is_adopted(
    found: list[tuple[str, int]], published: int
) -> None:
    keys = [other_key(f"k{n}", state=s, created=float(c)) for n, (s, c) in enumerate(found)]
    name = f"{SPEC.home_path}/key-arn"
    seen = ObservedStore(
        tagged_keys=tuple(keys), home_parameters={name: other_key(f"k{published}").arn}
    )
    (adopted,) = [step.key for step in plan(seen) if step.verb is KeepVerb.ADOPT_KEY]
    (key,) = [key for key in keys if key.arn == adopted]
    if published < len(keys):
        assert key is keys[published]
    else:
        usable = [one for one in keys if one.state != "PendingDeletion"] or keys
        assert key.created == min(one.created for one in usable)
        assert key in usable


@pytest.mark.parametrize(
    ("age", "discarded"), [(0, False), (3600, False), (3600.5, True), (86400, True)]
)
def test_a_key_that_was_never_used_is_discarded_once_it_is_older_than_an_hour(
    age: float, discarded: bool
) -> None:
    spare = other_key("spare", created=50_000.0)
    steps = plan(replace(CONVERGED, spare_keys=(spare,)), now=50_000.0 + age)
    assert [(step.verb, step.key) for step in steps] == (
        [(KeepVerb.DISCARD_KEY, spare.arn)] if discarded else []
    )


@pytest.mark.parametrize("path", [SPEC.home_path, SPEC.regional_path])
def test_a_key_that_anything_points_at_is_never_spare(path: str) -> None:
    named = other_key("named")
    names_it = {f"{path}/key-arn": named.arn}
    seen = replace(
        CONVERGED,
        spare_keys=(KEY, named),
        home_parameters={**CONVERGED.home_parameters, **names_it},
        regional_parameters={**CONVERGED.regional_parameters, **names_it},
    )
    steps = plan(seen, now=1_000_000.0)
    assert KeepVerb.DISCARD_KEY not in {step.verb for step in steps}


# --- A store that takes the place of another ---------------------------------------------------


PUBLISHED = replace(CONVERGED, key=None, settings={}, bucket_exists=False)


def test_what_is_made_first_takes_nobodys_place() -> None:
    assert planner.use_of_new(SPEC, ObservedStore(), restoring=False) is Use.UNUSED
    assert KeepVerb.ANNOUNCE not in verbs(ObservedStore())
    adoption = {f"{SPEC.home_path}/adopted": "{}"}
    assert planner.use_of_new(SPEC, ObservedStore(home_parameters=adoption), restoring=False) is (
        Use.UNUSED
    )


@pytest.mark.parametrize(
    "seen",
    [
        ObservedStore(home_parameters=CONVERGED.home_parameters),
        ObservedStore(regional_parameters=CONVERGED.regional_parameters),
        ObservedStore(regional_parameters={f"{SPEC.regional_path}/bucket": "b"}),
    ],
)
def test_what_is_made_where_somebody_was_pointed_before_takes_its_place(
    seen: ObservedStore,
) -> None:
    assert planner.use_of_new(SPEC, seen, restoring=False) is Use.REPLACEMENT
    assert planner.use_of_new(SPEC, seen, restoring=True) is Use.REPLACEMENT


def test_what_is_made_for_a_region_that_is_wanted_again_takes_the_place_of_what_it_had() -> None:
    assert planner.use_of_new(SPEC, ObservedStore(), restoring=True) is Use.REPLACEMENT


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (PUBLISHED, f"{SPEC.bucket} is new and empty"),
        (replace(CONVERGED, settings={}, bucket_exists=False), f"{SPEC.bucket} is new and empty"),
        (
            replace(CONVERGED, key=None),
            "the key is new: what the old one encrypted cannot be read any more",
        ),
        *(
            (
                with_setting(aspect, SPEC.tags_in(Use.REPLACEMENT)),
                "it was replaced, and nobody has been told yet",
            )
            for aspect in (KeyAspect.TAGS, BucketAspect.TAGS)
        ),
    ],
)
def test_a_replacement_is_told_once_it_is_published_and_marked_once_it_is_told(
    seen: ObservedStore, reason: str
) -> None:
    steps = plan(seen)
    (announce,) = [n for n, step in enumerate(steps) if step.verb is KeepVerb.ANNOUNCE]
    assert steps[announce].reason == reason
    for number, step in enumerate(steps):
        assert (step.aspect in planner.TAGS) == (number > announce)


@pytest.mark.parametrize("published", [{}, CONVERGED.home_parameters])
def test_a_new_bucket_says_whether_it_takes_the_place_of_another(published: Any) -> None:
    steps = plan(ObservedStore(key=KEY, home_parameters=published))
    (made,) = [step for step in steps if step.verb is KeepVerb.CREATE_BUCKET]
    assert made.use is (Use.REPLACEMENT if published else Use.UNUSED)


@pytest.mark.parametrize("aspect", [KeyAspect.TAGS, BucketAspect.TAGS])
def test_what_was_not_replaced_is_told_to_nobody(aspect: Aspect) -> None:
    assert verbs(with_setting(aspect, SPEC.tags_in(Use.UNUSED))) == [KeepVerb.SET]


def test_an_adopted_key_is_not_announced_for_what_it_encrypted_can_be_read() -> None:
    seen = replace(CONVERGED, key=None, tagged_keys=(KEY,))
    assert KeepVerb.ANNOUNCE not in verbs(seen)


def test_the_reason_for_a_new_key_names_those_that_are_gone_for_good() -> None:
    without = f"{SPEC.key_alias} points at no key"
    policy = key_policy(SPEC)
    assert plan(ObservedStore())[0] == KeepStep(KeepVerb.CREATE_KEY, without, value=policy)
    another = {f"{SPEC.home_path}/key-arn": f"{KEY.arn}d", f"{SPEC.home_path}/bucket": "b"}
    seen = ObservedStore(home_parameters=another, regional_parameters=CONVERGED.regional_parameters)
    reason = f"{without}; {KEY.arn}, {KEY.arn}d is gone for good"
    assert plan(seen)[0] == KeepStep(KeepVerb.CREATE_KEY, reason, value=policy, use=Use.REPLACEMENT)


def test_the_retirement_is_called_off_first_and_forgotten_once_the_store_is_there() -> None:
    retired = Retirement(Phase.RETIRED, 7, KEY.arn, reason="of old")
    restoring = Retirement(Phase.RESTORING, 7, KEY.arn)
    assert plan(CONVERGED, called_off=retired) == (
        KeepStep(KeepVerb.RESTORE, "eu-west-1 is wanted again", value=restoring),
        KeepStep(KeepVerb.FORGET_RETIREMENT, "the store is there again"),
    )
    steps = [step.verb for step in plan(ObservedStore(), called_off=retired)]
    assert steps[:2] == [KeepVerb.RESTORE, KeepVerb.CREATE_KEY]
    assert steps.index(KeepVerb.PUBLISH_HOME) < steps.index(KeepVerb.ANNOUNCE)
    assert steps[-1] is KeepVerb.FORGET_RETIREMENT


def test_what_is_restored_already_is_not_written_down_again_and_its_reason_is_kept() -> None:
    restoring = Retirement(Phase.RESTORING, 7, KEY.arn, reason="it is used")
    first, last = plan(CONVERGED, called_off=restoring)
    assert (first.verb, first.value) == (KeepVerb.RESTORE, None)
    assert last.value == Retirement(Phase.CALLED_OFF, 7, KEY.arn, reason="it is used")


@pytest.mark.parametrize("tags", [None, {}, {"owner": "platform"}])
def test_an_adoption_that_was_cut_short_is_left_to_a_person(tags: object) -> None:
    spec = PLANE.spec("eu-west-1", Adoption("old-artifacts", KEY.arn))
    with pytest.raises(PermanentError, match="the adoption of bucket old-artifacts was cut short"):
        plan(with_setting(BucketAspect.TAGS, tags), spec=spec)


def test_an_adopted_bucket_is_kept_like_one_of_our_own() -> None:
    spec = PLANE.spec("eu-west-1", Adoption("old-artifacts", KEY.arn))
    drifted: dict[Aspect, Any] = {BucketAspect.VERSIONING: "Suspended"}
    seen = replace(
        CONVERGED,
        settings={**desired_settings(spec, KEY.arn), **drifted},
        home_parameters=spec.parameters(spec.home_path, KEY.arn),
        regional_parameters=spec.parameters(spec.regional_path, KEY.arn),
    )
    assert [step.aspect for step in plan(seen, spec=spec)] == [BucketAspect.VERSIONING]
    # Where its tags were not looked at, nothing is concluded from them.
    seen = replace(seen, settings=drifted)
    assert [step.aspect for step in plan(seen, spec=spec)] == [BucketAspect.VERSIONING]
    gone = replace(seen, settings={}, bucket_exists=False)
    assert KeepVerb.CREATE_BUCKET in [step.verb for step in plan(gone, spec=spec)]


# --- Lifecycle rules that somebody chose -------------------------------------------------------


def rule(days: int | None, status: str = "Enabled") -> dict[str, Any]:
    kept = {"Expiration": {"Days": 1}} if days is None else {}
    if days is not None:
        kept = {"NoncurrentVersionExpiration": {"NoncurrentDays": days}}
    return {"ID": "theirs", "Status": status, "Filter": {"Prefix": ""}, **kept}


@pytest.mark.parametrize(
    "rules", [[rule(31)], [rule(365), rule(None)], [rule(31), rule(7, "Disabled")]]
)
def test_rules_that_keep_replaced_artifacts_longer_are_left_to_a_person(
    rules: list[Any],
) -> None:
    (step,) = plan(with_setting(BucketAspect.LIFECYCLE, rules))
    assert (step.verb, step.aspect) == (KeepVerb.LEAVE, BucketAspect.LIFECYCLE)
    command, _, configuration = str(step.command).partition(" --lifecycle-configuration ")
    assert command == (
        "aws s3api put-bucket-lifecycle-configuration --region eu-west-1 "
        "--bucket foothold-111111111111-eu-west-1-an --expected-bucket-owner 111111111111"
    )
    assert json.loads(configuration.strip("'")) == {
        "Rules": [
            {
                "ID": "expire-replaced-artifacts",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            },
            *rules,
        ]
    }


@pytest.mark.parametrize(
    "rules",
    [
        [rule(30)],
        [rule(365), rule(30)],
        [rule(365, "Disabled")],
        [rule(None)],
        [{**rule(None), "NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 99}}],
        [],
        {"not": "rules"},
    ],
)
def test_rules_that_keep_replaced_artifacts_no_longer_are_set_right(rules: object) -> None:
    (step,) = plan(with_setting(BucketAspect.LIFECYCLE, rules))
    assert (step.verb, step.aspect, step.command) == (KeepVerb.SET, BucketAspect.LIFECYCLE, None)


# --- From anything to a store ------------------------------------------------------------------


def after(step: KeepStep, seen: ObservedStore) -> ObservedStore:
    """What a region holds once a step was taken."""
    key = seen.key or next((key for key in seen.tagged_keys if key.arn == step.key), KEY)
    settings: dict[Aspect, Any] = dict(seen.settings)
    change: dict[str, Any] = {}
    match step.verb:
        case KeepVerb.CREATE_KEY:
            settings[KeyAspect.POLICY] = key_policy(SPEC)
            change = {"key": key}
        case KeepVerb.ADOPT_KEY:
            change = {"key": replace(key, state=KeyState.ENABLED)}
        case KeepVerb.ENABLE_KEY if seen.key:
            change = {"key": replace(key, state=KeyState.ENABLED)}
        case KeepVerb.CREATE_BUCKET:
            settings[BucketAspect.OWNERSHIP] = "BucketOwnerEnforced"
            change = {"bucket_exists": True}
        case KeepVerb.SET if step.aspect:
            settings[step.aspect] = step.value_with(key.arn)
        case KeepVerb.PUBLISH_REGIONAL:
            put = step.value_with(key.arn)
            change = {"regional_parameters": {**seen.regional_parameters, **put}}
        case KeepVerb.PUBLISH_HOME:
            put = step.value_with(key.arn)
            change = {"home_parameters": {**seen.home_parameters, **put}}
        case _:
            pass
    return replace(seen, settings=settings, **change)


def settings_of(aspects: tuple[Aspect, ...]) -> st.SearchStrategy[Mapping[Aspect, Any]]:
    """What these aspects may be found as: as desired, drifted, or never set."""
    ours = (KeyAspect.TAGS, BucketAspect.TAGS)
    return st.fixed_dictionaries(
        {
            aspect: st.just(CONVERGED.settings[aspect])
            | (
                st.sampled_from(Use).map(SPEC.tags_in)
                if aspect in ours
                else st.sampled_from([None, {"not": "this"}])
            )
            for aspect in aspects
        }
    )


PARAMETERS: st.SearchStrategy[dict[str, str]] = st.sampled_from(
    [{}, {"bucket": "another"}, {"bucket": SPEC.bucket, "key-arn": KEY.arn}]
)


@st.composite
def regions(draw: st.DrawFn) -> ObservedStore:
    keys = st.builds(other_key, st.sampled_from(["abc", "xyz"]), state=st.sampled_from(KeyState))
    key, bucket_exists = draw(st.none() | keys), draw(st.booleans())
    settings = draw(settings_of(KEY_ASPECTS)) if key else {}
    settings = {**settings, **(draw(settings_of(BUCKET_ASPECTS)) if bucket_exists else {})}
    home, regional = draw(PARAMETERS), draw(PARAMETERS)
    return ObservedStore(
        key=key,
        tagged_keys=() if key else tuple(draw(st.lists(keys, max_size=2))),
        bucket_exists=bucket_exists,
        settings=settings,
        home_parameters={f"{SPEC.home_path}/{name}": value for name, value in home.items()},
        regional_parameters={
            f"{SPEC.regional_path}/{name}": value for name, value in regional.items()
        },
    )


@given(regions())
def test_whatever_is_found_its_plan_leads_to_a_store_that_needs_nothing(
    seen: ObservedStore,
) -> None:
    for step in plan(seen):
        seen = after(step, seen)
    assert plan(seen) == ()
    assert seen.key
    assert seen.settings == desired_settings(SPEC, seen.key.arn)


@given(regions())
def test_nobody_is_pointed_at_a_store_before_it_is_whole(seen: ObservedStore) -> None:
    steps = plan(seen)
    pointing = [n for n, step in enumerate(steps) if step.verb.startswith("publish")]
    told = any(step.verb is KeepVerb.ANNOUNCE for step in steps)
    for number, step in enumerate(steps):
        if step.verb is KeepVerb.SET and not (told and step.aspect in planner.TAGS):
            assert all(number < publishing for publishing in pointing)
