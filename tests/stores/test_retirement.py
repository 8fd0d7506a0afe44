"""A region is taken away, without losing anything that somebody may still need."""

import contextlib
import json
import os
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foothold.errors import PermanentError, TemporaryError
from foothold.stores.aspects import BucketAspect
from foothold.stores.custom_resource.request import Claim
from foothold.stores.model import RETIRING_TAG
from foothold.stores.policies import key_policy
from foothold.stores.steps import RetireVerb
from tests.stores.accounts import REGION, SPEC, Account, made_once, stored
from tests.stores.worlds import ACCOUNT, HOME, PLANE

CLAIM = Claim("app.1.Store", "a stack's resource")
ORDER = ["TagResource", "PutBucketTagging", "DeleteParameters", "DeleteObjects",
         "DeleteBucket", "ScheduleKeyDeletion", "DeleteAlias"]  # fmt: skip


def test_a_region_is_retired_in_the_order_that_loses_nothing(account: Account) -> None:
    key = account.store()
    account.fill(1500)
    account.retire()
    done = [call for call in dict.fromkeys(account.mutations) if call != "PutParameter"]
    assert done == ORDER
    assert account.key(key) == "PendingDeletion"
    assert account.cloud.buckets == {}
    assert set(account.published()) == {SPEC.retirement_parameter}


def test_a_retired_region_stays_retired_whatever_the_schedule_and_events_say(
    account: Account,
) -> None:
    account.store()
    account.retire()
    before = account.state()
    assert account.reconciler.keep() == ()
    assert account.reconciler.keep([REGION]) == ()
    assert account.retirements.go_on(account.now + 60) == ()
    assert account.state() == before


def test_undo_brings_the_same_key_and_name_back_and_tells_that_packages_are_gone(
    account: Account,
) -> None:
    key = account.store()
    account.retire()
    outcome = account.retirements.undo(REGION)
    assert outcome.error is None
    assert outcome.store is not None
    assert (outcome.store.bucket, outcome.store.key_arn) == (SPEC.bucket, key)
    assert account.key(key) == "Enabled"
    assert account.announced() == [outcome.store]
    assert outcome.alarms == ()  # a person has asked for it
    assert account.reconciler.plan([REGION]) == {REGION: ()}
    assert SPEC.retirement_parameter not in account.published()


def test_a_retired_region_can_be_asked_for_again(account: Account) -> None:
    key = account.store()
    account.retire()
    account.claims.ensure([REGION], CLAIM)
    assert account.key(key) == "Enabled"
    assert len(account.cloud.keys) == 1
    assert REGION in account.reconciler.desired_regions()


def test_a_region_asked_for_after_its_key_is_gone_gets_a_new_one(account: Account) -> None:
    key = account.store()
    account.retire()
    account.cloud.end_key(key)
    with pytest.raises(PermanentError, match="foothold regions add eu-west-1"):
        account.retirements.undo(REGION)
    assert account.store() != key


@pytest.mark.parametrize("state", ["claimed", "listed", "all-enabled"])
def test_a_region_that_is_wanted_is_not_retired(account: Account, state: str) -> None:
    account.store()
    if state == "claimed":
        account.claims.ensure([REGION], CLAIM)
    else:
        listed = "all-enabled" if state == "all-enabled" else REGION
        account.parameters.put(HOME, PLANE.names.regions, listed)
    before = account.state()
    with pytest.raises(PermanentError, match=r"is wanted by (app\.1\.Store|the list|all-enabled)"):
        account.retirements.retire(REGION, account.now + 60)
    assert account.state() == before


def test_a_region_that_a_pipeline_or_a_stack_uses_is_not_retired(account: Account) -> None:
    account.store()
    account.cloud.pipelines["shop"] = SPEC.bucket
    account.deploy("shop", "222222222222")
    before = account.state()
    with pytest.raises(PermanentError, match=r"pipeline shop, stack 222222222222/shop"):
        account.retirements.retire(REGION, account.now + 60)
    assert account.state() == before


