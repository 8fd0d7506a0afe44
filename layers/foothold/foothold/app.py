"""The composition root of the functions: a session becomes gateways, gateways become services.

Nothing is decided here. What several functions need is imported with this module, and what one
alone needs where it is made, so that no other function's start waits for it.
"""

import os
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

import boto3

from foothold.aws.clients import Clients, aws_call, open_session
from foothold.aws.pace import Pace
from foothold.aws.patience import OF_A_KEY, OF_A_STACK, OF_AN_EVENT, Patience
from foothold.aws.regional import RegionalClient
from foothold.errors import PermanentError
from foothold.refused import READER_ROLE
from foothold.settings import Settings
from foothold.stores.custom_resource.claims import Claims
from foothold.stores.events import Events
from foothold.stores.gateways.account import AccountCapacity, AccountRegions, PipelineRegions
from foothold.stores.gateways.events import StoreAnnouncements
from foothold.stores.gateways.kms import CHANGES_A_SECOND, KmsKeys
from foothold.stores.gateways.published import RegionalBuckets
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import PUTS_A_SECOND, SsmNumberedParameter, SsmParameters
from foothold.stores.gateways.usage import DeployedUsage
from foothold.stores.model import ControlPlane, StoreSpec, Use
from foothold.stores.reconcile import Reconciler
from foothold.stores.requests import OpenRequests
from foothold.stores.retirement import Retirements
from foothold.stores.trust import AT_ONCE, PublishedStores, Trust
from foothold.stores.turns import Turns

if TYPE_CHECKING:
    from foothold.jobs.gateway import PipelineJobs
    from foothold.packaging.jobs import PackageFunction
    from foothold.pipelines.gateways.cloudformation import CloudFormationStacks
    from foothold.releases.actions import Bakes, Reviews
    from foothold.stores.operator.commands import OperatorCommands


