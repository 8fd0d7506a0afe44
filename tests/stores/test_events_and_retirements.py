"""What the events about a broken store, and the schedule, make of retirements."""

import json
from pathlib import Path
from typing import Any

import pytest

from foothold.reading import Ignored
from foothold.stores.aspects import BucketAspect
from foothold.stores.custom_resource.request import Claim
from foothold.stores.events import Events
from foothold.stores.operator.messages import AddRegions, PlanRegions, RetireRegion, parse_command
from foothold.stores.steps import KeepVerb, Outcome, RetireVerb
from foothold.stores.triggers import ParameterChanged, Scheduled, StoreTouched, Trigger, parse_event
from local.aws.embedded import ROOT
from tests.stores.accounts import REGION, SPEC, Account
from tests.stores.test_preflight import RETIRING
from tests.stores.worlds import HOME

SAVED = Path(ROOT) / "events"


def saved(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((SAVED / f"{name}.json").read_text())
    return event


def parsed(event: dict[str, Any]) -> Trigger | Ignored:
    return parse_event(event, account="111111111111", parameter_root="/foothold")


def answer(account: Account, trigger: Trigger) -> tuple[Outcome, ...]:
    events = Events(account.plane, account.reconciler, lambda: account.now, account.retirements)
    return events.reconcile(trigger)


def test_a_touched_store_is_repaired_from_a_whole_look(account: Account) -> None:
    account.store()
    account.buckets.write(SPEC, BucketAspect.VERSIONING, "Suspended")
    (outcome,) = answer(account, StoreTouched(REGION, "PutBucketPolicy"))
    assert [step.aspect for step in outcome.steps] == [BucketAspect.VERSIONING]


def test_a_call_in_a_region_that_nobody_wants_makes_no_store(account: Account) -> None:
    assert answer(account, StoreTouched(REGION, "PutBucketPolicy")) == ()
    assert account.mutations == []


@pytest.mark.parametrize(
    "name", [f"{SPEC.home_path}/bucket", f"{SPEC.home_path}/key-arn", SPEC.retirement_parameter]
)
def test_the_events_of_a_retirement_do_not_undo_it(account: Account, name: str) -> None:
    account.store()
    account.retire()
    before = account.state()
    answer(account, ParameterChanged(name, "Delete", HOME))
    answer(account, ParameterChanged(f"{SPEC.regional_path}/bucket", "Delete", REGION))
    answer(account, StoreTouched(REGION, "DeleteBucket"))
    answer(account, Scheduled())
    assert account.state() == before


def test_the_schedule_goes_on_with_a_retirement() -> None:
    account = Account(plane=RETIRING)
    claim = Claim("app.1.Store", "a stack's resource")
    account.claims.ensure([REGION], claim)
    account.claims.release(claim)
    outcomes = answer(account, Scheduled())
    assert RetireVerb.DELETE_BUCKET in [step.verb for outcome in outcomes for step in outcome.steps]
    assert account.cloud.buckets == {}


def test_the_record_of_a_retirement_starts_it_without_waiting_for_the_schedule() -> None:
    account = Account(plane=RETIRING)
    claim = Claim("app.1.Store", "a stack's resource")
    account.claims.ensure([REGION], claim)
    account.claims.release(claim)
    answer(account, ParameterChanged(SPEC.retirement_parameter, "Create", HOME))
    assert account.cloud.buckets == {}


def test_the_saved_commands_are_understood() -> None:
    assert parse_command(saved("command_plan")) == PlanRegions()
    assert parse_command(saved("command_add")) == AddRegions(regions=["eu-west-1", "us-east-1"])
    assert parse_command(saved("command_retire")) == RetireRegion(region="eu-west-1", seconds=60.0)


def test_the_event_of_a_record_that_somebody_wrote_raises_the_alarm_at_once(
    account: Account,
) -> None:
    account.store()
    forged = {"phase": "retiring", "since": 0, "key_arn": None, "deleted": 0}
    account.parameters.put(HOME, SPEC.retirement_parameter, json.dumps(forged))
    outcomes = answer(account, ParameterChanged(SPEC.retirement_parameter, "Create", HOME))
    assert [step.verb for outcome in outcomes for step in outcome.alarms] == [KeepVerb.DISTRUST]
    assert account.cloud.buckets


def test_the_events_of_a_hand_over_are_no_fault_unless_somebody_still_wants_the_region(
    account: Account,
) -> None:
    account.store()
    account.hand_overs.hand_over(REGION, "platform", "us-east-1")
    withdrawn = ParameterChanged(f"{SPEC.home_path}/bucket", "Delete", HOME)
    assert answer(account, withdrawn) == ()
    account.parameters.put(HOME, account.plane.names.regions, REGION)
    (outcome,) = answer(account, withdrawn)
    assert "control plane of stack platform" in str(outcome.error)
