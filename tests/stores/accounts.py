"""One account and the control plane in it, kept in memory."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from foothold.aws.clients import Clients
from foothold.pipelines.gateways.cloudformation import CloudFormationStacks
from foothold.stores.adoption import Adoptions
from foothold.stores.aspects import BucketAspect, KeyAspect
from foothold.stores.custom_resource.claims import Claims
from foothold.stores.gateways.account import AccountCapacity, AccountRegions
from foothold.stores.gateways.events import StoreAnnouncements
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.gateways.usage import DeployedUsage
from foothold.stores.handover import HandOvers
from foothold.stores.model import ControlPlane, StoreSpec, Use
from foothold.stores.operator.commands import OperatorCommands
from foothold.stores.policies import key_policy
from foothold.stores.preflight import Preflights
from foothold.stores.reconcile import Reconciler
from foothold.stores.register import ArtifactStore
from foothold.stores.requests import OpenRequests
from foothold.stores.retirement import Retirements
from proof import cloud
from proof.cloud import Call, Cloud, Json, Perform
from tests.fakes import (
    FakeBuckets,
    FakeKeys,
    FakeWorld,
)
from tests.stores.worlds import HOME, PLANE, STATUSES, clients_in

REGION = "eu-west-1"
SPEC = PLANE.spec(REGION)
READS = (
    *cloud.READS,
    "aliased",
    "tagged",
    "find ",
    "look ",
    "read ",
    "get ",
    "list ",
    "head ",
)


def _cloud() -> Cloud:
    made = Cloud(STATUSES, PLANE.account)
    made.clock = 1_000_000.0
    return made


@dataclass
class Account:
    """An account kept in memory, and the control plane in it."""

    plane: ControlPlane = PLANE
    fake: FakeWorld = field(default_factory=FakeWorld)
    cloud: Cloud = field(default_factory=_cloud)

    def __post_init__(self) -> None:
        def meet(call: Call, perform: Perform) -> Json:
            self.fake.call(call.operation)
            return perform()

        self.cloud.meet = meet

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
    def keys(self) -> FakeKeys:
        return FakeKeys(self.fake)

    @property
    def buckets(self) -> FakeBuckets:
        return FakeBuckets(self.fake)

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
        self.fake.calls.clear()
        return outcome.store.key_arn

    def deploy(self, name: str, account: str) -> None:
        """Somebody deploys a stack in REGION from the store there."""
        stack = f"arn:aws:cloudformation:{REGION}:{account}:stack/{name}/1"
        self.cloud.add_stack(stack, f"CodeUri: s3://{SPEC.bucket}/code")

    def retire(self, region: str = REGION) -> None:
        assert self.retirements.retire(region, self.now + 60).retirement.phase == "retired"

    def key(self, arn: str) -> str:
        return self.fake.keys[arn].state

    def set_key(self, arn: str, state: str) -> None:
        self.fake.keys[arn] = replace(self.fake.keys[arn], state=state)

    def delete_key_for_good(self, arn: str) -> None:
        """What KMS does when the window has passed: the key goes, and its aliases with it."""
        del self.fake.keys[arn]
        self.fake.aliases = {at: to for at, to in self.fake.aliases.items() if to != arn}

    def published(self, spec: StoreSpec = SPEC) -> dict[str, str]:
        at_home = self.parameters.below(HOME, spec.home_path)
        return {**at_home, **self.parameters.below(spec.region, spec.regional_path)}

    def announced(self) -> list[ArtifactStore]:
        told = [json.loads(event["Detail"]) for event in self.cloud.events]
        return [ArtifactStore(one["region"], one["bucket"], one["keyArn"]) for one in told]

    def mutations(self) -> list[str]:
        return [call for call in self.fake.calls if not call.startswith(READS)]

    def state(self) -> object:
        """Everything there is, to compare."""
        fake = self.fake
        return (
            dict(fake.keys), dict(fake.aliases), dict(self.cloud.parameters), dict(fake.versions),
            {name: dict(settings) for name, settings in fake.buckets.items()},
        )  # fmt: skip

    def put_theirs(self) -> tuple[str, str]:
        """A bucket and a key that Foothold did not make, and that could be adopted."""
        arn = self.keys.create(SPEC, key_policy(SPEC), Use.UNUSED)
        self.fake.key_settings[arn, KeyAspect.TAGS] = {"owner": "platform"}
        self.fake.buckets["old-artifacts"] = {
            BucketAspect.TAGS: {"owner": "platform"},
            BucketAspect.ENCRYPTION: {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn},
        }
        self.fake.versions["old-artifacts"] = 7
        self.fake.calls.clear()
        return "old-artifacts", arn
