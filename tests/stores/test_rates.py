"""34 cold regions keep within what SSM and KMS take a second, on a clock of their own."""

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import boto3

from foothold.aws.clients import Clients
from foothold.aws.pace import Pace
from foothold.stores.gateways.kms import CHANGES_A_SECOND, KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import PUTS_A_SECOND, SsmParameters
from foothold.stores.model import ControlPlane
from foothold.stores.reconcile import Reconciler
from tests.stores.worlds import ACCOUNT, HOME, moto_in_turn

REGIONS = [*boto3.Session().get_available_regions("ssm")][:34]
CHANGES = {"CreateKey", "CreateAlias", "TagResource", "EnableKeyRotation", "PutKeyPolicy"}


class Everywhere:
    def statuses(self) -> Mapping[str, str]:
        return dict.fromkeys(REGIONS, "ENABLED")

    def opt_in_status(self, region: str) -> str | None:
        return None


class TimeOfEachThread:
    """Every thread sleeps for itself; no call takes any time, which is the worst case."""

    def __init__(self) -> None:
        self._own = threading.local()

    def __call__(self) -> float:
        return getattr(self._own, "now", 0.0)

    def sleep(self, seconds: float) -> None:
        self._own.now = self() + seconds


def busiest_second(times: list[float]) -> int:
    return max(sum(start <= at < start + 1 for at in times) for start in times)


def test_cold_regions_keep_within_the_rates() -> None:
    clock = TimeOfEachThread()
    made: dict[tuple[str, str], list[float]] = defaultdict(list)

    class Counted(Clients):
        def _make(self, service: str, region: str) -> Any:
            client = super()._make(service, region)
            client.meta.events.register(
                "provide-client-params.*.*",
                lambda model, **_: made[region, model.name].append(clock()),
            )
            return client

    plane = ControlPlane(account=ACCOUNT, home_region=HOME, stack="foothold")
    with moto_in_turn():
        clients = Counted(boto3.Session("testing", "testing", region_name=HOME))
        reconciler = Reconciler(
            plane,
            KmsKeys(clients, Pace(CHANGES_A_SECOND, clock, clock.sleep)),
            S3Buckets(clients),
            SsmParameters(clients, Pace(PUTS_A_SECOND, clock, clock.sleep)),
            Everywhere(),
            clock=clock,
        )
        outcomes = reconciler.reconcile(REGIONS)
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == []
    puts = {region: times for (region, name), times in made.items() if name == "PutParameter"}
    assert sum(len(times) for times in puts.values()) == 4 * len(REGIONS)
    assert max(busiest_second(times) for times in puts.values()) <= PUTS_A_SECOND
    for region in REGIONS:
        changes = [at for name in CHANGES for at in made[region, name]]
        assert len(changes) >= 3
        assert busiest_second(changes) <= CHANGES_A_SECOND
    seconds = max(puts[HOME])
    assert seconds <= 2 * len(REGIONS) / PUTS_A_SECOND + 1
