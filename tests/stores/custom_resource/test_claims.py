"""Claims that nobody can drop any more: who sees them, what drops them, and what never does."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws
from typer.testing import CliRunner

from foothold.aws.clients import Clients
from foothold.cli import claims as cli
from foothold.cli.main import app
from foothold.errors import PermanentError
from foothold.pipelines.gateways.cloudformation import CloudFormationStacks
from foothold.stores.custom_resource.request import Claim, HeldClaim
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.operator.messages import ListClaims, NamedClaim, ReleaseClaims, parse_command
from tests.stores.accounts import REGION, Account
from tests.stores.worlds import ACCOUNT, HOME, PLANE

DAY = 86_400.0
WHERE = f"arn:aws:cloudformation:{HOME}:{ACCOUNT}:stack"
TEAM = f"{WHERE}/team-a/1"
CLAIM = Claim.of(TEAM, "Store")
OTHER_TEAM = f"{WHERE}/team-b/2"
OTHERS = Claim.of(OTHER_TEAM, "Store")


def stand(account: Account, *stack_ids: str) -> None:
    for stack_id in stack_ids:
        account.cloud.add_stack(stack_id)


def standing(account: Account) -> list[str]:
    return [claim.name for claim in account.claims.standing()]


def test_every_claim_is_listed_with_its_stack_and_whether_that_exists(account: Account) -> None:
    account.claims.ensure([REGION], CLAIM)
    account.claims.ensure([REGION], OTHERS)
    stand(account, TEAM, OTHER_TEAM)
    account.cloud.delete_stack(TEAM, 5.0)
    first, second = account.claims.standing()
    assert first == HeldClaim(REGION, CLAIM.name, TEAM, "Store", account.now, True, 5.0)
    assert (first.stack, second.stack, second.gone) == ("team-a", "team-b", False)


@pytest.mark.parametrize(
    ("name", "value", "stack"),
    [
        ("renamed.1.Store", f"{TEAM} Store", "team-a"),
        ("team-b.1.Store", "somebody wrote this", "team-b"),
        ("by-hand", "", "by-hand"),
    ],
)
def test_the_value_of_a_claim_tells_its_stack_and_its_name_where_that_does_not(
    name: str, value: str, stack: str
) -> None:
    assert HeldClaim.read(REGION, name, value, 0.0).stack == stack


def test_a_claim_whose_stack_went_a_day_ago_is_dropped_by_the_schedule(account: Account) -> None:
    account.claims.ensure([REGION], CLAIM)
    account.claims.ensure([REGION], OTHERS)
    stand(account, TEAM, OTHER_TEAM)
    account.now += 10 * DAY
    account.cloud.delete_stack(TEAM, account.now - DAY + 1)
    assert account.claims.release_of_gone_stacks() == ()
    account.now += 1
    assert [claim.name for claim in account.claims.release_of_gone_stacks()] == [CLAIM.name]
    assert standing(account) == [OTHERS.name]


def test_a_stack_that_nobody_remembers_is_gone_since_its_claim_was_made(account: Account) -> None:
    account.claims.ensure([REGION], CLAIM)
    account.now += DAY - 1
    assert account.claims.release_of_gone_stacks() == ()
    account.now += 1
    assert len(account.claims.release_of_gone_stacks()) == 1


@pytest.mark.parametrize(
    "stack_id",
    [
        f"arn:aws:cloudformation:{HOME}:999999999999:stack/team-a/1",
        f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/team-a/1",
        f"{WHERE}/foothold/1",
    ],
    ids=["another account's", "another region's", "our own"],
)
def test_a_stack_that_is_not_ours_to_read_counts_as_existing(
    account: Account, stack_id: str
) -> None:
    claim = Claim.of(stack_id, "Store")  # written by whatever wrote it: none is taken from there
    account.parameters.put(HOME, f"/foothold/claims/{REGION}/{claim.name}", claim.value)
    account.now += 100 * DAY
    account.begin_anew()
    assert account.claims.release_of_gone_stacks() == ()
    assert "ListStacks" not in account.calls


def test_a_claim_that_is_garbage_counts_as_existing_and_can_be_released(account: Account) -> None:
    account.parameters.put(HOME, f"/foothold/claims/{REGION}/app-1-Store", "x")
    account.now += 100 * DAY
    (claim,) = account.claims.standing()
    assert (claim.stack_id, claim.gone, claim.stack) == (None, False, "app-1-Store")
    assert account.claims.release_of_gone_stacks() == ()
    account.claims.release_of([(REGION, "app-1-Store")])
    assert standing(account) == []


def test_stacks_that_cannot_be_read_drop_nothing_and_stop_nothing(account: Account) -> None:
    account.claims.ensure([REGION], CLAIM)
    account.now += 100 * DAY

    def refuse(call: str) -> None:
        if call == "ListStacks":
            raise PermanentError("cannot list the stacks that exist: AccessDenied")

    account.watch(refuse)
    assert account.claims.release_of_gone_stacks() == ()
    assert standing(account) == [CLAIM.name]


def test_releasing_what_is_not_there_releases_nothing(account: Account) -> None:
    account.claims.ensure([REGION], CLAIM)
    with pytest.raises(PermanentError, match="there is no claim eu-west-1/nobody: `foothold reg"):
        account.claims.release_of([(REGION, CLAIM.name), (REGION, "nobody")])
    assert standing(account) == [CLAIM.name]


def test_a_released_region_can_be_retired_and_is_where_the_policy_says_so() -> None:
    account = Account(plane=replace(PLANE, retires=True))
    account.claims.ensure([REGION], CLAIM)
    account.claims.release_of([(REGION, CLAIM.name)])
    assert account.retirements.unfinished() == (REGION,)


@pytest.fixture
def clients() -> Iterator[Clients]:
    with mock_aws():
        yield Clients(boto3.Session("testing", "testing", region_name=HOME))


def test_the_date_of_a_parameter_is_that_of_its_last_change(clients: Clients) -> None:
    parameters = SsmParameters(clients)
    parameters.put(HOME, "/foothold/claims/eu-west-1/a.b.c", "value")
    ((name, (value, at)),) = parameters.dated(HOME, "/foothold/claims").items()
    assert (name, value) == ("/foothold/claims/eu-west-1/a.b.c", "value")
    assert at > 1_700_000_000


def test_deleted_stacks_are_told_from_living_ones(clients: Clients) -> None:
    cloudformation = clients.get("cloudformation", HOME)
    template = '{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}'
    made = [
        cloudformation.create_stack(StackName=name, TemplateBody=template)["StackId"]
        for name in ("lives", "went")
    ]
    cloudformation.delete_stack(StackName="went")
    never = f"{WHERE}/never/1"
    found = CloudFormationStacks(cloudformation).gone([*made, never])
    assert set(found) == {made[1], never}
    assert found[never] is None


def test_a_stack_that_may_not_be_read_exists(clients: Clients) -> None:
    cloudformation = clients.get("cloudformation", HOME)
    with Stubber(cloudformation) as stubber:
        stubber.add_response("list_stacks", {"StackSummaries": []})
        stubber.add_client_error("describe_stacks", "AccessDenied", http_status_code=403)
        stubber.add_client_error("describe_stacks", "ValidationError", "is not valid")
        found = CloudFormationStacks(cloudformation).gone([TEAM, f"{WHERE}/b/1"])
    assert found == {}


def test_the_commands_become_values() -> None:
    assert parse_command({"command": "claims"}) == ListClaims()
    one = {"region": REGION, "claim": CLAIM.name}
    release = {"command": "release", "claims": [one]}
    assert parse_command(release) == ReleaseClaims(
        claims=[NamedClaim(region=REGION, claim=CLAIM.name)]
    )
    wrongs: tuple[dict[str, Any], ...] = (
        {},
        {"claims": []},
        {"claims": [{**one, "claim": "../regions"}]},
    )
    for wrong in wrongs:
        with pytest.raises(PermanentError, match="cannot be understood"):
            parse_command({"command": "release", **wrong})


# --- As an operator types it ----------------------

GONE = {
    "region": REGION, "claim": "team-a.1.Store", "stack": "team-a", "stack_id": TEAM,
    "resource": "Store", "since": 1_800_000_000, "exists": False, "gone_since": 1_800_086_400,
}  # fmt: skip
LIVES = GONE | {"claim": "team-b.2.Store", "stack": "team-b", "exists": True, "gone_since": None}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the function was asked to release."""
    released: list[dict[str, Any]] = []

    def ask(_root: str, command: dict[str, Any]) -> dict[str, Any]:
        if command["command"] == "claims":
            return {"claims": [GONE, LIVES]}
        released.extend(command["claims"])
        return {}

    monkeypatch.setattr(cli, "ask", ask)
    return released


