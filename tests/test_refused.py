"""Every refusal that is shown names the command that explains it, and the command is one."""

import shlex
from inspect import signature

import pytest

from foothold.cli import explain as command
from foothold.explain.principal import asking_role, known_action
from foothold.refused import explain_command, role_in

ACCOUNT, REGION = "222222222222", "eu-west-1"
READER = f"arn:aws:iam::{ACCOUNT}:role/foothold-reader"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/foothold-reader/me"
EXPLAIN = "foothold explain --principal"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            f"account {ACCOUNT} has no role foothold-reader that lets this one in: run `aws`",
            f"{EXPLAIN} {READER} --action sts:AssumeRole --region {REGION}",
        ),
        (
            (
                f"cannot look: AccessDenied: User: {SESSION} is not authorized to perform: "
                "cloudformation:DescribeStacks because no identity-based policy allows it"
            ),
            f"{EXPLAIN} {SESSION} --action cloudformation:DescribeStacks --region {REGION}",
        ),
        (
            (
                f"User: {SESSION} is not authorized to perform: s3:GetObject on resource: "
                '"arn:aws:s3:::foothold-x/shop/builds/1" because'
            ),
            f"{EXPLAIN} {SESSION} --artifact s3://foothold-x/shop/builds/1",
        ),
        (
            f"User: {SESSION} is not authorized to perform: sts:AssumeRole on resource: {READER}",
            f"{EXPLAIN} {READER} --action sts:AssumeRole --region {REGION} --caller {SESSION}",
        ),
        ("cannot read bucket b: 403: Forbidden", f"{EXPLAIN} {READER} --region {REGION}"),
        ("cannot read key k: AccessDeniedException: no", f"{EXPLAIN} {READER} --region {REGION}"),
    ],
)
def test_a_refusal_names_the_command_that_explains_it(line: str, told: str) -> None:
    assert explain_command(line, REGION, READER) == told
    words = shlex.split(told)[2:]
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert {name.removeprefix("--") for name in given} <= signature(
        command.explain
    ).parameters.keys()
    assert asking_role(given["--principal"]).account == ACCOUNT
    assert known_action(given.get("--action", "s3:GetObject"))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "cannot read bucket b: SlowDown: 503: later",
        f"User: arn:aws:iam::{ACCOUNT}:user/me is not authorized to perform: s3:GetObject",
        "there is no such change set",
    ],
)
def test_where_no_role_was_refused_there_is_nothing_to_explain(line: str) -> None:
    assert not explain_command(line, REGION, READER)


def test_who_asked_is_left_to_be_filled_in_where_nobody_knows() -> None:
    told = explain_command("cannot read key k: AccessDenied: no", REGION)
    assert told == f"{EXPLAIN} ROLE_ARN --region {REGION}"


def test_a_role_is_one_of_the_regions_partition() -> None:
    assert role_in(ACCOUNT, "cn-north-1") == f"arn:aws-cn:iam::{ACCOUNT}:role/foothold-reader"