def test_a_pipeline_that_follows_is_waited_for_after_the_store_is_withdrawn(
    account: Account,
) -> None:
    account.store()
    account.fill(1)
    account.cloud.pipelines["shop"] = SPEC.bucket
    account.cloud.following.add("shop")
    with pytest.raises(TemporaryError, match="shop still names bucket"):
        account.retirements.retire(REGION, account.now + 60)
    assert set(account.published()) == {SPEC.retirement_parameter}
    assert account.versions() == 1
    account.cloud.pipelines.clear()
    (outcome,) = account.retirements.go_on(account.now + 60)
    assert outcome.error is None
    assert account.cloud.buckets == {}


def test_what_cannot_be_told_stops_a_retirement(account: Account) -> None:
    account.store()

    def refuse(call: str) -> None:
        if call == "ListPipelines":
            raise PermanentError("cannot list the pipelines: AccessDenied")

    account.watch(refuse)
    before = account.state()
    with pytest.raises(PermanentError, match="AccessDenied"):
        account.retirements.retire(REGION, account.now + 60)
    assert account.state() == before


def test_a_region_without_a_store_is_not_retired(account: Account) -> None:
    with pytest.raises(PermanentError, match="eu-west-1 has no artifact store"):
        account.retirements.retire(REGION, account.now + 60)
    assert account.mutations == []


def test_a_retired_region_is_not_retired_again(account: Account) -> None:
    account.store()
    account.retire()
    with pytest.raises(PermanentError, match="was retired already"):
        account.retirements.retire(REGION, account.now + 60)


def test_undo_of_what_is_not_retired_is_refused(account: Account) -> None:
    account.store()
    with pytest.raises(PermanentError, match="nothing to undo"):
        account.retirements.undo(REGION)


def test_a_bucket_of_another_stack_is_never_drained(account: Account) -> None:
    account.store()
    account.buckets.write(SPEC, BucketAspect.TAGS, {"foothold:stack": "another"})
    account.fill(5)
    with pytest.raises(PermanentError, match="not Foothold's"):
        account.retirements.retire(REGION, account.now + 60)
    assert account.versions() == 5


@pytest.mark.parametrize("text", ["garbage", "{}", '{"phase": "gone"}', "[]", "null", "7"])
def test_a_record_edited_to_nonsense_changes_nothing_and_is_named(
    account: Account, text: str
) -> None:
    account.store()
    account.parameters.put(HOME, SPEC.retirement_parameter, text)
    before = account.state()
    (outcome,) = account.reconciler.keep([REGION])
    assert SPEC.retirement_parameter in str(outcome.error)
    with pytest.raises(PermanentError, match="does not hold a retirement"):
        account.retirements.retire(REGION, account.now + 60)
    assert account.retirements.go_on(account.now + 60) == ()
    assert account.state() == before


def test_a_record_that_names_somebody_elses_key_does_it_no_harm(account: Account) -> None:
    key = account.store()
    account.retire()
    theirs = account.keys.create(SPEC, key_policy(SPEC))
    account.keys.untag(SPEC, theirs, list(SPEC.tags))
    text = json.loads(account.published()[SPEC.retirement_parameter])
    text |= {"phase": "retiring", "key_arn": theirs}
    account.parameters.put(HOME, SPEC.retirement_parameter, json.dumps(text))
    account.retire()
    assert (account.key(theirs), account.key(key)) == ("Enabled", "PendingDeletion")


class Killed(BaseException):
    """The process is gone: nothing catches this."""


def killing(account: Account, after: int) -> None:
    calls = 0

    def count(_call: str) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Killed

    account.watch(count)


@made_once
def filled() -> Account:
    """A store with three pages of versions."""
    account = stored()
    account.cloud.versions_a_page = 10
    account.fill(25)
    return account


@made_once
def drained() -> Account:
    account = filled()
    account.retire()
    return account


