"""What an acceptance run asks, what it says of the answers, and what it leaves: nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from foothold.acceptance.run import AcceptanceRequest
from foothold.acceptance.table import CLAIMS, MOST_CALLS, ClaimVerdict, Finding, Report, Run
from foothold.errors import PermanentError
from proof.cloud import Cloud
from tests.acceptance.live import ID, STATE, Live
from tests.stores.accounts import REGION
from tests.stores.worlds import HOME

LIST = (HOME, "/foothold/regions")
EVERY_ROW = [claim.name for claim in CLAIMS]


@pytest.fixture
def live() -> Live:
    return Live()


def row(report: Report, name: str) -> Finding:
    (found,) = [finding for finding in report.findings if finding.name == name]
    return found


def test_a_run_asks_every_claim_and_every_claim_holds(live: Live) -> None:
    report = live.run(run_pipeline=True)
    assert [finding.name for finding in report.findings if finding.name != "retire"] == [
        name for name in EVERY_ROW if name != "retire"
    ]
    assert {finding.verdict for finding in report.findings} == {ClaimVerdict.HOLDS}, report
    assert report.holds


def test_a_run_leaves_nothing_behind_and_its_store_is_retired(live: Live) -> None:
    live.run(run_pipeline=True)
    assert live.left_behind() == []
    with pytest.raises(PermanentError, match="was retired already"):
        live.ask({"command": "retire", "region": REGION, "seconds": 1.0})


def test_a_run_takes_at_most_150_calls(live: Live) -> None:
    assert live.run(run_pipeline=True).calls == live.calls <= MOST_CALLS == 150


# The control plane's own services judge the ways to ask and the retirement here; every other row is
# told what to answer. tests/embedded/test_accept.py breaks the policies themselves.
@pytest.mark.parametrize("name", EVERY_ROW)
def test_each_row_fails_on_an_account_that_is_broken_there(name: str) -> None:
    live = Live(broken=frozenset({name}))
    report = live.run(run_pipeline=True)
    assert row(report, name).verdict is ClaimVerdict.FAILS
    assert row(report, name).seen
    assert not report.holds
    assert report.calls <= MOST_CALLS


def test_a_run_whose_every_answer_is_late_still_takes_at_most_150_calls() -> None:
    live = Live(broken=frozenset({"delay-tag", "ask-by-event", "ask-by-list-alone", "delay-alias",
                                  "package", "retire"}))  # fmt: skip
    live.run(run_pipeline=True)
    assert live.calls <= MOST_CALLS


def test_rows_whose_calls_are_used_up_are_not_asked_and_all_is_taken_away(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foothold.acceptance.run.CALLS_FOR_ROWS", 30)
    report = live.run()
    assert row(report, "ask-by-stack").verdict is ClaimVerdict.HOLDS
    assert row(report, "package").verdict is ClaimVerdict.NOT_ASKED
    assert "30 calls" in row(report, "package").seen
    assert live.left_behind() == []


def test_nothing_is_waited_for_once_the_calls_are_used_up(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foothold.acceptance.run.CALLS_FOR_ROWS", 20)
    live.broken = frozenset({"delay-tag"})
    found = row(live.run(), "delay-tag")
    assert (found.verdict, found.seconds < 360) == (ClaimVerdict.FAILS, True)
    assert live.made[:20].count("tag:GetResources") == live.made.count("tag:GetResources") > 1


def test_a_late_answer_says_what_was_waited_for_how_long_and_what_was_seen_last(
    live: Live,
) -> None:
    live.broken = frozenset({"ask-by-event"})
    assert row(live.run(), "ask-by-event").seen == (
        f"waited 120 s for the parameters that publish {REGION}; the last answer: no parameters "
        "there"
    )


def test_a_store_that_was_there_before_stays_and_no_door_is_used(live: Live) -> None:
    live.account_.store()
    published = live.account_.published()
    report = live.run()
    asked = [
        one for one in report.findings if one.name.startswith(("ask-by-", "delay-tag", "retire"))
    ]
    assert {one.verdict for one in asked} == {ClaimVerdict.NOT_ASKED}
    assert {one.seen for one in asked} == {"the store was there before, and stays as it is"}
    assert row(report, "write-aes256").verdict is ClaimVerdict.HOLDS
    assert live.account_.published() == published
    assert live.objects == {}
    assert live.stacks == live.aliases == {}
    assert (HOME, STATE) not in live.account_.cloud.parameters


@pytest.mark.parametrize(
    "name",
    [
        (HOME, f"/foothold/artifact-stores/{REGION}/bucket"),
        (HOME, f"/foothold/artifact-stores/{REGION}/key-arn"),
        (HOME, f"/foothold/artifact-stores/{REGION}/adopted"),
        (REGION, "/foothold/artifact-store/bucket"),
        (REGION, "/foothold/artifact-store/key-arn"),
    ],
)
def test_where_anything_is_published_nothing_is_retired_whatever_may_be_read_of_it(
    live: Live, name: tuple[str, str]
) -> None:
    live.account_.store()
    published = {
        at: value
        for at, (value, _) in live.account_.cloud.parameters.items()
        if REGION in at[0] or f"/{REGION}/" in at[1]
    }
    for at in published:
        del live.account_.cloud.parameters[at]
    live.account_.cloud.add_parameter(*name, published.get(name, "{}"))
    before = live.account_.state()
    assert row(live.run(), "retire").seen == "the store was there before, and stays as it is"
    assert live.account_.state() == before


@pytest.mark.parametrize("by", ["the list", "all-enabled", "a stack", "an event", "a retirement"])
def test_a_region_that_is_in_use_is_refused_before_anything_is_made(live: Live, by: str) -> None:
    live.account_.store()
    words = "is in use already"
    if by == "the list":
        live.account_.cloud.add_parameter(*LIST, REGION)
    elif by == "all-enabled":
        live.account_.cloud.add_parameter(*LIST, "all-enabled,-us-east-1")
    elif by == "a stack":
        live.account_.cloud.add_parameter(
            HOME, f"/foothold/claims/{REGION}/app.1.Store", "app Store"
        )
    elif by == "an event":
        live.account_.cloud.add_parameter(
            HOME,
            f"/foothold/requests/{REGION}",
            '{"since": 1, "reason": "no quota", "asked": true}',
        )
    else:
        name = f"/foothold/artifact-stores/{REGION}/retired"
        live.account_.cloud.add_parameter(
            HOME, name, '{"phase": "retiring", "since": 1, "key_arn": null, "deleted": 0}'
        )
        words = "the retirement of eu-west-1 is not over"
    before = live.account_.state()
    with pytest.raises(PermanentError, match=words):
        live.run()
    assert live.account_.state() == before


def test_a_store_whose_retirement_was_called_off_is_one_that_was_there_before(live: Live) -> None:
    live.account_.store()
    name = f"/foothold/artifact-stores/{REGION}/retired"
    live.account_.cloud.add_parameter(
        HOME,
        name,
        '{"phase": "called off", "since": 1, "key_arn": null, "deleted": 0, "reason": "used"}',
    )
    assert row(live.run(), "retire").seen == "the store was there before, and stays as it is"


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("af-south-1", "af-south-1 is disabled for this account"),
        ("eu-south-9", "eu-south-9 is unknown for this account"),
        ("europe", "is not the name of an AWS region"),
    ],
)
def test_a_region_that_is_not_enabled_is_refused_in_one_line(
    live: Live, region: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.acceptance.live.REGION", region)
    with pytest.raises(PermanentError, match=words):
        live.run()


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("cloudformation:CreateStack", "ask-by-stack"),
        ("events:PutEvents", "ask-by-event"),
        ("s3:PutObject", "write-right-key"),
        ("s3:GetObject", "read-owner"),
        ("kms:CreateAlias", "delay-alias"),
        ("tag:GetResources", "delay-tag"),
    ],
)
def test_a_row_that_the_caller_has_no_right_to_names_the_action(
    live: Live, action: str, name: str
) -> None:
    live.lacking = action
    report = live.run()
    assert row(report, name).verdict is ClaimVerdict.NOT_ASKED
    assert row(report, name).seen == f"the caller may not {action}"
    assert report.holds
    assert live.left_behind() == []


def test_a_store_that_the_caller_may_not_retire_is_left_and_named(live: Live) -> None:
    live.lacking = "lambda:InvokeFunction"
    report = live.run()
    assert row(report, "retire").seen == "the caller may not lambda:InvokeFunction"
    assert report.left == ("the store of eu-west-1: the caller may not lambda:InvokeFunction",)
    assert not report.holds
    live.lacking = ""
    assert live.acceptance().clean_up(lambda _line: None) == ()
    assert live.left_behind() == []


def test_a_refusal_is_not_asked_for_where_nothing_is_allowed(live: Live) -> None:
    live.broken = frozenset({"write-right-key"})
    found = row(live.run(), "write-aes256")
    assert found.seen == "it shows nothing while write-right-key does not hold"
    assert found.verdict is ClaimVerdict.NOT_ASKED


def test_a_pipeline_is_not_asked_for_where_there_is_no_codepipeline(live: Live) -> None:
    live.has_pipelines = False
    found = row(live.run(), "pipeline")
    assert found.verdict is ClaimVerdict.NOT_ASKED
    assert found.seen.startswith("AWS does not have this here")


def test_the_pipeline_is_started_only_where_it_is_asked_for(live: Live) -> None:
    found = row(live.run(), "pipeline-run")
    assert (found.verdict, "--run-pipeline" in found.seen) == (ClaimVerdict.NOT_ASKED, True)
    assert "codepipeline:StartPipelineExecution" not in live.made
    assert not [key for bucket, key in live.objects if HOME in bucket]


def test_a_pipeline_that_is_run_never_comes_to_its_deployment() -> None:
    live = Live()
    closed: list[str] = []

    def look(_call: str) -> None:
        closed.extend(one["closed"] for one in live.pipelines.values() if "closed" in one)

    live.before = look
    live.run(run_pipeline=True)
    assert set(closed) == {"Target"}


def test_a_row_can_be_left_out(live: Live) -> None:
    report = live.run(without=["ask-by-list-alone", "package"])
    assert row(report, "package").seen == "left out by --without"
    assert "invoke package" not in live.made


def test_a_store_that_somebody_wants_meanwhile_is_kept(live: Live) -> None:
    def want(call: str) -> None:
        if call == "kms:CreateAlias":
            name = f"/foothold/claims/{REGION}/app.1.Store"
            live.account_.cloud.add_parameter(HOME, name, "app Store")

    live.before = want
    report = live.run()
    found = row(report, "retire")
    assert found.verdict is ClaimVerdict.NOT_ASKED
    assert "eu-west-1 is wanted by" in found.seen
    assert report.holds
    assert live.account_.published()


# --- Interruptions


class KilledError(BaseException):
    """The process is gone: nothing of it runs on."""


def at(number: int, error: Callable[[], BaseException], live: Live) -> Callable[[str], None]:
    def stop(_call: str) -> None:
        if live.calls == number:
            raise error()

    return stop


def calls_of_a_run() -> int:
    with Cloud().in_use():  # which is in use for no longer than this
        live = Live()
        live.run(run_pipeline=True)
    return live.calls


CALLS = calls_of_a_run()


@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_a_run_that_was_killed_at_any_call_is_cleaned_up_by_the_next_command(number: int) -> None:
    live = Live()
    live.before = at(number, KilledError, live)
    with pytest.raises(KilledError):
        live.run(run_pipeline=True)
    remembered = (HOME, STATE) in live.account_.cloud.parameters
    left = live.acceptance().clean_up(lambda _line: None)
    assert left == (() if remembered else None)
    assert live.left_behind() == []
    assert live.acceptance().clean_up(lambda _line: None) is None


@pytest.mark.parametrize("number", range(1, CALLS + 1, 7))
def test_a_cleaning_that_was_killed_is_finished_by_the_next(number: int) -> None:
    live = Live()
    live.before = at(CALLS - 20, KilledError, live)
    with pytest.raises(KilledError):
        live.run(run_pipeline=True)
    live.before = at(live.calls + number, KilledError, live)
    try:
        live.acceptance().clean_up(lambda _line: None)
    except KilledError:
        live.before = lambda _call: None
        live.acceptance().clean_up(lambda _line: None)
    assert live.left_behind() == []


@pytest.mark.parametrize("number", range(12, CALLS - 20, 9))
def test_an_interrupted_run_takes_everything_away_and_says_so(number: int) -> None:
    live = Live()
    live.before = at(number, KeyboardInterrupt, live)
    with pytest.raises(KeyboardInterrupt, match=r"interrupted; everything .* was taken away"):
        live.run(run_pipeline=True)
    assert live.left_behind() == []


def test_an_interruption_that_python_forgot_is_heard_before_the_next_row() -> None:
    live = Live()
    asked: list[bool] = []

    def is_interrupted() -> bool:
        asked.append(len(asked) == 5)
        return asked[-1]

    with pytest.raises(KeyboardInterrupt, match=r"interrupted; everything .* was taken away"):
        live.acceptance().run(AcceptanceRequest(REGION), lambda _line: None, is_interrupted)
    assert asked == [False] * 5 + [True]
    assert live.left_behind() == []


def test_what_an_interrupted_run_cannot_take_away_is_named_with_the_command() -> None:
    live = Live(broken=frozenset({"retire"}))
    live.before = at(30, KeyboardInterrupt, live)
    with pytest.raises(
        KeyboardInterrupt, match=r"`foothold accept --clean-up` takes it away: the st"
    ):
        live.run()


def test_a_run_that_has_not_ended_is_found_and_named(live: Live) -> None:
    run = Run(ID, REGION, fresh=True, started=0)
    live.account_.cloud.add_parameter(HOME, STATE, run.text)
    with pytest.raises(PermanentError, match=r"in eu-west-1, begun 1970-01-01 00:00 UTC, has not"):
        live.run()


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", '{"id": "x", "region": "eu-west-1", "fresh": true, "started": 1}',
     '{"id": "0a1b2c3d", "region": "eu-west-1", "fresh": 1, "started": 1, "home_bucket": null}',
     '{"id": "0a1b2c3d", "region": 7, "fresh": true, "started": 1, "home_bucket": null}',
     '{"id": "0a1b2c3d", "region": "eu-west-1", "fresh": true, "started": 1, "home_bucket": "*"}'],
)  # fmt: skip
def test_what_no_run_has_written_is_not_cleaned_up_after(live: Live, text: str) -> None:
    live.account_.cloud.add_parameter(HOME, STATE, text or " ")
    before: Any = live.account_.state()
    with pytest.raises(PermanentError, match="does not hold an acceptance run, nothing was"):
        live.acceptance().clean_up(lambda _line: None)
    assert live.account_.state() == before