def typed(*arguments: str, answer: str = "") -> Any:
    return CliRunner().invoke(app, ["regions", *arguments], input=answer)


def test_the_list_says_which_stack_is_gone_and_cuts_nothing(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    done = typed("claims")
    assert done.stdout.splitlines() == [
        "eu-west-1 team-a.1.Store",
        "  Store of stack team-a, which is gone since 2027-01-16T08:00Z; claimed 2027-01-15T08:00Z",
        "eu-west-1 team-b.2.Store",
        "  Store of stack team-b; claimed 2027-01-15T08:00Z",
    ]
    assert asked == []


@pytest.mark.parametrize(
    ("arguments", "answer", "released"),
    [
        ((REGION, "team-a.1.Store"), "y\n", ["team-a.1.Store"]),
        ((REGION, "team-a.1.Store"), "n\n", []),
        ((REGION, "team-a.1.Store"), "", []),
        ((REGION, "team-a.1.Store", "--yes"), "", ["team-a.1.Store"]),
        (("--stack", "team-b", "--yes"), "", ["team-b.2.Store"]),
        (("--stack", TEAM, "--yes"), "", ["team-a.1.Store", "team-b.2.Store"]),
    ],
)
def test_a_claim_is_released_once_somebody_has_said_yes(
    asked: list[dict[str, Any]], arguments: tuple[str, ...], answer: str, released: list[str]
) -> None:
    done = typed("release", *arguments, answer=answer)
    assert [one["claim"] for one in asked] == released
    assert done.exit_code == (0 if released else 1)


def test_releasing_the_claim_of_a_stack_that_lives_says_what_that_means(
    asked: list[dict[str, Any]],
) -> None:
    assert "still counts on its region" in typed("release", "--stack", "team-b").stderr
    assert asked == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        ((REGION,), 2),
        ((REGION, "team-a.1.Store", "--stack", "team-a"), 2),
        (("europe", "team-a.1.Store"), 2),
        ((REGION, "nobody"), 1),
        (("--stack", "nobody", "--yes"), 1),
    ],
)
def test_a_claim_that_cannot_be_told_is_one_line(
    asked: list[dict[str, Any]], arguments: tuple[str, ...], code: int
) -> None:
    done = typed("release", *arguments)
    assert (done.exit_code, len(done.stderr.splitlines()), asked) == (code, 1, [])
