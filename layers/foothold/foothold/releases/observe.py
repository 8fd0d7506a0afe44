"""Looks at everything that a board tells of, side by side: what is declared and kept at home, then
each region of each account once, then each stack."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from foothold.errors import FootholdError
from foothold.refused import explained, role_in
from foothold.releases.board import (
    FIND_STACKS,
    Board,
    BoardCell,
    BoardRow,
    RegionCode,
    is_worth_reading,
    judge,
    orphans,
    release_said,
    under_way,
)
from foothold.releases.holds import Hold, held
from foothold.releases.keeping import Releases
from foothold.releases.model import Cell, Release, ReleaseTarget
from foothold.releases.ports import CellReader, Records, SeenPlace, SeenResources
from foothold.releases.rollout import rollout_key
from foothold.releases.rollout_plan import Rollout
from foothold.stores.register import ArtifactStore

PROJECTS = 4  # looked at at a time: each asks the stores of all regions at once

CodeOf = Callable[[Release], Mapping[str, RegionCode]]
Place = tuple[str, str]  # an account and a region
# By project and release; a text says why it is not known.
Codes = Mapping[tuple[str, str], Mapping[str, RegionCode] | str]
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass
class _Known:
    """What home knows of one project."""

    project: str
    targets: Sequence[ReleaseTarget] = ()
    releases: dict[str, Release] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)

    @property
    def cells(self) -> set[Cell]:
        """Everywhere it goes, or went with a release that is still kept."""
        every = (*self.targets, *(one for each in self.releases.values() for one in each.targets))
        return {cell for target in every for cell in target.cells}


class Boards:
    """Boards, over ports. `declared` gives a project's targets, `code_of` what a release has for
    each region; either may raise TemporaryError and PermanentError. `clock` tells seconds since
    1970, `threads` is how many cells are looked at at a time."""

    def __init__(
        self,
        *,
        releases: Releases,
        records: Records,
        home: Callable[[], ArtifactStore],
        cells: CellReader,
        declared: Callable[[str], Sequence[ReleaseTarget]],
        code_of: CodeOf,
        clock: Callable[[], float],
        threads: int = 64,
    ) -> None:
        self._releases = releases
        self._records = records
        self._home = home
        self._cells = cells
        self._declared = declared
        self._code_of = code_of
        self._clock = clock
        self._threads = threads

    def board(self, projects: Sequence[str], target: str = "") -> Board:
        """What runs where of these projects; of one target only, if it is named, and then no
        orphans are looked for. What cannot be read is said on the board, and is no error."""
        at, home = self._clock(), self._home()
        with ThreadPoolExecutor(PROJECTS) as pool:
            known = list(pool.map(partial(self._known, home, target), projects))
        places = self._places(known, alone=bool(target))
        code = self._code(known, places)

        def look(each: tuple[_Known, Cell]) -> BoardCell:
            one, cell = each
            place = places[cell.account, cell.region]
            stack = place.stacks.get(cell.stack)
            its = _of_region(code, one.project, release_said(one.project, stack), cell.region)
            resources: SeenResources | str = ""
            if is_worth_reading(one.project, stack) and not isinstance(its, str):
                resources = self._resources(cell)
            return judge(one.project, cell, place, one.releases, its, resources)

        work = [(one, cell) for one in known for each in one.targets for cell in each.cells]
        keys = [(one.project, cell) for one, cell in work]
        found = dict(zip(keys, self._each(look, work), strict=True))
        rows = tuple(
            BoardRow(
                one.project,
                each.name,
                each.account,
                each.stack,
                tuple(found[one.project, cell] for cell in each.cells),
                one.holds[each.name].line if each.name in one.holds else "",
                under_way(one.rollouts.get(each.joins or each.name), len(each.waves), at),
            )
            for one in known
            for each in one.targets
        )
        declared = {} if target else {one.project: one.targets for one in known if one.targets}
        unread = [explained(line, home.region) for one in known for line in one.unread]
        goes = {(cell.account, cell.region) for _, cell in work}
        unread += [
            explained(
                f"orphans in {region} of {account} are not looked for: {place.unread}",
                region,
                role_in(account, region),
                FIND_STACKS,
            )
            for (account, region), place in places.items()
            if place.unread and (account, region) not in goes
        ]
        return Board(rows, at, orphans(declared, places.values()), tuple(unread))

    # At home

    def _known(self, home: ArtifactStore, target: str, project: str) -> _Known:
        found = _Known(project)
        try:
            every = self._declared(project)
        except FootholdError as error:
            found.unread.append(f"where {project} goes is not known: {error}")
            every = ()
        found.targets = [one for one in every if target in {"", one.name}]
        try:
            kept = self._releases.all(project)
        except FootholdError as error:
            found.unread.append(str(error))
        else:
            found.releases = {one.id: one for one in kept.releases}
            found.unread += [f"{name} is not read: {why}" for name, why in kept.unread.items()]
        for one in found.targets:
            self._records_of(home, one, found)
        return found

    def _records_of(self, home: ArtifactStore, target: ReleaseTarget, found: _Known) -> None:
        try:
            if hold := held(self._records, home, found.project, target.name):
                found.holds[target.name] = hold
            lead = target.joins or target.name
            key = rollout_key(found.project, lead)
            if lead not in found.rollouts and (record := self._records.read(home, key)):
                found.rollouts[lead] = Rollout.parse(record[0], key)
        except FootholdError as error:
            found.unread.append(str(error))

    def _code(self, known: Iterable[_Known], places: Mapping[Place, SeenPlace]) -> Codes:
        """What each release has for each region that some stack says it runs; or why that is not
        known."""
        asked = {
            (one.project, id_): one.releases[id_]
            for one in known
            for target in one.targets
            for cell in target.cells
            for stack in (places[cell.account, cell.region].stacks.get(cell.stack),)
            if (id_ := release_said(one.project, stack)) in one.releases
        }

        def read(release: Release) -> Mapping[str, RegionCode] | str:
            try:
                return self._code_of(release)
            except FootholdError as error:
                return str(error)

        return dict(zip(asked, self._each(read, list(asked.values())), strict=True))

    # In target accounts

    def _places(self, known: Sequence[_Known], *, alone: bool) -> dict[Place, SeenPlace]:
        """Every region of every account that a project goes to; and, to find orphans, those that
        it went to."""
        goes = {(c.account, c.region) for one in known for each in one.targets for c in each.cells}
        went = set() if alone else {(c.account, c.region) for one in known for c in one.cells}
        asked = sorted(goes | went)
        seen = self._each(lambda each: self._cells.place(*each, code=each in goes), asked)
        return dict(zip(asked, seen, strict=True))

    def _resources(self, cell: Cell) -> SeenResources | str:
        try:
            return self._cells.resources(cell)
        except FootholdError as error:
            return " ".join(str(error).split())

    def _each(self, work: Callable[[Asked], Answer], items: Sequence[Asked]) -> list[Answer]:
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(work, items))


def _of_region(codes: Codes, project: str, release: str, region: str) -> RegionCode | str:
    found = codes.get((project, release), f"release {release} is not kept any more")
    if isinstance(found, str):
        return found
    return found.get(region, f"release {release} has nothing for {region}")
