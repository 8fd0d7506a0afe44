"""Names: buckets, aliases, ARNs and parameters, in every partition."""

import pytest

from foothold.errors import PermanentError
from foothold.partitions import partition_of
from foothold.stores.model import ControlPlane


def plane(prefix: str = "foothold") -> ControlPlane:
    return ControlPlane("111111111111", "eu-central-1", "foothold", prefix=prefix)


def test_a_bucket_stands_in_the_accounts_own_namespace() -> None:
    assert plane().spec("eu-west-1").bucket == "foothold-111111111111-eu-west-1-an"


@pytest.mark.parametrize("region", ["me-south-1", "me-central-1"])
def test_a_region_without_that_namespace_gets_a_suffix_from_the_account(region: str) -> None:
    bucket = plane().spec(region).bucket
    assert bucket.startswith(f"foothold-111111111111-{region}-")
    assert not bucket.endswith("-an")
    assert bucket == plane().spec(region).bucket


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [
        ("eu-west-1", "aws", "amazonaws.com"),
        ("mx-central-1", "aws", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
        ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
        ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
    ],
)
def test_a_region_name_tells_its_partition(region: str, partition: str, suffix: str) -> None:
    assert (partition_of(region).name, partition_of(region).dns_suffix) == (partition, suffix)


@pytest.mark.parametrize("name", ["", "europe", "eu-west-1a", "EU-WEST-1", "all-enabled", "eu-1"])
def test_what_looks_like_no_region_is_refused(name: str) -> None:
    with pytest.raises(PermanentError, match="not the name of an AWS region"):
        partition_of(name)


@pytest.mark.parametrize("prefix", ["", "Foothold", "foot_hold", "-foothold", "x" * 40, "a.b"])
def test_a_prefix_that_makes_an_illegal_bucket_name_is_refused(prefix: str) -> None:
    with pytest.raises(PermanentError, match="NamePrefix"):
        plane(prefix).spec("ap-southeast-1")


def test_the_longest_allowed_prefix_makes_a_legal_name_in_the_longest_region() -> None:
    spec = plane("x" * 32).spec("ap-southeast-1")
    assert len(spec.bucket) == 63
