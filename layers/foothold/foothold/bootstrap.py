"""The composition root: settings and sessions become gateways, gateways become services.

Everything here is made once per process and kept while the function stays warm.
"""

import time
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

from foothold.aws.clients import Clients, aws_call, open_session
from foothold.aws.pace import Pace
from foothold.aws.patience import OF_A_KEY, OF_A_STACK, OF_AN_EVENT, Patience
from foothold.aws.regional import RegionalClient
from foothold.errors import FootholdError, PermanentError, refusal
from foothold.observability import logger, metrics
from foothold.reading import Ignored
from foothold.settings import Settings
from foothold.stores.custom_resource.claims import Claims
from foothold.stores.events import EventDoor, raise_what_a_retry_may_help, report
from foothold.stores.gateways.account import AccountCapacity, AccountRegions, PipelineRegions
from foothold.stores.gateways.events import RegionRequests, StoreAnnouncements
from foothold.stores.gateways.kms import CHANGES_A_SECOND, KmsKeys
from foothold.stores.gateways.published import RegionalBuckets
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import PUTS_A_SECOND, SsmNumberedParameter, SsmParameters
from foothold.stores.gateways.usage import DeployedUsage
from foothold.stores.model import ControlPlane, StoreSpec, Use
from foothold.stores.operator.regions import OperatorRegions
from foothold.stores.policies import key_policy
from foothold.stores.reconcile import Reconciler
from foothold.stores.register import Names
from foothold.stores.requests import OpenRequests
from foothold.stores.retirement import Retirements
from foothold.stores.triggers import Scheduled, Trigger, parse_event
from foothold.stores.trust import AT_ONCE, PublishedStores, Trust
from foothold.stores.turns import Turns

FOLLOW_SECONDS = 120.0


@lru_cache
def control_plane() -> ControlPlane:
    return Settings.from_environment().control_plane


@lru_cache
def patience() -> Patience:
    return Patience(time.time, time.sleep)


@lru_cache
def clients() -> Clients:
    with aws_call("open an AWS session"):
        session = open_session()
    patience().accompany(session)
    return Clients(session)


@lru_cache
def parameters() -> SsmParameters:
    return SsmParameters(clients(), Pace(PUTS_A_SECOND), control_plane().tags)


@lru_cache
def keys() -> KmsKeys:
    return KmsKeys(clients(), Pace(CHANGES_A_SECOND), _make_key_elsewhere)


def _make_key_elsewhere(spec: StoreSpec, use: Use) -> str:
    from foothold.stores.gateways.functions import KeyMaker  # noqa: PLC0415  few runs make a key

    name = Settings.from_environment().key_maker
    if name is None:
        raise PermanentError("the environment variable FOOTHOLD_KEY_MAKER is missing")
    arn = KeyMaker(clients(), name).make(spec, use)
    patience().learn_of_key(arn)
    return arn


def _making_keys() -> KmsKeys:
    with aws_call("open an AWS session"):
        session = open_session()
    waiting = Patience(time.time, time.sleep)
    waiting.begin(OF_A_KEY)
    waiting.accompany(session)
    return KmsKeys(Clients(session))


def make_key(event: dict[str, Any]) -> dict[str, Any]:
    """The work behind the function that makes keys; a refusal is an answer too."""
    from foothold.stores.operator.messages import parse_key_wish  # noqa: PLC0415  likewise

    try:
        region, use = parse_key_wish(event)
        spec = control_plane().spec(region)
        return {"key_arn": _making_keys().create(spec, key_policy(spec), use)}
    except FootholdError as error:
        logger.warning("no key was made", error=str(error))
        return refusal(error)


@lru_cache
def reconciler() -> Reconciler:
    return Reconciler(
        control_plane(),
        keys(),
        S3Buckets(clients()),
        parameters(),
        AccountRegions(clients()),
        announcements=StoreAnnouncements(clients(), control_plane().home_region),
        capacity=AccountCapacity(clients()),
    )


@lru_cache
def retirements() -> Retirements:
    settings = Settings.from_environment()
    return Retirements(
        control_plane(),
        reconciler(),
        keys=keys(),
        buckets=S3Buckets(clients()),
        parameters=parameters(),
        usage=DeployedUsage(clients(), settings.home_region, settings.stack_reader_role_arns),
        clock=time.time,
    )


@lru_cache
def open_requests() -> OpenRequests:
    return OpenRequests(control_plane(), parameters(), time.time)


def claims() -> Claims:
    """The work behind one request of a stack, which is patient from now on."""
    patience().begin(OF_A_STACK)
    return Claims(control_plane(), reconciler(), parameters())


@lru_cache
def store_buckets() -> RegionalBuckets:
    session = clients().session
    return RegionalBuckets(RegionalClient(session, clients().home_region, AT_ONCE))


@lru_cache
def published_stores() -> PublishedStores:
    """The stores as a function of the control plane reads them."""
    plane = control_plane()
    trust = Trust(plane.home_region, store_buckets(), lambda: plane.account, plane)
    return PublishedStores(
        lambda: plane.register(parameters().below(plane.home_region, plane.names.stores)), trust
    )


