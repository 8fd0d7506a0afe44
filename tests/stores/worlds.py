"""The two worlds that one suite runs in, both behind the AWS gateways: our own model of AWS in
memory, and moto."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest.mock import patch

import boto3
from botocore.config import Config
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.s3.models import FakeBucket

from foothold.aws.clients import CONFIG, Clients
from foothold.aws.regional import RegionalClient
from foothold.stores.aspects import Aspect, BucketAspect, KeyAspect
from foothold.stores.gateways.account import AccountRegions
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.published import RegionalBuckets
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import ControlPlane
from foothold.stores.ports import Buckets, Keys, Parameters, Regions
from foothold.stores.reconcile import Reconciler
from proof.cloud import ACCESS_KEY, Bucket, Call, Cloud, Json, Perform, Refused

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

SPEC = PLANE.spec("eu-west-1")
# What somebody else could make of a store's settings in that region.
DRIFTED: dict[Aspect, Any] = {
    KeyAspect.POLICY: {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "kms:*", "Resource": "*",
    }]},
    BucketAspect.PUBLIC_ACCESS: dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"),
        False,
    ),
    BucketAspect.OWNERSHIP: "ObjectWriter",
    BucketAspect.VERSIONING: "Suspended",
    BucketAspect.ENCRYPTION: {
        "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/aws/s3", "BucketKeyEnabled": False,
    },
    BucketAspect.LIFECYCLE: [{
        "ID": "everything-tomorrow", "Status": "Enabled", "Filter": {"Prefix": ""},
        "Expiration": {"Days": 1},
    }],
    BucketAspect.POLICY: {"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket",
        "Resource": SPEC.bucket_arn,
    }]},
}  # fmt: skip


@dataclass
class World:
    """One account, seen through the ports. `clock` is in seconds since the epoch."""

    keys: Keys
    buckets: Buckets
    parameters: Parameters
    regions: Regions
    plane: ControlPlane = PLANE
    clock: Callable[[], float] = time.time

    @property
    def reconciler(self) -> Reconciler:
        gateways = (self.keys, self.buckets, self.parameters, self.regions)
        return Reconciler(self.plane, *gateways, clock=self.clock)


@dataclass(kw_only=True)
class Watched:
    """The model of AWS that an account is in, and what was asked of it."""

    cloud: Cloud

    @property
    def store_buckets(self) -> RegionalBuckets:
        return RegionalBuckets(_regional())

    def add_bucket(self, name: str, region: str, key_arn: str, tags: Mapping[str, str]) -> Bucket:
        """A bucket of this account that encrypts with the key, which need not exist."""
        bucket = self.cloud.add_bucket(name, region, self.cloud.account)
        bucket.tags = dict(tags)
        bucket.settings["encryption"] = encrypted_with(key_arn)
        return bucket

    @property
    def calls(self) -> list[str]:
        """The operations that were asked for since `begin_anew`, in their order."""
        return [call.operation for call in self.cloud.calls]

    @property
    def mutations(self) -> list[str]:
        return [call.operation for call in self.cloud.calls if call.writes]

    def begin_anew(self) -> None:
        """Forget the calls that were made."""
        self.cloud.calls.clear()

    def refuse(self, operation: str, code: str, status: int = 400) -> None:
        """From now on the service refuses this operation, with this error code."""

        def meet(call: Call, perform: Perform) -> Json:
            if call.operation == operation:
                raise Refused(code, status)
            return perform()

        self.cloud.meet = meet

    def watch(self, see: Callable[[str], None]) -> None:
        """From now on `see` is called with every operation before it is performed, and may
        raise."""

        def meet(call: Call, perform: Perform) -> Json:
            see(call.operation)
            return perform()

        self.cloud.meet = meet

    def serve(self) -> None:
        """From now on every operation is performed again, and nobody watches."""
        self.cloud.meet = lambda _call, perform: perform()


@dataclass(kw_only=True)
class InMemory(World, Watched):
    """The account, and the model of AWS that it is in."""


def in_memory(plane: ControlPlane = PLANE) -> InMemory:
    """An account without anything in it. Until the test ends, or this is called again, AWS is the
    model that it is in."""
    Cloud.current = cloud = Cloud(STATUSES, plane.account)
    kept = clients_in(HOME)
    return InMemory(
        KmsKeys(kept),
        S3Buckets(kept),
        SsmParameters(kept),
        AccountRegions(kept),
        plane,
        lambda: cloud.clock,
        cloud=cloud,
    )


@cache
def clients_in(home: str) -> Clients:
    """One for all tests: to make a client takes longer than a test's calls. With a user agent of
    its own, which takes a third of a call's time to put together and nobody reads."""
    session = boto3.Session(ACCESS_KEY, "secret", region_name=home)
    return KeptClients(session, CONFIG.merge(Config(user_agent="tests")))


class KeptClients(Clients):
    """Their clients ask the SDK once what is always the same, and takes half of a call's time:
    which host an operation on a bucket goes to, and how an operation's answers are paged."""

    def _make(self, service: str, region: str) -> Any:
        client = super()._make(service, region)
        resolver = client._ruleset_resolver
        choose: Any = resolver.construct_endpoint
        hosts: dict[tuple[str, str | None], Any] = {}

        def host(operation_model: Any, call_args: Json, request_context: Json) -> Any:
            asked = (operation_model.name, call_args.get("Bucket"))
            if asked not in hosts:
                hosts[asked] = choose(operation_model, call_args, request_context)
            return hosts[asked]

        resolver.construct_endpoint = host
        client.get_paginator = cache(client.get_paginator)
        return client


@cache
def _regional() -> RegionalClient:
    return RegionalClient(clients_in(HOME).session, HOME, connections=10)


def encrypted_with(key_arn: str) -> list[Json]:
    """A bucket's default encryption, as S3 keeps it."""
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_arn}
    return [{"ApplyServerSideEncryptionByDefault": default}]


@dataclass(frozen=True)
class OptedIn:
    """`stores.ports.Regions` where moto is AWS: its account has opted in to none, and cannot."""

    def statuses(self) -> Mapping[str, str]:
        return STATUSES

    def opt_in_status(self, region: str) -> str | None:
        return STATUSES.get(region)


def _like_s3(bucket: FakeBucket, *args: Any, **named: Any) -> None:
    """A new bucket has the default ownership, which moto leaves out (Amazon S3 User Guide,
    "Controlling ownership of objects and disabling ACLs for your bucket")."""
    _begin(bucket, *args, **named)
    bucket.ownership_rule = "BucketOwnerEnforced"  # type: ignore[assignment]  # as moto does it


_begin = FakeBucket.__init__


@contextmanager
def moto_in_turn() -> Iterator[None]:
    """Moto, with buckets as S3 makes them. It answers one call at a time: it goes through
    dictionaries that it adds to in another thread's call."""
    answer, turn = BotocoreStubber.process_request, threading.Lock()

    def in_turn(stubber: BotocoreStubber, request: Any) -> Any:
        with turn:
            return answer(stubber, request)

    with (
        mock_aws(),
        patch.object(FakeBucket, "__init__", _like_s3),
        patch.object(BotocoreStubber, "process_request", in_turn),
    ):
        yield


@contextmanager
def on_moto() -> Iterator[World]:
    with moto_in_turn():
        clients = Clients(boto3.Session(region_name=HOME))
        yield World(KmsKeys(clients), S3Buckets(clients), SsmParameters(clients), OptedIn())
