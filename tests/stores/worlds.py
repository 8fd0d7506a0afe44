"""The two worlds that one suite runs in: in memory, and moto behind the AWS gateways."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import boto3
from moto import mock_aws
from moto.s3.models import FakeBucket

from foothold.aws.clients import Clients
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import ControlPlane
from foothold.stores.ports import Buckets, Keys, Parameters
from foothold.stores.reconcile import Reconciler
from tests.fakes import FakeBuckets, FakeKeys, FakeParameters, FakeRegions, FakeWorld

HOME = "eu-central-1"
ACCOUNT = "123456789012"  # moto's own
PLANE = ControlPlane(
    account=ACCOUNT,
    home_region=HOME,
    stack="foothold",
    organization_ids=("o-example",),
    reader_roles=("foothold-deploy",),
)
STATUSES = {
    "eu-central-1": "ENABLED_BY_DEFAULT",
    "eu-west-1": "ENABLED_BY_DEFAULT",
    "us-east-1": "ENABLED_BY_DEFAULT",
    "ap-east-1": "ENABLED",
    "me-south-1": "ENABLED",
    "af-south-1": "DISABLED",
    "eu-south-1": "ENABLING",
}


@dataclass
class World:
    """One account, seen through the ports."""

    keys: Keys
    buckets: Buckets
    parameters: Parameters
    fake: FakeWorld

    @property
    def reconciler(self) -> Reconciler:
        regions = FakeRegions(self.fake)
        gateways = (self.keys, self.buckets, self.parameters, regions)
        return Reconciler(PLANE, *gateways, clock=time.time)


def in_memory() -> World:
    fake = FakeWorld(statuses=dict(STATUSES))
    return World(FakeKeys(fake), FakeBuckets(fake), FakeParameters(fake), fake)


def _like_s3(bucket: FakeBucket, *args: Any, **named: Any) -> None:
    """A new bucket has the default ownership, which moto leaves out (Amazon S3 User Guide,
    "Controlling ownership of objects and disabling ACLs for your bucket")."""
    _begin(bucket, *args, **named)
    bucket.ownership_rule = "BucketOwnerEnforced"  # type: ignore[assignment]  # as moto does it


_begin = FakeBucket.__init__


def moto_like_s3() -> AbstractContextManager[Any]:
    """Moto's buckets, as S3 makes them."""
    return patch.object(FakeBucket, "__init__", _like_s3)


@contextmanager
def on_moto() -> Iterator[World]:
    with mock_aws(), moto_like_s3():
        clients = Clients(boto3.Session(region_name=HOME))
        fake = FakeWorld(statuses=dict(STATUSES))
        yield World(KmsKeys(clients), S3Buckets(clients), SsmParameters(clients), fake)