@lru_cache
def standing_claims() -> Claims:
    """All claims, and whether their stacks still exist."""
    from foothold.pipelines.gateways.cloudformation import CloudFormationStacks  # noqa: PLC0415  # no stack waits for it

    stacks = CloudFormationStacks(clients().get("cloudformation", control_plane().home_region))
    return Claims(control_plane(), reconciler(), parameters(), time.time, stacks)


def one_at_a_time() -> AbstractContextManager[None]:
    """For the block, no other run of the reconcile function changes anything. Costs nothing where
    Lambda runs it one at a time. Raises BusyError where another run is at work."""
    if Settings.from_environment().reconcile_concurrency == 1:
        return nullcontext()
    plane = control_plane()
    parameter = SsmNumberedParameter(clients(), plane.home_region, plane.names.turn)
    return Turns(parameter, time.time).one_at_a_time()


@lru_cache
def pipeline_regions() -> PipelineRegions:
    return PipelineRegions(lambda: Settings.from_environment().pipeline_regions)


def answer_macro(event: dict[str, Any]) -> dict[str, Any]:
    """The work behind the CloudFormation macro."""
    from foothold.pipelines import macro as pipelines  # noqa: PLC0415  # a tenth of everybody's cold start

    root = control_plane().parameter_root
    boundary = Settings.from_environment().permissions_boundary_arn
    return pipelines.answer_macro(
        event, published_stores(), root, pipeline_regions(), boundary=boundary
    )


def follow_stores() -> None:
    """Submit anew the stacks that follow the stores, where these have changed."""
    from foothold.pipelines import follow  # noqa: PLC0415  # a tenth of everybody's cold start
    from foothold.pipelines.gateways.cloudformation import CloudFormationStacks  # noqa: PLC0415  # likewise

    plane = control_plane()
    stacks = CloudFormationStacks(clients().get("cloudformation", plane.home_region))
    end = time.monotonic() + FOLLOW_SECONDS
    updates = follow.update_following(
        stacks,
        published_stores(),
        sleep=time.sleep,
        seconds_left=lambda: end - time.monotonic(),
        has_codepipeline=pipeline_regions(),
    )
    result = follow.follow_report(updates)
    metrics.add_metric("StacksRefused", "Count", len(result.get("refused", ())))
    logger.info("following stacks", report=result)


def answer_event(event: dict[str, Any]) -> dict[str, Any]:
    """The work behind EventBridge: reconcile what the event is about, and report each region.

    An event that asks for nothing is logged with its reason and answered with an empty report.
    Raises TemporaryError, for Lambda to retry, where a region failed for a while only, or where
    another run is at work and nothing reserves concurrency.
    """
    plane = control_plane()
    trigger = parse_event(event, account=plane.account, parameter_root=plane.parameter_root)
    if isinstance(trigger, Ignored):
        logger.warning("event ignored", reason=trigger.reason)
        return {}
    patience().begin(OF_AN_EVENT)
    with one_at_a_time():
        return _answer(trigger, plane)


def _answer(trigger: Trigger, plane: ControlPlane) -> dict[str, Any]:
    if isinstance(trigger, Scheduled):
        dropped = standing_claims().release_of_gone_stacks()
        if dropped:
            names = [f"{claim.region}/{claim.name}" for claim in dropped]
            logger.warning("claims of stacks that are gone were dropped", claims=names)
    door = EventDoor(plane, reconciler(), time.time, retirements(), open_requests())
    outcomes = door.answer(trigger)
    failed = [outcome for outcome in outcomes if outcome.failed]
    result = report(outcomes)
    metrics.add_metric("RegionsReconciled", "Count", len(outcomes))
    metrics.add_metric("RegionsFailed", "Count", len(failed))
    metrics.add_metric("StepsTaken", "Count", sum(len(outcome.steps) for outcome in outcomes))
    alarms = [str(step) for outcome in outcomes for step in outcome.alarms]
    metrics.add_metric("StoresAlarmed", "Count", len(alarms))
    if alarms:
        logger.error("a person should look at stores", alarms=alarms)
    log = logger.error if failed else logger.info
    log("regions reconciled", trigger=type(trigger).__name__, report=result)
    if isinstance(trigger, Scheduled) or any(outcome.steps for outcome in outcomes):
        follow_stores()
    door.remember(trigger, outcomes)
    raise_what_a_retry_may_help(outcomes)
    return result


def published_pipeline_regions(parameter_root: str) -> PipelineRegions:
    """The same outside the functions: what the stack parameter PipelineRegions adds is published,
    and read where a region comes up that the SDK's list lacks."""

    def published() -> tuple[str, ...]:
        name = Names(parameter_root).pipeline_regions
        found = SsmParameters(clients()).get(clients().home_region, (name,))
        return tuple(found[name].split(",")) if name in found else ()

    return PipelineRegions(published)


def region_desk(parameter_root: str) -> OperatorRegions:
    """The operator's desk in the session's own region. Raises PermanentError where the session
    has no region."""
    home = clients().home_region
    return OperatorRegions(
        home,
        Names(parameter_root),
        SsmParameters(clients()),
        AccountRegions(clients()),
        RegionRequests(clients(), home),
        trust=Trust(home, store_buckets(), clients().account),
    )
