"""What runs where, and how certain that is. Pure: what was observed in, a board out.

Three grades, each stronger than the one before: a stack *says* which release it runs, by its tag;
its template *matches* that release; the code of its functions is *proved* to be the release's.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from foothold.refused import explain_command, role_in
from foothold.releases.model import PROJECT_TAG, RELEASE_TAG, Cell, Release, ReleaseTarget
from foothold.releases.ports import SeenPlace, SeenResources, SeenStack
from foothold.releases.rollout_plan import Rollout

Json = dict[str, Any]
MOST_NAMED = 3
FIND_STACKS = "cloudformation:DescribeStacks"


class Mark(StrEnum):
    """What is known of a cell, in a word or two."""

    UNREAD = "not read"
    DIFFERS = "differs"  # something was found that is not the release's
    ABSENT = "no stack"
    UNKNOWN = "no release"  # a stack that says of none that it runs it
    SAID = "said"
    MATCHING = "matching"
    PROVED = "proved"


# What somebody has to see to; a grade that is not the highest says in its line why.
TROUBLES = frozenset({Mark.UNREAD, Mark.DIFFERS})


@dataclass(frozen=True, slots=True)
class RegionCode:
    """What a release has for one region: its template's SHA-256 in hexadecimal, the prefix and the
    keys of its objects, and by a resource's logical id the SHA-256 of its objects, hexadecimal."""

    template_sha256: str
    prefix: str
    keys: frozenset[str] = frozenset()
    code: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BoardCell:
    """One stack. `why` says why it is not known better, `differs` what is not the release's.
    `changed_at` is the beginning of its last operation, in seconds since 1970, 0 for none.
    `explain` is the command that tells why access was refused, empty where it was not."""

    cell: Cell
    mark: Mark
    release: str = ""
    commit: str = ""
    status: str = ""
    changed_at: float = 0.0
    drift: str = ""
    why: str = ""
    differs: tuple[str, ...] = ()
    explain: str = ""

    @property
    def is_steady(self) -> bool:
        """Its last operation went well, and none is under way."""
        return not self.status or (
            self.status.endswith("_COMPLETE") and "ROLLBACK" not in self.status
        )

    @property
    def is_trouble(self) -> bool:
        failed = "ROLLBACK" in self.status or "FAILED" in self.status
        return self.mark in TROUBLES or failed or self.drift == "DRIFTED"

    @property
    def notes(self) -> tuple[str, ...]:
        """All that is to be said beyond the release and the mark."""
        state = () if self.is_steady else (self.status,)
        drift = ("drifted: somebody changed it outside CloudFormation",)
        found = (*state, *(drift if self.drift == "DRIFTED" else ()), *self.differs, self.why)
        return tuple(line for line in found if line)


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One target of a project: its cells, the hold it is under, and the rollout under way."""

    project: str
    target: str
    account: str
    stack: str
    cells: tuple[BoardCell, ...]
    hold: str = ""
    rollout: str = ""

    def at(self, region: str) -> BoardCell | None:
        return next((one for one in self.cells if one.cell.region == region), None)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A stack of a project where its declaration does not go any more."""

    project: str
    cell: Cell
    release: str
    status: str

    def __str__(self) -> str:
        runs = f"release {self.release}" if self.release else "no release"
        return f"{self.cell}: {runs} of {self.project}, {self.status}"


