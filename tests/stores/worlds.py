"""The two worlds that one suite runs in: in memory, and moto behind the AWS gateways."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import boto3
from moto import mock_aws

from foothold.domain.models import ControlPlane
from foothold.gateways.aws import Clients
from foothold.gateways.kms import KmsKeys
from foothold.gateways.s3 import S3Buckets
from foothold.gateways.ssm import SsmParameters
from foothold.services.ports import Buckets, Keys, Parameters
from foothold.services.reconcile import Reconciler
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
        return Reconciler(PLANE, self.keys, self.buckets, self.parameters, FakeRegions(self.fake))


def in_memory() -> World:
    fake = FakeWorld(statuses=dict(STATUSES))
    return World(FakeKeys(fake), FakeBuckets(fake), FakeParameters(fake), fake)


@contextmanager
def on_moto() -> Iterator[World]:
    with mock_aws():
        clients = Clients(boto3.Session(region_name=HOME))
        fake = FakeWorld(statuses=dict(STATUSES))
        yield World(KmsKeys(clients), S3Buckets(clients), SsmParameters(clients), fake)
