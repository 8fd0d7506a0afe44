"""What each event makes the reconciler do, and what is told about it."""

import time

import pytest

from foothold.errors import PermanentError, TemporaryError
from foothold.observability import FunctionAnswer
from foothold.stores.aspects import BUCKET_SETTINGS, BucketAspect
from foothold.stores.custom_resource.claims import Claims
from foothold.stores.custom_resource.request import Claim
from foothold.stores.events import Events, answer_event, report, worth_a_retry
from foothold.stores.steps import Outcome
from foothold.stores.triggers import (
    ParameterChanged,
    RegionOptIn,
    RegionsRequested,
    Scheduled,
    Trigger,
)
from tests.stores.worlds import DRIFTED, HOME, PLANE, InMemory, World, in_memory


def answer(world: World, trigger: Trigger, now: float = 0.0) -> dict[str, Outcome]:
    outcomes = Events(PLANE, world.reconciler, lambda: now).reconcile(trigger)
    return {outcome.region: outcome for outcome in outcomes}


def listed(world: InMemory, regions: str) -> InMemory:
    world.parameters.put(HOME, "/foothold/regions", regions)
    return world


def test_requested_regions_get_their_stores() -> None:
    outcomes = answer(in_memory(), RegionsRequested(("eu-west-1", "us-east-1")))
    assert all(outcome.store for outcome in outcomes.values())
    assert set(outcomes) == {"eu-west-1", "us-east-1"}


def test_the_schedule_reconciles_whatever_is_desired() -> None:
    world = listed(in_memory(), "eu-west-1,us-east-1")
    assert set(answer(world, Scheduled())) == {"eu-west-1", "us-east-1"}


def test_the_schedule_with_nothing_desired_does_nothing() -> None:
    assert answer(in_memory(), Scheduled()) == {}


def test_one_hour_of_ticks_repairs_every_setting() -> None:
    world = listed(in_memory(), "eu-west-1")
    answer(world, Scheduled())
    spec = PLANE.spec("eu-west-1")
    for aspect in BUCKET_SETTINGS:
        if aspect in (BucketAspect.TAGS, BucketAspect.POLICY):
            continue
        world.buckets.write(spec, aspect, DRIFTED[aspect])
    for quarter in range(4):
        answer(world, Scheduled(), now=quarter * 900.0)
    assert world.reconciler.plan(["eu-west-1"]) == {"eu-west-1": ()}


def test_a_changed_list_reconciles_the_desired_regions() -> None:
    world = listed(in_memory(), "eu-west-1")
    changed = ParameterChanged("/foothold/regions", "Update", HOME)
    assert set(answer(world, changed)) == {"eu-west-1"}


@pytest.mark.parametrize(
    ("name", "event_region", "region"),
    [
        ("/foothold/artifact-stores/eu-west-1/bucket", HOME, "eu-west-1"),
        ("/foothold/artifact-store/key-arn", HOME, HOME),
    ],
)
def test_a_changed_parameter_of_a_store_reconciles_its_region(
    name: str, event_region: str, region: str
) -> None:
    assert set(answer(in_memory(), ParameterChanged(name, "Delete", event_region))) == {region}


def test_an_enabled_region_is_made_only_where_somebody_wants_it() -> None:
    opt_in = RegionOptIn("ap-east-1", "ENABLED", PLANE.account)
    assert answer(in_memory(), opt_in) == {}
    assert set(answer(listed(in_memory(), "all-enabled"), opt_in)) == {"ap-east-1"}


@pytest.mark.parametrize("wanted_by", ["all-enabled", "af-south-1"])
def test_an_enabled_region_that_is_not_usable_yet_is_asked_for_again(wanted_by: str) -> None:
    """The event says so before the status does: Lambda repeats it."""
    opt_in = RegionOptIn("af-south-1", "ENABLED", PLANE.account)
    outcome = answer(listed(in_memory(), wanted_by), opt_in)["af-south-1"]
    assert isinstance(outcome.error, TemporaryError)
    assert isinstance(worth_a_retry([outcome]), TemporaryError)


def test_the_report_names_store_steps_and_error_of_every_region() -> None:
    outcomes = in_memory().reconciler.reconcile(["eu-west-1", "eu-nowhere-1"])
    told = report(outcomes)
    assert told["eu-west-1"]["bucket"] == PLANE.spec("eu-west-1").bucket
    assert told["eu-west-1"]["steps"][0].startswith("create the key: ")
    assert "not a region" in told["eu-nowhere-1"]["error"]


