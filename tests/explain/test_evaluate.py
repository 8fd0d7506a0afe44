"""What a policy says, in three answers: yes, no, and unknown for what it holds beyond our forms."""

from typing import Any

import pytest

from foothold.explain.evaluate import Opinion, Request, applies, matches, opinion

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


# --- Conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "holds"),
    [
        ("StringEqualsIgnoreCase", "aws:PrincipalOrgID", "O-EXAMPLE", True),
        ("StringEqualsIgnoreCase", "aws:PrincipalOrgID", "o-another", False),
        ("StringNotEqualsIgnoreCase", "aws:PrincipalOrgID", "O-EXAMPLE", False),
        ("StringNotEqualsIgnoreCase", "aws:PrincipalOrgID", "o-another", True),
        ("StringNotLike", "aws:PrincipalOrgID", "o-*", False),
        ("StringNotLike", "aws:PrincipalOrgID", "p-*", True),
        ("ArnEquals", "aws:PrincipalArn", ROLE, True),
        ("ArnEquals", "aws:PrincipalArn", f"{ROLE}s", False),
        ("ArnNotEquals", "aws:PrincipalArn", ROLE, False),
        ("ArnNotEquals", "aws:PrincipalArn", f"{ROLE}s", True),
        ("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::*:role/foot*", False),
        ("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::*:user/*", True),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam:*:role/foothold-deploy", False),
        ("ArnLike", "aws:SourceArn", "arn:aws:cloudformation:*:*:stack/s:*", True),
        ("NumericLessThan", "s3:TlsVersion", "1.3", False),
        ("NumericLessThan", "s3:TlsVersion", "1.31", True),
        ("NumericLessThan", "s3:TlsVersion", "new", None),
        ("StringEquals", "aws:Word", "True", True),
        ("StringEquals", "aws:Word", False, False),
        ("StringEquals", "aws:No", False, True),
        ("StringEquals", "aws:Name", "Word", True),
        ("Null", "aws:PrincipalOrgID", False, True),
        ("Null", "aws:PrincipalOrgID", True, False),
        ("Null", "aws:Lacking", True, True),
        ("Null", "aws:Lacking", False, False),
        ("ForAllValues:StringEquals", "aws:TagKeys", ["a", "b"], True),
        ("ForAllValues:StringEquals", "aws:TagKeys", "a", False),
        ("ForAllValues:StringEquals", "aws:Lacking", "a", True),
        ("ForAllValues:StringNotEquals", "aws:Lacking", "a", True),
        ("ForAnyValue:StringEquals", "aws:TagKeys", "a", True),
        ("ForAnyValue:StringEquals", "aws:TagKeys", "c", False),
        ("ForAnyValue:StringEquals", "aws:Lacking", "a", False),
        ("ForAnyValue:StringNotEquals", "aws:Lacking", "a", False),
        ("StringNotEquals", "aws:Lacking", "a", True),
        ("ForSomeValues:StringEquals", "aws:TagKeys", "a", None),
    ],
)
def test_every_operator_that_is_known_compares_as_iam_does(
    operator: str, key: str, wanted: Any, holds: bool | None
) -> None:
    context = KNOWN | {
        "aws:Word": ("true",),
        "aws:No": ("false",),
        "aws:Name": ("Word",),
        "aws:SourceArn": ("arn:aws:cloudformation:r:1:stack/s:t:u",),
        "aws:TagKeys": ("a", "b"),
        "aws:Lacking": (),
    }
    request = Request(ROLE, "222222222222", "s3:GetObject", OBJECT, context)
    statement = {"Action": "*", "Resource": "*", "Condition": {operator: {key: wanted}}}
    assert applies(statement, request) is holds


# --- Whom and what --------------------------------------------------------------------------------


def test_a_resource_that_is_not_known_is_only_met_by_whatever_it_may_be() -> None:
    request = Request(ROLE, "222222222222", "lambda:ListFunctions", None, KNOWN)
    for resource, met in (("*", True), ("arn:*", None), (["arn:*", "*"], True)):
        assert applies({"Action": "*", "Resource": resource}, request) is met


