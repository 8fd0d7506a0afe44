"""A bucket and a key of somebody's own, adopted and given back, on the embedded AWS."""

from typing import Any

import pytest

from foothold.errors import PermanentError
from foothold.stores.adoption import Adoptions
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import StoreSpec
from foothold.stores.ports import PipelineUse
from foothold.stores.retirement import Retirements
from local.aws.embedded import FOREIGN, HOME_REGION, TOOLS, Embedded
from tests.embedded.test_lifecycle_table import REGION, Store


@pytest.fixture
def store(embedded: Embedded) -> Store:
    """A control plane whose store in REGION is retired, and a bucket and key of others."""
    store = Store(embedded)
    retirements(store).retire(REGION, 9e9)
    return store


class Unused:
    """`stores.ports.Usage` of stores that nobody uses: what other tests deploy does not matter."""

    def pipelines(self, bucket: str) -> tuple[PipelineUse, ...]:
        return ()

    def stacks(self, spec: StoreSpec) -> tuple[str, ...]:
        return ()


def retirements(store: Store) -> Retirements:
    return Retirements(
        store.plane,
        store.reconciler,
        keys=KmsKeys(store.clients),
        buckets=S3Buckets(store.clients),
        parameters=SsmParameters(store.clients),
        usage=Unused(),
        clock=lambda: 2e9,
    )


def adoptions(store: Store) -> Adoptions:
    return Adoptions(
        store.plane,
        store.reconciler,
        keys=KmsKeys(store.clients),
        buckets=S3Buckets(store.clients),
        parameters=SsmParameters(store.clients),
    )


def theirs(store: Store) -> tuple[str, str]:
    kms, s3, bucket = store.kms, store.s3, f"{store.prefix}-theirs"
    key: str = kms.create_key(Tags=[{"TagKey": "owner", "TagValue": "platform"}])["KeyMetadata"][
        "Arn"
    ]
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": default}]
        },
    )
    s3.put_object(Bucket=bucket, Key="old", Body=b"an old artifact")
    return bucket, key


def state(kms: Any, key: str) -> str:
    found: str = kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    return found


def test_an_adopted_store_is_kept_and_given_back_whole(store: Store) -> None:
    bucket, key = theirs(store)
    outcome = adoptions(store).adopt(REGION, bucket, key)
    assert outcome.error is None
    assert outcome.store is not None
    assert (outcome.store.bucket, outcome.store.key_arn) == (bucket, key)
    assert store.reconciler.plan([REGION]) == {REGION: ()}
    store.s3.delete_bucket_policy(Bucket=bucket)
    assert [str(step.aspect) for step in store.keep().steps] == ["bucket policy"]

    retirements(store).retire(REGION, 9e9)
    assert store.s3.get_object(Bucket=bucket, Key="old")["Body"].read() == b"an old artifact"
    assert state(store.kms, key) == "Enabled"
    assert store.kms.list_resource_tags(KeyId=key)["Tags"] == [
        {"TagKey": "owner", "TagValue": "platform"}
    ]


def test_a_foreign_a_wrong_region_and_an_unencrypted_bucket_are_refused(store: Store) -> None:
    _, key = theirs(store)
    foreign = f"{store.prefix}-foreign"
    others: Any = store.aws.session(FOREIGN, REGION)
    others.client("s3").create_bucket(
        Bucket=foreign, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    home = f"{store.prefix}-home"
    store.client("s3", HOME_REGION).create_bucket(
        Bucket=home, CreateBucketConfiguration={"LocationConstraint": HOME_REGION}
    )
    plain = f"{store.prefix}-plain"
    store.s3.create_bucket(Bucket=plain, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name, words in (
        (foreign, f"not open to account {TOOLS}"),
        (home, f"stands in {HOME_REGION}, not {REGION}"),
        (plain, "encrypts with AES256, not with|encrypts with nothing"),
    ):
        with pytest.raises(PermanentError, match=words):
            adoptions(store).adopt(REGION, name, key)
    assert store.kms.list_resource_tags(KeyId=key)["Tags"] == [
        {"TagKey": "owner", "TagValue": "platform"}
    ]