@settings(max_examples=int(os.environ.get("FOOTHOLD_EXAMPLES", "60")))
@given(st.integers(min_value=0, max_value=80), st.integers(min_value=0, max_value=80))
def test_a_retirement_killed_anywhere_goes_on_by_itself(first: int, second: int) -> None:
    account, undisturbed = filled(), drained()
    for after in (first, second):
        killing(account, after)
        with contextlib.suppress(Killed, PermanentError):
            account.retirements.retire(REGION, account.now + 60)
    account.serve()
    if SPEC.retirement_parameter not in account.published():
        account.retirements.retire(REGION, account.now + 60)  # killed before it was recorded
    account.reconciler.keep()
    account.retirements.go_on(account.now + 60)
    for either in (account, undisturbed):  # the count forgets the pages of a run that was killed
        record = json.loads(either.published()[SPEC.retirement_parameter])
        assert record.pop("deleted") <= 25
        either.parameters.put(HOME, SPEC.retirement_parameter, json.dumps(record))
    assert account.state() == undisturbed.state()


@settings(max_examples=int(os.environ.get("FOOTHOLD_EXAMPLES", "60")))
@given(st.integers(min_value=0, max_value=80), st.integers(min_value=0, max_value=60))
def test_an_undo_killed_anywhere_is_finished_by_the_schedule(taken: int, killed: int) -> None:
    account = stored()
    (key,) = account.cloud.keys
    killing(account, taken)
    with contextlib.suppress(Killed):
        account.retirements.retire(REGION, account.now + 60)
    killing(account, killed)
    with contextlib.suppress(Killed, PermanentError):
        account.retirements.undo(REGION)
    account.serve()
    if account.published().get(SPEC.retirement_parameter, "restoring").count("restoring") == 0:
        account.retirements.undo(REGION)  # killed before it was recorded
    account.reconciler.keep()
    assert account.key(key) == "Enabled"
    assert len(account.cloud.keys) == 1
    assert account.reconciler.plan([REGION]) == {REGION: ()}
    assert REGION in account.reconciler.desired_regions()
    assert SPEC.retirement_parameter not in account.published()


def test_a_bucket_is_drained_in_slices_of_time_that_remember_how_far_they_came(
    account: Account,
) -> None:
    account.store()
    account.fill(25_000)

    def tick(call: str) -> None:
        if call == "DeleteObjects":
            account.now += 1.0

    account.watch(tick)
    deleted = []
    while True:
        progress = account.retirements.retire(REGION, account.now + 10)
        deleted.append(progress.retirement.deleted)
        if progress.retirement.phase == "retired":
            break
    assert deleted == [10_000, 20_000, 25_000]


def test_a_hundred_thousand_versions_take_a_hundred_pages(account: Account) -> None:
    account.store()
    account.fill(100_000)
    account.retire()
    assert account.calls.count("DeleteObjects") == 100


def test_a_region_wanted_again_while_it_is_drained_stops_the_retirement(account: Account) -> None:
    account.store()
    account.fill(25_000)

    def want(call: str) -> None:
        if call == "DeleteObjects" and account.versions() == 25_000:
            account.serve()
            account.claims.ensure([REGION], CLAIM)

    account.watch(want)
    with pytest.raises(TemporaryError, match="called off"):
        account.retirements.retire(REGION, account.now + 60)
    assert account.versions() == 15_000  # looked at every ten pages
    assert account.reconciler.plan([REGION]) == {REGION: ()}
    assert account.retirements.go_on(account.now + 60) == ()


# --- Looking again ------------------------------------------------------------------------------

BEFORE = ["DeleteParameters", "DeleteObjects", "DeleteBucket", "ScheduleKeyDeletion",
          "DeleteAlias"]  # fmt: skip


def late_stack(account: Account) -> None:
    account.deploy("late-orders", ACCOUNT)


def late_pipeline(account: Account) -> None:
    account.cloud.pipelines["late-shop"] = SPEC.bucket


def late_claim(account: Account) -> None:
    account.parameters.put(HOME, f"{PLANE.names.claims}/{REGION}/app.1.Late", "a late claim")


def late_listing(account: Account) -> None:
    account.parameters.put(HOME, PLANE.names.regions, REGION)


def late_lock(account: Account) -> None:
    retention = {"Mode": "COMPLIANCE", "Days": 1}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}
    account.cloud.buckets[SPEC.bucket].settings["object lock"] = lock


LATE: list[tuple[Callable[[Account], None], str]] = [
    (late_stack, "is used by stack 123456789012/late-orders"),
    (late_pipeline, "is used by pipeline late-shop"),
    (late_claim, "is wanted by app.1.Late"),
    (late_listing, "is wanted by the list"),
]


