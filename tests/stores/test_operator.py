"""`foothold plan`, and `foothold regions check | retire | adopt`, as an operator types them;
tests/embedded/test_operator.py runs them on the embedded AWS."""

from typing import Any

import pytest
from typer.testing import CliRunner

from foothold.cli import lifecycle
from foothold.cli.main import app
from foothold.errors import PermanentError, TemporaryError, raise_refusal, refusal
from foothold.stores.operator.messages import AdoptStore, PlanRegions, RetireRegion, parse_command
from local.aws.embedded import TOOLS

REGION = "sa-east-1"
BUCKET = f"foothold-{TOOLS}-{REGION}-an"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"command": "destroy"}, "the command cannot be understood"),
        ({"command": "retire"}, "region: Field required"),
        ({"command": "retire", "region": "europe"}, "'europe' is not the name of an AWS region"),
        ({"command": "retire", "region": "eu-west-1", "seconds": 9999}, "less than or equal"),
        ({"command": "check", "regions": []}, "at least 1 item"),
        ({"command": "plan", "regions": "eu-west-1"}, "valid list"),
        ({"command": "hand-over", "region": "eu-west-1", "to_stack": "a b", "to_home": "x"}, "to_"),
        ({"command": "plan", "force": True}, "force: Extra inputs are not permitted"),
        ({"command": "adopt", "region": "eu-west-1", "bucket": "b"}, "3 to 63 lower-case letters"),
        ({"command": "adopt", "region": "eu-west-1", "bucket": "B"}, "'B' is not the name of a"),
        ({"command": "adopt", "region": "eu-west-1", "bucket": "<bucket>"}, "'<bucket>' is not"),
        ({"command": "adopt", "region": "eu-west-1", "bucket": "arn:aws:s3:::mine"}, "is not the"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_in_one_line(
    event: dict[str, Any], words: str
) -> None:
    with pytest.raises(PermanentError, match=words) as refused:
        parse_command(event)
    assert "\n" not in str(refused.value)


def test_commands_become_values() -> None:
    assert parse_command({"command": "plan"}) == PlanRegions()
    retire = {"command": "retire", "region": "eu-west-1", "seconds": 10.0}
    assert parse_command(retire) == RetireRegion(region="eu-west-1", seconds=10.0)
    adopt = {"command": "adopt", "region": "eu-west-1", "bucket": "bucket", "key_arn": "arn"}
    assert parse_command(adopt) == AdoptStore(
        region="eu-west-1", bucket="bucket", key_arn="arn", replace_policies=False
    )


@pytest.mark.parametrize("kind", [TemporaryError, PermanentError])
def test_a_refusal_is_the_same_error_at_the_other_end(kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^no$"):
        raise_refusal(refusal(kind("no")))  # type: ignore[arg-type]  # both are FootholdErrors


# --- What a person sees of a retirement, while the function is played here ------------------------

PREVIEW = {
    "region": REGION, "bucket": BUCKET, "versions": 10_000, "more": True, "key_arn": "arn:of-a-key",
    "readers": ["foothold-deploy"], "steps": ["delete the bucket: it holds nothing"],
}  # fmt: skip


def played(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[dict[str, Any]]:
    """Commands are answered with these, one after the other; returns what was asked."""
    asked: list[dict[str, Any]] = []
    left = list(answers)

    def answer(_root: str, command: dict[str, Any]) -> Any:
        asked.append(command)
        found = left.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr(lifecycle, "ask", answer)
    return asked


def type_(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def test_a_retirement_shows_what_would_go_and_is_not_begun_where_nobody_can_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = played(monkeypatch, PREVIEW)
    done = type_("regions", "retire", REGION)
    assert done.exit_code == 2
    assert f"{BUCKET}, 10,000 or more versions" in done.output
    assert "arn:of-a-key" in done.output
    assert "readers  foothold-deploy" in done.output
    assert "add --yes to do it without asking" in done.output
    assert [command["command"] for command in asked] == ["preview-retirement"]


@pytest.mark.parametrize(("typed", "code", "commands"), [("n", 1, 1), ("y", 0, 2)])
def test_a_retirement_begins_with_a_yes(
    monkeypatch: pytest.MonkeyPatch, typed: str, code: int, commands: int
) -> None:
    asked = played(monkeypatch, PREVIEW, {"phase": "retired", "deleted": 3})
    monkeypatch.setattr("foothold.cli.lifecycle.sys.stdin", Terminal())
    monkeypatch.setattr("typer.confirm", lambda _question: typed == "y")
    with pytest.raises(SystemExit) as ended:
        app(["regions", "retire", REGION])
    assert (ended.value.code, len(asked)) == (code, commands)


class Terminal:
    def isatty(self) -> bool:
        return True


def test_a_retirement_that_ctrl_c_interrupts_says_that_it_goes_on_and_how_to_call_it_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played(monkeypatch, {"phase": "retiring", "deleted": 3}, KeyboardInterrupt())
    done = type_("regions", "retire", REGION, "--yes")
    assert done.exit_code == 130
    assert "goes on in the control plane" in done.output
    assert f"`foothold regions retire {REGION} --undo` calls it off" in done.output


def test_stores_are_handed_over_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = played(monkeypatch, {}, {})
    to = ("--to-stack", "platform", "--to-home", "us-east-1")
    assert type_("regions", "hand-over", "eu-west-1", "eu-north-1", *to).exit_code == 2
    done = type_("regions", "hand-over", "eu-west-1", "eu-north-1", *to, "--yes")
    assert done.exit_code == 0
    assert "`foothold regions add eu-west-1 eu-north-1` publishes them" in done.output
    assert asked == [
        {"command": "hand-over", "region": region, "to_stack": "platform", "to_home": "us-east-1"}
        for region in ("eu-west-1", "eu-north-1")
    ]
