"""The board: what is told of a cell, and how it is shown."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foothold.cli import board as command
from foothold.cli.main import app
from foothold.releases.board import Mark, under_way
from foothold.releases.board_page import age, html
from foothold.releases.holds import Hold, hold_key
from foothold.releases.model import RELEASE_TAG, Cell
from foothold.releases.rollout import rollout_key
from foothold.releases.rollout_plan import Ended, Rollout
from proof.boards import (
    ACCOUNTS,
    EVERYWHERE,
    HOME,
    TAKINGS,
    World,
    as_lambda_has_it,
    store,
    taken,
)
from tests.pages import commands_of

REGIONS = EVERYWHERE[:3]
ROLLOUT = Rollout(
    "shop", "Target0", "f" * 16, "run1", "holder", "me", began=0.0, expires=1.0, wave=2
)


@pytest.fixture
def world() -> World:
    """Two targets of one project in three regions; one function was changed by hand."""
    world = World()
    world.deploy("shop", ACCOUNTS, REGIONS)
    world.code[ACCOUNTS[1], HOME, f"shop-F1-{HOME}"] = as_lambda_has_it("by hand")
    return world


def keep(world: World, key: str, body: bytes) -> None:
    world.objects[store(HOME).bucket, key] = body


def test_a_board_names_the_release_the_commit_and_since_when_it_runs(world: World) -> None:
    board = world.board()
    assert board.counts == {Mark.DIFFERS: 1, Mark.PROVED: 5}
    ((row, cell),) = board.troubles
    assert (row.target, cell.cell) == ("Target1", Cell(ACCOUNTS[1], HOME, "shop"))
    assert cell.notes == (f"the function F1 (shop-F1-{HOME}) runs other code than the release's",)
    assert list(board.releases) == [
        f"shop {cell.release}, commit {cell.commit[:12]}: 6 cells",
    ]
    assert (len(cell.release), len(cell.commit)) == (16, 40)
    assert cell.changed_at == board.at


@pytest.mark.parametrize("what", TAKINGS)
def test_a_grade_is_lost_by_whatever_speaks_against_it_or_leaves_it_open(what: str) -> None:
    assert list(taken(what)) == []


@pytest.mark.parametrize("told", ["", "no base64!", "YQ"])
def test_a_digest_that_is_none_is_nobodys(world: World, told: str) -> None:
    world.code[ACCOUNTS[0], HOME, f"shop-F1-{HOME}"] = told
    assert len(world.board().troubles) == 2


def test_a_stack_that_failed_or_drifted_is_to_be_seen_to_whatever_is_proved(world: World) -> None:
    world.code[ACCOUNTS[1], HOME, f"shop-F1-{HOME}"] = world.code[
        ACCOUNTS[0], HOME, f"shop-F1-{HOME}"
    ]
    world.stacks[Cell(ACCOUNTS[0], HOME, "shop")].status = "UPDATE_ROLLBACK_COMPLETE"
    board = world.board()
    ((_, cell),) = board.troubles
    assert (cell.mark, cell.notes) == (Mark.PROVED, ("UPDATE_ROLLBACK_COMPLETE",))
    assert board.summary == "6 cells: 6 proved; 1 not steady"


def test_drift_is_told_and_counted_where_it_was_found(world: World) -> None:
    world.stacks[Cell(ACCOUNTS[0], HOME, "shop")].drift = "DRIFTED"
    world.stacks[Cell(ACCOUNTS[0], REGIONS[1], "shop")].drift = "IN_SYNC"
    world.declared["shop"] = world.declared["shop"][:1]
    board = world.board()
    (line,) = board.trouble_lines
    assert line == (
        f"shop Target0, shop in {HOME} of {ACCOUNTS[0]}: proved: drifted: somebody changed it "
        "outside CloudFormation"
    )
    assert board.summary == "3 cells: 3 proved; 1 drifted; 3 left behind"


def test_a_stack_that_is_at_work_is_no_trouble_and_says_so(world: World) -> None:
    for region in REGIONS:
        world.stacks[Cell(ACCOUNTS[0], region, "shop")].status = "UPDATE_IN_PROGRESS"
    board = world.board()
    assert {cell.mark for _, cell in board.troubles} == {Mark.DIFFERS}
    (doubt,) = board.doubts
    assert doubt == (
        f"shop Target0, shop in {HOME} of {ACCOUNTS[0]} and 2 more: said: UPDATE_IN_PROGRESS; an "
        "operation is under way"
    )


READER = f"arn:aws:iam::{ACCOUNTS[0]}:role/foothold-reader"


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("describe_stacks", "cloudformation:DescribeStacks"),
        ("list_functions", "lambda:ListFunctions"),
        ("get_template", "cloudformation:GetTemplate"),
    ],
)
def test_a_cell_to_which_access_was_refused_names_the_command_that_tells_why(
    world: World, operation: str, action: str
) -> None:
    assert all(not cell.explain for cell in world.board().cells)
    world.refused = {operation}
    board = world.board()
    wanted = f"foothold explain --principal {READER} --action {action} --region {HOME}"
    cell = board.rows[0].at(HOME)
    assert cell
    assert cell.explain == wanted
    assert board.as_json()["rows"][0]["cells"][0]["explain"] == wanted
    told = [line for line in (*board.trouble_lines, *board.doubts) if line.endswith("tells why")]
    assert any(f"`{wanted}`" in line for line in told)
    assert f"`{wanted}` tells why" in html(board)


def test_orphans_that_may_not_be_looked_for_are_explained_too(world: World) -> None:
    world.declared["shop"] = world.declared["shop"][:1]
    world.refused = {"describe_stacks"}
    command = "foothold explain --principal arn:aws:iam::222222222222:role/foothold-reader"
    assert any(command in line for line in world.board().unread)


def test_holds_and_rollouts_under_way_are_told(world: World) -> None:
    hold = Hold("shop", "Target1", held=True, by="me", since=0.0)
    keep(world, hold_key("shop", "Target1"), hold.render())
    keep(world, rollout_key("shop", "Target0"), ROLLOUT.render())
    first, second = world.board().rows
    assert (first.hold, second.hold) == ("", hold.line)
    assert first.rollout.startswith(
        f"shop Target0 goes to release {'f' * 16}, in wave 2 of 3 (run run1); nobody is at work"
    )
    assert second.rollout == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "in wave 2 of 3 (run run1)"),
        ({"expires": 0.4}, "nobody is at work on it: ask for it again"),
        ({"ended": Ended.DONE}, ""),
        ({"wave": 0}, "before its first wave"),
        ({"back": True}, "goes back to"),
        ({"trouble": "an alarm"}, "; an alarm"),
    ],
)
def test_a_rollout_is_told_as_long_as_it_has_not_ended(changes: dict[str, Any], said: str) -> None:
    line = under_way(Rollout(**{**vars_of(ROLLOUT), **changes}), 3, 0.5)
    assert said in line if said else line == ""


def vars_of(rollout: Rollout) -> dict[str, Any]:
    return {name: getattr(rollout, name) for name in Rollout.__slots__}


def test_targets_that_share_waves_share_their_rollout(world: World) -> None:
    first, second = world.declared["shop"]
    world.declared["shop"] = (first, replace(second, joins=first.name))
    keep(world, rollout_key("shop", "Target0"), ROLLOUT.render())
    assert world.board().rows[1].rollout == world.board().rows[0].rollout != ""


def test_a_record_that_is_none_is_said_and_the_rest_is_shown(world: World) -> None:
    keep(world, hold_key("shop", "Target1"), b"?")
    board = world.board()
    assert len(list(board.cells)) == 6
    assert "holds/Target1.json" in board.unread[0]


def test_a_stack_that_the_declaration_left_is_an_orphan_and_a_nested_one_is_none(
    world: World,
) -> None:
    targets = world.declared["shop"]
    world.declared["shop"] = targets[:1]
    inner = Cell(ACCOUNTS[0], HOME, "shop-Inner-ABC")
    world.stacks[inner] = world.stacks[targets[0].cell(HOME)]
    world.stacks[inner] = type(world.stacks[inner])(tags=world.stacks[inner].tags, parent="arn")
    board = world.board()
    assert {one.cell for one in board.orphans} == set(targets[1].cells)
    assert str(board.orphans[0]).endswith(" of shop, UPDATE_COMPLETE")


# --- the page -----------------------------------------------------------------------------------


class Page(HTMLParser):
    """Its tags, ids and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def attributes(self, name: str) -> Iterator[str]:
        return (value for _, found in self.tags if (value := found.get(name)))


