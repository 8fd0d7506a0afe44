"""Who may ask for which region, and that nothing that was asked for is forgotten."""

from dataclasses import replace

import pytest

from foothold.errors import PermanentError, RequestRefusedError, TemporaryError
from foothold.stores.custom_resource.claims import Claims
from foothold.stores.custom_resource.request import Claim
from foothold.stores.events import Events, report
from foothold.stores.model import ControlPlane
from foothold.stores.register import Phase, Retirement
from foothold.stores.requests import OpenRequests
from foothold.stores.steps import Outcome
from foothold.stores.triggers import ParameterChanged, RegionsRequested, Scheduled, Trigger
from foothold.stores.wanted import LONGEST_REASON, OpenRequest, RegionList, RegionPolicy
from tests.stores.accounts import REGION, SPEC, Account
from tests.stores.worlds import HOME, PLANE

CLAIM = Claim("app.1.Store", "a stack's resource")
RECORD = f"/foothold/requests/{REGION}"


def answer(account: Account, trigger: Trigger) -> dict[str, Outcome]:
    """What the function does with an event, in its order."""
    events = Events(
        account.plane,
        account.reconciler,
        lambda: account.now,
        account.retirements,
        OpenRequests(account.plane, account.parameters, lambda: account.now),
    )
    outcomes = events.reconcile(trigger)
    events.remember(trigger, outcomes)
    return {outcome.region: outcome for outcome in outcomes}


def noted(account: Account) -> dict[str, OpenRequest | None]:
    below = account.parameters.below(HOME, PLANE.names.requests)
    return {name.split("/")[-1]: OpenRequest.parse(text) for name, text in below.items()}


def refuse_buckets(call: str) -> None:
    if call == "CreateBucket":
        raise PermanentError("cannot create bucket: AccessDenied")


def planes(policy: RegionPolicy) -> ControlPlane:
    return replace(PLANE, region_policy=policy)


# --- Nothing is forgotten ------------------------------------------


def test_a_request_that_met_a_refusal_is_made_by_the_next_schedule(account: Account) -> None:
    account.watch(refuse_buckets)
    answer(account, RegionsRequested((REGION,)))
    assert noted(account) == {
        REGION: OpenRequest(1_000_000, "cannot create bucket: AccessDenied", asked=True)
    }
    assert account.reconciler.desired_regions() == (REGION,)
    account.now += 900
    answer(account, Scheduled())  # still refused: since when does not change
    account.begin_anew()
    answer(account, Scheduled())
    assert "PutParameter" not in account.calls
    assert noted(account)[REGION] == OpenRequest(
        1_000_000, "cannot create bucket: AccessDenied", asked=True
    )
    account.serve()
    assert answer(account, Scheduled())[REGION].store
    assert noted(account) == {}


def test_a_region_that_is_ready_costs_no_write(account: Account) -> None:
    account.store()
    for trigger in (RegionsRequested((REGION,)), Scheduled()):
        account.begin_anew()
        answer(account, trigger)
        assert account.mutations == []


def test_why_a_listed_region_is_not_ready_is_noted_but_asks_for_nothing(account: Account) -> None:
    account.parameters.put(HOME, PLANE.names.regions, REGION)
    account.watch(refuse_buckets)
    answer(account, ParameterChanged(PLANE.names.regions, "Update", HOME))
    assert noted(account)[REGION] == OpenRequest(
        1_000_000, "cannot create bucket: AccessDenied", asked=False
    )
    account.parameters.delete(HOME, (PLANE.names.regions,))
    assert account.reconciler.desired_regions() == ()
    answer(account, Scheduled())
    assert noted(account) == {}


def test_a_store_that_is_kept_while_its_retirement_waits_says_why_and_is_written_once() -> None:
    account = Account(plane=replace(PLANE, retires=True))
    account.claims.ensure([REGION], CLAIM)
    account.deploy("shop", "222222222222")
    account.claims.release(CLAIM)
    answer(account, Scheduled())
    found = noted(account)[REGION]
    assert found
    assert "is used by stack 222222222222/shop" in found.reason
    account.begin_anew()
    answer(account, Scheduled())
    assert account.mutations == []


def test_a_record_that_is_garbage_asks_for_nothing_and_is_replaced(account: Account) -> None:
    account.parameters.put(HOME, RECORD, "garbage")
    assert account.reconciler.desired_regions() == ()
    account.watch(refuse_buckets)
    answer(account, RegionsRequested((REGION,)))
    assert noted(account)[REGION]


