"""`foothold review`: what was reviewed, and what would be reviewed now."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from foothold.caller import Caller
from foothold.cli import review as command
from foothold.cli.main import app
from foothold.errors import PermanentError
from foothold.releases.changes import Action, ChangeSet, ResourceChange, SetState
from foothold.releases.model import Cell, ReleaseTarget, ReleaseTargets
from foothold.releases.review import Review, fold
from tests.pages import Command, commands_of
from tests.releases.memory import REGIONS, MemoryRecords, store

HOME = REGIONS[0]
TARGETS = ReleaseTargets(
    "shop",
    HOME,
    (
        ReleaseTarget("Test", "222222222222", "shop", (("eu-west-1",),)),
        ReleaseTarget("Prod", "333333333333", "shop", (("eu-west-1",),)),
        ReleaseTarget("More", "444444444444", "shop", (("eu-west-1",),), joins="Prod"),
    ),
)


def read(cells: Sequence[Cell], name: str) -> list[ChangeSet]:
    removed = ResourceChange(Action.REMOVE, f"Of[{name}]", "AWS::SQS::Queue", policy="Delete")
    return [ChangeSet(cell, SetState.READY, f"arn:{cell}", changes=(removed,)) for cell in cells]


class Called:
    """A caller whose stores are in memory."""

    home_region = HOME
    home_store = Caller.home_store

    def __init__(self) -> None:
        self.records = self.stores = MemoryRecords()
        self.change_sets = self
        for target, execution in (("Test", "old"), ("Test", "new"), ("Prod", "new")):
            cells = [Cell("222222222222", "eu-west-1", f"{target}-{execution}")]
            review = fold("shop", target, execution, read(cells, execution))
            key = f"shop/reviews/{target}/{execution}/review.json"
            assert self.records.create(store(HOME), key, review.render())

    def read_all(self, cells: Sequence[Cell], name: str) -> list[ChangeSet]:
        return read(cells, name)

    def release_targets(self, project: str) -> ReleaseTargets:
        if project != "shop":
            raise PermanentError(f"there is no parameter for {project}")
        return TARGETS


SHOWN = [
    command for command in commands_of("release.md", "foothold") if command.words[1] == "review"
]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    caller = Called()
    monkeypatch.setattr(command, "Caller", lambda _root: caller)
    return caller


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["review", *arguments])


def stacks(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    every = value if isinstance(value, list) else [value]
    return [one["cell"]["stack"] for each in every for one in each["reviewed"]]


@pytest.mark.usefixtures("called")
def test_the_newest_execution_is_shown_or_the_one_that_is_named() -> None:
    assert stacks(run("shop", "Test", "--json")) == ["Test-new"]
    assert stacks(run("shop", "Test", "--execution", "old", "--json")) == ["Test-old"]


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_the_commands_of_the_page_work_as_they_are_printed(
    shown: Command, called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = "0a1b2c3d-1111-2222-3333-444455556666"
    kept = fold("shop", "Prod", execution, read([Cell("222222222222", "eu-west-1", "shop")], "x"))
    key = f"shop/reviews/Prod/{execution}/review.json"
    assert called.records.create(store(HOME), key, kept.render())
    monkeypatch.chdir(tmp_path)
    result = run(*shown.words[2:])
    assert result.exit_code == 0, result.output
    written = tmp_path / "review.html"
    assert bool(result.stdout) != written.exists()


@pytest.mark.usefixtures("called")
def test_all_targets_are_shown_where_none_is_named() -> None:
    assert sorted(stacks(run("shop", "--json"))) == ["Prod-new", "Test-new"]
    text = run("shop").output
    assert "shop Prod, execution new" in text
    assert "shop Test, execution new" in text


@pytest.mark.usefixtures("called")
def test_a_person_sees_what_to_decide_on_first_and_no_markup_is_taken_from_a_name() -> None:
    text = run("shop", "Test").output
    assert text.index("to decide on") < text.index("execution new")
    assert "Of[new]" in text
    assert "deleted, with its data" in text


@pytest.mark.usefixtures("called")
def test_markdown_and_a_page_are_written_for_others(tmp_path: Path) -> None:
    assert run("shop", "Test", "--markdown").output.startswith("## Review of `shop` for `Test`")
    page = tmp_path / "review.html"
    assert run("shop", "Test", "--html", str(page)).exit_code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert run("shop", "Test", "--html", str(tmp_path)).exit_code == 1
    assert run("shop", "--html", str(page)).exit_code == 2
    assert run("shop", "--json", "--markdown").exit_code == 2


@pytest.mark.usefixtures("called")
def test_now_reads_the_change_sets_of_all_targets_that_run_together() -> None:
    found = json.loads(run("shop", "Prod", "--now", "--json").stdout)
    accounts = [one["cell"]["account"] for one in found["reviewed"]]
    assert accounts == ["333333333333", "444444444444"]
    assert found["execution"] == "new"
    assert found["groups"][0]["effects"][0]["name"] == "Of[foothold-shop-new]"
    named = json.loads(run("shop", "Prod", "--now", "--execution", "x", "--json").stdout)
    assert named["groups"][0]["effects"][0]["name"] == "Of[foothold-shop-x]"
    assert len(json.loads(run("shop", "--now", "--json").stdout)) == 2


@pytest.mark.usefixtures("called")
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["else"], "else has no review"),
        (["shop", "Else"], "there is no review of shop for Else of any execution"),
        (["shop", "Test", "--execution", "x"], "of execution x"),
        (["else", "Test", "--now", "--execution", "x"], "no parameter for else"),
        (["shop", "Else", "--now", "--execution", "x"], "shop has no target Else"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(arguments: list[str], line: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert line in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_review_that_somebody_changed_is_not_shown(called: Called) -> None:
    review = Review.parse(
        called.records.below(HOME, "shop/reviews/Prod/new/")["review.json"], "there"
    )
    other = review.render().replace(b"333333333333", b"1").replace(b"arn:", b"arn:x")
    called.records.objects[store(HOME).bucket, "shop/reviews/Prod/new/review.json"] = other
    result = run("shop", "Prod")
    assert result.exit_code == 1
    assert "does not hold what was reviewed" in result.output


def test_a_home_region_without_a_store_is_said(called: Called) -> None:
    called.records.regions = REGIONS[1:]
    result = run("shop")
    assert result.exit_code == 1
    assert f"{HOME} has no artifact store" in result.output
