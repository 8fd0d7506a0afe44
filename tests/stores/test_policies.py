"""The policies of a store, as documents. What they allow is judged elsewhere by evaluators."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.domain.models import ControlPlane
from foothold.domain.policies import bucket_policy, canonical, key_policy

KEY = "arn:aws:kms:eu-west-1:111111111111:key/abc"


def plane(organizations: tuple[str, ...] = ("o-example",)) -> ControlPlane:
    return ControlPlane(
        "111111111111",
        "eu-central-1",
        "foothold",
        organization_ids=organizations,
        reader_roles=("foothold-deploy", "foothold-cloudformation"),
    )


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


def test_another_action_is_another_policy() -> None:
    assert canonical({"Action": "s3:GetObject"}) != canonical({"Action": "s3:PutObject"})
