"""Artifact stores, measured: `make bench-stores`.

Every figure is a ratio of two runs side by side on this machine, on an embedded AWS with
DELAY_SECONDS added to every call, or a count. Nothing here is an absolute claim.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table

from foothold.aws.clients import Clients
from foothold.stores.aspects import turn
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import ControlPlane
from foothold.stores.reconcile import Reconciler
from local.aws.embedded import HOME_REGION, ORGANIZATION, ROOT, TOOLS, Embedded

DELAY_SECONDS = 0.1
MANY = 34
ROUNDS = 3
READS = ("Get", "List", "Describe", "Head")
LIBRARIES = "import boto3, pydantic, aws_lambda_powertools as p; p.Metrics(), p.Tracer()"
HANDLER = "from functions.artifact_store import app"


class SlowClients(Clients):
    """Clients that count their calls by region and operation, and take longer for each."""

    def __init__(self, session: boto3.Session) -> None:
        super().__init__(session)
        self.calls: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()

    def _make(self, service: str, region: str) -> Any:
        client = super()._make(service, region)

        def count(model: Any, **_: Any) -> None:
            with self._counting:
                self.calls[region, model.name] += 1

        client.meta.events.register("provide-client-params.*.*", count)
        client.meta.events.register("before-send.*.*", lambda **_: time.sleep(DELAY_SECONDS))
        return client


class EveryRegion:
    """`stores.ports.Regions` with every region enabled; the emulator knows fewer."""

    def statuses(self) -> dict[str, str]:
        return dict.fromkeys(every_region(), "ENABLED")

    def opt_in_status(self, _region: str) -> None:
        return None


def every_region() -> list[str]:
    return boto3.Session().get_available_regions("ssm")[:MANY]


def reconciler(embedded: Embedded, prefix: str) -> tuple[Reconciler, SlowClients]:
    """A reconciler with cold clients, whose stores no other run shares."""
    clients = SlowClients(embedded.session(TOOLS, HOME_REGION))
    plane = ControlPlane(
        account=TOOLS,
        home_region=HOME_REGION,
        stack=prefix,
        prefix=prefix,
        parameter_root=f"/{prefix}",
        organization_ids=(ORGANIZATION,),
        reader_roles=("foothold-deploy",),
    )
    gateways = (KmsKeys(clients), S3Buckets(clients), SsmParameters(clients))
    return Reconciler(plane, *gateways, EveryRegion(), clock=time.time), clients


def seconds(work: Any) -> float:
    started = time.perf_counter()
    outcomes = work()
    elapsed = time.perf_counter() - started
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if errors:
        raise SystemExit(f"not measured: {errors[0]}")
    return elapsed


def cold_and_steady(embedded: Embedded, table: Table) -> None:
    regions = every_region()
    cold, steady, reads, writes = [], [], [], []
    for number in range(ROUNDS):
        one, _ = reconciler(embedded, f"one{number}")
        many, clients = reconciler(embedded, f"many{number}")
        single = seconds(lambda one=one: one.reconcile(["eu-west-1"]))
        cold.append(seconds(lambda many=many: many.reconcile(regions)) / single)
        single = seconds(lambda one=one: one.reconcile(["eu-west-1"], turn(0)))
        clients.calls.clear()
        whole = seconds(lambda many=many: many.reconcile(regions, turn(0)))
        steady.append(whole / single)
        shared = {"GetParametersByPath"}
        counted = {call: n for call, n in clients.calls.items() if call[1] not in shared}
        read = sum(n for (_, name), n in counted.items() if name.startswith(READS))
        reads.append(read / len(regions))
        writes.append(sum(counted.values()) - read)
    count = f"{len(regions)} regions against 1"
    table.add_row(f"cold: {count}, time", f"{median(cold):.2f}x", "<= 2x")
    table.add_row(f"steady: {count}, time", f"{median(steady):.2f}x", "<= 2x")
    table.add_row("steady: reads a region", f"{max(reads):.1f}", "<= 6")
    table.add_row("steady: writes, all regions", f"{max(writes)}", "0")


def import_cost(table: Table) -> None:
    def import_seconds(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "layers/foothold")
        return time.perf_counter() - started

    ratios = [import_seconds(HANDLER) / import_seconds(LIBRARIES) for _ in range(9)]
    table.add_row("a handler's import against its libraries'", f"{median(ratios):.2f}x", "<= 1.2x")


def peak_memory(embedded: Embedded, table: Table) -> None:
    """The highest resident memory of a process that reconciles all regions from cold."""
    code = (
        "import resource; from benchmarks.stores import *;"
        f"work, _ = reconciler(Embedded(Path({str(embedded.folder)!r})), 'memory');"
        "assert not [o.error for o in work.reconcile(every_region()) if o.error];"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    )
    table.add_row(f"peak memory, {MANY} cold regions", f"{done.stdout.strip()} MB", "< 256 MB")


def main() -> None:
    table = Table("What", "Measured", "Goal", title=f"{DELAY_SECONDS * 1000:.0f} ms added a call")
    with tempfile.TemporaryDirectory() as folder:
        embedded = Embedded(Path(folder))
        embedded.start()
        try:
            cold_and_steady(embedded, table)
            peak_memory(embedded, table)
        finally:
            embedded.stop()
    import_cost(table)
    Console().print(table)


if __name__ == "__main__":
    main()
