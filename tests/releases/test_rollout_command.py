"""`foothold release deploy` and `rollback`: what is shown, who is asked, how it ends."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from foothold.cli import rollout
from foothold.cli.main import app
from foothold.releases.keeping import Releases
from foothold.releases.model import Release, When
from foothold.releases.rollout import Say
from tests.releases.memory import HOME
from tests.releases.world import World, made_for, watched

RUNNER = CliRunner()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()

    class Caller:
        def __init__(self, root: str) -> None:
            assert root == "/foothold"
            self.releases = Releases(world.records, world.records, HOME, threads=1)

        def rollouts(self, say: Say) -> object:
            world.said = Lines(say)
            return world.rollouts()

    monkeypatch.setattr(rollout, "ReleasesCaller", Caller)
    return world


class Lines(list[str]):
    """What is said goes on to where it is shown."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self.append = say  # type: ignore[method-assign]  # that is the point


@pytest.fixture
def new(world: World) -> Iterator[Release]:
    target = watched(((HOME,), ("us-east-1",)), minutes=0, approval=When.ALWAYS)
    yield world.keep(made_for(target))
    assert not world.busy


def test_a_release_is_deployed_with_its_review_and_progress_on_stderr(new: Release) -> None:
    asked = ["release", "deploy", "shop", new.id[:6], "--target", "Prod", "--approve", "--json"]
    result = RUNNER.invoke(app, asked)
    assert result.exit_code == 0, result.output
    outcome = json.loads(result.stdout)
    assert (outcome["state"], outcome["release"]) == ("done", new.id)
    assert "Function" in result.stderr  # of the review
    assert "wave 2 of 2: shop in us-east-1 of 222222222222 runs it" in result.stderr


def test_where_nobody_can_be_asked_it_says_so_and_executes_nothing(
    world: World, new: Release
) -> None:
    result = RUNNER.invoke(app, ["release", "deploy", "shop", new.id, "--target", "Prod"])
    assert result.exit_code == 1
    assert "run the command again with --approve" in result.stderr
    assert not world.executed


def test_a_rollout_that_fails_ends_with_1_and_names_every_stack(world: World, new: Release) -> None:
    world.fails.add(new.targets[0].cells[0])
    result = RUNNER.invoke(
        app, ["release", "deploy", "shop", new.id, "--target", "Prod", "--approve"]
    )
    assert result.exit_code == 1
    assert "foothold: stopped: wave 1 of 2:" in result.stderr
    assert "shop in eu-central-1 of 222222222222: failed (no stack before" in result.stdout
    assert "shop in us-east-1 of 222222222222: not touched" in result.stdout


@pytest.mark.usefixtures("new")
def test_a_rollback_of_what_was_never_deployed_says_what_to_name() -> None:
    result = RUNNER.invoke(app, ["release", "rollback", "shop", "--target", "Prod"])
    assert result.exit_code == 1
    assert "name one with --to" in result.stderr


def test_a_command_without_a_target_is_wrong_use() -> None:
    assert RUNNER.invoke(app, ["release", "deploy", "shop", "0123456789abcdef"]).exit_code == 2
