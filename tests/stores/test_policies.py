"""The policies of a store, as documents. What they allow is judged elsewhere by evaluators."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.stores.model import ControlPlane, StoreSpec
from foothold.stores.policies import OWN_SIDS, bucket_policy, canonical, key_policy

KEY = "arn:aws:kms:eu-west-1:111111111111:key/abc"


ROLES = ("foothold-deploy", "foothold-cloudformation")


def plane(
    organizations: tuple[str, ...] = ("o-example",), roles: tuple[str, ...] = ROLES
) -> ControlPlane:
    return ControlPlane(
        "111111111111",
        "eu-central-1",
        "foothold",
        organization_ids=organizations,
        reader_roles=roles,
    )


@pytest.mark.parametrize("name", ["bucket_policy", "key_policy"])
def test_the_policies_are_these_documents_word_for_word(name: str) -> None:
    spec = plane().spec("eu-west-1")
    made = {"bucket_policy": bucket_policy(spec, KEY), "key_policy": key_policy(spec)}
    assert made[name] == json.loads(Path(__file__).with_name(f"{name}.json").read_text())


def test_both_policies_stay_far_below_their_limits() -> None:
    many = plane(tuple(f"o-{number:032d}" for number in range(10)))
    spec = many.spec("ap-southeast-1")
    assert len(json.dumps(bucket_policy(spec, KEY))) < 20 * 1024 / 2
    assert len(json.dumps(key_policy(spec))) < 32 * 1024 / 2


def test_without_an_organisation_no_other_account_is_let_in() -> None:
    spec = plane(()).spec("eu-west-1")
    allowed = [s for s in bucket_policy(spec, KEY)["Statement"] if s["Effect"] == "Allow"]
    assert allowed == []
    assert [s["Sid"] for s in key_policy(spec)["Statement"]] == ["AccountPoliciesDecide"]


def test_without_an_organisation_nobody_is_refused_for_being_outside_of_it() -> None:
    whole = bucket_policy(plane().spec("eu-west-1"), KEY)["Statement"]
    inside = ("DenyOutsideOrganization", "OrganizationDeployRolesRead")
    for_all = [statement for statement in whole if statement["Sid"] not in inside]
    assert bucket_policy(plane(()).spec("eu-west-1"), KEY)["Statement"] == for_all


def test_without_reader_roles_the_organisation_reads_nothing() -> None:
    spec = plane(roles=()).spec("eu-west-1")
    sids = [statement["Sid"] for statement in bucket_policy(spec, KEY)["Statement"]]
    assert sids[-1] == "DenyOutsideOrganization"
    assert [s["Sid"] for s in key_policy(spec)["Statement"]] == ["AccountPoliciesDecide"]


@pytest.mark.parametrize(
    ("region", "service"),
    [
        ("eu-west-1", "s3.eu-west-1.amazonaws.com"),
        ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
    ],
)
def test_deploy_roles_decrypt_only_through_s3_of_that_region(region: str, service: str) -> None:
    statements = key_policy(plane().spec(region))["Statement"]
    (decrypt,) = [s for s in statements if s["Action"] == "kms:Decrypt"]
    assert decrypt["Condition"]["StringEquals"]["kms:ViaService"] == service


@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1", "us-gov-west-1"])
def test_every_arn_names_the_partition_of_its_region(region: str) -> None:
    spec = plane().spec(region)
    text = json.dumps([bucket_policy(spec, "K"), key_policy(spec)])
    arns = {part.split(":")[1] for part in text.split('"') if part.startswith("arn:")}
    assert arns == {spec.partition.name}


@given(st.permutations(["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]))
def test_policies_are_compared_whatever_the_order_of_their_lists(actions: list[str]) -> None:
    in_order = {"Statement": [{"Action": sorted(actions), "Resource": "*"}]}
    assert canonical({"Statement": [{"Action": actions, "Resource": ["*"]}]}) == canonical(in_order)


def test_a_principal_star_is_the_same_in_both_spellings() -> None:
    assert canonical({"Principal": {"AWS": "*"}}) == canonical({"Principal": "*"})


def test_a_principal_of_another_kind_or_of_more_kinds_is_not_everybody() -> None:
    for principal in ({"AWS": "111111111111"}, {"Service": "*"}, {"AWS": "*", "Service": "s"}):
        assert canonical({"Principal": principal}) == {"Principal": principal}


def test_a_policy_of_one_statement_still_has_a_list_of_them() -> None:
    policy = {"Statement": [{"Action": ["s3:GetObject"], "Resource": "*"}]}
    assert canonical(policy) == {"Statement": [{"Action": "s3:GetObject", "Resource": "*"}]}


ACTIONS = st.lists(
    st.sampled_from(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]), min_size=1, unique=True
)


@given(ACTIONS, ACTIONS)
def test_policies_are_the_same_only_where_they_name_the_same(
    one: list[str], other: list[str]
) -> None:
    same = canonical({"Action": one}) == canonical({"Action": other})
    assert same == (set(one) == set(other))
    if len(one) == 1:
        assert canonical({"Action": one[0]}) == canonical({"Action": tuple(one)})


def narrowed(
    paths: tuple[str, ...] = (), accounts: tuple[str, ...] = (), region: str = "eu-west-1"
) -> StoreSpec:
    return replace(plane(), reader_org_paths=paths, reader_accounts=accounts).spec(region)


def reader_statements(spec: StoreSpec) -> list[Any]:
    statements = [*bucket_policy(spec, KEY)["Statement"], *key_policy(spec)["Statement"]]
    return [s for s in statements if s["Sid"].startswith("OrganizationDeployRoles")]


def test_readers_may_be_narrowed_to_the_accounts_below_an_organisational_unit() -> None:
    paths = ("o-example/r-abcd/ou-abcd-11111111/*",)
    found = reader_statements(narrowed(paths))
    assert len(found) == 3
    for statement in found:
        condition = statement["Condition"]
        assert condition["ForAnyValue:StringLike"] == {"aws:PrincipalOrgPaths": list(paths)}
        assert condition["StringEquals"]["aws:PrincipalOrgID"] == ["o-example"]


def test_readers_may_be_narrowed_to_some_accounts() -> None:
    for statement in reader_statements(narrowed(accounts=("222222222222", "333333333333"))):
        equal = statement["Condition"]["StringEquals"]
        assert equal["aws:PrincipalAccount"] == ["222222222222", "333333333333"]
        assert equal["aws:PrincipalOrgID"] == ["o-example"]


def test_a_store_may_have_readers_of_its_own_in_place_of_the_others() -> None:
    accounts = ("222222222222", "eu-west-1=333333333333", "eu-west-1=444444444444")
    assert narrowed(accounts=accounts).reader_accounts == ("333333333333", "444444444444")
    elsewhere = narrowed(accounts=accounts, region="us-east-1")
    assert elsewhere.reader_accounts == ("222222222222",)
    only_here = narrowed(paths=("eu-west-1=o-example/*",), region="us-east-1")
    assert only_here.reader_org_paths == ()


def test_the_documents_change_where_readers_are_narrowed_and_nowhere_else() -> None:
    spec = plane().spec("eu-west-1")
    narrow = narrowed(accounts=("222222222222",))
    changed = [
        one["Sid"]
        for one, other in zip(
            [*bucket_policy(spec, KEY)["Statement"], *key_policy(spec)["Statement"]],
            [*bucket_policy(narrow, KEY)["Statement"], *key_policy(narrow)["Statement"]],
            strict=True,
        )
        if one != other
    ]
    assert changed == [statement["Sid"] for statement in reader_statements(spec)]


def test_names_in_another_order_are_the_same_policy() -> None:
    one = {"Statement": [{"Sid": "A", "Effect": "Deny"}, {"Effect": "Allow", "Sid": "B"}]}
    other = {"Statement": [{"Sid": "B", "Effect": "Allow"}, {"Effect": "Deny", "Sid": "A"}]}
    assert canonical(one) == canonical(other)


def test_a_list_of_the_one_principal_star_is_everybody_too() -> None:
    assert canonical({"Principal": {"AWS": ["*"]}}) == canonical({"Principal": "*"})


def test_the_statements_that_are_footholds_are_those_of_its_policies() -> None:
    specs = [StoreSpec(one, "eu-west-1") for one in (plane(), plane(()))]
    sids = {each["Sid"] for spec in specs for each in bucket_policy(spec, KEY)["Statement"]}
    assert sids == OWN_SIDS
