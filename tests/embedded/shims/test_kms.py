"""A key of another account serves whom its policy names."""

from local.aws.embedded import PRODUCTION, TEST, Embedded
from tests.embedded.shims.world import CLOSED, allow, make_encrypted_bucket, make_role, may, outcome

# --- foreign_keys ---------------------------------------------------------------------------------


def describe_a_foreign_key(
    aws: Embedded, name: str, action: str = "kms:DescribeKey", *, named: bool = True
) -> str:
    """What stops a Test role that may do this from describing a key of the Tools account, whose
    policy names the role's account, or not."""
    reader = allow(f"arn:aws:iam::{TEST if named else PRODUCTION}:root", "kms:DescribeKey")
    key = make_encrypted_bucket(aws, name, {**reader, "Resource": "*"})
    kms = make_role(aws, TEST, name, may(action)).client("kms")
    return outcome(lambda: kms.describe_key(KeyId=key))


def test_a_key_serves_the_accounts_that_its_policy_names(embedded: Embedded) -> None:
    assert describe_a_foreign_key(embedded, "foreign-key") == ""


def test_a_foreign_key_is_refused_where_its_policy_or_the_callers_forgets_it(
    embedded: Embedded,
) -> None:
    refused = [
        describe_a_foreign_key(embedded, "foreign-key-not-named", named=False),
        describe_a_foreign_key(embedded, "foreign-key-not-allowed", "kms:Encrypt"),
    ]
    assert refused == ["AccessDeniedException", "AccessDeniedException"]


def test_the_root_of_another_account_finds_no_foreign_key(embedded: Embedded) -> None:
    key = make_encrypted_bucket(embedded, "foreign-key-root")
    kms = embedded.session(TEST).client("kms")
    assert outcome(lambda: kms.describe_key(KeyId=key)) == "NotFoundException"


def test_upstream_finds_no_foreign_key(ministack: Embedded) -> None:
    assert describe_a_foreign_key(ministack, "foreign-key") == "NotFoundException", CLOSED