@dataclass(frozen=True, slots=True)
class Board:
    """What runs where. `at` is when it was looked at, in seconds since 1970; `unread` are lines on
    whatever else could not be read."""

    rows: tuple[BoardRow, ...]
    at: float
    orphans: tuple[Orphan, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def cells(self) -> Iterator[BoardCell]:
        return (cell for row in self.rows for cell in row.cells)

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(sorted({one.cell.region for one in self.cells}))

    @property
    def counts(self) -> dict[Mark, int]:
        found = Counter(one.mark for one in self.cells)
        return {mark: found[mark] for mark in Mark if found[mark]}

    @property
    def troubles(self) -> tuple[tuple[BoardRow, BoardCell], ...]:
        found = ((row, cell) for row in self.rows for cell in row.cells if cell.is_trouble)
        return tuple(sorted(found, key=lambda each: list(Mark).index(each[1].mark)))

    @property
    def releases(self) -> Iterator[str]:
        """Each release that runs anywhere, with its commit and in how many cells."""
        found = Counter(
            (row.project, one.release, one.commit)
            for row in self.rows
            for one in row.cells
            if one.release
        )
        for (project, release, commit), count in sorted(found.items()):
            source = f", commit {commit[:12]}" if commit else ""
            yield f"{project} {release}{source}: {count} cell{'' if count == 1 else 's'}"

    @property
    def trouble_lines(self) -> Iterator[str]:
        """What somebody has to see to, a line for each reason, the gravest first."""
        return _by_reason(self.troubles)

    @property
    def doubts(self) -> Iterator[str]:
        """Why no more is known of cells that nothing is wrong with, likewise."""
        every = ((row, cell) for row in self.rows for cell in row.cells)
        return _by_reason((row, cell) for row, cell in every if not cell.is_trouble and cell.notes)

    @property
    def summary(self) -> str:
        number = sum(self.counts.values())
        counted = ", ".join(f"{count} {mark}" for mark, count in self.counts.items())
        said = f"{number} cell{'' if number == 1 else 's'}: {counted}" if number else "no cells"
        unsteady = sum(not one.is_steady for one in self.cells)
        more = {
            "not steady": unsteady,
            "drifted": sum(one.drift == "DRIFTED" for one in self.cells),
            "held": sum(bool(row.hold) for row in self.rows),
            "left behind": len(self.orphans),
        }
        return "; ".join((said, *(f"{count} {what}" for what, count in more.items() if count)))

    def as_json(self) -> Json:
        return {
            "at": self.at,
            "summary": self.summary,
            "rows": [asdict(row) for row in self.rows],
            "orphans": [asdict(one) for one in self.orphans],
            "unread": list(self.unread),
        }


def _by_reason(cells: Iterable[tuple[BoardRow, BoardCell]]) -> Iterator[str]:
    found: dict[tuple[Mark, str], list[tuple[str, str]]] = {}
    for row, one in cells:
        where = f"{row.project} {row.target}, {one.cell}"
        found.setdefault((one.mark, "; ".join(one.notes)), []).append((where, one.explain))
    for (mark, why), places in found.items():
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        first, explain = places[0]
        yield f"{first}{more}: {mark}: {why}"
        if explain:
            yield f"{first}: `{explain}` tells why"


# --- one cell -----------------------------------------------------------------------------------


def release_said(project: str, stack: SeenStack | None) -> str:
    """The release of a project that a stack says it runs; empty for none."""
    tags = stack.tags if stack else {}
    return tags.get(RELEASE_TAG, "") if tags.get(PROJECT_TAG) == project else ""


def is_worth_reading(project: str, stack: SeenStack | None) -> bool:
    """Whether it would tell more to look at what a stack is made of. One that is at work is
    neither what it was nor what it will be."""
    return bool(release_said(project, stack)) and stack is not None and not _is_at_work(stack)


def _is_at_work(stack: SeenStack) -> bool:
    return stack.status.endswith("_IN_PROGRESS")


def judge(  # noqa: PLR0917  # each is a part of what is known
    project: str,
    cell: Cell,
    place: SeenPlace,
    releases: Mapping[str, Release],
    code: RegionCode | str,
    resources: SeenResources | str,
) -> BoardCell:
    """What a cell runs. `code` is what the release that it names has for its region, `resources`
    what it is made of: a text instead of either says why it is not known."""
    reader = role_in(cell.account, cell.region)
    if place.unread:
        explain = explain_command(place.unread, cell.region, reader, FIND_STACKS)
        return BoardCell(cell, Mark.UNREAD, why=place.unread, explain=explain)
    stack = place.stacks.get(cell.stack)
    if stack is None or stack.status == "REVIEW_IN_PROGRESS":
        why = "it has nothing but change sets" if stack else ""
        return BoardCell(cell, Mark.ABSENT, why=why)
    id_ = release_said(project, stack)
    known = releases.get(id_)
    mark, why, differs = _graded(project, stack, place, code, resources)
    return BoardCell(
        cell,
        mark,
        id_,
        known.source.commit if known else "",
        stack.status,
        stack.changed_at,
        stack.drift,
        why,
        differs,
        _explain(why, cell.region, reader, code, place),
    )


def _explain(why: str, region: str, reader: str, code: RegionCode | str, place: SeenPlace) -> str:
    if isinstance(code, str):  # a release is read at home, by whoever asks
        return explain_command(why, region)
    action = "lambda:ListFunctions" if place.code_unread else "cloudformation:GetTemplate"
    return explain_command(why, region, reader, action)


def _graded(
    project: str,
    stack: SeenStack,
    place: SeenPlace,
    code: RegionCode | str,
    resources: SeenResources | str,
) -> tuple[Mark, str, tuple[str, ...]]:
    owner = stack.tags.get(PROJECT_TAG)
    if owner not in {None, project}:
        return Mark.DIFFERS, "", (f"the stack is one of the project {owner}",)
    if not release_said(project, stack):
        return Mark.UNKNOWN, f"it has no tag {RELEASE_TAG}", ()
    if _is_at_work(stack):
        return Mark.SAID, "an operation is under way", ()
    if isinstance(code, str) or isinstance(resources, str):
        return Mark.SAID, code if isinstance(code, str) else str(resources), ()
    other = _other_template(code, resources) or tuple(_other_code(code, resources, place))
    if other:
        return Mark.DIFFERS, "", other
    why = "; ".join(_unproved(code, resources, place))
    return (Mark.MATCHING if why else Mark.PROVED), why, ()


def _other_template(code: RegionCode, resources: SeenResources) -> tuple[str, ...]:
    """What is wrong with a stack's template; nothing where it is the release's."""
    if resources.template_sha256 == code.template_sha256:
        return ()
    named = keys_in(resources.template, code.prefix)
    if strange := sorted(named - code.keys):
        return (f"its template names objects that the release has not: {_few(strange)}",)
    if code.keys and not named:
        return ("its template names no object of the release",)
    # One that is JSON comes back in another spelling: its objects are all that can be compared.
    return ("its template is another one than the release's",) if resources.template_sha256 else ()


def keys_in(template: str, prefix: str) -> frozenset[str]:
    """The keys of objects that a template names below a prefix."""
    return frozenset(re.findall(rf"(?<![\w.-]){re.escape(prefix)}[\w./-]+", template))


def _other_code(code: RegionCode, resources: SeenResources, place: SeenPlace) -> Iterator[str]:
    """Each function that does not run what the release has for it."""
    if place.code_unread:
        return
    for logical_id, name in resources.functions.items():
        wanted = code.code.get(logical_id)
        if wanted and name not in place.code:
            yield f"the function {logical_id} ({name}) is not there"
        elif wanted and hexadecimal(place.code[name]) not in wanted:
            yield f"the function {logical_id} ({name}) runs other code than the release's"


def _unproved(code: RegionCode, resources: SeenResources, place: SeenPlace) -> Iterator[str]:
    """Why it is not proved what a stack runs that nothing speaks against."""
    if not resources.functions and not resources.nested:
        yield "it has no function whose code could be compared"
    if place.code_unread and resources.functions:
        yield place.code_unread
    elsewhere = [name for name in resources.functions if name not in code.code]
    if elsewhere:
        yield f"the code of {_few(elsewhere)} is no object of the release (inline, or an image)"
    if resources.nested:
        yield f"nested stacks are not looked into: {_few(resources.nested)}"


def hexadecimal(sha256: str) -> str:
    """A digest in base64, as Lambda has it, in hexadecimal, as a manifest has it; empty for what
    is none."""
    try:
        return base64.b64decode(sha256, validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


# --- the board ----------------------------------------------------------------------------------


def under_way(rollout: Rollout | None, waves: int, now: float) -> str:
    """One line on a target's last rollout; empty where it has ended, or there was none. `now` is
    in seconds since 1970."""
    if rollout is None or rollout.ended is not None:
        return ""
    way = "goes back to" if rollout.back else "goes to"
    at = f"in wave {rollout.wave} of {waves}" if rollout.wave else "before its first wave"
    trouble = f"; {rollout.trouble}" if rollout.trouble else ""
    left = "" if rollout.lives(now) else "; nobody is at work on it: ask for it again"
    who = f"{rollout.project} {rollout.target}"
    return f"{who} {way} release {rollout.release}, {at} (run {rollout.run}){trouble}{left}"


def orphans(
    declared: Mapping[str, Sequence[ReleaseTarget]], places: Iterable[SeenPlace]
) -> tuple[Orphan, ...]:
    """The stacks of each project that its declaration does not name any more, and that are not a
    part of another stack."""
    cells = {name: {cell for one in each for cell in one.cells} for name, each in declared.items()}
    found = (
        Orphan(project, Cell(place.account, place.region, stack.name), id_, stack.status)
        for place in places
        for stack in place.stacks.values()
        if not stack.is_nested
        and (project := stack.tags.get(PROJECT_TAG, "")) in cells
        and Cell(place.account, place.region, stack.name) not in cells[project]
        for id_ in (stack.tags.get(RELEASE_TAG, ""),)
    )
    return tuple(sorted(found, key=lambda one: (one.project, str(one.cell))))