@pytest.mark.parametrize("reason", ["é" * 5000, "{{resolve:ssm:x}} \U0001f600" * 500, "x" * 10_000])
def test_a_reason_of_any_length_fits_into_a_parameter(reason: str) -> None:
    text = OpenRequest.of(1, reason, asked=True).text
    assert len(text.encode()) <= 4096
    assert "{{" not in text
    found = OpenRequest.parse(text)
    assert found
    assert len(found.reason.encode()) >= LONGEST_REASON - 4


# --- Who may ask for what ------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "region", "yes"),
    [
        (("*",), "us-east-1", True),
        (("eu-*", "us-east-1"), "us-east-1", True),
        (("eu-*",), "us-east-1", False),
        (("eu-west-?",), "eu-west-1", False),  # * is the only wildcard
        (("eu-west-1",), "eu-west-12", False),
        ((), "us-east-1", False),
        ((), HOME, True),
    ],
)
def test_a_region_is_allowed_by_a_pattern_and_the_home_region_always(
    allowed: tuple[str, ...], region: str, yes: bool
) -> None:
    assert RegionPolicy(allowed).allows(region, HOME) is yes


def test_a_region_that_is_not_allowed_is_refused_at_every_door_and_nothing_is_made() -> None:
    account = Account(plane=planes(RegionPolicy(("us-*",))))
    words = "AllowedRegions, which holds us-\\*"
    outcome = answer(account, RegionsRequested((REGION,)))[REGION]
    assert (outcome.failed, outcome.ignored) == (False, True)
    assert "AllowedRegions" in report([outcome])[REGION]["ignored"]
    with pytest.raises(PermanentError, match=words):
        account.claims.ensure([REGION], CLAIM)
    with pytest.raises(PermanentError, match=words):
        account.adoptions.adopt(REGION, *account.put_theirs())
    account.parameters.put(HOME, PLANE.names.regions, REGION)
    outcome = answer(account, Scheduled())[REGION]
    assert outcome.failed
    assert set(account.cloud.buckets) == {"old-artifacts"}


def test_all_enabled_means_what_is_allowed(account: Account) -> None:
    account.plane = planes(RegionPolicy(("eu-*",)))
    account.parameters.put(HOME, PLANE.names.regions, "all-enabled,-eu-west-1,us-east-1")
    outcomes = answer(account, Scheduled())
    assert {name: outcome.failed for name, outcome in outcomes.items()} == {
        HOME: False,
        "us-east-1": True,  # by name, so somebody should hear of it
    }


def test_a_store_that_is_not_allowed_any_more_is_kept_and_its_claim_too(account: Account) -> None:
    account.claims.ensure([REGION], CLAIM)
    account.plane = planes(RegionPolicy(("us-*",)))
    account.drop_policy()
    assert answer(account, Scheduled())[REGION].steps
    assert account.claims.ensure([REGION], CLAIM)
    with pytest.raises(PermanentError, match="AllowedRegions"):
        account.claims.ensure([REGION], Claim("other.2.Store", "another"))


def test_no_more_regions_than_the_stack_allows_get_a_store() -> None:
    account = Account(plane=planes(RegionPolicy(most=3)))
    account.claims.ensure([HOME, REGION], CLAIM)
    account.parameters.put(HOME, PLANE.names.regions, "ap-east-1")
    outcome = answer(account, RegionsRequested(("us-east-1",)))["us-east-1"]
    assert outcome.ignored
    assert "MaxRegions (3) allows; stores are in, or wanted for, ap-east-1" in str(outcome.error)
    with pytest.raises(PermanentError, match="MaxRegions"):
        account.claims.ensure(["us-east-1"], CLAIM)
    assert answer(account, Scheduled())["ap-east-1"].store
    assert answer(account, RegionsRequested((REGION,)))[REGION].store


def test_all_enabled_fills_up_what_the_stack_allows_and_alarms_nobody() -> None:
    account = Account(plane=planes(RegionPolicy(most=3)))
    account.claims.ensure(["us-east-1"], CLAIM)
    account.parameters.put(HOME, PLANE.names.regions, "all-enabled")
    for _ in range(2):
        outcomes = answer(account, Scheduled())
        assert not any(outcome.failed for outcome in outcomes.values())
        assert set(outcomes) == {HOME, "us-east-1", "ap-east-1"}


def test_a_region_that_aws_does_not_have_is_ignored_with_a_reason(account: Account) -> None:
    outcomes = answer(account, RegionsRequested(("eu-nowhere-1", REGION)))
    assert outcomes[REGION].store
    assert not outcomes["eu-nowhere-1"].failed
    told = report(tuple(outcomes.values()))["eu-nowhere-1"]
    assert told["error"] is None
    assert "is not a region that account" in told["ignored"]
    assert noted(account) == {}


# --- What calls a retirement off ------------------------------------------


