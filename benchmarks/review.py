"""A review, measured: `make bench-review`.

68 change sets in 2 accounts and 34 regions, of RESOURCES changes each with their properties before
and after, through the SDK's own clients; every call takes DELAY_SECONDS and then answers as AWS
does. Times of one machine are told next to the time of one change set; the rest are counts.
"""

import json
import resource
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from xml.sax.saxutils import escape

import boto3
from botocore.awsrequest import AWSResponse
from rich.console import Console
from rich.table import Table

from foothold.releases.changes import SetState
from foothold.releases.gateways.changesets import TargetChangeSets
from foothold.releases.gateways.target_accounts import TargetClients
from foothold.releases.model import Cell
from foothold.releases.page import html
from foothold.releases.review import Review, fold
from foothold.releases.shown import markdown

DELAY_SECONDS = 0.1
RESOURCES = 40
ACCOUNTS = ("111111111111", "222222222222")
REGIONS = 34
LENT = {
    "AccessKeyId": "ASIA",
    "SecretAccessKey": "secret",
    "SessionToken": "token",
    "Expiration": "2100-01-01T00:00:00Z",
}


def xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{name}>{xml(item)}</{name}>" for name, item in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{xml(item)}</member>" for item in value)
    return escape(str(value))


def changes(region: str) -> Iterator[dict[str, Any]]:
    for number in range(RESOURCES):
        variables = {f"NAME_{n}": f"https://example.{region}.amazonaws.com/{n}" for n in range(20)}
        before = {"Environment": {"Variables": variables}, "MemorySize": "128"}
        target = {"Attribute": "Properties", "Path": "/Properties/MemorySize"}
        values = {"BeforeValue": "128", "AfterValue": "256", "RequiresRecreation": "Never"}
        yield {
            "Type": "Resource",
            "ResourceChange": {
                "Action": "Modify",
                "LogicalResourceId": f"Function{number}",
                "PhysicalResourceId": f"shop-Function{number}-ABCDEFGHIJKL",
                "ResourceType": "AWS::Lambda::Function",
                "Replacement": "True" if number == 0 else "False",
                "Scope": ["Properties"],
                "Details": [{"Target": target | values, "Evaluation": "Static"}],
                "BeforeContext": json.dumps({"Properties": before}),
                "AfterContext": json.dumps({"Properties": before | {"MemorySize": "256"}}),
            },
        }


class Aws:
    """Answers every request after a while, and counts them."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.session = boto3.Session("key", "secret", region_name="eu-central-1")
        events: Any = self.session.events  # a handler of before-send may answer
        events.register("before-send.*.*", self.answer)

    def answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        operation = event_name.rpartition(".")[2]
        with self._lock:
            self.calls[operation] += 1
        time.sleep(DELAY_SECONDS)
        region = request.url.split(".")[1]
        answers: dict[str, Callable[[], Any]] = {
            "AssumeRole": lambda: {"Credentials": LENT},
            "GetTemplate": lambda: {"TemplateBody": f"# {region}\n" * 1000},
            "DescribeChangeSet": lambda: {
                "ChangeSetId": f"arn:aws:cloudformation:{region}:changeSet/it",
                "Status": "CREATE_COMPLETE",
                "ExecutionStatus": "AVAILABLE",
                "Changes": list(changes(region)),
            },
        }
        found = answers[operation]()
        body = xml({f"{operation}Response": {f"{operation}Result": found}})
        return _Answer(request.url, body.encode())


class _Answer(AWSResponse):
    """An answer of which everything is there."""

    def __init__(self, url: str, body: bytes) -> None:
        nothing: Any = {}
        super().__init__(url, 200, nothing, None)
        self._content = body


def reviewed(regions: int) -> tuple[Review, Aws]:
    aws = Aws()
    names = aws.session.get_available_regions("cloudformation")[:regions]
    cells = [Cell(account, region, "shop") for account in ACCOUNTS for region in names]
    cells = cells[:1] if regions == 1 else cells
    accounts = TargetClients(aws.session, "foothold-reader", "foothold-review")
    reader = TargetChangeSets(partial(accounts.client, "cloudformation"))
    review = fold("shop", "prod", "run", reader.read_all(cells, "it"))
    assert html(review)
    assert markdown(review)
    assert review.render()
    if any(group.state is not SetState.READY for group in review.groups):
        raise SystemExit(f"not measured: {review.groups[0].reason}")
    return review, aws


def main() -> None:
    table = Table(title=f"A review, with {DELAY_SECONDS * 1000:.0f} ms added to every call")
    for name in ("what", "measured", "goal"):
        table.add_column(name)
    began = time.perf_counter()
    reviewed(1)
    single = time.perf_counter() - began
    began, worked = time.perf_counter(), time.process_time()
    review, aws = reviewed(REGIONS)
    whole, worked = time.perf_counter() - began, time.process_time() - worked
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sets = len(review.reviewed)
    reads = aws.calls["DescribeChangeSet"] + aws.calls["GetTemplate"]
    writes = sum(aws.calls.values()) - reads - aws.calls["AssumeRole"]
    table.add_row(f"{sets} change sets, cold, with the page", f"{whole:.1f} s", "<= 5 s")
    table.add_row("of it this machine's own work", f"{worked:.1f} s", "")
    table.add_row(f"{sets} change sets against 1", f"{whole / single:.1f}x", "")
    table.add_row("reads a change set", f"{reads / sets:.1f}", "<= 2")
    table.add_row("roles assumed", str(aws.calls["AssumeRole"]), str(len(ACCOUNTS)))
    table.add_row("writes", str(writes), "0")
    table.add_row("groups", str(len(review.groups)), "1")
    table.add_row("peak memory", f"{memory} MiB", "<= 256 MiB")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
