"""A board, measured: `make bench-board`.

10 projects in 2 accounts and 34 regions, which are 680 cells of 4 functions, through the SDK's own
clients; every call takes DELAY_SECONDS and then answers as AWS does. Of the time of one machine it
is told how much is its own work; the rest are counts.
"""

import json
import resource
import threading
import time
from collections import Counter
from functools import partial
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import boto3
from botocore.awsrequest import AWSResponse
from rich.console import Console
from rich.table import Table

from foothold.packaging.release import code_of
from foothold.releases.board import Board, Mark
from foothold.releases.board_page import html
from foothold.releases.gateways.cells import TargetCells
from foothold.releases.gateways.target_accounts import TargetClients
from foothold.releases.keeping import Releases
from foothold.releases.observe import Boards
from foothold.stores.published import Published
from foothold.stores.register import ArtifactStore
from proof.boards import ACCOUNTS, AT, EVERYWHERE, HOME, PAGES, RegionClient, World, store

DELAY_SECONDS = 0.1
PROJECTS = 10
THREADS = 64
LENT = {"SecretAccessKey": "s", "SessionToken": "t", "Expiration": "2100-01-01T00:00:00Z"}
SNAKE = {
    "DescribeStacks": "describe_stacks",
    "ListStackResources": "list_stack_resources",
    "ListFunctions": "list_functions",
}


class Slow(World):
    """Home's answers, each after a while."""

    def call(self, operation: str) -> None:
        with LOCK:
            super().call(operation)

    def ready(self) -> Published:
        return Published({region: store(region) for region in EVERYWHERE}, {})

    def read(self, at: ArtifactStore, key: str) -> tuple[bytes, str] | None:
        time.sleep(DELAY_SECONDS)
        return super().read(at, key)

    def folders(self, at: ArtifactStore, prefix: str) -> Any:
        time.sleep(DELAY_SECONDS)
        return super().folders(at, prefix)


LOCK = threading.Lock()


def xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"<{name}>{xml(item)}</{name}>" for name, item in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{xml(item)}</member>" for item in value)
    return escape(value.isoformat() if value is AT else str(value))


class Aws:
    """Answers every request to target accounts after a while, and counts them."""

    def __init__(self, world: World) -> None:
        self.calls: Counter[str] = Counter()
        self._world = world
        # A region's stacks and functions, found once, so that the model costs no time.
        self._stacks: dict[tuple[str, str], World] = {}
        for cell, stack in world.stacks.items():
            here = self._stacks.setdefault((cell.account, cell.region), World())
            here.stacks[cell] = stack
        for place, sha256 in world.code.items():
            self._stacks[place[:2]].code[place] = sha256
        self.session = boto3.Session("key", "secret", region_name=HOME)
        events: Any = self.session.events  # a handler of before-send may answer
        events.register("before-send.*.*", self.answer)

    def answer(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        operation = event_name.rpartition(".")[2]
        with LOCK:
            self.calls[operation] += 1
        time.sleep(DELAY_SECONDS)
        body = request.body.decode() if isinstance(request.body, bytes) else request.body
        asked = {name: values[0] for name, values in parse_qs(body or "").items()}
        if operation == "AssumeRole":
            account = asked["RoleArn"].split(":")[4]
            found: Any = {"Credentials": {"AccessKeyId": f"ASIA{account}", **LENT}}
        else:
            found = self._of_place(operation, request, asked)
        if operation == "ListFunctions":
            return _Answer(request.url, json.dumps(found).encode())
        text = xml({f"{operation}Response": {f"{operation}Result": found}})
        return _Answer(request.url, text.encode())

    def _of_place(self, operation: str, request: Any, asked: dict[str, str]) -> Any:
        account = str(request.headers["Authorization"]).partition("ASIA")[2][:12]
        region = request.url.split(".")[1]
        client = RegionClient(self._stacks[account, region], "", account, region)
        if operation == "GetTemplate":
            return client.get_template(StackName=asked["StackName"])
        name, size = PAGES[SNAKE[operation]]
        if operation == "ListStackResources":
            return {name: list(client.list_stack_resources(asked["StackName"]))}
        return {name: list(getattr(client, SNAKE[operation])())[:size]}


class _Answer(AWSResponse):
    """An answer of which everything is there."""

    def __init__(self, url: str, body: bytes) -> None:
        nothing: Any = {}
        super().__init__(url, 200, nothing, None)
        self._content = body


def looked_at() -> tuple[Board, Slow, Aws]:
    world = Slow()
    for number in range(PROJECTS):
        world.deploy(f"project{number}", ACCOUNTS, EVERYWHERE)
    aws = Aws(world)
    records: Any = world
    releases = Releases(records, records, HOME, threads=THREADS)
    world.calls = 0
    board = Boards(
        releases=releases,
        records=records,
        home=lambda: store(HOME),
        cells=TargetCells(TargetClients(aws.session, "foothold-reader", "foothold-board").client),
        declared=world.declared.__getitem__,
        code_of=partial(code_of, releases),
        clock=AT.timestamp,
        threads=THREADS,
    ).board(sorted(world.declared))
    assert html(board)
    return board, world, aws


def main() -> None:
    began, worked = time.perf_counter(), time.process_time()
    board, world, aws = looked_at()
    whole, worked = time.perf_counter() - began, time.process_time() - worked
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    cells = len(list(board.cells))
    if board.counts != {Mark.PROVED: cells}:
        raise SystemExit(f"not measured: {board.summary}; {next(iter(board.troubles), '')}")
    there = sum(aws.calls.values()) - aws.calls["AssumeRole"]
    table = Table(title=f"A board, with {DELAY_SECONDS * 1000:.0f} ms added to every call")
    for name in ("what", "measured", "goal"):
        table.add_column(name)
    table.add_row(f"{cells} cells, cold, with the page", f"{whole:.1f} s", "<= 25 s")
    table.add_row("of it this machine's own work", f"{worked:.1f} s", "")
    table.add_row("reads a cell, in target accounts", f"{there / cells:.2f}", "")
    table.add_row("reads a cell, at home", f"{world.calls / cells:.2f}", "")
    table.add_row("reads a cell", f"{(there + world.calls) / cells:.2f}", "<= 3")
    table.add_row("roles assumed", str(aws.calls["AssumeRole"]), str(len(ACCOUNTS)))
    table.add_row("peak memory", f"{memory} MiB", "<= 256 MiB")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
