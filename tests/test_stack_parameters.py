"""What the stack's lists may say, and the one line that refuses them."""

import pytest

from foothold import stack_parameters
from foothold.errors import PermanentError
from foothold.settings import Settings

ORGANIZATION = ("o-example",)
ENVIRONMENT = {
    "AWS_REGION": "eu-central-1",
    "FOOTHOLD_ACCOUNT": "111111111111",
    "FOOTHOLD_STACK": "foothold",
    "FOOTHOLD_NAME_PREFIX": "foothold",
    "FOOTHOLD_PARAMETER_ROOT": "/foothold",
    "FOOTHOLD_ORGANIZATION_IDS": "o-example",
}


def test_tags_are_pairs_and_a_value_may_hold_an_equals_sign() -> None:
    entries = ("CostCenter=42", " Team = a=b ", "überprüft=ja")
    assert stack_parameters.tags(entries) == (
        ("CostCenter", "42"), ("Team", "a=b"), ("überprüft", "ja"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (("CostCenter",), "'CostCenter': it is no Key=Value"),
        (("=42",), "the key has 0 characters"),
        (("CostCenter=",), "the value has 0 characters"),
        (("k" * 129 + "=v",), "the key has 129 characters, 1 to 128 may be"),
        (("k=" + "v" * 257,), "the value has 257 characters, 1 to 256 may be"),
        (("aws:x=1",), "begin with aws: or foothold: are not yours"),
        (("Foothold:stack=other",), "begin with aws: or foothold: are not yours"),
        (("a;b=1",), "the key may hold letters"),
        (("a=1\n2",), "the value may hold letters"),
        (("Cost=1", "cost=2"), "the key stands there twice"),
        (tuple(f"k{number}=v" for number in range(45)), "holds 45 tags: 44 may be"),
    ],
)
def test_a_tag_that_aws_would_refuse_or_that_is_footholds_is_refused_in_one_line(
    entries: tuple[str, ...], words: str
) -> None:
    with pytest.raises(PermanentError) as refused:
        stack_parameters.tags(entries)
    assert words in str(refused.value)
    assert str(refused.value).startswith("stack parameter Tags")


@pytest.mark.parametrize("entry", ["222222222222", "eu-west-1=222222222222"])
def test_readers_are_narrowed_to_accounts_for_all_stores_or_one(entry: str) -> None:
    assert stack_parameters.reader_accounts((entry,), ORGANIZATION) == (entry,)


@pytest.mark.parametrize(
    "entry",
    ["o-example/r-abcd/ou-abcd-11111111/*", "o-example/*", "us-east-1=o-example/r-abcd/"],
)
def test_readers_are_narrowed_to_units_for_all_stores_or_one(entry: str) -> None:
    assert stack_parameters.reader_org_paths((entry,), ORGANIZATION) == (entry,)


@pytest.mark.parametrize("entry", ["2222", "europe=222222222222", "=222222222222", "*"])
def test_what_is_no_account_is_refused_in_one_line(entry: str) -> None:
    with pytest.raises(PermanentError, match=f"ReaderAccounts: '{entry}'".replace("*", r"\*")):
        stack_parameters.reader_accounts((entry,), ORGANIZATION)


@pytest.mark.parametrize(
    "entry", ["ou-abcd-11111111", "o-other/r-abcd/*", "o-example/r-abcd", "o-example", "*"]
)
def test_what_is_no_path_of_the_organisation_is_refused_in_one_line(entry: str) -> None:
    with pytest.raises(PermanentError, match=r"ReaderOrgPaths: .* is no path in one of"):
        stack_parameters.reader_org_paths((entry,), ORGANIZATION)


def test_nothing_is_narrowed_that_was_never_opened() -> None:
    for check in (stack_parameters.reader_accounts, stack_parameters.reader_org_paths):
        with pytest.raises(PermanentError, match="OrganizationIds opens, which is empty"):
            check(("222222222222",), ())


def test_a_function_starts_with_what_the_stack_says_and_not_with_what_it_may_not() -> None:
    lists = {
        "FOOTHOLD_TAGS": "CostCenter=42, Owner=platform",
        "FOOTHOLD_READER_ACCOUNTS": "222222222222,eu-west-1=333333333333",
        "FOOTHOLD_READER_ORG_PATHS": "o-example/r-abcd/*",
    }
    plane = Settings.from_environment(ENVIRONMENT | lists).control_plane
    assert plane.tags == (("CostCenter", "42"), ("Owner", "platform"))
    assert plane.spec("eu-west-1").reader_accounts == ("333333333333",)
    assert plane.spec("us-east-1").reader_accounts == ("222222222222",)
    assert plane.spec("us-east-1").reader_org_paths == ("o-example/r-abcd/*",)
    wrong = Settings.from_environment(ENVIRONMENT | {"FOOTHOLD_TAGS": "aws:x=1"})
    with pytest.raises(PermanentError, match="stack parameter Tags"):
        _ = wrong.control_plane
