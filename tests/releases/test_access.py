"""Whether a change lets anybody do more than before."""

import json
from typing import Any

import pytest

from foothold.releases.access import (
    Access,
    compare_policies,
    judge_access,
    pattern_covers,
    patterns_meet,
)
from foothold.releases.changes import KNOWN_AFTER_APPLY, Action, PropertyChange, ResourceChange

WIDER, NARROWER, SAME, UNCLEAR = Access.WIDER, Access.NARROWER, Access.SAME, Access.UNCLEAR


def policy(*statements: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: Any = "s3:GetObject", resource: Any = "arn:aws:s3:::a/*", **more: Any) -> Any:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "s3:DeleteObject", resource: Any = "*", **more: Any) -> Any:
    return {**allow(action, resource, **more), "Effect": "Deny"}


IN_ORG = {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
ROLE = {"AWS": "arn:aws:iam::111111111111:role/a"}

# Each pair is read in both directions.
PAIRS: dict[str, tuple[Any, Any]] = {
    "an action more": (policy(allow()), policy(allow(["s3:GetObject", "s3:PutObject"]))),
    "a wildcard in an action": (policy(allow()), policy(allow("s3:Get*"))),
    "a resource more": (policy(allow()), policy(allow(), allow(resource="arn:aws:s3:::b/*"))),
    "any resource": (policy(allow()), policy(allow(resource="*"))),
    "a condition gone": (policy(allow(Condition=IN_ORG)), policy(allow())),
    "a value more in a condition": (
        policy(allow(Condition=IN_ORG)),
        policy(allow(Condition={"StringEquals": {"aws:PrincipalOrgID": ["o-1", "o-2"]}})),
    ),
    "a condition that need not be met": (
        policy(allow(Condition=IN_ORG)),
        policy(allow(Condition={"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}})),
    ),
    "a value less in a condition that excludes": (
        policy(allow(Condition={"StringNotEquals": {"aws:username": ["a", "b"]}})),
        policy(allow(Condition={"StringNotEquals": {"aws:username": "a"}})),
    ),
    "a larger network": (
        policy(allow(Condition={"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}})),
        policy(allow(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})),
    ),
    "a denial gone": (policy(allow("s3:*"), deny()), policy(allow("s3:*"))),
    "a denial of less": (policy(allow("s3:*"), deny("s3:*")), policy(allow("s3:*"), deny())),
    "a denial under a condition": (
        policy(allow("s3:*"), deny()),
        policy(allow("s3:*"), deny(Condition={"Bool": {"aws:SecureTransport": False}})),
    ),
    "all but less": (
        policy({"Effect": "Allow", "NotAction": ["iam:*", "sts:*"], "Resource": "*"}),
        policy({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}),
    ),
    "all but something, of something else": (
        policy(allow("s3:GetObject", "*")),
        policy({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}),
    ),
    "a principal more": (
        policy(allow(Principal=ROLE)),
        policy(allow(Principal={**ROLE, "Service": "lambda.amazonaws.com"})),
    ),
    "everybody": (policy(allow(Principal=ROLE)), policy(allow(Principal="*"))),
    "from nothing": (None, policy(allow())),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_policy_with_more_is_wider_and_the_other_way_round_narrower(name: str) -> None:
    less, more = PAIRS[name]
    assert compare_policies(less, more) is WIDER
    assert compare_policies(more, less) is NARROWER


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (policy(allow(["s3:GetObject", "s3:PutObject"])), policy(allow(), allow("S3:putobject"))),
        (policy(allow()), policy(allow(), allow("s3:GetObject", "arn:aws:s3:::a/b"))),
        (policy(allow(Principal={"AWS": "111111111111"})),) * 2,
        (
            policy(allow(Principal={"AWS": "111111111111"})),
            policy(allow(Principal={"AWS": ["arn:aws:iam::111111111111:root"]})),
        ),
        (policy(deny()), policy(deny(), allow("s3:DeleteObject"))),
        ({"Statement": allow()}, json.dumps({"Statement": [allow()]})),
    ],
)
def test_the_same_in_other_words_is_the_same(one: Any, other: Any) -> None:
    assert compare_policies(one, other) is SAME
    assert compare_policies(other, one) is SAME


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (policy(allow()), policy(allow("s3:PutObject"))),
        (policy(allow(Condition=IN_ORG)), policy(allow(Condition={"Bool": {"aws:x": True}}))),
        (policy(allow()), policy(allow(resource=KNOWN_AFTER_APPLY))),
        (policy(allow(resource="****")),) * 2,
        (policy(allow()), policy({"Effect": "Perhaps"})),
        (policy(allow()), policy(allow(NotPrincipal=ROLE))),
        (policy(allow()), '{"Statement": [{"Effect": "All'),
        (policy(allow()), policy("a statement")),
        (policy(allow()), policy({"Effect": "Allow", "Resource": "*"})),
        (policy(allow()), policy(allow(Action=1))),
        (policy(allow()), policy(allow(Principal=1))),
        (policy(allow()), policy(allow(Condition=1))),
        (policy(allow()), policy(allow(Condition={"Bool": 1}))),
        (
            policy(allow(Condition={"NumericLessThan": {"s3:max-keys": 5}})),
            policy(allow(Condition={"NumericLessThan": {"s3:max-keys": 50}})),
        ),
        (
            policy(allow(resource="${aws:username}")),
            {"Statement": [allow(resource="${aws:user*}")]},
        ),
    ],
)
def test_some_of_both_and_what_cannot_be_told_is_unclear(one: Any, other: Any) -> None:
    assert compare_policies(one, other) is UNCLEAR
    assert compare_policies(other, one) is UNCLEAR


@pytest.mark.parametrize(
    ("wide", "narrow", "covers", "meet"),
    [
        ("a*", "ab", True, True),
        ("a*", "a?c*", True, True),
        ("a?", "a*", False, True),
        ("a?", "a?", True, True),
        ("*b", "a*", False, True),
        ("ab", "a?", False, True),
        ("a", "b", False, False),
        ("a*c", "abd", False, False),
        ("a**c", "axc", True, True),
        ("u/${aws:username}", "u/x", False, True),
        ("u/*", "u/${aws:username}", True, True),
        ("u/????????????????", "u/${aws:username}", False, True),
        ("", "", True, True),
    ],
)
def test_patterns_cover_each_other_and_meet(
    wide: str, narrow: str, covers: bool, meet: bool
) -> None:
    assert pattern_covers(wide, narrow) is covers
    assert patterns_meet(wide, narrow) is meet
    assert patterns_meet(narrow, wide) is meet


def modified(type_: str, before: Any, after: Any, *names: str) -> Access:
    change = ResourceChange(
        Action.MODIFY,
        "It",
        type_,
        scope=("Properties",),
        before=before,
        after=after,
        properties=tuple(PropertyChange(f"/Properties/{name}") for name in names),
    )
    return judge_access(change)[0]


def ingress(*sources: str, port: int = 443) -> dict[str, Any]:
    rules = [
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "CidrIp": one} for one in sources
    ]
    return {"SecurityGroupIngress": rules}


def between(low: int, high: int) -> dict[str, Any]:
    rule = {"IpProtocol": "tcp", "FromPort": low, "ToPort": high, "CidrIp": "10.0.0.0/8"}
    return {"SecurityGroupIngress": [rule]}


def source(kind: str, name: str) -> dict[str, Any]:
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    return {"SecurityGroupIngress": [{**rule, f"Source{kind}GroupId": name}]}


BLOCKED = {"BlockPublicAcls": "true", "BlockPublicPolicy": "true"}

DOORS: dict[str, tuple[str, Any, Any]] = {
    "a function's URL": ("AWS::Lambda::Url", {"AuthType": "AWS_IAM"}, {"AuthType": "NONE"}),
    "a method": (
        "AWS::ApiGateway::Method",
        {"AuthorizationType": "AWS_IAM"},
        {"AuthorizationType": "NONE"},
    ),
    "a database": (
        "AWS::RDS::DBInstance",
        {"PubliclyAccessible": "false"},
        {"PubliclyAccessible": "true"},
    ),
    "a bucket's public access block": (
        "AWS::S3::Bucket",
        {"PublicAccessBlockConfiguration": BLOCKED},
        {"PublicAccessBlockConfiguration": {**BLOCKED, "BlockPublicPolicy": "false"}},
    ),
    "a bucket's public access block, gone": (
        "AWS::S3::Bucket",
        {"PublicAccessBlockConfiguration": BLOCKED},
        {},
    ),
    "a security group": (
        "AWS::EC2::SecurityGroup",
        ingress("10.0.0.0/8"),
        ingress("10.0.0.0/8", "0.0.0.0/0"),
    ),
    "a larger network": ("AWS::EC2::SecurityGroup", ingress("10.0.0.0/8"), ingress("0.0.0.0/0")),
    "a role's managed policies": (
        "AWS::IAM::Role",
        {"ManagedPolicyArns": []},
        {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
    ),
    "a role's boundary": ("AWS::IAM::Role", {"PermissionsBoundary": "arn:b"}, {}),
    "who trusts a role": (
        "AWS::IAM::Role",
        {"AssumeRolePolicyDocument": policy(allow("sts:AssumeRole", Principal=ROLE))},
        {"AssumeRolePolicyDocument": policy(allow("sts:AssumeRole", Principal="*"))},
    ),
    "a role's own policies": (
        "AWS::IAM::Role",
        {"Policies": [{"PolicyName": "a", "PolicyDocument": policy(allow())}]},
        {"Policies": [{"PolicyName": "a", "PolicyDocument": policy(allow("*", "*"))}]},
    ),
    "a key": (
        "AWS::KMS::Key",
        {"KeyPolicy": policy(allow("kms:Decrypt", "*", Principal=ROLE))},
        {"KeyPolicy": policy(allow("kms:*", "*", Principal=ROLE))},
    ),
    "a rule of a security group": (
        "AWS::EC2::SecurityGroupIngress",
        {"IpProtocol": "tcp", "FromPort": "443", "ToPort": "443", "CidrIpv6": "fd00::/8"},
        {"IpProtocol": "-1", "CidrIpv6": "::/0"},
    ),
    "more ports": (
        "AWS::EC2::SecurityGroup",
        {"SecurityGroupEgress": [{"IpProtocol": "icmp", "FromPort": 8, "CidrIp": "10.0.0.0/8"}]},
        {"SecurityGroupEgress": [{"IpProtocol": "ICMP", "FromPort": -1, "CidrIp": "10.0.0.0/8"}]},
    ),
    "whom a policy is for": (
        "AWS::IAM::ManagedPolicy",
        {"Roles": ["a"], "PolicyDocument": policy(allow())},
        {"Roles": ["a", "b"], "PolicyDocument": policy(allow())},
    ),
    "a queue's policy": (
        "AWS::SQS::QueuePolicy",
        {"PolicyDocument": policy(allow("sqs:SendMessage", "*", Principal=ROLE))},
        {"PolicyDocument": policy(allow("sqs:SendMessage", "*", Principal={"AWS": "*"}))},
    ),
    "a condition on an ARN": (
        "AWS::SNS::TopicPolicy",
        {
            "PolicyDocument": policy(
                allow(Principal="*", Condition={"ArnLike": {"aws:SourceArn": "arn:aws:s3:::a"}})
            )
        },
        {
            "PolicyDocument": policy(
                allow(Principal="*", Condition={"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}})
            )
        },
    ),
    "a policy as a text": (
        "AWS::Logs::ResourcePolicy",
        {"PolicyDocument": '{"Statement": []}'},
        {"PolicyDocument": '{"Statement": {"Effect": "Allow", "Action": "*", "Principal": "*"}}'},
    ),
}


@pytest.mark.parametrize("name", DOORS)
def test_what_lets_more_in_is_wider_and_the_other_way_round_narrower(name: str) -> None:
    type_, closed, opened = DOORS[name]
    assert modified(type_, closed, opened) is WIDER
    assert modified(type_, opened, closed) is NARROWER


@pytest.mark.parametrize(
    ("type_", "before", "after", "names"),
    [
        ("AWS::IAM::Role", None, None, ["Policies"]),
        ("AWS::IAM::Role", None, None, []),
        ("AWS::SQS::QueuePolicy", None, None, ["PolicyDocument"]),
        ("AWS::Lambda::Url", None, None, ["AuthType"]),
        ("AWS::EKS::Cluster", None, None, ["ResourcesVpcConfig"]),
        (
            "AWS::EC2::SecurityGroup",
            {"SecurityGroupIngress": [{"IpProtocol": "tcp", "SourceSecurityGroupId": "sg-1"}]},
            {"SecurityGroupIngress": [{"IpProtocol": "udp", "SourceSecurityGroupId": "sg-1"}]},
            [],
        ),
        (
            "AWS::EC2::SecurityGroup",
            {"SecurityGroupIngress": ["sg-1", {"CidrIp": "x", "FromPort": "y"}]},
            {"SecurityGroupIngress": [{"CidrIp": "z", "FromPort": "y"}]},
            [],
        ),
        (
            "AWS::EC2::SecurityGroupIngress",
            {"CidrIp": "10.0.0.0/8"},
            {"CidrIp": KNOWN_AFTER_APPLY},
            [],
        ),
        (
            "AWS::Lambda::Permission",
            {"Principal": "s3.amazonaws.com", "SourceArn": "arn:a"},
            {"Principal": "s3.amazonaws.com", "SourceArn": "arn:b"},
            [],
        ),
        (
            "AWS::Lambda::Permission",
            {"Principal": "s3.amazonaws.com"},
            {"Principal": "s3.amazonaws.com", "SourceArn": KNOWN_AFTER_APPLY},
            [],
        ),
        ("AWS::IAM::Role", {"PermissionsBoundary": "a"}, {"PermissionsBoundary": "b"}, []),
        (
            "AWS::ApiGateway::RestApi",
            {"Body": {"paths": {"/": {"get": {"security": [{"a": []}]}}}}},
            {"Body": {"paths": {"/": {"get": {"security": []}}}}},
            [],
        ),
        (
            "AWS::Logs::ResourcePolicy",
            {"PolicyDocument": '{"Statement": [{"Eff'},
            {"PolicyDocument": '{"Statement": [{"Effe'},
            [],
        ),
        ("AWS::EC2::Route", {"GatewayId": "nat-1"}, {"GatewayId": "igw-1"}, []),
        (
            "AWS::CloudFront::Distribution",
            {"DistributionConfig": {"DefaultCacheBehavior": {"TrustedKeyGroups": ["a"]}}},
            {"DistributionConfig": {"DefaultCacheBehavior": {}}},
            [],
        ),
        ("AWS::Lambda::Function", {"Role": "arn:a"}, {"Role": "arn:b"}, []),
        ("AWS::Lambda::Function", {"Role": "arn:a"}, {"Role": KNOWN_AFTER_APPLY}, []),
        ("AWS::IAM::Role", {"Policies": ["****"]}, {"Policies": ["****"]}, ["Policies"]),
        ("AWS::IAM::Role", {"Strange": "a"}, {"Strange": "b"}, []),
        ("AWS::RDS::DBInstance", {"PubliclyAccessible": "false"}, {}, []),
        (
            "AWS::IAM::Role",
            {"ManagedPolicyArns": ["arn:aws:iam::111111111111:policy/mine"]},
            {"ManagedPolicyArns": []},
            [],
        ),
        (
            "AWS::ApiGateway::Method",
            {"AuthorizationType": "CUSTOM"},
            {"AuthorizationType": "AWS_IAM"},
            [],
        ),
    ],
)
def test_what_is_about_access_and_cannot_be_told_is_unclear(
    type_: str, before: Any, after: Any, names: list[str]
) -> None:
    assert modified(type_, before, after, *names) is UNCLEAR


@pytest.mark.parametrize(
    ("type_", "before", "after", "names"),
    [
        ("AWS::Lambda::Function", {"Timeout": "1"}, {"Timeout": "2"}, ["Timeout"]),
        ("AWS::Lambda::Function", {"Role": "arn:a"}, {"Role": "arn:a"}, ["Role"]),
        ("AWS::Lambda::Function", None, None, ["Timeout"]),
        ("AWS::IAM::Role", {"Description": "a"}, {"Description": "b"}, ["Description"]),
        ("AWS::SQS::Queue", None, None, []),
        (
            "AWS::ApiGateway::RestApi",
            {"Body": {"paths": {"/": {"get": {"x-amazon-apigateway-integration": {"uri": "a"}}}}}},
            {"Body": {"paths": {"/": {"get": {"x-amazon-apigateway-integration": {"uri": "b"}}}}}},
            [],
        ),
        ("AWS::IAM::Role", {"Path": "/"}, {"Path": "/a/"}, []),
    ],
)
def test_everything_else_is_not_about_access(
    type_: str, before: Any, after: Any, names: list[str]
) -> None:
    assert modified(type_, before, after, *names) is SAME


@pytest.mark.parametrize(
    ("type_", "after", "found"),
    [
        ("AWS::IAM::Role", {"Policies": [{"PolicyDocument": policy(allow())}]}, WIDER),
        ("AWS::IAM::Role", {"AssumeRolePolicyDocument": policy(deny())}, SAME),
        ("AWS::IAM::Role", None, UNCLEAR),
        ("AWS::IAM::Role", {"Policies": policy(allow(resource=KNOWN_AFTER_APPLY))}, WIDER),
        ("AWS::IAM::Role", {"Policies": [policy("a statement")]}, UNCLEAR),
        ("AWS::IAM::Role", {"PermissionsBoundary": "arn:b", "RoleName": "a"}, SAME),
        ("AWS::ApiGateway::RestApi", {"Body": {"paths": {}}}, UNCLEAR),
        ("AWS::SQS::Queue", None, SAME),
        ("AWS::Lambda::Url", {"AuthType": "NONE"}, WIDER),
        ("AWS::Lambda::Url", {"AuthType": "AWS_IAM"}, SAME),
        ("AWS::ApiGatewayV2::Route", {"RouteKey": "GET /"}, WIDER),
        ("AWS::EC2::SecurityGroupIngress", {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}, WIDER),
        ("AWS::Lambda::Permission", {"Action": "lambda:*", "Principal": "*"}, WIDER),
        ("AWS::S3::Bucket", {"PublicAccessBlockConfiguration": BLOCKED}, SAME),
        ("AWS::S3::Bucket", {"AccessControl": "PublicRead"}, WIDER),
        ("AWS::SQS::Queue", {"QueueName": "a"}, SAME),
    ],
)
def test_something_new_is_wider_where_it_lets_anybody_do_anything(
    type_: str, after: Any, found: Access
) -> None:
    change = ResourceChange(Action.ADD, "It", type_, after=after)
    assert judge_access(change)[0] is found


def test_a_line_says_which_property_does_it() -> None:
    _, before, after = DOORS["a security group"]
    change = ResourceChange(
        Action.MODIFY, "It", "AWS::EC2::SecurityGroup", before=before, after=after
    )
    assert judge_access(change) == (WIDER, ("SecurityGroupIngress: wider",))


@pytest.mark.parametrize(
    ("name", "closed", "opened"),
    [
        ("AccessControl", "Private", "PublicReadWrite"),
        ("AllowAdminCreateUserOnly", "true", "false"),
        ("AllowUnauthenticatedIdentities", "false", "true"),
        ("ApiKeyRequired", True, False),
        ("AssignPublicIp", "DISABLED", "ENABLED"),
        ("AssociatePublicIpAddress", False, True),
        ("AuthType", "AWS_IAM", "NONE"),
        ("AuthorizationType", "JWT", "NONE"),
        ("BlockPublicAcls", "true", "false"),
        ("BlockPublicPolicy", "true", "false"),
        ("EndpointPublicAccess", "false", "true"),
        ("IgnorePublicAcls", "true", "false"),
        ("MapPublicIpOnLaunch", "false", "true"),
        ("PubliclyAccessible", "false", "true"),
        ("RestrictPublicBuckets", "true", "false"),
        ("Scheme", "internal", "internet-facing"),
    ],
)
def test_a_property_that_lets_everybody_in_is_known_by_its_name(
    name: str, closed: Any, opened: Any
) -> None:
    type_ = "AWS::Some::Thing"
    assert modified(type_, {"A": [{name: closed}]}, {"A": [{name: opened}]}) is WIDER
    assert modified(type_, {"A": {name: opened}}, {"A": {name: closed}}) is NARROWER
    assert judge_access(ResourceChange(Action.ADD, "It", type_, after={name: opened}))[0] is WIDER
    assert judge_access(ResourceChange(Action.ADD, "It", type_, after={name: closed}))[0] is SAME


def test_what_says_nothing_is_closed_or_open_only_where_that_is_known() -> None:
    database = "AWS::RDS::DBInstance"
    assert modified(database, {}, {"PubliclyAccessible": "false"}) is NARROWER
    assert modified(database, {"PubliclyAccessible": "true"}, {}) is NARROWER
    assert modified(database, {}, {"PubliclyAccessible": "true"}) is UNCLEAR
    assert modified("AWS::S3::Bucket", {"AccessControl": "PublicRead"}, {}) is NARROWER
    assert modified("AWS::ApiGateway::Method", {"AuthorizationType": "JWT"}, {}) is WIDER


@pytest.mark.parametrize(
    ("type_", "before", "after", "found"),
    [
        (
            "AWS::Lambda::Permission",
            {"Principal": "s3.amazonaws.com", "Action": "lambda:InvokeFunction", "SourceArn": "a"},
            {"Principal": "s3.amazonaws.com", "Action": "lambda:InvokeFunction"},
            WIDER,
        ),
        (
            "AWS::Lambda::Permission",
            {"Principal": "s3.amazonaws.com", "Action": "lambda:InvokeFunction"},
            {"Principal": "s3.amazonaws.com", "Action": "lambda:InvokeFunctionUrl"},
            UNCLEAR,
        ),
        (
            "AWS::IAM::Role",
            {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/AWSDenyAll"]},
            {"ManagedPolicyArns": []},
            UNCLEAR,
        ),
        ("AWS::IAM::Policy", {"Roles": ["a"]}, {"Roles": ["a", "b"]}, WIDER),
        ("AWS::IAM::Policy", {"Users": ["a"]}, {"Users": []}, NARROWER),
        ("AWS::IAM::Policy", {"Groups": ["a"]}, {"Groups": ["b"]}, UNCLEAR),
        ("AWS::IAM::User", {"Groups": []}, {"Groups": ["b"]}, WIDER),
        ("AWS::ApiGatewayV2::Api", {"Body": {"a": 1}}, {"Body": {"a": 2}}, UNCLEAR),
        ("AWS::EC2::SecurityGroup", ingress("10.1.2.3/8"), ingress("10.0.0.0/8"), SAME),
        ("AWS::EC2::SecurityGroup", ingress("10.0.0.0/8"), ingress("::/0"), UNCLEAR),
        ("AWS::EC2::SecurityGroup", between(80, 90), between(85, 95), UNCLEAR),
        ("AWS::EC2::SecurityGroup", between(80, 90), between(80, 95), WIDER),
        ("AWS::EC2::SecurityGroup", between(80, 90), between(85, 90), NARROWER),
        (
            "AWS::EC2::SecurityGroup",
            source("Security", "sg-1"),
            source("Security", "sg-2"),
            UNCLEAR,
        ),
        ("AWS::EC2::SecurityGroup", source("Security", "sg-1"), ingress("0.0.0.0/0"), UNCLEAR),
        (
            "AWS::KMS::Key",
            {"KeyPolicy": policy(allow(resource="{{resolve:ssm:/a}}"))},
            {"KeyPolicy": policy()},
            UNCLEAR,
        ),
        ("AWS::Lambda::Url", {"AuthType": "AWS_IAM"}, {"AuthType": "OTHER"}, UNCLEAR),
    ],
)
def test_a_property_with_a_rule_of_its_own_is_judged_by_it(
    type_: str, before: Any, after: Any, found: Access
) -> None:
    assert modified(type_, before, after) is found


def test_all_but_something_does_not_cover_that() -> None:
    most = policy({"Effect": "Allow", "NotAction": ["iam:*", "sts:*"], "Resource": "*"})
    assert compare_policies(most, policy(allow("iam:GetUser", "*"))) is UNCLEAR
    assert compare_policies(most, policy(allow("s3:GetObject", "*"))) is NARROWER
    assert compare_policies(policy(allow("i*", "*")), most) is UNCLEAR
    assert compare_policies(policy(allow("*", "*")), most) is NARROWER


def test_a_variable_means_something_in_one_version_only() -> None:
    statement = allow(resource="arn:aws:s3:::a/${aws:username}")
    old = {"Version": "2008-10-17", "Statement": [statement]}
    assert compare_policies(old, policy(statement)) is UNCLEAR
    assert compare_policies(policy(statement), policy(statement, statement)) is SAME
