"""What `foothold explain` takes, refuses and shows, without an account."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from foothold.caller import Caller
from foothold.cli.main import app
from foothold.explain.chain import explain
from foothold.explain.principal import Purpose
from proof.explained import World, healthy

ROLE = "arn:aws:iam::222222222222:role/foothold-deploy"


class Asked:
    """Stands for what explains: of every question the same world."""

    def __init__(self, world: World) -> None:
        self.chain = explain(world.observed())

    def ask(self, *_: Any, **__: Any) -> Any:
        return self.chain

    def message(self, *_: Any) -> Any:
        return self.chain

    def pipeline(self, *_: Any) -> Any:
        return [("Test/Create", self.chain), ("Test/Execute", self.chain)]


def run(*words: str, text: str = "") -> Any:
    return CliRunner().invoke(app, ["explain", *words], input=text)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "name --principal"),
        (("--principal", ROLE), "--artifact S3_URI or --region R"),
        (("--principal", "root", "--region", "eu-west-1"), "is no principal"),
        (("--principal", ROLE, "--artifact", "bucket/key"), "is no artifact"),
        (("--principal", ROLE, "--region", "mars-1"), "is not the name of an AWS region"),
        (("--principal", ROLE, "--region", "eu-west-1", "--action", "x"), "is no action"),
        (("--principal", ROLE, "--region", "eu-west-1", "--caller", "me"), "is no principal"),
        (("--execution", "1"), "add --pipeline NAME"),
        (("--pipeline", "p", "--principal", ROLE), "not for both"),
        (("message.txt",), "on standard input"),
    ],
)
def test_wrong_use_is_told_in_one_line_and_ends_with_two(words: tuple[str, ...], told: str) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert told in " ".join(done.output.split())


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> World:
    """A deploy role that lost its policies, and a key that is disabled."""
    world = healthy(Purpose.DEPLOY, 1)
    world.policies.clear()
    world.keys[world.store_key]["state"] = "Disabled"
    monkeypatch.setattr(Caller, "explanations", lambda *_: Asked(world))
    return world


@pytest.mark.usefixtures("broken")
def test_every_broken_link_is_shown_the_first_by_name_and_each_with_its_command() -> None:
    done = run("--principal", ROLE, "--region", "eu-west-1")
    assert done.exit_code == 1
    assert "broken first: identity policies: s3:GetObject" in done.output
    commands = [line.strip() for line in done.output.splitlines() if line.startswith("    ")]
    assert [" ".join(line.split()[:3]) for line in commands] == [
        *["aws iam put-role-policy"] * 3,
        "foothold plan eu-west-1",
    ]


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("words", [("-",), ("--pipeline", "p", "--execution", "1")])
def test_json_holds_every_chain_and_nothing_else(words: tuple[str, ...]) -> None:
    done = run(*words, "--json", text="Access Denied")
    answers = json.loads(done.stdout)
    assert done.exit_code == 1
    assert {answer["broken"][0] for answer in answers} == {"identity policies: s3:GetObject"}


def test_nothing_broken_ends_with_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    world = healthy(Purpose.DEPLOY, 1)
    monkeypatch.setattr(Caller, "explanations", lambda *_: Asked(world))
    done = run("--principal", ROLE, "--region", "eu-west-1")
    assert (done.exit_code, "broken" in done.output) == (0, False)
