"""A whole life of a store in each partition: nothing in it belongs to another one."""

from dataclasses import replace

import pytest

from foothold.partitions import PARTITIONS, partition_of
from foothold.stores.aspects import BucketAspect
from foothold.stores.gateways.account import QUOTA_REGION
from tests.stores.accounts import Account
from tests.stores.worlds import PLANE


@pytest.mark.parametrize(
    ("home", "region", "partition", "suffix"),
    [
        ("eu-central-1", "eu-west-1", "aws", "amazonaws.com"),
        ("cn-north-1", "cn-northwest-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "us-gov-east-1", "aws-us-gov", "amazonaws.com"),
    ],
)
def test_a_store_is_made_repaired_retired_and_brought_back_in_every_partition(
    home: str, region: str, partition: str, suffix: str
) -> None:
    account = Account(plane=replace(PLANE, home_region=home))
    account.cloud.statuses = dict.fromkeys((home, region), "ENABLED_BY_DEFAULT")
    spec = account.plane.spec(region)
    key = account.store(region)
    assert key.startswith(f"arn:{partition}:kms:{region}:")
    document = str(account.cloud.keys[key].policy)
    document += str(account.cloud.buckets[spec.bucket].settings["policy"])
    assert f"s3.{region}.{suffix}'" in document
    assert f"arn:{partition}:iam::*:role/" in document
    others = [other.name for other in PARTITIONS if other.name != partition]
    assert not [name for name in others if f"arn:{name}:" in document]

    account.drop_policy(spec.bucket)
    (repaired,) = account.reconciler.keep([region])
    assert [step.aspect for step in repaired.steps] == [BucketAspect.POLICY]
    account.retire(region)
    assert account.key(key) == "PendingDeletion"
    assert account.retirements.undo(region).store is not None
    assert account.reconciler.plan([region]) == {region: ()}


def test_the_quota_of_buckets_is_asked_for_in_the_partition_itself() -> None:
    assert {partition_of(region).name: region for region in QUOTA_REGION.values()} == QUOTA_REGION