def test_a_trust_policy_has_no_resource_and_lets_services_in() -> None:
    def trusts(principal: Any, who: str = "lambda.amazonaws.com", **more: Any) -> Any:
        request = Request(who, "", "sts:AssumeRole", ROLE, {})
        return applies({"Action": "sts:AssumeRole", "Principal": principal, **more}, request)

    assert trusts({"Service": "lambda.amazonaws.com"}) is True
    assert trusts({"Service": ["s3.amazonaws.com", "lambda.amazonaws.com"]}) is True
    assert trusts({"Service": "s3.amazonaws.com"}) is False
    assert trusts({"AWS": "*"}) is False
    assert trusts({"AWS": "*"}, ROLE) is True
    assert applies({"Resource": "*"}, Request(ROLE, "", "s3:GetObject", OBJECT, {})) is None


@pytest.mark.parametrize(
    ("principal", "direct"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": [ROLE, "arn:aws:iam::333333333333:root"]}, True),
        ({"AWS": "arn:aws:iam::222222222222:root"}, False),
        (None, False),
    ],
)
def test_who_is_let_in_by_name_needs_no_policy_of_its_own(principal: Any, direct: bool) -> None:
    assert asked({} if principal is None else {"Principal": principal}).direct is direct
    unclear = {"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    assert asked({"Principal": "*", **unclear}).direct is False


def test_a_pattern_minds_case_unless_it_is_told_not_to() -> None:
    assert matches("a*", "abc")
    assert not matches("A*", "abc")
    assert matches("A*", "abc", ignore_case=True)


# --- Which statement decides ----------------------------------------------------------------------

UNCLEAR = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
FOREIGN = {"StringEquals": {"aws:PrincipalOrgID": "o-another"}}
ITSELF, ACCOUNT = {"AWS": ROLE}, {"AWS": "222222222222"}


def of_several(*bodies: dict[str, Any]) -> Opinion:
    whole = [{"Action": "*", "Resource": "*", **body} for body in bodies]
    request = Request(ROLE, "222222222222", "s3:GetObject", OBJECT, KNOWN)
    return opinion({"policy": {"Statement": whole}}, request)


@pytest.mark.parametrize(
    ("conditions", "first", "denied"),
    [
        ([{}, {}], 0, True),
        ([FOREIGN, {}], 1, True),
        ([UNCLEAR, {}], 1, True),
        ([{}, UNCLEAR], 0, True),
        ([UNCLEAR, UNCLEAR], 0, None),
    ],
)
def test_the_first_statement_that_denies_for_certain_decides_or_the_first_that_may(
    conditions: list[Any], first: int, denied: bool | None
) -> None:
    found = of_several(*({"Effect": "Deny", "Condition": one} for one in conditions))
    assert found.denied is denied
    assert found.denying
    assert found.denying.number == first
    assert str(found.deciding) == f"statement {first + 1} of policy"
    allowed = of_several({"Effect": "Allow"}, *({"Effect": "Deny", "Condition": FOREIGN},))
    assert (allowed.denying, allowed.granted) == (None, True)


@pytest.mark.parametrize(
    ("statements", "first", "direct"),
    [
        ([{"Principal": ACCOUNT}, {"Principal": ACCOUNT}], 0, False),
        ([{"Principal": ACCOUNT}, {"Principal": ITSELF}], 1, True),
        ([{"Principal": ITSELF}, {"Principal": ACCOUNT}], 0, True),
        ([{"Principal": ITSELF}, {"Principal": ITSELF}], 0, True),
        ([{"Principal": ACCOUNT, "Condition": UNCLEAR}, {"Principal": ACCOUNT}], 1, False),
        ([{"Principal": ACCOUNT}, {"Principal": ITSELF, "Condition": UNCLEAR}], 0, False),
        ([{"Principal": ITSELF, "Condition": UNCLEAR}] * 2, 0, False),
    ],
)
def test_a_statement_that_allows_by_name_decides_before_others(
    statements: list[dict[str, Any]], first: int, direct: bool
) -> None:
    found = of_several(*({"Effect": "Allow", **one} for one in statements))
    assert found.allowing
    assert (found.allowing.number, found.direct) == (first, direct)
    assert found.deciding == found.allowing


def test_what_neither_allows_nor_denies_says_nothing() -> None:
    assert of_several({"Effect": "Audit"}) == Opinion(denied=False, allowed=False)


@pytest.mark.parametrize(
    ("denied", "allowed", "granted"),
    [
        (False, True, True),
        (False, False, False),
        (False, None, None),
        (None, True, None),
        (None, False, False),
        (True, True, False),
        (True, None, False),
    ],
)
def test_a_request_is_granted_where_it_is_allowed_and_not_denied(
    denied: bool | None, allowed: bool | None, granted: bool | None
) -> None:
    assert Opinion(denied, allowed).granted is granted
