"""The composition root of whoever calls on a control plane from outside: a person at a command
line, with a session of their own and the name of what is published."""

import time
from collections.abc import Callable
from functools import cached_property, partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from foothold.aws.clients import CONFIG, Clients, aws_call, open_session
from foothold.aws.regional import RegionalClient
from foothold.errors import NotReachedError
from foothold.refused import READER_ROLE
from foothold.releases.gateways.records import RegionalRecords
from foothold.releases.keeping import Releases
from foothold.releases.model import ReleaseTarget, ReleaseTargets
from foothold.stores.gateways.account import AccountRegions, PipelineRegions
from foothold.stores.gateways.events import RegionRequests
from foothold.stores.gateways.published import RegionalBuckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import ControlPlane
from foothold.stores.register import ArtifactStore, Names
from foothold.stores.trust import PublishedStores, Trust, read_where_deployed

if TYPE_CHECKING:
    from foothold.acceptance.run import Acceptance
    from foothold.explain.explaining import Explanations
    from foothold.releases.gateways.changesets import TargetChangeSets
    from foothold.stores.gateways.functions import LambdaFunction
    from foothold.stores.operator.regions import OperatorRegions

# The function's own time, and a little: a command is never sent twice.
PATIENT = CONFIG.merge(Config(read_timeout=310, retries={"total_max_attempts": 1}))
THREADS = 64  # requests under way at a time; each of them waits far longer than it works


