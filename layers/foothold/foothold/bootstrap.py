"""The composition root: settings and sessions become gateways, gateways become services.

Everything here is made once per process and kept while the function stays warm.
"""

import time
from functools import lru_cache
from typing import Any

import boto3

from foothold.domain.models import ControlPlane
from foothold.gateways.account import AccountRegions
from foothold.gateways.aws import Clients, aws_call
from foothold.gateways.events import RegionRequests
from foothold.gateways.kms import KmsKeys
from foothold.gateways.s3 import S3Buckets
from foothold.gateways.ssm import SsmParameters
from foothold.messages import Ignored, parse_event
from foothold.observability import logger, metrics
from foothold.services.claims import Claims
from foothold.services.events import EventDoor, raise_what_a_retry_may_help, report
from foothold.services.reconcile import Reconciler
from foothold.services.regions import RegionDesk
from foothold.settings import Settings


@lru_cache
def control_plane() -> ControlPlane:
    return Settings.from_environment().control_plane


@lru_cache
def clients() -> Clients:
    with aws_call("open an AWS session"):
        return Clients(boto3.Session())


@lru_cache
def reconciler() -> Reconciler:
    return Reconciler(
        control_plane(),
        KmsKeys(clients()),
        S3Buckets(clients()),
        SsmParameters(clients()),
        AccountRegions(clients()),
    )


@lru_cache
def claims() -> Claims:
    """The work behind the custom resource."""
    return Claims(control_plane(), reconciler(), SsmParameters(clients()))


def answer_event(event: dict[str, Any]) -> dict[str, Any]:
    """The work behind EventBridge: reconcile what the event is about, and report each region.

    An event that asks for nothing is logged with its reason and answered with an empty report.
    Raises TemporaryError, for Lambda to retry, where a region failed for a while only.
    """
    plane = control_plane()
    trigger = parse_event(event, account=plane.account, parameter_root=plane.parameter_root)
    if isinstance(trigger, Ignored):
        logger.warning("event ignored", reason=trigger.reason)
        return {}
    outcomes = EventDoor(plane, reconciler(), time.time).answer(trigger)
    failed = [outcome for outcome in outcomes if outcome.error]
    result = report(outcomes)
    metrics.add_metric("RegionsReconciled", "Count", len(outcomes))
    metrics.add_metric("RegionsFailed", "Count", len(failed))
    metrics.add_metric("StepsTaken", "Count", sum(len(outcome.steps) for outcome in outcomes))
    log = logger.error if failed else logger.info
    log("regions reconciled", trigger=type(trigger).__name__, report=result)
    raise_what_a_retry_may_help(outcomes)
    return result


def region_desk(parameter_root: str) -> RegionDesk:
    """The operator's desk in the session's own region. Raises PermanentError where the session
    has no region."""
    home = clients().home_region
    return RegionDesk(
        home,
        parameter_root,
        SsmParameters(clients()),
        AccountRegions(clients()),
        RegionRequests(clients(), home),
    )