def begun(account: Account) -> str:
    """A store that is withdrawn, and not drained yet; returns its key."""
    key = account.store()
    account.fill(2500)
    progress = account.retirements.retire(REGION, account.now)  # no time for a single page
    assert progress.retirement.phase == "retiring"
    assert set(account.published()) == {SPEC.retirement_parameter}
    return key


@pytest.mark.parametrize(("come", "words"), LATE)
def test_whoever_comes_after_a_retirement_began_calls_it_off_with_the_reason(
    account: Account, come: Callable[[Account], None], words: str
) -> None:
    key = begun(account)
    come(account)
    (outcome,) = account.retirements.go_on(account.now + 60)
    (step,) = outcome.alarms
    assert step.verb is RetireVerb.CALL_OFF
    assert words in step.reason
    assert (outcome.store and outcome.store.key_arn, outcome.error) == (key, None)
    assert account.versions() == 2500
    assert (
        account.published().items()
        >= {
            **SPEC.parameters(SPEC.home_path, key),
            **SPEC.parameters(SPEC.regional_path, key),
        }.items()
    )
    record = json.loads(account.published()[SPEC.retirement_parameter])
    assert record["phase"] == "called off"
    assert words in record["reason"]
    assert account.retirements.go_on(account.now + 60) == ()
    assert account.reconciler.plan([REGION]) == {REGION: ()}
    assert marks(account, key) == (None, None)


@pytest.mark.parametrize("before", BEFORE)
def test_use_is_looked_at_again_immediately_before_each_phase(
    account: Account, before: str
) -> None:
    """A stack comes with the last look but one at the phase; the phase itself sees it."""
    undisturbed = Account()
    undisturbed.store()
    undisturbed.fill(1)
    undisturbed.begin_anew()
    undisturbed.retire()
    calls = undisturbed.calls
    look = max(n for n, c in enumerate(calls[: calls.index(before)]) if c == "ListStacks")

    key = account.store()
    account.fill(1)
    account.begin_anew()

    def arrive(_call: str) -> None:
        if len(account.calls) == look:
            late_stack(account)

    account.watch(arrive)
    with pytest.raises(PermanentError, match=r"called off: .*late-orders"):
        account.retirements.retire(REGION, account.now + 60)
    account.serve()
    assert before not in account.calls[:look]
    assert account.key(key) == "Enabled"
    assert account.reconciler.plan([REGION]) == {REGION: ()}
    assert bool(account.announced()) is (before not in BEFORE[:2])  # its artifacts are gone


def test_use_that_cannot_be_read_counts_as_used(account: Account) -> None:
    begun(account)
    refuse(account, "ListStacks", PermanentError("cannot list the stacks: AccessDenied"))
    (outcome,) = account.retirements.go_on(account.now + 60)
    assert outcome.alarms[0].reason == "cannot list the stacks: AccessDenied"
    assert account.versions() == 2500


def test_use_that_cannot_be_read_for_a_while_stops_the_retirement_until_it_can(
    account: Account,
) -> None:
    begun(account)
    refuse(account, "ListStacks", TemporaryError("Throttling"))
    (outcome,) = account.retirements.go_on(account.now + 60)
    assert isinstance(outcome.error, TemporaryError)
    assert account.versions() == 2500
    account.serve()
    account.retirements.go_on(account.now + 60)
    assert account.cloud.buckets == {}


def refuse(account: Account, what: str, error: Exception) -> None:
    def fail(call: str) -> None:
        if call == what:
            raise error

    account.watch(fail)


def test_a_retirement_that_was_called_off_can_be_begun_anew_or_forgotten(account: Account) -> None:
    begun(account)
    late_stack(account)
    account.retirements.go_on(account.now + 60)
    account.cloud.stacks.clear()
    assert account.retirements.undo(REGION).error is None
    assert SPEC.retirement_parameter not in account.published()
    account.retire()
    assert account.cloud.buckets == {}


@made_once
def used_late() -> Account:
    account = Account()
    begun(account)
    late_stack(account)
    return account


