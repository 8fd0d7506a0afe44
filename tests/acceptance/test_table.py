"""How answers are judged, and what a report says."""

import json

import pytest

from foothold.acceptance.table import (
    BY_NAME,
    CLAIMS,
    Answer,
    ClaimVerdict,
    Finding,
    Reply,
    Report,
    Run,
    answer_to,
    judge,
)
from foothold.errors import PermanentError, TemporaryError
from foothold.stores.register import ArtifactStore

KEY = "arn:aws:kms:eu-west-1:111111111111:key/1"
STORE = ArtifactStore("eu-west-1", "bucket", KEY)
ALLOWED, REFUSED, IN_TIME = "write-default", "write-aes256", "delay-alias"


@pytest.mark.parametrize(
    ("claim", "answer", "verdict", "seen"),
    [
        (ALLOWED, Answer(Reply.DONE, key_arn=KEY), "holds", "allowed, under the store's key"),
        (ALLOWED, Answer(Reply.DONE, key_arn="other"), "fails", "written under other"),
        (ALLOWED, Answer(Reply.DONE), "fails", "written under no key of KMS"),
        (ALLOWED, Answer(Reply.REFUSED, "AccessDenied"), "fails", "AccessDenied"),
        (REFUSED, Answer(Reply.REFUSED, "AccessDenied"), "holds", "AccessDenied"),
        (REFUSED, Answer(Reply.DONE), "fails", "allowed"),
        (REFUSED, Answer(Reply.DONE, key_arn=KEY), "fails", f"allowed, under {KEY}"),
        (REFUSED, Answer(Reply.OTHER, "no such bucket"), "fails", "no such bucket"),
        (IN_TIME, Answer(Reply.DONE, "found"), "holds", "found"),
        (IN_TIME, Answer(Reply.LATE, "waited 9 s"), "fails", "waited 9 s"),
        (IN_TIME, Answer(Reply.NOT_ASKED, "why"), "not asked", "why"),
        (IN_TIME, Answer(Reply.NO_RIGHT, "a:B"), "not asked", "the caller may not a:B"),
        (IN_TIME, Answer(Reply.NOT_KNOWN, "x"), "not asked", "AWS does not have this here: x"),
    ],
)
def test_an_answer_is_judged_by_what_is_expected(
    claim: str, answer: Answer, verdict: str, seen: str
) -> None:
    found = judge(BY_NAME[claim], answer, 1.26, STORE)
    assert (found.verdict, found.seen, found.seconds) == (verdict, seen, 1.3)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("AccessDenied: User: x is not authorized to perform: kms:CreateAlias on", Reply.NO_RIGHT),
        ("not authorized, an explicit deny in a resource-based policy", Reply.OTHER),
        ("Template format error: Unrecognized resource types: [A::B::C]", Reply.NOT_KNOWN),
        ('Could not connect to the endpoint URL: "https://x"', Reply.NOT_KNOWN),
        ("ThrottlingException", Reply.OTHER),
    ],
)
def test_an_error_says_whether_the_caller_lacks_a_right_or_aws_the_service(
    text: str, reply: Reply
) -> None:
    assert answer_to(PermanentError(text)).reply is reply
    assert answer_to(TemporaryError(text)).reply is reply


def report(*verdicts: ClaimVerdict, left: tuple[str, ...] = ()) -> Report:
    findings = tuple(Finding("row", "a", "refused", "x |\ny", 1.0, v) for v in verdicts)
    run = Run("0a1b2c3d", "eu-west-1", fresh=False, started=0)
    return Report(run, "eu-central-1", "111111111111", findings, 7, left)


def test_what_was_not_asked_does_not_fail_a_run_but_what_is_left_does() -> None:
    assert report(ClaimVerdict.HOLDS, ClaimVerdict.NOT_ASKED).holds
    assert not report(ClaimVerdict.HOLDS, ClaimVerdict.FAILS).holds
    assert not report(ClaimVerdict.HOLDS, left=("a stack",)).holds


def test_a_report_is_a_page_of_markdown_and_a_value_of_json() -> None:
    found = report(ClaimVerdict.HOLDS, ClaimVerdict.FAILS, left=("a stack",))
    page = found.as_markdown()
    assert "| row | a | refused | x \\| y | 1.0 | holds |\n" in page
    assert "1 claims hold, 1 fail, 0 not asked; 7 calls to AWS" in page
    assert "Store there before: yes" in page
    assert page.endswith("\nLeft behind:\n\n- a stack\n")
    value = json.loads(json.dumps(found.as_json()))
    assert (value["holds"], value["store_was_there_before"]) == (False, True)
    assert [one["verdict"] for one in value["findings"]] == ["holds", "fails"]


def test_a_run_is_remembered_and_its_names_are_short_enough() -> None:
    run = Run("0a1b2c3d", "eu-west-1", fresh=True, started=0, home_bucket="bucket")
    assert Run.parse("x", run.text) == run
    assert len(run.name) <= 20  # CodePipeline cuts the name of its folder there
    names = {run.stack, run.pipeline_stack, run.alias, run.prefix}
    assert len(names) == 4
    assert all(run.id in name for name in names)


def test_every_claim_says_what_is_expected() -> None:
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert all(claim.words and claim.expected for claim in CLAIMS)
