"""Runs that take turns, where nothing reserves concurrency for the function."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from foothold.app import App
from foothold.aws.clients import Clients
from foothold.errors import BusyError, TemporaryError
from foothold.stores.events import Events
from foothold.stores.gateways.ssm import SsmNumberedParameter
from foothold.stores.operator.commands import answer_command
from foothold.stores.triggers import Scheduled
from foothold.stores.turns import LONGEST_SECONDS, Turns
from tests.stores.accounts import REGION, SPEC, Account
from tests.stores.worlds import HOME, PLANE, in_memory


@dataclass
class Numbered:
    """A parameter in memory, and how many calls were made."""

    value: str = ""
    number: int = 0
    calls: int = 0

    def read(self) -> tuple[int, str]:
        self.calls += 1
        return self.number, self.value

    def write(self, value: str) -> int:
        self.calls += 1
        self.number += 1
        self.value = value
        return self.number


def test_whoever_comes_meanwhile_is_told_and_changes_nothing() -> None:
    turns = Turns(Numbered(), lambda: 1_000.0)
    busy = pytest.raises(BusyError, match="at work for somebody else")
    with turns.one_at_a_time(), busy, turns.one_at_a_time():
        pytest.fail("two have the turn")
    with turns.one_at_a_time():
        pass


def test_a_turn_costs_three_calls() -> None:
    parameter = Numbered()
    with Turns(parameter, lambda: 1_000.0).one_at_a_time():
        pass
    assert parameter.calls == 3


def test_a_turn_ends_where_its_run_fails() -> None:
    turns = Turns(Numbered(), lambda: 1_000.0)
    with pytest.raises(ValueError, match="no"), turns.one_at_a_time():
        raise ValueError("no")
    with turns.one_at_a_time():
        pass


def test_the_turn_of_a_run_that_was_killed_ends_by_itself() -> None:
    now = [1_000.0]
    turns = Turns(Numbered(), lambda: now[0])
    killed = turns.one_at_a_time()
    killed.__enter__()  # and is never left
    now[0] += LONGEST_SECONDS - 1
    with pytest.raises(BusyError), turns.one_at_a_time():
        pass
    now[0] += 1
    with turns.one_at_a_time():
        pass


@pytest.mark.parametrize("text", ["garbage", "[]", "{}", '{"until": null}'])
def test_a_turn_that_nobody_of_ours_wrote_is_free(text: str) -> None:
    with Turns(Numbered(text, 7), lambda: 1_000.0).one_at_a_time():
        pass


def test_a_turn_that_cannot_be_given_back_fails_no_run() -> None:
    class Failing(Numbered):
        def write(self, value: str) -> int:
            if self.number:
                raise TemporaryError("cannot write")
            return super().write(value)

    with Turns(Failing(), lambda: 1_000.0).one_at_a_time():
        pass


def attempts(parameter: Numbered, clock: list[float]) -> Iterator[str]:
    """One run, a step at a time, so that others come between its calls."""
    number, text = parameter.read()
    yield "read"

    class Seen(Numbered):
        def read(self) -> tuple[int, str]:
            return number, text

        def write(self, value: str) -> int:
            return parameter.write(value)

    turn = Turns(Seen(), lambda: clock[0]).one_at_a_time()
    try:
        turn.__enter__()
    except BusyError:
        return
    yield "begins"
    yield "works"
    turn.__exit__(None, None, None)
    yield "ends"


@given(st.randoms(use_true_random=False), st.integers(2, 6))
def test_no_two_runs_have_the_turn_however_their_calls_mix(dice: random.Random, runs: int) -> None:
    parameter, clock = Numbered(), [1_000.0]
    going = {number: attempts(parameter, clock) for number in range(runs)}
    working: set[int] = set()
    while going:
        number = dice.choice(sorted(going))
        did = next(going[number], None)
        if did is None:
            del going[number]
        elif did == "begins":
            working.add(number)
        elif did == "ends":
            working.discard(number)
        assert len(working) <= 1
        clock[0] += 1.0


def test_writes_of_a_parameter_are_numbered_one_by_one() -> None:
    with mock_aws():
        clients = Clients(boto3.Session("testing", "testing", region_name=HOME))
        parameter = SsmNumberedParameter(clients, HOME, "/foothold/turn")
        assert parameter.read() == (0, "")
        assert [parameter.write(str(number)) for number in range(3)] == [1, 2, 3]
        assert parameter.read() == (3, "2")


ENVIRONMENT = {
    "FOOTHOLD_ACCOUNT": "111111111111",
    "FOOTHOLD_STACK": "foothold",
    "FOOTHOLD_NAME_PREFIX": "foothold",
    "FOOTHOLD_PARAMETER_ROOT": "/foothold",
    "AWS_REGION": HOME,
}


def test_where_concurrency_is_reserved_a_turn_costs_nothing() -> None:
    def called() -> boto3.Session:
        pytest.fail("AWS was asked")

    with App(ENVIRONMENT, called).alone():
        pass


def test_a_command_that_changes_something_waits_for_its_turn_and_one_that_looks_does_not() -> None:
    turns = Turns(Numbered(), lambda: 1_000.0)
    account = Account()
    commands = account.commands(turns.one_at_a_time)
    change = {"command": "add", "regions": [REGION]}
    with turns.one_at_a_time():
        assert answer_command(change, lambda: commands)["busy"] is True
        looked = answer_command({"command": "plan"}, lambda: commands)
    assert looked == {"plan": {}}
    assert answer_command(change, lambda: commands)["regions"][REGION]["bucket"] == SPEC.bucket


def test_an_event_that_meets_another_run_changes_nothing() -> None:
    turns, world = Turns(Numbered(), lambda: 1_000.0), in_memory()
    events = Events(PLANE, world.reconciler, lambda: 0.0, alone=turns.one_at_a_time)
    with turns.one_at_a_time(), pytest.raises(BusyError):
        events.answer(Scheduled())
    assert world.calls == []
    events.answer(Scheduled())
    assert world.calls != []
