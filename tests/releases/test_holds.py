"""A target that is held keeps what it runs."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from foothold.cli import release as command
from foothold.cli.main import app
from foothold.errors import BusyError, PermanentError
from foothold.releases.holds import Hold, all_held, held, hold_key, write_hold
from tests.pages import commands_of
from tests.releases.memory import HOME, MemoryRecords, store, target
from tests.releases.world import World, made_for, watched

PROD = Hold("shop", "Prod", held=True, by="arn:aws:iam::111111111111:role/ops", since=0.0)
FREE = replace(PROD, held=False, by="arn:aws:iam::111111111111:role/other", since=9.0)
AT_HOME = store(HOME)
SHOWN = [one for one in commands_of("board.md", "foothold") if one.words[1] == "release"]


def test_a_hold_stands_until_the_target_is_let_go_and_says_how_that_is_done() -> None:
    records = MemoryRecords()
    assert held(records, AT_HOME, "shop", "Prod") is None
    assert write_hold(records, AT_HOME, PROD) == PROD
    assert all_held(records, AT_HOME, "shop", ("Test", "Prod")) == [PROD]
    assert "foothold release hold shop --target Prod --release" in PROD.line
    write_hold(records, AT_HOME, FREE)
    assert held(records, AT_HOME, "shop", "Prod") is None
    there = records.read(AT_HOME, hold_key("shop", "Prod"))
    assert there
    assert Hold.parse(there[0], "there") == FREE


def test_who_held_it_first_stays_known() -> None:
    records = MemoryRecords()
    write_hold(records, AT_HOME, PROD)
    assert write_hold(records, AT_HOME, replace(PROD, by="somebody else", since=1.0)) == PROD


def test_a_hold_that_nobody_of_ours_wrote_holds_and_can_be_written_over() -> None:
    records = MemoryRecords()
    records.create(AT_HOME, hold_key("shop", "Prod"), b'{"held": false}')
    with pytest.raises(PermanentError, match=r"holds/Prod\.json in .* is no hold"):
        held(records, AT_HOME, "shop", "Prod")
    write_hold(records, AT_HOME, FREE)
    assert held(records, AT_HOME, "shop", "Prod") is None


def test_where_others_write_all_the_time_it_says_so() -> None:
    records = MemoryRecords()
    write_hold(records, AT_HOME, PROD)

    def meddle(operation: str, *_: str) -> None:
        if operation == "replace":
            key = (AT_HOME.bucket, hold_key("shop", "Prod"))
            records.objects[key] += b" "

    records.before = meddle
    with pytest.raises(BusyError, match="ask again"):
        write_hold(records, AT_HOME, FREE)


def test_a_rollout_to_a_target_that_is_held_is_refused_and_so_is_a_rollback() -> None:
    world = World()
    release = world.keep(made_for(watched(((HOME,),), minutes=0)))
    world.deploy(release)
    write_hold(world.records, AT_HOME, PROD)
    with pytest.raises(PermanentError, match="Prod of shop is held since 1970-01-01T00:00Z"):
        world.deploy(release)
    with pytest.raises(PermanentError, match="Prod of shop is held since 1970-01-01T00:00Z"):
        world.rollback(to=release.id)


def test_a_rollout_passes_by_what_is_held_of_targets_that_run_together() -> None:
    world = World()
    prod = watched(((HOME,),), minutes=0)
    beside = replace(prod, name="Beside", account="333333333333", joins="Prod")
    release = world.keep(made_for(prod, beside))
    write_hold(world.records, AT_HOME, replace(PROD, target="Beside"))
    outcome = world.deploy(release)
    assert {one.cell.account: one.state for one in outcome.cells} == {
        prod.account: "deployed",
        beside.account: "left alone",
    }
    assert any(line.startswith("passed by: Beside of shop is held") for line in world.said)
    assert {made.cell.account for _, made in world.executed} == {prod.account}


class Called:
    """A caller whose stores are in memory."""

    def __init__(self) -> None:
        self.records = MemoryRecords()
        self.home_store = AT_HOME
        self.clients = self

    def caller(self) -> str:
        return PROD.by

    def declared_targets(self, project: str) -> tuple[object, ...]:
        assert project == "shop"
        return (target(),)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    caller = Called()
    monkeypatch.setattr(command, "Caller", lambda _root: caller)
    return caller


def test_the_commands_of_the_page_hold_a_target_and_let_it_go(called: Called) -> None:
    hold, let_go = SHOWN
    shown = CliRunner().invoke(app, list(hold.words[1:]))
    assert shown.stdout.startswith("Prod of shop is held since ")
    assert held(called.records, AT_HOME, "shop", "Prod")
    shown = CliRunner().invoke(app, list(let_go.words[1:]))
    assert shown.stdout == "Prod of shop is not held\n"
    assert not held(called.records, AT_HOME, "shop", "Prod")


def test_a_target_that_there_is_not_cannot_be_held(called: Called) -> None:
    shown = CliRunner().invoke(app, ["release", "hold", "shop", "--target", "Other"])
    assert shown.exit_code == 1
    assert "foothold: shop has no target Other; it has Prod" in shown.stderr
    assert not called.records.objects