@settings(max_examples=int(os.environ.get("FOOTHOLD_EXAMPLES", "60")), deadline=None)
@given(st.integers(min_value=0, max_value=60))
def test_a_call_off_killed_anywhere_is_finished_by_the_schedule_and_keeps_its_reason(
    killed: int,
) -> None:
    account = used_late()
    (key,) = account.cloud.keys
    killing(account, killed)
    with contextlib.suppress(Killed):
        account.retirements.go_on(account.now + 60)
    account.serve()
    account.reconciler.keep()
    account.retirements.go_on(account.now + 60)
    account.reconciler.keep()
    assert account.versions() == 2500
    assert account.reconciler.plan([REGION]) == {REGION: ()}
    assert marks(account, key) == (None, None)
    record = json.loads(account.published()[SPEC.retirement_parameter])
    assert (record["phase"], "late-orders" in record["reason"]) == ("called off", True)


def test_a_locked_bucket_is_noticed_before_anything_is_withdrawn(account: Account) -> None:
    account.store()
    account.fill(1)
    late_lock(account)
    before = account.state()
    with pytest.raises(PermanentError, match=r"object lock \(COMPLIANCE for 1 days\).*yourself"):
        account.retirements.retire(REGION, account.now + 60)
    assert account.state() == before


def test_a_version_that_nobody_may_delete_calls_the_retirement_off(account: Account) -> None:
    account.store()
    account.fill(2500)
    refuse(account, "DeleteObjects", PermanentError("AccessDenied: k: Object is on hold"))
    with pytest.raises(PermanentError, match="called off: AccessDenied: k: Object is on hold"):
        account.retirements.retire(REGION, account.now + 60)
    account.serve()
    assert account.reconciler.plan([REGION]) == {REGION: ()}


# --- What proves a retirement -------------------------------------------------------------------


def marks(account: Account, key: str) -> tuple[str | None, str | None]:
    bucket = account.cloud.buckets.get(SPEC.bucket)
    on_bucket = bucket.tags.get(RETIRING_TAG) if bucket else None
    return on_bucket, account.cloud.keys[key].tags.get(RETIRING_TAG)


def forge(account: Account, phase: str, **fields: object) -> None:
    text = {"phase": phase, "since": 0, "key_arn": None, "deleted": 0, **fields}
    account.parameters.put(HOME, SPEC.retirement_parameter, json.dumps(text))


@pytest.mark.parametrize("phase", ["retiring", "retired", "asked"])
@pytest.mark.parametrize("wanted", [False, True])
def test_a_record_that_somebody_wrote_takes_nothing_away_and_raises_an_alarm(
    account: Account, phase: str, wanted: bool
) -> None:
    account.store()
    account.fill(7)
    if wanted:
        account.parameters.put(HOME, PLANE.names.regions, REGION)
    forge(account, phase)
    account.drop_policy()
    account.begin_anew()
    (outcome,) = account.reconciler.keep()
    assert outcome.error is None
    assert [step.aspect for step in outcome.steps[1:]] == [BucketAspect.POLICY]  # kept as ever
    (alarm,) = outcome.alarms
    assert SPEC.retirement_parameter in alarm.reason
    assert f"`foothold regions retire {REGION} --undo` deletes the parameter" in alarm.reason
    assert account.retirements.go_on(account.now + 60) == ()
    assert not set(account.calls) & set(BEFORE)
    assert account.retirements.undo(REGION).error is None
    assert account.reconciler.keep()[0].alarms == ()


@pytest.mark.parametrize("lost", ["bucket", "alias", "both"])
def test_a_forged_record_of_a_broken_store_does_not_keep_it_from_being_repaired(
    account: Account, lost: str
) -> None:
    account.store()
    if lost in ("bucket", "both"):
        account.cloud.buckets.clear()
    if lost in ("alias", "both"):
        account.cloud.aliases.clear()
    forge(account, "retired")
    (outcome,) = account.reconciler.keep()
    assert outcome.store is not None
    assert outcome.alarms


def test_a_record_with_another_begin_than_the_marks_proves_nothing(account: Account) -> None:
    key = begun(account)
    record = json.loads(account.published()[SPEC.retirement_parameter])
    forge(account, "retiring", since=record["since"] + 1, key_arn=key)
    assert account.retirements.unfinished() == ()
    (outcome,) = account.reconciler.keep()
    assert outcome.alarms
    assert marks(account, key) == (None, None)
    assert account.versions() == 2500


