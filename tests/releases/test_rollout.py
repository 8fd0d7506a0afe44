"""A release goes through a target wave by wave, is watched on its way, and goes back."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foothold.errors import BusyError, PermanentError
from foothold.releases.model import (
    RELEASE,
    Bake,
    Cell,
    OnFailure,
    Release,
    ReleaseTarget,
    Trial,
    When,
    configuration_name,
)
from foothold.releases.ports import StackState, TrialRun
from foothold.releases.review import Review
from foothold.releases.rollout import LEASE_SECONDS, Rollouts
from foothold.releases.rollout_plan import CellState, Ended, RolloutOutcome, Watch, Watched
from tests.releases.memory import HOME, Killed, store
from tests.releases.world import World, approved, made_for, watched

FAR, US = "eu-west-1", "us-east-1"
WAVES = ((HOME,), (FAR, US))
CELLS = [Cell("222222222222", region, "shop") for region in (HOME, FAR, US)]
FIRST = CELLS[0]


def never(_: Review) -> bool:
    raise AssertionError("nobody is to be asked")


def begun(target: ReleaseTarget | None = None) -> tuple[World, Release, Release]:
    """A world that runs a release, and that and the next one."""
    world = World()
    target = target or watched(WAVES)
    old = world.keep(made_for(target, content="old"))
    new = world.keep(made_for(target, content="new"))
    for cell in CELLS:
        world.set_alarm(cell, "OK", 0)
    assert world.deploy(old).is_done
    world.sleep(LEASE_SECONDS)
    world.executed.clear()
    return world, old, new


def states(outcome: RolloutOutcome) -> dict[str, CellState]:
    return {each.cell.region: each.state for each in outcome.cells}


# --- waves --------------------------------------------------------------------------------------


def test_a_release_comes_to_every_stack_wave_by_wave_and_each_wave_is_watched() -> None:
    world, old, new = begun()
    outcome = world.deploy(new)
    assert outcome.is_done
    assert world.runs() == dict.fromkeys(CELLS, new.id)
    assert [(each.before, each.after) for each in outcome.cells] == [(old.id, new.id)] * 3
    at = {one.cell: when for when, one in world.executed}
    assert at[CELLS[1]] == at[CELLS[2]]
    assert at[CELLS[1]] - at[FIRST] >= world.takes + 600


def test_a_release_that_runs_everywhere_already_needs_nothing_and_nobody_is_asked() -> None:
    world, old, _ = begun(watched(WAVES, approval=When.ALWAYS))
    outcome = world.deploy(old, approve=never)
    assert outcome.is_done
    assert not world.executed
    assert set(states(outcome).values()) == {CellState.RAN_ALREADY}


def test_targets_that_share_waves_are_reviewed_and_deployed_together() -> None:
    other = replace(
        watched(((HOME,), (FAR,)), minutes=0), name="Beta", account="333333333333", joins="Prod"
    )
    world = World()
    new = world.keep(made_for(watched(WAVES, minutes=0), other))
    seen: list[Review] = []
    with pytest.raises(PermanentError, match="Beta runs with Prod"):
        world.deploy(new, "Beta")
    ask = replace(watched(WAVES, minutes=0), approval=When.CHANGES)
    new = world.keep(made_for(ask, other))

    def look(review: Review) -> bool:
        seen.append(review)
        return True

    assert world.deploy(new, approve=look).is_done
    assert len(seen[0].reviewed) == 5
    assert len({when for when, _ in world.executed}) == 2


def test_what_is_not_approved_is_not_executed() -> None:
    world, old, new = begun(watched(WAVES, approval=When.ALWAYS))
    outcome = world.deploy(new, approve=lambda _: False)
    assert outcome.state is Ended.REFUSED
    assert world.runs() == dict.fromkeys(CELLS, old.id)
    assert world.deploy(new).is_done


def test_a_change_set_that_is_replaced_after_the_approval_is_not_executed() -> None:
    world, old, new = begun(watched(WAVES, approval=When.ALWAYS))

    def replaced(_: Review) -> bool:
        world.replace_set(CELLS[2])
        return True

    with pytest.raises(PermanentError, match=r"shop in us-east-1 .* another one than was reviewed"):
        world.deploy(new, approve=replaced)
    assert not world.executed
    assert world.runs() == dict.fromkeys(CELLS, old.id)


def test_a_change_set_that_is_replaced_between_waves_is_not_executed() -> None:
    world, _, new = begun()

    def once_at_work(name: str, _: Cell | None) -> None:
        if name == "raised" and world.executed and world.sets:
            world.replace_set(CELLS[2])
            world.happens = lambda *_: None

    world.happens = once_at_work
    outcome = world.deploy(new)
    assert outcome.state is Ended.STOPPED
    assert all(one.sha256 != "another template" for _, one in world.executed)


# --- what cannot begin --------------------------------------------------------------------------


def test_a_stack_that_nothing_can_be_made_of_is_named_with_the_way_out() -> None:
    world, _, new = begun()
    world.stacks[CELLS[1]] = StackState("ROLLBACK_COMPLETE")
    world.stacks[CELLS[2]] = StackState("UPDATE_IN_PROGRESS", "", {})
    with pytest.raises(PermanentError) as refused:
        world.deploy(new)
    assert "delete-stack --stack-name shop --region eu-west-1" in str(refused.value)
    assert "shop in us-east-1 of 222222222222 is UPDATE_IN_PROGRESS: somebody" in str(refused.value)
    assert not world.executed


@pytest.mark.parametrize("regions", [[HOME], [US]])
def test_an_alarm_that_is_not_there_refuses_the_start_whichever_wave_it_is_of(
    regions: list[str],
) -> None:
    world, _, new = begun()
    for region in regions:
        del world.alarms["222222222222", region, "shop-errors"]
    with pytest.raises(PermanentError, match="there is no alarm shop-errors"):
        world.deploy(new)
    assert not world.executed


def test_an_alarm_that_is_raised_before_the_first_wave_refuses_the_start() -> None:
    world, _, new = begun()
    world.set_alarm(CELLS[2], "ALARM", world.now - 60)
    with pytest.raises(PermanentError, match="was raised: see to it first"):
        world.deploy(new)
    assert not world.executed


def test_a_target_that_the_release_was_not_configured_for_is_refused() -> None:
    world, _, new = begun()
    with pytest.raises(PermanentError, match="is not configured for Beta; its targets: Prod"):
        world.deploy(new, "Beta")


def test_a_release_whose_objects_were_cleaned_away_is_refused_by_name() -> None:
    world, _, new = begun()
    key = new.prefix + configuration_name("Prod", US)
    del world.records.objects[store(US).bucket, key]
    with pytest.raises(PermanentError, match=f"{key} in {store(US).bucket} is gone; package"):
        world.deploy(new)
    assert not world.executed


def test_a_release_whose_code_was_cleaned_away_is_refused_before_anything_is_made() -> None:
    world, _, new = begun()
    world.gone = ["us-east-1: shop/code.zip", "mx-central-1: of no stack of this target"]
    with pytest.raises(PermanentError) as refused:
        world.deploy(new)
    assert str(refused.value) == (
        f"nothing was executed: release {new.id} is not whole any more: us-east-1: shop/code.zip; "
        "package it again"
    )
    assert all(one.name != "foothold-shop-run1" for one in world.sets.values())


def test_a_release_that_was_not_packaged_for_a_region_is_refused() -> None:
    world, _, new = begun()
    less = replace(new, regions={HOME: new.regions[HOME], FAR: new.regions[FAR]})
    with pytest.raises(PermanentError, match="was not packaged for us-east-1"):
        world.deploy(less)


def test_only_one_rollout_at_a_time_works_on_a_target() -> None:
    world, old, new = begun()
    refused: list[str] = []

    def second(name: str, _: Cell | None) -> None:
        if name == "execute" and not refused:
            world.happens = lambda *_: None
            with pytest.raises(BusyError) as busy:
                world.deploy(old)
            refused.append(str(busy.value))

    world.happens = second
    assert world.deploy(new).is_done
    assert f"me rolls release {new.id} of shop out to Prod (run run1), until 1970" in refused[0]
    assert world.runs() == dict.fromkeys(CELLS, new.id)


# --- alarms and trials --------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(1, 640), st.booleans())
def test_no_later_wave_is_touched_after_an_alarm_at_any_time(after: int, flaps: bool) -> None:
    world, old, new = begun()
    world.set_alarm(FIRST, "ALARM", world.now + after)
    if flaps:
        world.set_alarm(FIRST, "OK", world.now + after + 1)
    outcome = world.deploy(new)
    if outcome.is_done:
        assert after > 630  # the wave was watched already
        return
    assert outcome.state is Ended.STOPPED
    assert "alarm shop-errors in eu-central-1" in outcome.line
    assert world.runs() == {FIRST: new.id, CELLS[1]: old.id, CELLS[2]: old.id}
    assert states(outcome)[US] is CellState.NOT_TOUCHED


def test_an_alarm_without_data_is_none() -> None:
    world, _, new = begun()
    world.set_alarm(FIRST, "INSUFFICIENT_DATA", world.now + 60)
    assert world.deploy(new).is_done


def test_a_wave_that_alarms_goes_back_where_that_is_declared() -> None:
    world, old, new = begun(watched(WAVES, on_failure=OnFailure.ROLLBACK))
    world.set_alarm(CELLS[1], "ALARM", world.now + 700)
    world.set_alarm(CELLS[1], "OK", world.now + 760)
    outcome = world.deploy(new)
    assert outcome.state is Ended.TAKEN_BACK
    assert world.runs() == {FIRST: new.id, CELLS[1]: old.id, CELLS[2]: old.id}
    assert states(outcome) == {
        HOME: CellState.DEPLOYED,
        FAR: CellState.TAKEN_BACK,
        US: CellState.TAKEN_BACK,
    }


def test_a_stack_that_fails_stops_the_rollout_with_its_reason() -> None:
    world, old, new = begun()
    world.fails.add(FIRST)
    outcome = world.deploy(new)
    assert outcome.state is Ended.STOPPED
    assert "Function: it did not start" in outcome.line
    assert world.runs() == dict.fromkeys(CELLS, old.id)
    assert states(outcome)[HOME] is CellState.FAILED


def test_a_stack_that_is_new_is_left_and_named_when_its_wave_goes_back() -> None:
    world = World()
    target = watched(WAVES, on_failure=OnFailure.ROLLBACK)
    new = world.keep(made_for(target))
    for cell in CELLS:
        world.set_alarm(cell, "OK", 0)
    world.set_alarm(FIRST, "ALARM", world.now + 100)
    outcome = world.deploy(new)
    assert outcome.state is Ended.PARTLY_TAKEN_BACK
    assert outcome.cells[0].state is CellState.NOT_TAKEN_BACK
    assert "nothing is deleted" in outcome.cells[0].line
    assert world.runs()[FIRST] == new.id


def test_a_test_that_fails_counts_as_an_alarm_and_is_given_the_outputs() -> None:
    trials = (Trial("smoke", project="smoke"), Trial("each", function="each", each_region=True))
    world = World()
    world.trials = {"smoke": TrialRun("b1", passed=True), "each": TrialRun("i1", passed=True)}
    target = watched(WAVES, minutes=0, trials=trials)
    assert world.deploy(world.keep(made_for(target))).is_done
    assert [(name, region) for name, region, _ in world.given] == [
        ("smoke", HOME),
        ("each", HOME),
        ("smoke", HOME),
        ("each", FAR),
        ("each", US),
    ]
    assert world.given[3][2] == {"Url": f"https://{FAR}"}
    world.trials["smoke"] = TrialRun("b2", passed=False, line="build b2 is FAILED")
    world.sleep(LEASE_SECONDS)
    outcome = world.deploy(world.keep(made_for(target, content="b")))
    assert outcome.state is Ended.STOPPED
    assert outcome.line == ("wave 1 of 2: test Prod/smoke/eu-central-1 failed: build b2 is FAILED")


def test_a_look_at_a_wave_can_be_gone_on_with_by_its_token() -> None:
    target = watched(WAVES)
    world, _, _ = begun(target)
    watch = Watch(world.now, world.now)
    for _ in range(10):
        seen = world.rollouts().watch([target], [FIRST], watch, "run")
        assert seen.state is Watched.GO_ON
        assert seen.wait == 60
        world.sleep(seen.wait)
        watch = Watch.parse(seen.watch.render())
    assert world.rollouts().watch([target], [FIRST], watch, "run").state is Watched.DONE
    with pytest.raises(PermanentError, match="none that Foothold gave"):
        Watch.parse("[]")


# --- back ---------------------------------------------------------------------------------------


def test_a_rollback_brings_back_what_the_record_says_was_there_before() -> None:
    world, old, new = begun()
    world.deploy(new)
    outcome = world.rollback()
    assert outcome.is_done
    assert outcome.release == old.id
    assert world.runs() == dict.fromkeys(CELLS, old.id)
    assert world.rollback().release == old.id  # and not forth again
    assert world.runs() == dict.fromkeys(CELLS, old.id)


def test_a_rollback_after_a_rollout_that_was_stopped_or_refused_finds_the_release_before() -> None:
    world, old, new = begun()
    world.set_alarm(FIRST, "ALARM", world.now + 60)
    world.set_alarm(FIRST, "OK", world.now + 61)
    assert world.deploy(new).state is Ended.STOPPED
    world.stacks[CELLS[2]] = replace(world.stacks[CELLS[2]], status="UPDATE_ROLLBACK_FAILED")
    with pytest.raises(PermanentError, match="continue-update-rollback"):
        world.deploy(new)
    world.stacks[CELLS[2]] = replace(world.stacks[CELLS[2]], status="UPDATE_COMPLETE")
    assert world.rollback().release == old.id
    assert world.runs() == dict.fromkeys(CELLS, old.id)


def test_a_second_attempt_still_knows_what_each_stack_ran_before_the_first() -> None:
    world, old, new = begun()
    world.set_alarm(FIRST, "ALARM", world.now + 60)
    world.set_alarm(FIRST, "OK", world.now + 61)
    assert world.deploy(new).state is Ended.STOPPED
    outcome = world.deploy(new)
    assert outcome.is_done
    assert {each.before for each in outcome.cells} == {old.id}


def test_a_stack_that_was_rolled_back_does_not_count_as_running_what_its_tag_says() -> None:
    world, old, _ = begun()
    world.stacks[FIRST] = replace(world.stacks[FIRST], status="UPDATE_ROLLBACK_COMPLETE")
    assert world.deploy(old).is_done
    assert [one.cell for _, one in world.executed] == [FIRST]


def test_a_rollback_waits_for_no_alarm_and_is_not_held_by_one() -> None:
    world, old, new = begun(watched(WAVES, on_failure=OnFailure.ROLLBACK))
    world.deploy(new)
    world.set_alarm(CELLS[2], "ALARM", world.now)
    before = world.now
    assert world.rollback().is_done
    assert world.runs() == dict.fromkeys(CELLS, old.id)
    assert world.now - before < 600
    world.sleep(LEASE_SECONDS)
    world.set_alarm(CELLS[2], "OK", world.now)
    world.deploy(new)
    world.fails.add(FIRST)
    assert world.rollback().state is Ended.STOPPED
    assert world.runs() == dict.fromkeys(CELLS, new.id)


def test_a_rollback_leaves_and_names_what_the_older_release_does_not_serve() -> None:
    world = World()
    old = world.keep(made_for(watched(((HOME,), (FAR,)), minutes=0), content="old"))
    new = world.keep(made_for(watched(((HOME,), (US,)), minutes=0), content="new"))
    world.deploy(old)
    world.deploy(new)
    world.records.regions = (HOME, US)  # the region of the old one went, that of the new one came
    outcome = world.rollback()
    assert outcome.is_done
    assert {each.cell.region: each.line for each in outcome.cells if each.line} == {
        FAR: "eu-west-1 has no artifact store: run `foothold regions add eu-west-1`",
        US: f"release {old.id} does not serve it",
    }
    assert world.runs() == {FIRST: old.id, CELLS[1]: old.id, CELLS[2]: new.id}


def test_a_rollback_goes_to_a_release_by_name_and_to_none_that_is_not_there() -> None:
    world, old, new = begun()
    with pytest.raises(PermanentError, match=r"no record of a release .* had before: name one"):
        world.rollback()
    assert world.rollback(to=new.id).is_done
    with pytest.raises(PermanentError, match="no release whose id begins with 0123"):
        world.rollback(to="0123")
    for region in (HOME, FAR, US):
        del world.records.objects[store(region).bucket, old.prefix + RELEASE]
    with pytest.raises(PermanentError, match="no release whose id begins"):
        world.rollback(to=old.id)


def test_a_wave_goes_back_as_far_as_its_releases_are_there() -> None:
    world, old, new = begun(watched(WAVES, on_failure=OnFailure.ROLLBACK))
    world.set_alarm(FIRST, "ALARM", world.now + 60)
    for region in (HOME, FAR, US):
        del world.records.objects[store(region).bucket, old.prefix + RELEASE]
    outcome = world.deploy(new)
    assert outcome.state is Ended.PARTLY_TAKEN_BACK
    assert "no release whose id begins" in outcome.cells[0].line


# --- killed -------------------------------------------------------------------------------------


def lengths(world: World, new: Release) -> int:
    before = world.calls
    world.deploy(new)
    return world.calls - before


def killed_at(call: int, alarm: bool) -> tuple[World, Release, Release]:
    world, old, new = begun(watched(WAVES, on_failure=OnFailure.ROLLBACK))
    world.bad = (CELLS[1], new.id) if alarm else None
    world.ends_after = world.calls + call
    with pytest.raises(Killed):
        world.deploy(new)
    world.ends_after = None
    return world, old, new


@pytest.mark.parametrize("alarm", [False, True])
def test_a_rollout_that_is_killed_at_any_call_goes_on_to_the_same_end(alarm: bool) -> None:
    world, old, new = begun(watched(WAVES, on_failure=OnFailure.ROLLBACK))
    for call in range(0, lengths(world, new), 7):
        world, old, new = killed_at(call, alarm)
        world.sleep(LEASE_SECONDS)
        world.deploy(new)
        went_back = {FIRST: new.id, CELLS[1]: old.id, CELLS[2]: old.id}
        assert world.runs() in ([went_back] if alarm else [dict.fromkeys(CELLS, new.id)])
        world.sleep(LEASE_SECONDS)
        assert world.rollback().is_done
        assert world.runs() == dict.fromkeys(CELLS, old.id)


def test_whoever_is_interrupted_lets_go_at_once() -> None:
    world, _, new = begun(watched(WAVES, approval=When.ALWAYS))

    def interrupted(_: Review) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.deploy(new, approve=interrupted)
    assert world.deploy(new, approve=approved).is_done


def test_a_bake_goes_on_where_it_was_and_is_not_begun_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = replace(watched(WAVES), bake=Bake(60, ("shop-errors",)))
    world, _, new = begun(target)
    seen: list[Watch] = []
    watch = Rollouts.watch

    def noted(self: Rollouts, *arguments: object) -> object:
        seen.append(arguments[2])  # type: ignore[arg-type]  # it is the watch
        return watch(self, *arguments)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(Rollouts, "watch", noted)

    def interrupted(*_: object) -> None:
        if len(seen) == 20:
            world.happens = lambda *_: None
            raise KeyboardInterrupt

    world.happens = interrupted
    with pytest.raises(KeyboardInterrupt):
        world.deploy(new)
    assert world.deploy(new).is_done
    assert seen[19] == seen[20]