def test_only_what_a_retry_may_help_is_retried() -> None:
    permanent = Outcome("eu-west-1", error=PermanentError("no"))
    passing = Outcome("us-east-1", error=TemporaryError("not yet"))
    assert worth_a_retry([permanent]) is None
    assert str(worth_a_retry([permanent, passing])) == "not yet"


def test_an_answer_counts_regions_failures_steps_and_alarms() -> None:
    events = Events(PLANE, in_memory().reconciler, lambda: 0.0)
    told = events.answer(RegionsRequested(("eu-west-1", "af-south-1")))
    failed = {region for region, found in told.report.items() if found["error"]}
    steps = sum(len(found["steps"]) for found in told.report.values())
    assert told.counts == {
        "RegionsReconciled": 2,
        "RegionsFailed": len(failed),
        "StepsTaken": steps,
        "StoresAlarmed": 0,
    }
    assert (failed, told.retry) == ({"af-south-1"}, None)
    assert steps > 0


def test_stacks_follow_where_a_store_has_changed_and_on_schedule() -> None:
    world = listed(in_memory(), "eu-west-1")
    counts = {"StacksRefused": 3}
    events = Events(PLANE, world.reconciler, lambda: 0.0, follow=lambda: counts)
    asked = RegionsRequested(("eu-west-1",))
    assert events.answer(asked).counts["StacksRefused"] == 3
    assert "StacksRefused" not in events.answer(asked).counts  # nothing was left to do
    assert events.answer(Scheduled()).counts["StacksRefused"] == 3


@pytest.mark.parametrize("error", [PermanentError("cannot list the stacks"), ZeroDivisionError()])
def test_what_fails_after_the_regions_is_raised_and_their_counts_are_told(
    error: Exception,
) -> None:
    def follow() -> dict[str, int]:
        raise error

    events = Events(PLANE, in_memory().reconciler, lambda: 0.0, follow=follow)
    told = events.answer(RegionsRequested(("eu-west-1",)))
    assert told.counts["RegionsReconciled"] == 1
    assert told.retry is error


def test_an_event_that_asks_for_nothing_begins_no_run() -> None:
    def begun() -> Events:
        pytest.fail("a run began")

    assert answer_event({"source": "nobody"}, PLANE, begun) == FunctionAnswer()


CLAIM = Claim("app.1.Store", "a stack's resource")


def claims_of(world: World) -> set[str]:
    return set(world.parameters.below(HOME, "/foothold/claims"))


def requests_of(world: World) -> Claims:
    return Claims(PLANE, world.reconciler, world.parameters, time.time)


def test_a_claim_stands_for_exactly_the_regions_asked_for() -> None:
    world = in_memory()
    requests_of(world).ensure(["eu-west-1", "us-east-1"], CLAIM)
    stores = requests_of(world).ensure(["us-east-1", "ap-east-1"], CLAIM)
    assert set(stores) == {"us-east-1", "ap-east-1"}
    assert claims_of(world) == {
        "/foothold/claims/us-east-1/app.1.Store",
        "/foothold/claims/ap-east-1/app.1.Store",
    }


def test_a_failing_region_leaves_the_claim_as_it_was() -> None:
    world = in_memory()
    requests_of(world).ensure(["eu-west-1"], CLAIM)
    with pytest.raises(PermanentError, match="eu-nowhere-1"):
        requests_of(world).ensure(["us-east-1", "eu-nowhere-1"], CLAIM)
    assert claims_of(world) == {"/foothold/claims/eu-west-1/app.1.Store"}


def test_work_that_wakes_after_its_stack_has_gone_on_changes_no_claim() -> None:
    world = in_memory()
    requests_of(world).ensure(["eu-west-1"], CLAIM)
    times = iter([0.0, 221.0])
    late = Claims(PLANE, world.reconciler, world.parameters, clock=lambda: next(times))
    with pytest.raises(TemporaryError, match="too late to claim"):
        late.ensure(["us-east-1"], CLAIM)
    assert claims_of(world) == {"/foothold/claims/eu-west-1/app.1.Store"}


def test_releasing_a_claim_keeps_the_store_and_the_claims_of_others() -> None:
    world = in_memory()
    other = Claim("other.1.Store", "another")
    requests_of(world).ensure(["eu-west-1"], CLAIM)
    requests_of(world).ensure(["eu-west-1"], other)
    requests_of(world).release(CLAIM)
    requests_of(world).release(CLAIM)
    assert claims_of(world) == {"/foothold/claims/eu-west-1/other.1.Store"}
    assert PLANE.spec("eu-west-1").bucket in world.cloud.buckets
