"""The decision table, asked of the embedded AWS: whatever is weaker than the product's policies is
noticed there too."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from proof import embedded
from proof.decisions import PLACES, Decision, expected, table
from proof.embedded import Change, cross_checked, left_out
from proof.result import Scale

FULL = Scale(full=True)
HERE = [row for row in table() if row.place == PLACES[0] and not left_out(row)]


def without(sid: str, operator: str = "", key: str = "") -> Change:
    """The statement is missing, or only its condition on this key."""

    def change(_kind: str, whole: Any) -> Any:
        less = copy.deepcopy(whole)
        for statement in less["Statement"]:
            if statement["Sid"] == sid and key:
                del statement["Condition"][operator][key]
        if not key:
            less["Statement"] = [one for one in less["Statement"] if one["Sid"] != sid]
        return less

    return change


def test_most_of_what_one_partition_decides_can_be_asked() -> None:
    of_one_partition = [row for row in table() if row.place == PLACES[0]]
    assert len(of_one_partition) * 0.7 < len(HERE) < len(of_one_partition)
    for service in ("s3:", "kms:"):
        assert {expected(row) for row in HERE if row.action.startswith(service)} == {True, False}


@pytest.mark.parametrize(
    ("change", "asked", "noticed"),
    [
        (without("DenyOutsideOrganization"), lambda row: row.opened, "in None s3:GetObject"),
        (
            without("OrganizationDeployRolesRead", "ArnLike", "aws:PrincipalArn"),
            lambda row: row.action == "s3:GetObject" and row.tls == (True, "1.3"),
            "admin of 222222222222 in o-example s3:GetObject",
        ),
        (
            without("OrganizationDeployRolesDecryptThroughS3", "StringEquals", "kms:ViaService"),
            lambda row: row.action == "kms:Decrypt",
            "via=None at ('eu-west-1', True): allowed",
        ),
        (
            without("OrganizationDeployRolesDecryptThroughS3"),
            lambda row: row.action == "kms:Decrypt",
            "via=s3 here at ('eu-west-1', True): denied",
        ),
        (
            without("DenyOldTls"),
            lambda row: row.action == "s3:DeleteBucket",
            "s3:DeleteBucket tls=(True, '1.1')",
        ),
        (
            without("DenyUnnamedKeys"),
            lambda row: row.headers == ("aws:kms", None, False),
            "InvalidArgument",
        ),
    ],
    ids=[
        "any organisation",
        "any role",
        "decryption other than through S3",
        "no decryption",
        "old TLS",
        "unnamed keys",
    ],
)
def test_a_weaker_policy_is_noticed(
    change: Change, asked: Callable[[Decision], bool], noticed: str
) -> None:
    failures = cross_checked(FULL, change, [row for row in HERE if asked(row)]).failures
    assert any(noticed in failure for failure in failures), failures


def test_an_error_that_is_no_denial_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row for row in HERE if row.action == "s3:ListBucket" and not expected(row)]
    monkeypatch.setattr(
        embedded, "call", lambda _row, _store, client: client.list_objects_v2(Bucket="nowhere")
    )
    permitted = [row for row in rows if row.principal.permitted]
    assert len(cross_checked(FULL, None, permitted).failures) == len(permitted) > 0