def test_the_page_loads_nothing_and_runs_nothing(world: World) -> None:
    text = html(world.board())
    page = Page(text)
    assert not {tag for tag, _ in page.tags} & {"script", "img", "link", "iframe"}
    assert "default-src 'none'; style-src 'sha256-" in next(
        value for value in page.attributes("content") if "default-src" in value
    )
    assert not any(name.startswith("on") or name == "style" for _, a in page.tags for name in a)
    assert re.findall(r"https?://", text) == []


def test_every_cell_is_told_in_words_in_the_table_and_in_the_lists(world: World) -> None:
    page = Page(html(world.board()))
    marks = [text for text in page.texts if text in {"proved", "differs"}]
    assert (marks.count("proved"), marks.count("differs")) == (2 * 5 + 1, 2 * 1 + 1)
    headings = [attrs for tag, attrs in page.tags if tag == "th"]
    assert {attrs["scope"] for attrs in headings} == {"row", "col"}
    ids = list(page.attributes("id"))
    assert len(ids) == len(set(ids))
    assert set(page.attributes("aria-labelledby")) <= set(ids)


def test_no_name_of_a_stranger_becomes_markup(world: World) -> None:
    stack = world.stacks[Cell(ACCOUNTS[0], HOME, "shop")]
    stack.tags[RELEASE_TAG] = "<b onload=x>"
    page = Page(html(world.board()))
    assert "b" not in {tag for tag, _ in page.tags}


