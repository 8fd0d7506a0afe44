"""Boards: what is told of worlds whose truth is known.

A world is what CloudFormation and Lambda would answer in each region of each account. The
product's own reader reads it; the truth is kept beside it, by whoever made the world.
"""

import base64
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product
from typing import Any

from botocore.exceptions import ClientError

from foothold.packaging.manifest import Manifest, PackagedObject, RegionPackage
from foothold.packaging.release import code_of, release_of
from foothold.partitions import REGIONS, partition_of
from foothold.releases.board import Board, BoardCell, Mark
from foothold.releases.gateways.cells import TargetCells
from foothold.releases.keeping import Releases
from foothold.releases.model import (
    MANIFEST,
    PROJECT_TAG,
    RELEASE,
    RELEASE_TAG,
    Cell,
    Release,
    ReleaseTarget,
    SourceFacts,
)
from foothold.releases.observe import Boards
from foothold.stores.published import Published
from foothold.stores.register import ArtifactStore
from proof.result import Result, Scale

Json = dict[str, Any]
Dice = random.Random

ACCOUNTS = ("111111111111", "222222222222")
HOME = "eu-central-1"
EVERYWHERE = (
    HOME,
    *sorted(r for r in REGIONS if partition_of(r).name == "aws" and r != HOME)[:33],
)
FUNCTIONS = 4  # of each stack
FUNCTIONS_A_PAGE = 50  # AWS Lambda API Reference, "ListFunctions"
STACKS_A_PAGE = 20
AT = datetime(2026, 1, 1, tzinfo=UTC)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def as_lambda_has_it(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@dataclass
class Stack:
    """A stack as it is: `functions` are those that its template has, by logical id their names."""

    status: str = "UPDATE_COMPLETE"
    tags: Json = field(default_factory=dict)
    template: Any = ""
    functions: dict[str, str] = field(default_factory=dict)
    nested: tuple[str, ...] = ()
    parent: str = ""
    drift: str = "NOT_CHECKED"


@dataclass
class World:
    """What is where. `refused` are the operations that are refused, `calls` how many were made."""

    stacks: dict[Cell, Stack] = field(default_factory=dict)
    code: dict[tuple[str, str, str], str] = field(default_factory=dict)
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    declared: dict[str, tuple[ReleaseTarget, ...]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    calls: int = 0

    def call(self, operation: str) -> None:
        self.calls += 1
        if operation in self.refused:
            error: Any = {"Error": {"Code": "AccessDenied", "Message": "not to be read"}}
            raise ClientError(error, operation)

    # The stores: releases.ports.Records, and what is published, of one region

    def ready(self) -> Published:
        return Published({HOME: store(HOME)}, {})

    def read(self, at: ArtifactStore, key: str) -> tuple[bytes, str] | None:
        self.calls += 1
        body = self.objects.get((at.bucket, key))
        return None if body is None else (body, "")

    def folders(self, at: ArtifactStore, prefix: str) -> Sequence[str]:
        self.calls += 1
        names = [key for bucket, key in self.objects if bucket == at.bucket]
        below = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
        return sorted({name.partition("/")[0] for name in below})

    # A project

    def deploy(self, project: str, accounts: Sequence[str], regions: Sequence[str]) -> Release:
        """Package a project's release, and have it run everywhere."""
        release = self.keep(project, accounts, regions)
        for target in release.targets:
            for cell in target.cells:
                self.run(release, cell)
        self.declared[project] = release.targets
        return release

    def keep(
        self, project: str, accounts: Sequence[str], regions: Sequence[str], content: str = "a"
    ) -> Release:
        packages = tuple(packaged(project, region, content) for region in regions)
        targets = (
            ReleaseTarget(f"Target{number}", account, project, tuple((r,) for r in regions))
            for number, account in enumerate(accounts)
        )
        manifest = Manifest(project, packages, {})
        source = SourceFacts(commit=digest(content)[:40])
        release = replace(release_of(manifest, targets), source=source)
        for name, body in ((RELEASE, release.render()), (MANIFEST, manifest.render())):
            self.objects[store(HOME).bucket, release.prefix + name] = body
        return release

    def run(self, release: Release, cell: Cell, content: str = "a") -> None:
        names = {f"F{n}": f"{cell.stack}-F{n}-{cell.region}" for n in range(FUNCTIONS)}
        tags = {PROJECT_TAG: release.project, RELEASE_TAG: release.id}
        text = template(release.project, cell.region, content)
        self.stacks[cell] = Stack("UPDATE_COMPLETE", tags, text, names)
        for logical_id, name in names.items():
            zipped = code(release.project, content, logical_id)
            self.code[cell.account, cell.region, name] = as_lambda_has_it(zipped)

    def board(self, threads: int = 1) -> Board:
        records: Any = self
        client_of: Any = partial(RegionClient, self)
        releases = Releases(records, records, HOME, threads=1)
        return Boards(
            releases=releases,
            records=records,
            home=lambda: store(HOME),
            cells=TargetCells(client_of),
            declared=self.declared.__getitem__,
            code_of=partial(code_of, releases),
            clock=AT.timestamp,
            threads=threads,
        ).board(sorted(self.declared))


def store(region: str) -> ArtifactStore:
    return ArtifactStore(region, f"bucket-{region}", f"arn:aws:kms:{region}:1:key/k")


def code(project: str, content: str, logical_id: str) -> str:
    return f"{content}: {logical_id} of {project}"


def template(project: str, region: str, content: str) -> str:
    """As packaging leaves it: every function names its object."""
    lines = (
        f"  F{n}: {{CodeUri: s3://bucket-{region}/{key_of(project, content, n)}}}"
        for n in range(FUNCTIONS)
    )
    return "\n".join(("Resources:", *lines, ""))


def key_of(project: str, content: str, number: int) -> str:
    return f"{project}/builds/{digest(code(project, content, f'F{number}'))[:32]}"


def packaged(project: str, region: str, content: str) -> RegionPackage:
    objects = []
    for number in range(FUNCTIONS):
        sha256 = digest(code(project, content, f"F{number}"))
        key = key_of(project, content, number)
        objects.append(PackagedObject(key, 1, sha256, sha256, (f"F{number}",)))
    own = digest(template(project, region, content))
    where = store(region)
    endpoint, file = f"https://s3.{region}.amazonaws.com", f"template-export-{region}.yml"
    return RegionPackage(
        region, where.bucket, where.key_arn, endpoint, file, own, digest(content), tuple(objects)
    )


@dataclass(frozen=True)
class RegionClient:
    """CloudFormation and Lambda in one region of an account of a world."""

    world: World
    service: str
    account: str
    region: str

    def get_paginator(self, operation: str) -> "_Pages":
        return _Pages(self, operation)

    def get_template(self, **asked: Any) -> Json:
        self.world.call("get_template")
        stack = self.world.stacks[Cell(self.account, self.region, asked["StackName"])]
        return {"TemplateBody": stack.template}

    def describe_stacks(self) -> Iterator[Json]:
        for cell, stack in self.world.stacks.items():
            if (cell.account, cell.region) == (self.account, self.region):
                tags = [{"Key": key, "Value": value} for key, value in stack.tags.items()]
                parent = {"ParentId": stack.parent} if stack.parent else {}
                about = {"StackName": cell.stack, "StackStatus": stack.status, "CreationTime": AT}
                drift = {"DriftInformation": {"StackDriftStatus": stack.drift}}
                yield {**about, **drift, "Tags": tags, **parent}

    def list_functions(self) -> Iterator[Json]:
        for (account, region, name), sha256 in self.world.code.items():
            if (account, region) == (self.account, self.region):
                yield {"FunctionName": name, "CodeSha256": sha256}

    def list_stack_resources(self, StackName: str) -> Iterator[Json]:  # noqa: N803  AWS's name
        stack = self.world.stacks[Cell(self.account, self.region, StackName)]
        every = [(name, "AWS::Lambda::Function", id_) for name, id_ in stack.functions.items()]
        every += [(name, "AWS::CloudFormation::Stack", "arn") for name in stack.nested]
        names = ("LogicalResourceId", "ResourceType", "PhysicalResourceId")
        for one in every:
            yield {**dict(zip(names, one, strict=True)), "ResourceStatus": "CREATE_COMPLETE"}


PAGES = {
    "describe_stacks": ("Stacks", STACKS_A_PAGE),
    "list_functions": ("Functions", FUNCTIONS_A_PAGE),
    "list_stack_resources": ("StackResourceSummaries", 100),
}


@dataclass(frozen=True)
class _Pages:
    client: RegionClient
    operation: str

    def paginate(self, **asked: Any) -> Iterator[Json]:
        name, size = PAGES[self.operation]
        items = list(getattr(self.client, self.operation)(**asked))
        for first in range(0, max(1, len(items)), size):
            self.client.world.call(self.operation)
            yield {name: items[first : first + size]}


# --- functions that somebody changed ------------------------------------------------------------


def changed_functions(dice: Dice, projects: int, regions: Sequence[str], changed: int) -> Result:
    """Functions changed beside CloudFormation: all of them told, and no other; and stacks left
    behind: all of them orphans, and no other."""
    world = World()
    names = [f"project{number}" for number in range(projects)]
    kept = {name: world.deploy(name, ACCOUNTS, regions) for name in names}
    cells = [cell for cell, _ in world.stacks.items()]
    victims = set(dice.sample(sorted(world.code), changed))
    for victim in victims:
        world.code[victim] = as_lambda_has_it(f"somebody's own {victim}")
    left = {
        Cell(ACCOUNTS[0], region, f"left-{name}") for name, region in product(names, regions[:2])
    }
    for cell in left:
        world.run(kept[cell.stack.removeprefix("left-")], cell)
    world.calls = 0
    board = world.board(threads=4)
    failures = [*board.unread, *_told(world, board, victims, kept)]
    orphans = {one.cell for one in board.orphans}
    if orphans != left:
        failures.append(f"orphans: {len(orphans - left)} made up, {len(left - orphans)} missed")
    reads = world.calls / len(cells)
    clean = len(cells) * FUNCTIONS - changed
    note = (
        f"{len(cells)} cells, {changed} functions changed and {clean} not, {len(left)} stacks "
        f"left behind; {reads:.1f} reads a cell"
    )
    return Result(len(cells) * FUNCTIONS + len(left), tuple(failures), (note,))


def _told(
    world: World, board: Board, victims: set[tuple[str, str, str]], kept: Mapping[str, Release]
) -> Iterator[str]:
    for row in board.rows:
        for one in row.cells:
            cell = one.cell
            if one.release != kept[row.project].id:
                yield f"{cell}: release {one.release} is told"
            if one.commit != kept[row.project].source.commit:
                yield f"{cell}: commit {one.commit} is told"
            functions = world.stacks[cell].functions.values()
            true = {name for name in functions if (cell.account, cell.region, name) in victims}
            told = {name for name in functions if any(f"({name})" in line for line in one.differs)}
            if told != true:
                yield f"{cell}: {sorted(true)} were changed, and {sorted(told)} are told"
            if one.mark is not (Mark.DIFFERS if true else Mark.PROVED):
                yield f"{cell}: {len(true)} functions were changed, and it is {one.mark}"


# --- what takes a grade away --------------------------------------------------------------------

ONE = Cell(ACCOUNTS[0], HOME, "shop")
Taking = Callable[[World, Stack, Release], object]


def _code(world: World, _stack: Stack, _release: Release) -> None:
    world.code[ONE.account, ONE.region, f"shop-F1-{HOME}"] = as_lambda_has_it("other")


def _gone(world: World, _stack: Stack, _release: Release) -> None:
    del world.code[ONE.account, ONE.region, f"shop-F1-{HOME}"]


def _inline(_world: World, stack: Stack, _release: Release) -> None:
    stack.functions["Inline"] = "shop-Inline"


def _nested(_world: World, stack: Stack, _release: Release) -> None:
    stack.nested = ("Inner",)


def _nothing(_world: World, stack: Stack, _release: Release) -> None:
    stack.functions = {}


def _earlier(world: World, stack: Stack, _release: Release) -> None:
    earlier = world.keep("shop", ACCOUNTS[:1], [HOME], "b")
    stack.tags[RELEASE_TAG] = earlier.id


def _edited(_world: World, stack: Stack, _release: Release) -> None:
    stack.template += "# by hand\n"


def _foreign(_world: World, stack: Stack, _release: Release) -> None:
    stack.template += "  More: {CodeUri: s3://bucket/shop/builds/strange}\n"


def _as_json(_world: World, stack: Stack, _release: Release) -> None:
    stack.template = {"Resources": {}}


def _forgotten(world: World, _stack: Stack, release: Release) -> None:
    del world.objects[store(HOME).bucket, release.prefix + MANIFEST]


def _no_release(world: World, _stack: Stack, release: Release) -> None:
    for name in (RELEASE, MANIFEST):
        del world.objects[store(HOME).bucket, release.prefix + name]


def _at_work(_world: World, stack: Stack, _release: Release) -> None:
    stack.status = "UPDATE_IN_PROGRESS"


def _no_tag(_world: World, stack: Stack, _release: Release) -> None:
    stack.tags = {}


def _of_another(_world: World, stack: Stack, _release: Release) -> None:
    stack.tags[PROJECT_TAG] = "another"


def _no_stack(world: World, _stack: Stack, _release: Release) -> None:
    del world.stacks[ONE]


def _in_review(_world: World, stack: Stack, _release: Release) -> None:
    stack.status = "REVIEW_IN_PROGRESS"


def _refusing(operation: str) -> Taking:
    return lambda world, _stack, _release: world.refused.add(operation)


# What happens, what is left of the grade, and a word that tells why.
TAKINGS: Mapping[str, tuple[Taking, Mark, str]] = {
    "other code": (_code, Mark.DIFFERS, "runs other code"),
    "a function deleted": (_gone, Mark.DIFFERS, "is not there"),
    "functions not to be listed": (_refusing("list_functions"), Mark.MATCHING, "functions"),
    "inline code": (_inline, Mark.MATCHING, "Inline"),
    "a nested stack": (_nested, Mark.MATCHING, "Inner"),
    "no functions": (_nothing, Mark.MATCHING, "no function"),
    "the tag of another release": (_earlier, Mark.DIFFERS, "has not"),
    "a template edited by hand": (_edited, Mark.DIFFERS, "another one"),
    "objects of nobody's": (_foreign, Mark.DIFFERS, "shop/builds/strange"),
    "another template, as JSON": (_as_json, Mark.DIFFERS, "no object"),
    "templates not to be read": (_refusing("get_template"), Mark.SAID, "made of"),
    "no manifest": (_forgotten, Mark.SAID, MANIFEST),
    "a release that is gone": (_no_release, Mark.SAID, "not kept"),
    "an operation under way": (_at_work, Mark.SAID, "under way"),
    "no tag": (_no_tag, Mark.UNKNOWN, RELEASE_TAG),
    "a stack of another project": (_of_another, Mark.DIFFERS, "another"),
    "nothing but change sets": (_in_review, Mark.ABSENT, "change sets"),
    "no stack": (_no_stack, Mark.ABSENT, ""),
    "stacks not to be read": (_refusing("describe_stacks"), Mark.UNREAD, "stacks"),
}


def taken(name: str) -> Iterator[str]:
    """What the board tells otherwise of a world in which a grade was taken away."""
    world = World()
    release = world.deploy("shop", ACCOUNTS[:1], [HOME])
    if (before := _only(world)).mark is not Mark.PROVED:
        yield f"before {name} it is {before.mark}, and not proved: {before.notes}"
    happens, mark, word = TAKINGS[name]
    happens(world, world.stacks[ONE], release)
    after = _only(world)
    if after.mark is not mark:
        yield f"after {name} it is {after.mark}, and not {mark}: {after.notes}"
    elif word not in "; ".join(after.notes):
        yield f"after {name} it does not say why: {after.notes}"


def _only(world: World) -> BoardCell:
    (cell,) = world.board().cells
    return cell


def boards(scale: Scale) -> Result:
    """Every function that was changed and every stack that was left is found, and nothing else is;
    each grade has a world that takes it away, and the board says why."""
    size = (10, EVERYWHERE, 200) if scale.full else (2, EVERYWHERE[:4], 6)
    found = changed_functions(Dice(f"boards {scale.seed}"), *size)
    failures = tuple(line for name in TAKINGS for line in taken(name))
    return found + Result(len(TAKINGS), failures, (f"{len(TAKINGS)} worlds that take a grade",))