def test_a_mark_on_the_bucket_alone_proves_nothing(account: Account) -> None:
    """Whoever may tag buckets need not be the control plane."""
    account.store()
    account.buckets.write(SPEC, BucketAspect.TAGS, {RETIRING_TAG: "0"})
    forge(account, "retiring")
    assert account.retirements.unfinished() == ()
    assert account.reconciler.keep()[0].alarms


@settings(max_examples=int(os.environ.get("FOOTHOLD_EXAMPLES", "60")), deadline=None)
@given(st.integers(min_value=0, max_value=30))
def test_a_retirement_killed_before_it_was_recorded_leaves_no_mark(killed: int) -> None:
    account = stored()
    (key,) = account.cloud.keys
    killing(account, killed)
    with contextlib.suppress(Killed):
        account.retirements.retire(REGION, account.now + 60)
    account.serve()
    account.reconciler.keep()
    if SPEC.retirement_parameter not in account.published():
        assert marks(account, key) == (None, None)
        assert account.reconciler.plan([REGION]) == {REGION: ()}


def test_an_adopted_store_is_given_back_only_by_a_retirement_that_was_begun(
    account: Account,
) -> None:
    bucket, key = account.put_theirs()
    account.adoptions.adopt(REGION, bucket, key)
    before = account.state()
    forge(account, "retiring")
    assert account.retirements.unfinished() == ()
    account.parameters.delete(HOME, (SPEC.retirement_parameter,))
    assert account.state() == before


@made_once
def adopted() -> Account:
    account = Account()
    account.adoptions.adopt(REGION, *account.put_theirs())
    return account


@settings(max_examples=int(os.environ.get("FOOTHOLD_EXAMPLES", "60")), deadline=None)
@given(st.integers(min_value=0, max_value=60))
def test_giving_back_killed_anywhere_goes_on_by_itself(killed: int) -> None:
    account = adopted()
    (bucket,), (key,) = account.cloud.buckets, account.cloud.keys
    killing(account, killed)
    with contextlib.suppress(Killed):
        account.retirements.retire(REGION, account.now + 60)
    account.serve()
    if SPEC.retirement_parameter in account.published():
        account.reconciler.keep()
        account.retirements.go_on(account.now + 60)
    else:
        account.retire()
    assert account.cloud.buckets[bucket].tags == {"owner": "platform"}
    assert account.cloud.keys[key].tags == {"owner": "platform"}
    assert set(account.published()) == {SPEC.retirement_parameter}


def test_a_preview_says_what_would_go_and_changes_nothing(account: Account) -> None:
    key = account.store()
    account.fill(7)
    before = account.state()
    preview = account.retirements.preview(REGION)
    assert (preview.bucket, preview.versions, preview.key_arn) == (SPEC.bucket, 7, key)
    assert preview.readers == PLANE.reader_roles
    assert [str(step.verb) for step in preview.steps][-1] == "delete the alias"
    assert account.state() == before


def test_a_preview_of_what_was_retired_says_so(account: Account) -> None:
    account.store()
    account.retire()
    with pytest.raises(PermanentError, match="was retired already"):
        account.retirements.preview(REGION)


def test_a_preview_of_what_is_used_is_the_refusal(account: Account) -> None:
    account.store()
    late_stack(account)
    with pytest.raises(PermanentError, match="is used by stack"):
        account.retirements.preview(REGION)


def test_a_plan_says_what_a_retirement_has_left_to_do_and_does_nothing(account: Account) -> None:
    account.store()
    account.fill(1)
    before = account.state()
    assert [step.verb for step in account.retirements.plan(REGION)] == [
        RetireVerb.WITHDRAW_HOME, RetireVerb.WITHDRAW_REGIONAL, RetireVerb.DRAIN_BUCKET,
        RetireVerb.DELETE_BUCKET, RetireVerb.SCHEDULE_KEY_DELETION, RetireVerb.DELETE_ALIAS,
        RetireVerb.RECORD_RETIREMENT,
    ]  # fmt: skip
    assert account.state() == before