@pytest.mark.parametrize(
    ("seconds", "told"), [(5, "now"), (60, "1 min"), (7300, "2 h"), (86400 * 400, "400 d")]
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, told: str) -> None:
    assert age(seconds) == told


# --- the command --------------------------------------------------------------------------------


SHOWN = [one for one in commands_of("board.md", "foothold") if one.words[1] == "board"]


class Called:
    """A caller for whom the world is what AWS answers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: tuple[list[str], str] = ([], "")

    def projects(self) -> list[str]:
        return list(self.world.declared)

    def boards(self) -> "Called":
        return self

    def board(self, projects: list[str], target: str) -> object:
        self.asked = (list(projects), target)
        return self.world.board()


@pytest.fixture
def called(world: World, monkeypatch: pytest.MonkeyPatch) -> Called:
    caller = Called(world)
    monkeypatch.setattr(command, "ReleasesCaller", lambda _root: caller)
    return caller


@pytest.mark.usefixtures("called")
@pytest.mark.parametrize("shown", SHOWN, ids=lambda one: str(one.line))
def test_every_command_of_the_page_answers(
    shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("foothold.cli.board.time.sleep", interrupted)
    result = CliRunner().invoke(app, list(shown.words[1:]))
    assert result.exit_code == (130 if "--watch" in shown.words else 1), result.output


def test_a_script_gets_everything_and_the_exit_code_says_that_something_is_wrong(
    called: Called,
) -> None:
    result = CliRunner().invoke(app, ["board", "--json", "--project", "shop"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["summary"] == "6 cells: 1 differs, 5 proved"
    assert told["rows"][0]["cells"][0]["mark"] == "proved"
    assert called.asked == (["shop"], "")


def test_where_all_is_well_it_ends_with_0(called: Called) -> None:
    same = called.world.code[ACCOUNTS[0], HOME, f"shop-F1-{HOME}"]
    called.world.code[ACCOUNTS[1], HOME, f"shop-F1-{HOME}"] = same
    result = CliRunner().invoke(app, ["board"])
    assert result.exit_code == 0, result.output
    assert "6 cells: 6 proved" in result.stdout


@pytest.mark.parametrize(("columns", "first"), [("200", "Target"), ("60", "Region")])
def test_the_table_is_turned_where_regions_have_no_room_beside_each_other(
    called: Called, columns: str, first: str
) -> None:
    result = CliRunner().invoke(app, ["board"], env={"COLUMNS": columns})
    assert called.asked == (["shop"], "")
    assert result.stdout.split()[0] == first
    for region in REGIONS:
        assert region in result.stdout
    assert f"the function F1 (shop-F1-{HOME}) runs other code" in result.stdout


def test_without_anything_to_show_it_says_what_to_do(called: Called) -> None:
    called.world.declared.clear()
    result = CliRunner().invoke(app, ["board"])
    assert result.exit_code == 1
    assert "no pipeline publishes what it deploys" in result.stderr
