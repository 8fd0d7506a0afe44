"""A board as one HTML page that needs nothing else: a table where there is room, and one list for
each target where there is none. Pure.

What is known of a cell is told in words; its border says it again, its colour only once more.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape

from foothold.releases.board import Board, BoardCell, BoardRow, Mark
from foothold.releases.model import Cell
from foothold.releases.page import STYLE, document
from foothold.releases.shown import plain

LONGEST = 600
SHORT = 7  # of a release and of a commit
MINUTE, HOUR, DAY = 60, 3600, 86400

BOARD_STYLE = (
    STYLE
    + """
:root { --good: #1a7f37; --fair: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --good: #56d364; --fair: #e3b341; } }
header, main, footer { max-width: none; }
.wide table { width: auto; font-size: .8rem; }
.wide th, .wide td { padding: .3rem .45rem; border-left: 1px solid var(--line); }
.wide thead th { writing-mode: vertical-rl; padding: .45rem .2rem; font-weight: 600; }
.wide thead th:first-child { writing-mode: horizontal-tb; vertical-align: bottom; }
.wide tbody th { position: sticky; left: 0; background: var(--back); min-width: 9rem;
  max-width: 14rem; border-left: 0; }
.wide td { border-top: 1px solid var(--line); min-width: 4.4rem; max-width: 7rem;
  overflow-wrap: break-word; }
.mark { display: inline-block; color: var(--text); font-weight: 600; border-bottom: 3px solid; }
.proved { border-bottom-color: var(--good); }
.matching { border-bottom: 3px double var(--good); }
.said { border-bottom: 3px dotted var(--fair); }
.none { border-bottom: 1px solid var(--line); color: var(--faint); font-weight: 400; }
.trouble { border-bottom: 0; outline: 2px solid var(--bad); color: var(--bad); padding: 0 .2rem; }
.narrow { display: none; }
.key { display: flex; flex-wrap: wrap; gap: .3rem 1.5rem; padding: 0; list-style: none; }
.narrow ul { list-style: none; padding: 0; }
.narrow li { padding: .25rem 0; border-top: 1px solid var(--line); }
@media (max-width: 64rem) { .wide { display: none; } .narrow { display: block; } }
@media print { .wide { display: none; } .narrow { display: block; } }
"""
)
NOWHERE = Cell("", "", "")
MEANINGS = {
    Mark.PROVED: "the code of every function is the release's, by its SHA-256",
    Mark.MATCHING: "the template is the release's; the code is not proved, the page says why",
    Mark.SAID: "the stack's tag says so, and no more is known",
    Mark.DIFFERS: "something there is not the release's",
    Mark.UNREAD: "it could not be read, the page says why",
    Mark.UNKNOWN: "a stack without a release",
    Mark.ABSENT: "there is no stack yet",
}


def html(board: Board) -> str:
    """The page."""
    name = "What runs where"
    at = datetime.fromtimestamp(board.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    bad = " risky" if board.troubles or board.unread else ""
    return document(
        name,
        "To the board",
        f"<header>\n<h1>{name}</h1>\n",
        f'<p class="verdict{bad}">{_text(board.summary)}</p>\n',
        f"<p>As it was at {at}.</p>\n{_key(board)}</header>\n",
        f'<main id="main" tabindex="-1">\n{"".join(_lists(board))}',
        f"{_table(board)}{_narrow(board)}</main>\n",
        style=BOARD_STYLE,
    )


def age(seconds: float) -> str:
    """How long something has been so, in its largest unit."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return "now"


def _key(board: Board) -> str:
    items = (
        f"<li>{_marked(BoardCell(NOWHERE, mark))} {_text(MEANINGS[mark])}</li>\n"
        for mark in MEANINGS
        if mark in board.counts
    )
    return f'<ul class="key" aria-label="What the words mean">\n{"".join(items)}</ul>\n'


def _lists(board: Board) -> Iterator[str]:
    yield _list("troubles", "To see to", board.trouble_lines)
    yield _list("doubts", "Why no more is known", board.doubts)
    yield _list("rollouts", "Under way", (row.rollout for row in board.rows if row.rollout))
    yield _list("holds", "Held", (row.hold for row in board.rows if row.hold))
    yield _list("orphans", "Where nothing is declared any more", map(str, board.orphans))
    yield _list("unread", "Not read", board.unread)
    yield _list("releases", "Releases", board.releases)


def _list(name: str, heading: str, lines: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>\n" for line in dict.fromkeys(lines))
    if not items:
        return ""
    head = f'<section aria-labelledby="{name}">\n<h2 id="{name}">{heading}</h2>\n'
    return f"{head}<ul>\n{items}</ul>\n</section>\n"


def _table(board: Board) -> str:
    regions = board.regions
    head = "".join(f'<th scope="col">{_text(region)}</th>' for region in regions)
    body = "".join(
        f'<tr><th scope="row">{_text(row.project)} {_text(row.target)}{_marks(row)}</th>'
        + "".join(_td(row.at(region), board.at) for region in regions)
        + "</tr>\n"
        for row in board.rows
    )
    about = "Projects and their targets, region by region"
    return (
        f'<section class="wide" aria-labelledby="wide">\n<h2 id="wide">Every cell</h2>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{about}">\n'
        f"<table>\n<caption>{about}</caption>\n"
        f'<thead><tr><th scope="col">Target</th>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n</table>\n</div>\n</section>\n"
    )


def _marks(row: BoardRow) -> str:
    words = (*(("held",) if row.hold else ()), *(("under way",) if row.rollout else ()))
    return f'<br><span class="faint">{", ".join(words)}</span>' if words else ""


def _td(one: BoardCell | None, at: float) -> str:
    if one is None:
        return '<td class="faint">&#8212;</td>'
    lines = [*([f"<code>{_text(one.release[:SHORT])}</code>"] if one.release else []), _marked(one)]
    if one.changed_at:
        lines.append(f'<span class="faint">{age(at - one.changed_at)}</span>')
    return f'<td title="{_text(_told(one, at))}">{"<br>".join(lines)}</td>'


def _narrow(board: Board) -> str:
    parts = "".join(_card(row, board.at) for row in board.rows)
    return f'<section class="narrow" aria-label="Every cell, as lists">\n{parts}</section>\n'


def _card(row: BoardRow, at: float) -> str:
    name = f"{row.project} {row.target}"
    trouble = sum(one.is_trouble for one in row.cells)
    more = f", {trouble} to see to" if trouble else ""
    items = "".join(
        f"<li>{_text(one.cell.region)}: {_marked(one)} {_text(_told(one, at))}</li>\n"
        for one in row.cells
    )
    opened = " open" if trouble else ""
    return (
        f"<details{opened}>\n<summary>{_text(name)}: {len(row.cells)} cells{more}{_marks(row)}"
        f"</summary>\n<ul>\n{items}</ul>\n</details>\n"
    )


CLASSES = {Mark.PROVED: "proved", Mark.MATCHING: "matching", Mark.SAID: "said"}


def _marked(one: BoardCell) -> str:
    state = "" if one.is_steady else f", {one.status.replace('_', ' ').lower()}"
    look = "trouble" if one.is_trouble else CLASSES.get(one.mark, "none")
    return f'<span class="mark {look}">{_text(f"{one.mark}{state}")}</span>'


def _told(one: BoardCell, at: float) -> str:
    """All that is known of a cell, in one line."""
    parts = (
        f"release {one.release}" if one.release else "",
        f"commit {one.commit[:SHORT]}" if one.commit else "",
        f"for {age(at - one.changed_at)}" if one.changed_at else "",
        *one.notes,
    )
    return "; ".join(part for part in parts if part)


def _text(text: str) -> str:
    return escape(plain(text, LONGEST), quote=True)
