"""What a region needs, decided from values alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.domain import planner
from foothold.domain.errors import PermanentError
from foothold.domain.models import (
    Aspect,
    ControlPlane,
    ObservedKey,
    ObservedStore,
    StoreSpec,
    Use,
    Verb,
)

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
    settings=planner.desired_settings(SPEC, KEY.arn),
    home_parameters=SPEC.parameters(SPEC.home_path, KEY.arn),
    regional_parameters=SPEC.parameters(SPEC.regional_path, KEY.arn),
)


def verbs(seen: ObservedStore, spec: StoreSpec = SPEC) -> list[Verb]:
    return [step.verb for step in planner.plan(spec, seen)]


def test_a_converged_region_gets_no_steps() -> None:
    assert planner.plan(SPEC, CONVERGED) == ()


def test_an_empty_region_gets_a_key_then_a_bucket_then_its_parameters() -> None:
    steps = verbs(ObservedStore())
    assert steps[0] is Verb.CREATE_KEY
    assert steps.index(Verb.CREATE_KEY) < steps.index(Verb.CREATE_BUCKET)
    assert steps[-2:] == [Verb.PUBLISH_REGIONAL, Verb.PUBLISH_HOME]


def test_a_new_bucket_gets_every_setting_that_its_creation_does_not_give_it() -> None:
    plan = planner.plan(SPEC, ObservedStore())
    assert {step.aspect for step in plan if step.verb is Verb.SET} == {
        Aspect.KEY_ROTATION,
        Aspect.KEY_TAGS,
        Aspect.PUBLIC_ACCESS,
        Aspect.VERSIONING,
        Aspect.ENCRYPTION,
        Aspect.LIFECYCLE,
        Aspect.BUCKET_TAGS,
        Aspect.BUCKET_POLICY,
    }


@pytest.mark.parametrize("aspect", list(CONVERGED.settings))
def test_a_setting_that_differs_is_the_only_thing_set(aspect: Aspect) -> None:
    wrong = {"foothold:stack": "foothold"} if "tags" in aspect else {"not": "this"}
    seen = replace(CONVERGED, settings={**CONVERGED.settings, aspect: wrong})
    steps = planner.plan(SPEC, seen)
    assert [(step.verb, step.aspect) for step in steps] == [(Verb.SET, aspect)]
    assert "differs" in steps[0].reason


@pytest.mark.parametrize("aspect", [Aspect.BUCKET_POLICY, Aspect.LIFECYCLE, Aspect.ENCRYPTION])
def test_a_setting_that_is_gone_is_set_again(aspect: Aspect) -> None:
    seen = replace(CONVERGED, settings={**CONVERGED.settings, aspect: None})
    (step,) = planner.plan(SPEC, seen)
    assert (step.verb, step.aspect, step.reason) == (Verb.SET, aspect, "it is not set")


@given(st.sets(st.sampled_from(list(Aspect))))
def test_what_was_not_read_is_not_planned(unread: set[Aspect]) -> None:
    read = {name: value for name, value in CONVERGED.settings.items() if name not in unread}
    assert planner.plan(SPEC, replace(CONVERGED, settings=read)) == ()


def test_stale_parameters_are_the_only_thing_published() -> None:
    stale = {f"{SPEC.regional_path}/bucket": "another"}
    assert verbs(replace(CONVERGED, regional_parameters=stale)) == [Verb.PUBLISH_REGIONAL]
    assert verbs(replace(CONVERGED, home_parameters={})) == [Verb.PUBLISH_HOME]


def test_a_disabled_key_is_enabled() -> None:
    seen = replace(CONVERGED, key=replace(KEY, state="Disabled"))
    assert verbs(seen) == [Verb.ENABLE_KEY]


def test_a_key_pending_deletion_is_saved_and_never_replaced() -> None:
    seen = replace(CONVERGED, key=replace(KEY, state="PendingDeletion"))
    assert verbs(seen) == [Verb.CANCEL_KEY_DELETION, Verb.ENABLE_KEY]


def test_a_key_in_any_other_state_is_left_to_a_person() -> None:
    with pytest.raises(PermanentError, match="Unavailable"):
        planner.plan(SPEC, replace(CONVERGED, key=replace(KEY, state="Unavailable")))


def test_a_tagged_key_without_an_alias_is_adopted_instead_of_a_second_one() -> None:
    seen = replace(CONVERGED, key=None, tagged_keys=(KEY,))
    steps = verbs(seen)
    assert Verb.CREATE_KEY not in steps
    assert steps[0] is Verb.ADOPT_KEY


def test_of_several_tagged_keys_the_published_one_is_adopted() -> None:
    older = ObservedKey("arn:aws:kms:eu-west-1:111111111111:key/older", "Enabled", 0.5)
    seen = replace(CONVERGED, key=None, tagged_keys=(older, KEY))
    assert planner.plan(SPEC, seen)[0].key == KEY.arn


def test_of_several_unpublished_keys_the_oldest_is_adopted() -> None:
    newer = ObservedKey("arn:aws:kms:eu-west-1:111111111111:key/aaa", "Enabled", 2.0)
    seen = ObservedStore(tagged_keys=(newer, KEY))
    assert planner.plan(SPEC, seen)[0].key == KEY.arn


def test_an_alias_on_a_key_of_somebody_else_is_refused() -> None:
    foreign = {**CONVERGED.settings, Aspect.KEY_TAGS: {"owner": "somebody"}}
    with pytest.raises(PermanentError, match="points at"):
        planner.plan(SPEC, replace(CONVERGED, settings=foreign))


def test_a_bucket_tagged_for_another_stack_is_refused() -> None:
    foreign = {**CONVERGED.settings, Aspect.BUCKET_TAGS: {"foothold:stack": "another"}}
    with pytest.raises(PermanentError, match="not Foothold's"):
        planner.plan(SPEC, replace(CONVERGED, settings=foreign))


@pytest.mark.parametrize(("empty", "refused"), [(True, False), (False, True)])
def test_an_untagged_bucket_is_completed_only_while_it_is_empty(empty: bool, refused: bool) -> None:
    untagged = {**CONVERGED.settings, Aspect.BUCKET_TAGS: None}
    seen = replace(CONVERGED, settings=untagged, bucket_empty=empty)
    if refused:
        with pytest.raises(PermanentError):
            planner.plan(SPEC, seen)
    else:
        assert [step.aspect for step in planner.plan(SPEC, seen)] == [Aspect.BUCKET_TAGS]


def test_tags_beside_ours_are_nobodys_drift() -> None:
    more = {**SPEC.tags_in(Use.IN_USE), "cost-centre": "platform"}
    seen = replace(CONVERGED, settings={**CONVERGED.settings, Aspect.BUCKET_TAGS: more})
    assert planner.plan(SPEC, seen) == ()


@given(st.integers(min_value=0))
def test_five_ticks_in_a_row_look_at_everything(first: int) -> None:
    ticks = range(first, first + 5)
    assert {aspect for tick in ticks for aspect in planner.turn(tick)} == set(Aspect)


@given(st.integers(min_value=0))
def test_every_tick_looks_at_what_guards_access(tick: int) -> None:
    assert {Aspect.KEY_POLICY, Aspect.BUCKET_POLICY} <= set(planner.turn(tick))
    assert len(planner.turn(tick)) == 4