class Caller:
    """What a command works with, made when first asked for.

    `parameter_root` is where the control plane publishes, such as `/foothold`; `control_plane` is
    the one that calls, None for anybody else; `clock` tells seconds since 1970. Every attribute
    raises PermanentError where no AWS session can be opened, or where it has no region.
    """

    def __init__(
        self,
        parameter_root: str,
        session: Callable[[], boto3.Session] = open_session,
        control_plane: ControlPlane | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._names = Names(parameter_root)
        self._open_session = session
        self._control_plane = control_plane

    @cached_property
    def session(self) -> boto3.Session:
        with aws_call("open an AWS session"):
            return self._open_session()

    @cached_property
    def clients(self) -> Clients:
        return Clients(self.session)

    @property
    def home_region(self) -> str:
        return self.clients.home_region

    @cached_property
    def account(self) -> Callable[[], str]:
        """The caller's own account: the control plane's, where one is calling."""
        plane = self._control_plane
        return self.clients.account if plane is None else lambda: plane.account

    @cached_property
    def regional_client(self) -> RegionalClient:
        return RegionalClient(self.session, self.home_region, THREADS)

    @cached_property
    def parameters(self) -> SsmParameters:
        return SsmParameters(self.clients)

    @cached_property
    def regions(self) -> "OperatorRegions":
        """What an operator does with regions."""
        from foothold.stores.operator.regions import OperatorRegions  # noqa: PLC0415  packaging keeps none

        return OperatorRegions(
            self.home_region,
            self.stores,
            self.parameters,
            AccountRegions(self.clients),
            RegionRequests(self.clients, self.home_region),
        )

    @cached_property
    def stores(self) -> PublishedStores:
        """The stores that are published. It raises PermanentError where Foothold is not
        deployed."""
        buckets = RegionalBuckets(self.regional_client)
        return PublishedStores(
            partial(read_where_deployed, self.parameters, self.home_region, self._names),
            Trust(self.home_region, buckets, self.account, self._control_plane),
        )

    @cached_property
    def releases(self) -> Releases:
        """The releases that the stores have."""
        return Releases(self.records, self.stores, self.home_region, threads=THREADS)

    @cached_property
    def records(self) -> RegionalRecords:
        return RegionalRecords(self.regional_client, self.account)

    @cached_property
    def change_sets(self) -> "TargetChangeSets":
        """Change sets in target accounts, read as the reader role there."""
        from foothold.releases.gateways.changesets import TargetChangeSets  # noqa: PLC0415  reviews alone
        from foothold.releases.gateways.target_accounts import TargetClients  # noqa: PLC0415  likewise

        accounts = TargetClients(self.session, READER_ROLE, "foothold-cli")
        return TargetChangeSets(partial(accounts.client, "cloudformation"))

    def release_targets(self, project: str) -> ReleaseTargets:
        """What a pipeline publishes that its releases are made for. Raises PermanentError where
        it publishes nothing."""
        path = self._names.pipeline(project)
        return ReleaseTargets.as_published(self.parameters.below(self.home_region, path), path)

    def declared_targets(self, project: str) -> tuple[ReleaseTarget, ...]:
        """What a project goes to: what its pipeline publishes, or else what its newest release was
        made for. Raises PermanentError for a project that has neither."""
        path = self._names.pipeline(project)
        found = self.parameters.below(self.home_region, path)
        if found:
            return ReleaseTargets.as_published(found, path).targets
        return self.releases.read(project).targets

    @cached_property
    def home_store(self) -> ArtifactStore:
        """Where reviews, rollouts and holds are kept. Raises PermanentError where it is not."""
        home = self.home_region
        nothing = f"{home} has no artifact store: `foothold regions add {home}` makes it"
        return self.stores.ready().usable(home, nothing)

    @cached_property
    def pipeline_regions(self) -> PipelineRegions:
        """What the stack parameter PipelineRegions adds is published, and read where a region
        comes up that the SDK's list lacks."""

        def published() -> tuple[str, ...]:
            found = self._published(self._names.pipeline_regions)
            return tuple(found.split(",")) if found else ()

        return PipelineRegions(self.clients, published)

    @cached_property
    def function(self) -> "LambdaFunction":
        """The function that answers commands. Raises NotReachedError where Foothold is not
        deployed in the session's region."""
        from foothold.stores.gateways.functions import LambdaFunction  # noqa: PLC0415  packaging asks none

        parameter = self._names.reconcile_function
        name = self._published(parameter)
        if name is None:
            raise NotReachedError(
                f"Foothold is not deployed in {self.home_region} of this account (there is no "
                f"parameter {parameter}): deploy it with `sam deploy`, or choose its region"
            )
        return LambdaFunction(Clients(self.session, PATIENT), name)

    def _published(self, name: str) -> str | None:
        return self.parameters.get(self.home_region, (name,)).get(name)

    def acceptance(self, target_profile: str | None, deploy_role: str) -> "Acceptance":
        """The acceptance runs of the control plane. Every client comes of one session, which
        counts what is sent. Raises PermanentError also where no such profile is there."""
        from foothold.acceptance.gateway import OperatorsAccount, TargetAccount  # noqa: PLC0415  it alone asks
        from foothold.acceptance.run import Acceptance, Operator  # noqa: PLC0415  likewise

        target = None
        if target_profile:
            with aws_call("open the target profile"):
                there = boto3.Session(profile_name=target_profile)
                target = TargetAccount(self.session, there, deploy_role)
        live = OperatorsAccount(self.session, target)
        return Acceptance(
            Operator(
                live,
                self.regions,
                self.function,
                self.parameters,
                AccountRegions(self.clients),
                RegionRequests(self.clients, self.home_region),
                home_region=self.home_region,
                names=self._names,
                clock=self._clock,
                sleep=time.sleep,
                new_id=lambda: token_hex(4),
            )
        )

    def explanations(self, profile: str | None, management: str | None) -> "Explanations":
        """What explains a refusal. The principal's account is read with the profile, or as its
        reader role; the organisation's policies with the profile of its management account, where
        one is given. Raises PermanentError also where no such profile is there."""
        from foothold.explain.explaining import Explanations  # noqa: PLC0415  it alone asks
        from foothold.explain.gateways.facts import AwsObserver  # noqa: PLC0415  likewise
        from foothold.explain.gateways.organization import OrganizationPolicies  # noqa: PLC0415  likewise
        from foothold.explain.gateways.pipelines import CodePipelineRoles  # noqa: PLC0415  likewise
        from foothold.settings import Settings  # noqa: PLC0415  likewise

        policies = None
        if management:
            with aws_call("open the management account's profile"):
                session: Any = boto3.Session(profile_name=management)
                client = session.client("organizations", region_name=self.home_region)
                policies = OrganizationPolicies(client)
        observer = AwsObserver(
            self.account,
            self.home_region,
            self._names,
            self._client_in(profile),
            lambda variables: Settings.from_environment(variables).control_plane,
            organization=policies,
        )
        pipelines = CodePipelineRoles(self.clients, self.home_region)
        return Explanations(observer, pipelines, self.home_region)

    def _client_in(self, profile: str | None) -> Callable[[str, str, str], Any]:
        """Makes a client of a service, in an account and a region."""
        from foothold.releases.gateways.target_accounts import TargetClients  # noqa: PLC0415  see above

        here: Any = self.clients.get
        targets = TargetClients(self.session, READER_ROLE, "foothold-explain")
        with aws_call("open the profile"):
            there: Any = Clients(boto3.Session(profile_name=profile)).get if profile else None

        def client(service: str, account: str, region: str) -> Any:
            if account == self.account():
                return here(service, region)
            return there(service, region) if there else targets.client(service, account, region)

        return client
