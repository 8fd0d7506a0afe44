"""One account and the control plane in it, on our own model of AWS."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from foothold.aws.clients import Clients
from foothold.pipelines.gateways.cloudformation import CloudFormationStacks
from foothold.stores.adoption import Adoptions
from foothold.stores.custom_resource.claims import Claims
from foothold.stores.gateways.account import AccountCapacity, AccountRegions
from foothold.stores.gateways.events import StoreAnnouncements
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.gateways.usage import DeployedUsage
from foothold.stores.handover import HandOvers
from foothold.stores.model import ControlPlane, StoreSpec
from foothold.stores.operator.commands import OperatorCommands
from foothold.stores.policies import key_policy
from foothold.stores.preflight import Preflights
from foothold.stores.reconcile import Reconciler
from foothold.stores.register import ArtifactStore
from foothold.stores.requests import OpenRequests
from foothold.stores.retirement import Retirements
from proof.cloud import Cloud
from tests.stores.worlds import HOME, PLANE, STATUSES, Watched, clients_in

REGION = "eu-west-1"
SPEC = PLANE.spec(REGION)


def _cloud() -> Cloud:
    made = Cloud(STATUSES, PLANE.account)
    made.clock = 1_000_000.0
    return made


@dataclass(kw_only=True)
class Account(Watched):
    """An account on the model of AWS, and the control plane in it."""

    plane: ControlPlane = PLANE
    cloud: Cloud = field(default_factory=_cloud)

    @property
    def clients(self) -> Clients:
        """From now on AWS is what this account is in."""
        Cloud.current = self.cloud
        return clients_in(self.plane.home_region)

    @property
    def now(self) -> float:
        return self.cloud.clock

    @now.setter
    def now(self, now: float) -> None:
        self.cloud.clock = now

    @property
    def keys(self) -> KmsKeys:
        return KmsKeys(self.clients)

    @property
    def buckets(self) -> S3Buckets:
        return S3Buckets(self.clients)

    @property
    def parameters(self) -> SsmParameters:
        return SsmParameters(self.clients)

    @property
    def capacity(self) -> AccountCapacity:
        return AccountCapacity(self.clients)

    @property
    def usage(self) -> DeployedUsage:
        """With a role in each account that a stack is in."""
        owners = {stack["StackId"].split(":")[4] for stack in self.cloud.stacks.values()}
        others = sorted(owners - {self.plane.account})
        roles = [f"arn:aws:iam::{owner}:role/foothold-deploy" for owner in others]
        return DeployedUsage(self.clients, self.plane.home_region, roles)

    @property
    def reconciler(self) -> Reconciler:
        return Reconciler(
            self.plane,
            self.keys,
            self.buckets,
            self.parameters,
            AccountRegions(self.clients),
            announcements=StoreAnnouncements(self.clients, self.plane.home_region),
            capacity=self.capacity,
            clock=lambda: self.now,
        )

    @property
    def retirements(self) -> Retirements:
        return Retirements(
            self.plane,
            self.reconciler,
            keys=self.keys,
            buckets=self.buckets,
            parameters=self.parameters,
            usage=self.usage,
            clock=lambda: self.now,
        )

    @property
    def adoptions(self) -> Adoptions:
        return Adoptions(
            self.plane,
            self.reconciler,
            keys=self.keys,
            buckets=self.buckets,
            parameters=self.parameters,
        )

    @property
    def hand_overs(self) -> HandOvers:
        return HandOvers(
            self.plane,
            self.reconciler,
            keys=self.keys,
            buckets=self.buckets,
            parameters=self.parameters,
        )

    @property
    def preflights(self) -> Preflights:
        return Preflights(self.plane, self.reconciler, self.capacity)

    @property
    def claims(self) -> Claims:
        stacks = CloudFormationStacks(self.clients.get("cloudformation", self.plane.home_region))
        return Claims(self.plane, self.reconciler, self.parameters, lambda: self.now, stacks)

    def commands(
        self, alone: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> OperatorCommands:
        return OperatorCommands(
            self.reconciler,
            self.retirements,
            self.preflights,
            adoptions=self.adoptions,
            hand_overs=self.hand_overs,
            claims=self.claims,
            requests=OpenRequests(self.plane, self.parameters, lambda: self.now),
            clock=lambda: self.now,
            alone=alone,
        )

    def store(self, region: str = REGION) -> str:
        """Make the region's store; return its key's ARN."""
        (outcome,) = self.reconciler.reconcile([region])
        assert outcome.error is None
        assert outcome.store is not None
        self.begin_anew()
        return outcome.store.key_arn

    def deploy(self, name: str, account: str) -> None:
        """Somebody deploys a stack in REGION from the store there."""
        stack = f"arn:aws:cloudformation:{REGION}:{account}:stack/{name}/1"
        self.cloud.add_stack(stack, f"CodeUri: s3://{SPEC.bucket}/code")

    def retire(self, region: str = REGION) -> None:
        assert self.retirements.retire(region, self.now + 60).retirement.phase == "retired"

    def key(self, arn: str) -> str:
        return self.cloud.keys[arn].state

    def set_key(self, arn: str, state: str) -> None:
        self.cloud.keys[arn].state = state

    def fill(self, number: int, bucket: str = SPEC.bucket) -> None:
        self.cloud.buckets[bucket].fill(number)

    def versions(self, bucket: str = SPEC.bucket) -> int:
        return self.cloud.buckets[bucket].version_count

    def drop_policy(self, bucket: str = SPEC.bucket) -> None:
        """Somebody takes the bucket's policy away."""
        del self.cloud.buckets[bucket].settings["policy"]

    def published(self, spec: StoreSpec = SPEC) -> dict[str, str]:
        at_home = self.parameters.below(HOME, spec.home_path)
        return {**at_home, **self.parameters.below(spec.region, spec.regional_path)}

    def announced(self) -> list[ArtifactStore]:
        told = [json.loads(event["Detail"]) for event in self.cloud.events]
        return [ArtifactStore(one["region"], one["bucket"], one["keyArn"]) for one in told]

    def state(self) -> dict[str, dict[Any, Any]]:
        """Everything there is, to compare."""
        cloud = self.cloud
        buckets = {
            name: {**vars(each), "objects": each.version_count, "tags": dict(each.tags)}
            | {"settings": dict(each.settings), "grants": list(each.grants)}
            for name, each in cloud.buckets.items()
        }
        return {
            "keys": {arn: {**vars(key), "tags": dict(key.tags)} for arn, key in cloud.keys.items()},
            "aliases": dict(cloud.aliases),
            "buckets": buckets,
            "parameters": dict(cloud.parameters),
        }

    def put_theirs(self) -> tuple[str, str]:
        """A bucket and a key that Foothold did not make, and that could be adopted."""
        tags = {"owner": "platform"}
        arn = self.cloud.add_key(REGION, tags, dict(key_policy(SPEC))).arn
        self.add_bucket("old-artifacts", REGION, arn, tags).fill(7)
        return "old-artifacts", arn


def made_once(make: Callable[[], Account]) -> Callable[[], Account]:
    """What gives a copy of the account that `make` makes, which takes less time than to make it."""
    first = cache(make)

    def copied() -> Account:
        return replace(first(), cloud=first().cloud.copy())

    return copied


@made_once
def stored() -> Account:
    account = Account()
    account.store()
    return account