@pytest.mark.parametrize("phase", [Phase.RETIRING, Phase.RETIRED])
def test_an_event_calls_no_retirement_off(account: Account, phase: Phase) -> None:
    account.store()
    account.retire()
    key = account.plane.spec(REGION)
    written = Retirement.parse("", account.published()[key.retirement_parameter])
    account.parameters.put(HOME, key.retirement_parameter, written.to(phase).text)
    before = account.state()
    outcome = answer(account, RegionsRequested((REGION,)))[REGION]
    assert isinstance(outcome.error, RequestRefusedError)
    assert "`foothold regions add eu-west-1` does, or `foothold regions retire" in str(
        outcome.error
    )
    assert outcome.ignored
    assert account.state() == before


@pytest.mark.parametrize("by", ["the list", "the list and an event", "a claim", "undo"])
def test_whoever_insists_calls_a_retirement_off(account: Account, by: str) -> None:
    account.store()
    account.retire()
    match by:
        case "the list" | "the list and an event":
            account.parameters.put(HOME, PLANE.names.regions, REGION)
            event = by.endswith("event")
            answer(account, RegionsRequested((REGION,)) if event else Scheduled())
        case "a claim":
            account.claims.ensure([REGION], CLAIM)
        case _:
            account.retirements.undo(REGION)
    assert SPEC.retirement_parameter not in account.published()
    assert SPEC.bucket in account.cloud.buckets


def test_a_listed_region_calls_off_a_retirement_that_was_only_asked_for() -> None:
    account = Account(plane=replace(PLANE, retires=True))
    account.claims.ensure([REGION], CLAIM)
    account.claims.release(CLAIM)
    account.parameters.put(HOME, PLANE.names.regions, REGION)
    assert not answer(account, Scheduled())[REGION].failed
    assert SPEC.retirement_parameter not in account.published()


# --- A failed creation gives back what it has taken ------------------------------------------


def test_a_creation_that_fails_for_one_region_leaves_no_claim_and_no_store_for_the_others() -> None:
    account = Account(plane=replace(PLANE, retires=True))
    account.store("us-east-1")  # somebody else's doing
    with pytest.raises(PermanentError, match="eu-nowhere-1"):
        account.claims.ensure([REGION, "us-east-1", "eu-nowhere-1"], CLAIM)
    assert account.parameters.below(HOME, PLANE.names.claims) == {}
    assert account.retirements.unfinished() == (REGION,)
    account.retirements.go_on(account.now + 60)
    assert set(account.cloud.buckets) == {PLANE.spec("us-east-1").bucket}


def test_claims_that_were_written_before_one_could_not_be_are_given_back(account: Account) -> None:
    account.claims.ensure([HOME], CLAIM)
    puts = []

    def refuse(call: str) -> None:
        claimed = (
            account.parameters.below(HOME, PLANE.names.claims) if call == "PutParameter" else {}
        )
        puts.append(call)
        if len(claimed) == 2:
            raise TemporaryError("cannot write the parameter: TooManyUpdates")

    for region in (REGION, "us-east-1"):
        account.store(region)
    account.watch(refuse)
    with pytest.raises(TemporaryError, match="TooManyUpdates"):
        account.claims.ensure([HOME, REGION, "us-east-1"], CLAIM)
    below = account.parameters.below(HOME, PLANE.names.claims)
    assert list(below) == [f"/foothold/claims/{HOME}/{CLAIM.name}"]


def test_work_that_is_too_late_gives_nothing_back_that_the_stack_has_claimed_since(
    account: Account,
) -> None:
    account.claims.ensure([REGION], CLAIM)
    times = iter([0.0, 1.0, 221.0])
    late = Claims(PLANE, account.reconciler, account.parameters, lambda: next(times))
    with pytest.raises(TemporaryError, match="us-east-1: too late to claim"):
        late.ensure([REGION, "us-east-1"], CLAIM)
    below = account.parameters.below(HOME, PLANE.names.claims)
    assert list(below) == [f"/foothold/claims/{REGION}/{CLAIM.name}"]


# --- The list ------------------------------------------


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", ()),
        (" eu-west-1 , us-east-1,eu-west-1", ("eu-west-1", "us-east-1")),
        ("-eu-west-3,all-enabled", ("all-enabled", "-eu-west-3")),
        ("-eu-west-3", ()),  # an exception to nothing
    ],
)
def test_the_list_reads_back_as_it_is_written(text: str, entries: tuple[str, ...]) -> None:
    assert RegionList.parse(text).entries == entries
    assert RegionList.parse(",".join(entries)).entries == entries


@pytest.mark.parametrize("text", [None, "", "garbage", "[]", '{"allowed": 7}', '{"most": 1}'])
def test_without_a_readable_policy_the_command_line_refuses_nothing_early(
    text: str | None,
) -> None:
    assert RegionPolicy.parse(text) == RegionPolicy()