class Clock(Protocol):
    """The module `time`, as far as it is used."""

    def time(self) -> float: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class App:
    """What one function works with: made when first asked for, kept while the function is warm.

    `environment` holds the settings, which are read when they are first needed, so that a function
    with wrong ones can still answer. `pace` makes the pace for so many changes a second; None: one
    by the clock. `chance` returns a number from 0 to 1. Every attribute raises PermanentError for
    settings that are wrong, and where no AWS session can be opened.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        session: Callable[[], boto3.Session] = open_session,
        *,
        clock: Clock = time,
        pace: Callable[[int], Pace | None] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._environment = environment
        self._open_session = session
        self._clock = clock
        self._pace = pace or (lambda most: Pace(most, clock.monotonic, clock.sleep))
        self.patience = Patience(clock.time, clock.sleep, chance)

    # Each of these begins a run, which from now on waits for what AWS knows in a moment.

    def events(self) -> Events:
        """The work behind EventBridge."""
        self.patience.begin(OF_AN_EVENT)
        return Events(
            self.control_plane,
            self.reconciler,
            self._clock.time,
            self.retirements,
            self.requests,
            claims=lambda: self.standing_claims,
            follow=self._follow,
            alone=self.alone,
        )

    def claims(self) -> Claims:
        """The work behind one request of a stack."""
        self.patience.begin(OF_A_STACK)
        return Claims(self.control_plane, self.reconciler, self.parameters, self._clock.time)

    def commands(self) -> "OperatorCommands":
        """The work behind an operator's command."""
        self.patience.begin(OF_AN_EVENT)
        return self._commands

    def new_keys(self) -> KmsKeys:
        """The work behind the function that makes keys."""
        self.patience.begin(OF_A_KEY)
        return KmsKeys(self.clients)

    # What a run is made of.

    @cached_property
    def settings(self) -> Settings:
        return Settings.from_environment(self._environment)

    @cached_property
    def control_plane(self) -> ControlPlane:
        return self.settings.control_plane

    @cached_property
    def session(self) -> boto3.Session:
        with aws_call("open an AWS session"):
            session = self._open_session()
        self.patience.accompany(session)
        return session

    @cached_property
    def clients(self) -> Clients:
        return Clients(self.session)

    @cached_property
    def parameters(self) -> SsmParameters:
        return SsmParameters(self.clients, self._pace(PUTS_A_SECOND), self.control_plane.tags)

    @cached_property
    def keys(self) -> KmsKeys:
        return KmsKeys(self.clients, self._pace(CHANGES_A_SECOND), self._make_key_elsewhere)

    def _make_key_elsewhere(self, spec: StoreSpec, use: Use) -> str:
        from foothold.stores.gateways.functions import KeyMaker  # noqa: PLC0415  few runs make a key

        if self.settings.key_maker is None:
            raise PermanentError("the environment variable FOOTHOLD_KEY_MAKER is missing")
        arn = KeyMaker(self.clients, self.settings.key_maker).make(spec, use)
        self.patience.learn_of_key(arn)
        return arn

    @cached_property
    def buckets(self) -> S3Buckets:
        return S3Buckets(self.clients)

    @cached_property
    def reconciler(self) -> Reconciler:
        return Reconciler(
            self.control_plane,
            self.keys,
            self.buckets,
            self.parameters,
            AccountRegions(self.clients),
            announcements=StoreAnnouncements(self.clients, self.control_plane.home_region),
            capacity=AccountCapacity(self.clients),
            clock=self._clock.time,
        )

    @cached_property
    def retirements(self) -> Retirements:
        settings = self.settings
        return Retirements(
            self.control_plane,
            self.reconciler,
            keys=self.keys,
            buckets=self.buckets,
            parameters=self.parameters,
            usage=DeployedUsage(
                self.clients, settings.home_region, settings.stack_reader_role_arns
            ),
            clock=self._clock.time,
        )

    @cached_property
    def requests(self) -> OpenRequests:
        return OpenRequests(self.control_plane, self.parameters, self._clock.time)

    @cached_property
    def standing_claims(self) -> Claims:
        """All claims, and whether their stacks still exist."""
        return Claims(
            self.control_plane, self.reconciler, self.parameters, self._clock.time, self.stacks
        )

    @cached_property
    def alone(self) -> Callable[[], AbstractContextManager[None]]:
        """What keeps other runs of the reconcile function out for a block; it costs nothing where
        Lambda runs it one at a time."""
        if self.settings.reconcile_concurrency == 1:
            return nullcontext
        plane = self.control_plane
        parameter = SsmNumberedParameter(self.clients, plane.home_region, plane.names.turn)
        return Turns(parameter, self._clock.time).one_at_a_time

    @cached_property
    def _commands(self) -> "OperatorCommands":
        # Neither a stack nor an event waits for what only operators need.
        from foothold.stores.adoption import Adoptions  # noqa: PLC0415  see above
        from foothold.stores.handover import HandOvers  # noqa: PLC0415  see above
        from foothold.stores.operator.commands import OperatorCommands  # noqa: PLC0415  see above
        from foothold.stores.preflight import Preflights  # noqa: PLC0415  see above

        plane, reconciler = self.control_plane, self.reconciler
        capacity = AccountCapacity(self.clients, self.settings.key_maker_role_arn)
        return OperatorCommands(
            reconciler,
            self.retirements,
            Preflights(plane, reconciler, capacity, self.pipeline_regions),
            adoptions=Adoptions(
                plane,
                reconciler,
                keys=self.keys,
                buckets=self.buckets,
                parameters=self.parameters,
            ),
            claims=self.standing_claims,
            requests=self.requests,
            hand_overs=HandOvers(
                plane,
                reconciler,
                keys=self.keys,
                buckets=self.buckets,
                parameters=self.parameters,
            ),
            clock=self._clock.time,
            alone=self.alone,
        )

    # Pipelines.

    @cached_property
    def stores(self) -> PublishedStores:
        """The stores as a function of the control plane reads them."""
        plane = self.control_plane
        buckets = RegionalBuckets(RegionalClient(self.session, self.clients.home_region, AT_ONCE))
        trust = Trust(plane.home_region, buckets, lambda: plane.account, plane)
        return PublishedStores(
            lambda: plane.register(self.parameters.below(plane.home_region, plane.names.stores)),
            trust,
        )

    @cached_property
    def pipeline_regions(self) -> PipelineRegions:
        return PipelineRegions(self.clients, lambda: self.settings.pipeline_regions)

    @cached_property
    def stacks(self) -> "CloudFormationStacks":
        from foothold.pipelines.gateways.cloudformation import CloudFormationStacks  # noqa: PLC0415  no stack waits for it

        home = self.control_plane.home_region
        return CloudFormationStacks(self.clients.get("cloudformation", home))

    def _follow(self) -> Mapping[str, int]:
        from foothold.pipelines.follow import follow_stores  # noqa: PLC0415  a tenth of everybody's cold start

        return follow_stores(
            self.stacks,
            self.stores,
            clock=self._clock.monotonic,
            sleep=self._clock.sleep,
            has_codepipeline=self.pipeline_regions,
        )

    # Releases.

    @cached_property
    def reviews(self) -> "Reviews":
        from foothold.releases.actions import Reviews  # noqa: PLC0415  one function's own
        from foothold.releases.gateways.changesets import TargetChangeSets  # noqa: PLC0415  likewise
        from foothold.releases.gateways.records import RegionalRecords  # noqa: PLC0415  likewise
        from foothold.releases.gateways.stacks import DeployedStacks  # noqa: PLC0415  likewise
        from foothold.releases.gateways.target_accounts import TargetClients  # noqa: PLC0415  likewise

        plane = self.control_plane
        client = RegionalClient(self.session, self.clients.home_region, AT_ONCE)
        readers = TargetClients(
            self.session, READER_ROLE, "foothold-review", clock=self._clock.time
        )
        return Reviews(
            plane.names,
            lambda path: self.parameters.below(plane.home_region, path),
            self.stores,
            RegionalRecords(client, lambda: plane.account),
            TargetChangeSets(partial(readers.client, "cloudformation")),
            DeployedStacks(partial(readers.client, "cloudformation")).state,
        )

    @cached_property
    def bakes(self) -> "Bakes":
        from foothold.releases.actions import Bakes  # noqa: PLC0415  one function's own
        from foothold.releases_caller import ReleasesCaller  # noqa: PLC0415  likewise

        plane, clock = self.control_plane, self._clock.time
        caller = ReleasesCaller(plane.parameter_root, lambda: self.session, plane)
        return Bakes(
            plane.names,
            lambda path: self.parameters.below(plane.home_region, path),
            caller.stores,
            caller.records,
            caller.rollouts(clock=clock),
            clock,
        )

    # Packaging.

    @cached_property
    def package_function(self) -> "PackageFunction":
        from foothold.packaging_caller import PackagingCaller  # noqa: PLC0415  it brings aws-sam-cli

        plane = self.control_plane
        caller = PackagingCaller(
            plane.parameter_root, lambda: self.session, plane, self._clock.time
        )
        return caller.package_function

    @cached_property
    def jobs(self) -> "PipelineJobs":
        from foothold.jobs.gateway import PipelineJobs  # noqa: PLC0415  likewise

        return PipelineJobs(self.clients, self.clients.home_region)
