"""What customers put beside Foothold's own settings stays, unless it opens the bucket."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.stores import planner
from foothold.stores.aspects import SETTINGS, BucketAspect, KeyAspect, desired_settings
from foothold.stores.beside import lets_in, lifecycle_beside, policy_beside
from foothold.stores.model import StoreSpec, Use
from foothold.stores.policies import OWN_SIDS, bucket_policy, key_policy
from foothold.stores.steps import KeepVerb, ObservedKey, ObservedStore
from tests.stores.worlds import ACCOUNT, PLANE

REGION = "eu-west-1"
SPEC = PLANE.spec(REGION)
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/abc"
OURS = bucket_policy(SPEC, KEY)
RULES = desired_settings(SPEC, KEY)[BucketAspect.LIFECYCLE]
MEMBER = "222222222222"
Json = dict[str, Any]


def statement(principal: Any, *actions: str, **more: Any) -> dict[str, Any]:
    return {
        "Sid": "Theirs",
        "Effect": "Allow",
        "Principal": principal,
        "Action": list(actions),
        "Resource": [SPEC.bucket_arn, f"{SPEC.bucket_arn}/*"],
        **more,
    }


def role(account: str, name: str) -> dict[str, str]:
    return {"AWS": f"arn:aws:iam::{account}:role/{name}"}


def service(name: str, **condition: Any) -> dict[str, Any]:
    grant = statement({"Service": f"{name}.amazonaws.com"}, "s3:PutObject")
    return {**grant, "Condition": condition} if condition else grant


READER = {
    "StringEquals": {"aws:PrincipalOrgID": "o-example"},
    "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/foothold-deploy"},
}
STAYS = {
    "a denial": statement("*", "s3:*", Effect="Deny"),
    "the owner's own role": statement(role(ACCOUNT, "admin"), "s3:*"),
    "the owner's account": statement({"AWS": ACCOUNT}, "s3:PutObject"),
    "everybody of the owner's account": statement(
        "*", "s3:GetObject", Condition={"StringEquals": {"aws:PrincipalAccount": [ACCOUNT]}}
    ),
    "roles of the owner's account": statement(
        "*", "s3:GetObject",
        Condition={"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/ci-*"}},
    ),
    "an auditor who reads settings": statement(
        role("333333333333", "auditor"), "s3:GetBucketLogging", "s3:GetBucket*", "s3:ListBucket"
    ),
    "a reader who may read anyway": statement(role(MEMBER, "foothold-deploy"), "s3:GetObject"),
    "a reader who looks at settings too": statement(
        role(MEMBER, "foothold-deploy"), "s3:GetObject", "s3:GetBucketLogging"
    ),
    "readers, said in other words": statement({"AWS": "*"}, "s3:GetObject", Condition=READER),
    "access logs of this account": service(
        "logging.s3", StringEquals={"aws:SourceAccount": ACCOUNT}
    ),
    "an inventory of this account": service(
        "s3", ArnLike={"aws:SourceArn": f"arn:aws:logs:eu-west-1:{ACCOUNT}:x"}
    ),
    "a service for the organisation": service(
        "logging.s3", StringEquals={"aws:SourceOrgID": "o-example"}
    ),
    "a service that reads settings": statement(
        {"Service": "config.amazonaws.com"}, "s3:GetBucketAcl"
    ),
}  # fmt: skip
OPENS = {
    "everybody": statement("*", "s3:GetObject"),
    "everybody, to look at settings": statement("*", "s3:GetBucketPolicy"),
    "another account": statement({"AWS": MEMBER}, "s3:GetObject"),
    "another account's root": statement({"AWS": f"arn:aws:iam::{MEMBER}:root"}, "s3:GetObject"),
    "one of several": statement(
        {"AWS": [f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:iam::{MEMBER}:role/x"]}, "s3:GetObject"
    ),
    "a role that is no reader": statement(role(MEMBER, "admin"), "s3:GetObject"),
    "a reader who would write": statement(role(MEMBER, "foothold-deploy"), "s3:PutObject"),
    "a reader with a wildcard": statement(role(MEMBER, "foothold-deploy"), "s3:GetObject*"),
    "somebody who changes the policy": statement(role(MEMBER, "x"), "s3:PutBucketPolicy"),
    "all but some actions": {
        name: value
        for name, value in statement(role(MEMBER, "x"), NotAction="s3:DeleteBucket").items()
        if name != "Action"
    },
    "all but some principals": {
        name: value
        for name, value in statement("*", "s3:GetObject", NotPrincipal={"AWS": MEMBER}).items()
        if name != "Principal"
    },
    "the whole organisation": statement(
        "*", "s3:GetObject", Condition={"StringEquals": READER["StringEquals"]}
    ),
    "readers of another organisation too": statement(
        "*", "s3:GetObject",
        Condition={**READER, "StringEquals": {"aws:PrincipalOrgID": ["o-example", "o-other"]}},
    ),
    "a condition that says nothing where the key is missing": statement(
        "*", "s3:GetObject",
        Condition={"StringEqualsIfExists": {"aws:PrincipalAccount": ACCOUNT}},
    ),
    "an account among others": statement(
        "*", "s3:GetObject",
        Condition={"StringEquals": {"aws:PrincipalAccount": [ACCOUNT, MEMBER]}},
    ),
    "a service for whoever asks it": service("logging.s3"),
    "a service for another account": service(
        "logging.s3", StringEquals={"aws:SourceAccount": MEMBER}
    ),
    "a federated user": statement({"Federated": "x"}, "s3:GetObject"),
    "somebody of another kind": statement({"CanonicalUser": "79a5"}, "s3:GetObject"),
    "somebody who was deleted": statement({"AWS": "AROAEXAMPLEEXAMPLE12"}, "s3:GetBucketAcl"),
}  # fmt: skip


@pytest.mark.parametrize("what", list(STAYS))
def test_a_statement_that_lets_nobody_else_in_stays(what: str) -> None:
    assert lets_in(SPEC, STAYS[what]) is None
    found = {**OURS, "Statement": [*OURS["Statement"], STAYS[what]]}
    assert not policy_beside(SPEC, OURS, found).differs


@pytest.mark.parametrize("what", list(OPENS))
def test_a_statement_that_opens_the_bucket_is_taken_out_and_named(what: str) -> None:
    kept = STAYS["an auditor who reads settings"]
    found = {**OURS, "Statement": [*OURS["Statement"], OPENS[what], kept]}
    beside = policy_beside(SPEC, OURS, found)
    assert beside.differs
    ((name, who),) = beside.set_aside
    assert name == "Theirs"
    assert who
    assert beside.value["Statement"] == [*OURS["Statement"], kept]


def test_without_an_organisation_no_other_account_reads() -> None:
    spec = replace(PLANE, organization_ids=()).spec(REGION)
    assert lets_in(spec, STAYS["a reader who may read anyway"])
    assert lets_in(spec, STAYS["readers, said in other words"])
    assert lets_in(spec, STAYS["a service for the organisation"])


def narrowed(
    reader_accounts: tuple[str, ...] = (), reader_org_paths: tuple[str, ...] = ()
) -> StoreSpec:
    plane = replace(PLANE, reader_accounts=reader_accounts, reader_org_paths=reader_org_paths)
    return plane.spec(REGION)


def test_where_readers_are_narrowed_others_statements_are_judged_by_that_too() -> None:
    reader, words = STAYS["a reader who may read anyway"], STAYS["readers, said in other words"]
    assert lets_in(narrowed(reader_accounts=(MEMBER,)), reader) is None
    assert lets_in(narrowed(reader_accounts=("333333333333",)), reader)
    assert lets_in(narrowed(reader_accounts=(MEMBER,)), words)
    # In which unit an account is, no ARN tells.
    assert lets_in(narrowed(reader_org_paths=("o-example/r-ab/*",)), reader)
    same = {**words, "Condition": {
        **READER,
        "StringEquals": {**READER["StringEquals"], "aws:PrincipalAccount": MEMBER},
        "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-example/r-ab/*"},
    }}  # fmt: skip
    both = narrowed(reader_accounts=(MEMBER,), reader_org_paths=("o-example/r-ab/*",))
    assert lets_in(both, same) is None


def test_a_statement_without_a_name_is_told_by_its_number() -> None:
    nameless = {name: value for name, value in OPENS["everybody"].items() if name != "Sid"}
    beside = policy_beside(SPEC, OURS, {"Statement": nameless})
    assert beside.set_aside == (("statement 1", "*"),)


@pytest.mark.parametrize("number", range(len(OURS["Statement"])))
def test_a_statement_of_foothold_is_put_right_and_those_of_others_stay(number: int) -> None:
    theirs = STAYS["access logs of this account"]
    whole = [*OURS["Statement"], theirs]
    for changed in ({**whole[number], "Effect": "Deny", "Action": "s3:GetBucketTagging"}, None):
        left = [*whole[:number], *([changed] if changed else []), *whole[number + 1 :]]
        beside = policy_beside(SPEC, OURS, {"Statement": left})
        assert beside.differs
        assert beside.set_aside == ()
        assert beside.value["Statement"] == whole


def test_every_statement_of_ours_is_known_by_its_name() -> None:
    for spec in (SPEC, replace(PLANE, organization_ids=()).spec(REGION), narrowed(
        reader_accounts=(MEMBER,), reader_org_paths=("o-example/*",)
    )):  # fmt: skip
        assert {one["Sid"] for one in bucket_policy(spec, KEY)["Statement"]} <= OWN_SIDS


def as_s3_returns(policy: Json) -> Any:
    """The same document with its lists of one as texts, the others turned round."""

    def turned(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: turned(one) for name, one in reversed(list(value.items()))}
        if isinstance(value, list):
            items = [turned(one) for one in reversed(value)]
            return items[0] if len(items) == 1 and isinstance(items[0], str) else items
        return value

    return turned(json.loads(json.dumps(policy)))


@given(st.permutations(list(STAYS)), st.integers(0, len(STAYS)))
def test_whatever_others_have_added_and_however_s3_spells_it_a_second_look_writes_nothing(
    names: list[str], some: int
) -> None:
    others = [{**STAYS[name], "Sid": name} for name in names[:some]]
    beside = policy_beside(SPEC, OURS, {"Statement": others})
    assert beside.differs
    assert not policy_beside(SPEC, OURS, as_s3_returns(beside.value)).differs


# --- Lifecycle rules --------------------------------------------------------------------------

THEIRS = {
    "ID": "expire-pipeline-zips",
    "Status": "Enabled",
    "Filter": {"Prefix": "orders/SourceOutp/"},
    "Expiration": {"Days": 90},
}


def test_a_lifecycle_rule_of_others_stays() -> None:
    assert not lifecycle_beside(RULES, [THEIRS, *RULES]).differs
    beside = lifecycle_beside(RULES, [THEIRS])
    assert (beside.differs, beside.value) == (True, [*RULES, THEIRS])


@pytest.mark.parametrize(
    "form", [{"Filter": {}}, {"Prefix": ""}, {"Filter": {"Prefix": ""}}, {}], ids=str
)
def test_a_rule_of_ours_is_the_same_in_every_form_in_which_s3_returns_it(form: Json) -> None:
    (ours,) = RULES
    returned = {name: value for name, value in ours.items() if name != "Filter"} | form
    assert not lifecycle_beside(RULES, [returned]).differs


def test_an_old_rule_of_others_is_written_back_in_todays_form() -> None:
    old = {"ID": "old", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 9}}
    (_, kept) = lifecycle_beside(RULES, [old]).value
    assert kept == {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "logs/"},
                    "Expiration": {"Days": 9}}  # fmt: skip


# --- In the plan ------------------------------------------------------------------------------


ASPECTS = {str(aspect).replace(" ", "_"): aspect for aspect in SETTINGS}


def seen(**settings: Any) -> ObservedStore:
    wanted = desired_settings(SPEC, KEY) | {
        ASPECTS[name]: value for name, value in settings.items()
    }
    return ObservedStore(
        key=ObservedKey(KEY, "Enabled"),
        bucket_exists=True,
        settings=wanted,
        home_parameters=SPEC.parameters(SPEC.home_path, KEY),
        regional_parameters=SPEC.parameters(SPEC.regional_path, KEY),
    )


def test_what_opens_the_bucket_is_a_step_that_a_person_hears_of() -> None:
    opening = OPENS["another account"]
    statements = [*OURS["Statement"], opening, opening | {"Sid": "Too"}, STAYS["a denial"]]
    found = seen(bucket_policy={"Statement": statements})
    (step,) = planner.plan(SPEC, found, 0)
    assert (step.verb, step.aspect) == (KeepVerb.SET_ASIDE, BucketAspect.POLICY)
    assert f"Theirs lets {MEMBER} in, Too lets {MEMBER} in, whom" in step.reason
    assert "ReaderRoleNames" in step.reason
    assert step.value["Statement"] == [*OURS["Statement"], STAYS["a denial"]]


def test_what_others_have_added_is_in_nobodys_plan() -> None:
    statements = [*OURS["Statement"], *STAYS.values()]
    found = seen(bucket_policy={"Statement": statements}, lifecycle=[*RULES, THEIRS])
    assert planner.plan(SPEC, found, 0) == ()


def test_the_command_that_a_person_would_run_keeps_the_rules_of_others() -> None:
    until = {**THEIRS, "Expiration": {"Date": datetime(2030, 1, 1, tzinfo=UTC)}}
    longer = {**RULES[0], "NoncurrentVersionExpiration": {"NoncurrentDays": 365}}
    (step,) = planner.plan(SPEC, seen(lifecycle=[longer, until]), 0)
    assert step.verb is KeepVerb.LEAVE
    assert "expire-pipeline-zips" in str(step.command)
    assert "2030-01-01" in str(step.command)


def test_a_key_policy_is_kept_as_a_whole() -> None:
    policy = key_policy(SPEC)
    added = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt",
             "Resource": "*"}  # fmt: skip
    found = seen(key_policy={**policy, "Statement": [*policy["Statement"], added]})
    (step,) = planner.plan(SPEC, found, 0)
    assert (step.verb, step.aspect) == (KeepVerb.SET, KeyAspect.POLICY)


# --- The organisation's tags -------------------------------------------------------------------

TAGGED = replace(PLANE, tags=(("CostCenter", "42"), ("Owner", "platform"))).spec(REGION)


def test_the_organisations_tags_are_given_at_creation_and_put_right_when_they_change() -> None:
    assert TAGGED.tags_in(Use.UNUSED) == {
        "CostCenter": "42", "Owner": "platform", **SPEC.tags, "foothold:state": "unused",
    }  # fmt: skip
    before = {**SPEC.tags_in(Use.IN_USE), "CostCenter": "41", "team": "theirs"}
    steps = planner.plan(TAGGED, seen(bucket_tags=before, key_tags=before), 0)
    assert [(step.verb, step.aspect) for step in steps] == [
        (KeepVerb.SET, KeyAspect.TAGS),
        (KeepVerb.TAG_PARAMETERS, None),
        (KeepVerb.SET, BucketAspect.TAGS),
    ]
    assert steps[1].value == (
        ("eu-central-1", tuple(SPEC.parameters(SPEC.home_path, ""))),
        (REGION, tuple(SPEC.parameters(SPEC.regional_path, ""))),
    )
    now = {**TAGGED.tags_in(Use.IN_USE), "team": "theirs"}
    assert planner.plan(TAGGED, seen(bucket_tags=now, key_tags=now), 0) == ()


def test_a_tag_of_footholds_own_that_is_missing_tags_no_parameter_again() -> None:
    tags = {**TAGGED.tags_in(Use.IN_USE), "foothold:state": "unused"}
    found = seen(bucket_tags=tags, key_tags=TAGGED.tags_in(Use.IN_USE))
    (step,) = planner.plan(TAGGED, found, 0)
    assert (step.verb, step.aspect) == (KeepVerb.SET, BucketAspect.TAGS)


def test_what_is_foothold_is_not_told_by_the_organisations_tags() -> None:
    assert TAGGED.tags == SPEC.tags
