"""What a policy says, in three answers: yes, no, and unknown for what it holds beyond our forms."""

from typing import Any

import pytest

from foothold.explain.evaluate import Opinion, Request, opinion

ROLE = "arn:aws:iam::222222222222:role/foothold-deploy"
OBJECT = "arn:aws:s3:::store/orders/builds/0a"
KNOWN: dict[str, tuple[str, ...]] = {
    "aws:PrincipalOrgID": ("o-example",),
    "aws:PrincipalOrgPaths": ("o-example/r-root/ou-prod/",),
    "aws:PrincipalArn": (ROLE,),
    "aws:SecureTransport": ("true",),
    "s3:TlsVersion": ("1.3",),
    "s3:x-amz-server-side-encryption": (),
}


def asked(statement: dict[str, Any], effect: str = "Allow") -> Opinion:
    whole = {"Effect": effect, "Action": "s3:GetObject", "Resource": "*", **statement}
    request = Request(ROLE, "222222222222", "s3:GetObject", OBJECT, KNOWN)
    return opinion({"policy": {"Statement": [whole]}}, request)


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ({}, True),
        ({"Action": "S3:getobject"}, True),
        ({"Action": ["s3:Put*", "s3:Get*"]}, True),
        ({"Action": "s3:GetObjectVersion"}, False),
        ({"Resource": "arn:aws:s3:::store/orders/*"}, True),
        ({"Resource": "arn:aws:s3:::store/Orders/*"}, False),
        ({"Resource": "arn:aws:s3:::store/orders/builds/?a"}, True),
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": ROLE}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::222222222222:root"}}, True),
        ({"Principal": {"AWS": "222222222222"}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::333333333333:root"}}, False),
        ({"Principal": {"Service": "s3.amazonaws.com"}}, False),
        ({"Condition": {"StringEquals": {"aws:principalorgid": ["o-a", "o-example"]}}}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-another"}}}, False),
        ({"Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-another"}}}, True),
        ({"Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/foot*"}}}, True),
        ({"Condition": {"ArnLike": {"aws:PrincipalArn": "arn:*"}}}, False),
        (
            {
                "Condition": {
                    "ForAnyValue:StringLike": {
                        "aws:PrincipalOrgPaths": "o-example/r-root/ou-prod/*"
                    }
                }
            },
            True,
        ),
        ({"Condition": {"Bool": {"aws:SecureTransport": True}}}, True),
        ({"Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}}, False),
        ({"Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}}}, True),
        ({"Condition": {"StringEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}}, False),
        (
            {"Condition": {"StringEqualsIfExists": {"s3:x-amz-server-side-encryption": "aws:kms"}}},
            True,
        ),
    ],
)
def test_the_forms_that_our_policies_have_are_told(
    statement: dict[str, Any], allowed: bool
) -> None:
    assert asked(statement).allowed is allowed
    assert asked(statement, "Deny").denied is allowed


@pytest.mark.parametrize(
    "statement",
    [
        {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
        {"Condition": {"StringEquals": {"aws:PrincipalTag/team": "a"}}},
        {"Condition": {"DateLessThan": {"aws:PrincipalOrgID": "2030-01-01"}}},
        {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "${aws:PrincipalTag/org}"}}},
        {"Condition": "nonsense"},
        {"Condition": {"StringEquals": "nonsense"}},
        {"Resource": "arn:aws:s3:::store/${aws:username}/*"},
        {"Resource": [1]},
        {"NotPrincipal": {"AWS": ROLE}},
        {"Principal": "nonsense"},
        {"Principal": {"AWS": "arn:aws:sts::222222222222:assumed-role/foothold-deploy/one"}},
    ],
)
def test_what_cannot_be_seen_or_read_is_unknown_and_never_guessed(
    statement: dict[str, Any],
) -> None:
    assert asked(statement).granted is None
    assert asked(statement, "Deny").denied is None


@pytest.mark.parametrize("document", [None, [], "text", {}, {"Statement": ["text", 1]}])
def test_what_is_no_policy_says_nothing(document: Any) -> None:
    request = Request(ROLE, "222222222222", "s3:GetObject", OBJECT, {})
    assert opinion({"policy": document}, request) == Opinion(denied=False, allowed=False)


def test_a_denial_wins_and_is_the_statement_that_decides() -> None:
    body = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Sid": "No", "Effect": "Deny", "NotAction": "s3:PutObject", "NotResource": "arn:aws:x"},
    ]
    request = Request(ROLE, "222222222222", "s3:GetObject", OBJECT, KNOWN)
    found = opinion({"policy": {"Statement": body}}, request)
    assert (found.granted, str(found.deciding)) == (False, "statement No of policy")
