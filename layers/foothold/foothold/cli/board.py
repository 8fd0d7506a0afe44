"""`foothold board`: what runs where, and how certain that is."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    complain,
    one_clear_line,
    out,
    print_json,
    tell,
    writing,
    wrong_use,
)
from foothold.cli.ending import FAILED
from foothold.errors import PermanentError
from foothold.releases.board import Board, BoardCell, BoardRow, Mark
from foothold.releases.board_page import SHORT, age
from foothold.releases.board_page import html as page
from foothold.releases.shown import plain
from foothold.releases_caller import ReleasesCaller

WATCH_SECONDS = 30
CELL_WIDTH = 15  # of a region's column, and of a target's where the table is turned
ROW_WIDTH = 24
LONGEST = 1000


def board(  # noqa: PLR0917  # one for each option
    project: Annotated[
        list[str] | None, typer.Option("--project", "-p", help="These alone; all if left out.")
    ] = None,
    target: Annotated[str, typer.Option("--target", "-t", help="This target alone.")] = "",
    watch: Annotated[  # noqa: FBT002  # a command line flag
        bool, typer.Option("--watch", help="Look again every half minute, until interrupted.")
    ] = False,
    to_html: Annotated[
        Path | None, typer.Option("--html", help="Write one page here.", metavar="FILE")
    ] = None,
    as_json: JsonFlag = False,  # noqa: FBT002  # likewise
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Show what runs where: said by a stack's tag, matching by its template, or proved by the code
    of its functions. Exit code 1 where a cell is not what it says, or could not be read."""
    if watch and as_json:
        wrong_use("--watch is for people, and --json for scripts: choose one")
    while True:
        with one_clear_line():
            found = _look(ReleasesCaller(root), project, target)
            if to_html:
                with writing(to_html):
                    to_html.write_text(page(found), encoding="utf-8")
        if not watch:
            break
        out.clear()
        _show(found)
        time.sleep(WATCH_SECONDS)
    if as_json:
        print_json(found.as_json())
    elif not to_html:
        _show(found)
    if found.unread or found.troubles:
        raise typer.Exit(FAILED)


def _look(caller: ReleasesCaller, projects: Sequence[str] | None, target: str) -> Board:
    names = projects or caller.projects()
    if not names:
        raise PermanentError(
            "no pipeline publishes what it deploys, and no release is kept: `foothold package` "
            "makes one"
        )
    found = caller.boards().board(names, target)
    if not found.rows:
        which = f"target {target} of " if target else "target of "
        raise PermanentError(f"there is no {which}{', '.join(names)}: {'; '.join(found.unread)}")
    return found


# --- for people ---------------------------------------------------------------------------------


def _show(found: Board) -> None:
    for table in _tables(found, out.width):
        out.print(table)
    for line in _lines(found):
        tell(plain(line, LONGEST), markup=False)
    for line in found.unread:
        complain(plain(line, LONGEST), "yellow")
    tell(found.summary, markup=False)


def _tables(found: Board, width: int) -> Iterator[Table]:
    """Targets as rows where all regions have room beside each other; otherwise, for each project,
    regions as rows."""
    regions = found.regions
    if ROW_WIDTH + CELL_WIDTH * len(regions) <= width:
        table = _table("Target", regions)
        for row in found.rows:
            cells = (_cell(row.at(region), found.at) for region in regions)
            table.add_row(escape(plain(_name(row))), *cells)
        yield table
        return
    at_a_time = max(1, (width - ROW_WIDTH) // CELL_WIDTH)
    for project in dict.fromkeys(row.project for row in found.rows):
        rows = [row for row in found.rows if row.project == project]
        for first in range(0, len(rows), at_a_time):
            some = rows[first : first + at_a_time]
            table = _table("Region", [_name(row) for row in some])
            for region in sorted({one.cell.region for row in some for one in row.cells}):
                table.add_row(region, *(_cell(row.at(region), found.at) for row in some))
            yield table


def _table(first: str, columns: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in (first, *columns):
        table.add_column(escape(plain(name)), overflow="fold")
    return table


def _name(row: BoardRow) -> str:
    words = [word for word, told in (("held", row.hold), ("under way", row.rollout)) if told]
    more = f" ({', '.join(words)})" if words else ""
    return f"{row.project} {row.target}{more}"


def _cell(one: BoardCell | None, at: float) -> str:
    if one is None:
        return "-"
    style = "bold red" if one.is_trouble else "green" if one.mark is Mark.PROVED else ""
    mark = f"[{style}]{one.mark}[/]" if style else str(one.mark)
    lines = [mark]
    if one.release:
        lines.insert(0, escape(plain(one.release[:SHORT])))
    if one.changed_at:
        lines.append(age(at - one.changed_at))
    return "\n".join(lines)


def _lines(found: Board) -> Iterator[str]:
    yield from (f"release {line}" for line in found.releases)
    yield from found.trouble_lines
    yield from found.doubts
    for row in found.rows:
        yield from (line for line in (row.rollout, row.hold) if line)
    for orphan in found.orphans:
        yield f"orphan: {orphan}"
