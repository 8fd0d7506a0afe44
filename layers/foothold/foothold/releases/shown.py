"""A review in words: lines for a terminal, and Markdown for a pull request. Pure.

Names and values come from templates of strangers: nothing of them may become markup, a control
character, or a line of its own.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from foothold.releases.access import Access
from foothold.releases.changes import Action, PropertyChange, SetState
from foothold.releases.model import Cell
from foothold.releases.review import RISKS, Effect, Group, Kind, Review

MOST_PROPERTIES = 12
MOST_ROWS = 200
# From so many stacks on they are counted, and listed where there is room.
MANY = 6
LONGEST = 120
LONGEST_LINE = 2000
# GitHub's limit for a comment is 65,536 characters.
LONGEST_COMMENT = 60_000

HEADINGS = {
    Kind.REPLACED: "Replaced",
    Kind.PERHAPS_REPLACED: "Perhaps replaced",
    Kind.REMOVED: "Removed",
    Kind.OPENED: "More open: allows more than before",
    Kind.ACCESS_UNCLEAR: "Access changes, and whether it allows more cannot be told",
    Kind.UNKNOWN: "Not known what becomes of it",
    Kind.IMPORTED: "Imported into the stack",
    Kind.NARROWED: "Less open: allows less than before",
    Kind.MODIFIED: "Modified",
    Kind.ADDED: "Added",
}
STATES = {
    SetState.READY: "ready",
    SetState.EMPTY: "nothing to change",
    SetState.FAILED: "FAILED",
    SetState.MISSING: "MISSING",
    SetState.UNREAD: "NOT READ",
}


def plain(text: str, longest: int = LONGEST) -> str:
    """The text in one line, without control characters or what turns the direction of writing."""
    line = " ".join(
        re.sub(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f]", " ", text).split()
    )
    return line if len(line) <= longest else f"{line[:longest]}..."


def verdict(review: Review) -> str:
    """The first line: what whoever decides has to know."""
    if not review.is_complete:
        return "INCOMPLETE: not every change set was read, so it is not known what would change"
    if review.is_empty:
        return "Nothing to change anywhere"
    if review.is_risky:
        return f"{_number(len(review.risks), 'change')} to decide on"
    return "Nothing is replaced, removed or made more open"


def places(cells: Sequence[Cell]) -> str:
    """Stacks in few words: one by its name, several by their accounts and regions."""
    if len(cells) == 1:
        return str(cells[0])
    regions: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cell in cells:
        regions[cell.stack, cell.account].append(cell.region)
    shared: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (stack, account), names in regions.items():
        shared[stack, tuple(sorted(names))].append(account)
    return "; ".join(
        f"{stack} in {', '.join(names)} of {' and '.join(accounts)}"
        for (stack, names), accounts in shared.items()
    )


def counted_places(cells: Sequence[Cell]) -> str:
    """Many stacks in a few words."""
    if len(cells) < MANY:
        return places(cells)
    accounts = len({cell.account for cell in cells})
    regions = len({cell.region for cell in cells})
    return (
        f"{_number(len(cells), 'stack')}: {_number(accounts, 'account')}, "
        f"{_number(regions, 'region')}"
    )


def title(group: Group) -> str:
    """A group's heading."""
    number = _number(len(group.cells), "stack")
    state = "" if group.state is SetState.READY else f": {STATES[group.state]}"
    return f"{number}{'' if len(group.cells) == 1 else ', all the same'}{state}"


def notes(effect: Effect) -> Iterator[str]:
    """What is to be known of one resource beyond what becomes of it."""
    if effect.fate:
        yield effect.fate
    if effect.action is Action.ADD and effect.kind is not Kind.ADDED:
        yield "it is new"
    if effect.access is not Access.SAME and effect.why:
        yield f"access: {', '.join(effect.why)}"
    if effect.drift and effect.drift not in {"IN_SYNC", "NOT_CHECKED"}:
        yield f"drift: {effect.drift}, somebody changed it outside CloudFormation"


def value(text: str | None) -> str:
    return "(not told)" if text is None else text


def lines(review: Review) -> Iterator[str]:
    """Everything, a line each, for a terminal."""
    for line in _lines(review):
        indent = len(line) - len(line.lstrip(" "))
        yield line[:indent] + plain(line, LONGEST_LINE)


def _lines(review: Review) -> Iterator[str]:
    yield f"{review.project} {review.target}, execution {review.execution}"
    if review.release:
        yield f"release {review.release}"
    yield verdict(review)
    for group in review.groups:
        yield ""
        yield title(group)
        yield f"  {counted_places(group.cells)}"
        yield from (f"  {line}" for line in _of_group(group))
    if review.varying:
        yield ""
        yield f"parameters that are not the same everywhere: {', '.join(review.varying)}"


def _of_group(group: Group) -> Iterator[str]:
    if group.why:
        yield f"reason: {plain(group.why, 800)}"
    yield from (f"differs: {plain(line, 300)}" for line in group.differs)
    for effect in group.effects[:MOST_ROWS]:
        mark = "!" if effect.is_risk else " "
        yield f"{mark} {effect.kind}: {plain(effect.name)} ({plain(effect.type)})"
        yield from (f"    {plain(note, 300)}" for note in notes(effect))
        yield from (f"    {line}" for line in _of_properties(effect.properties))
    yield from left_over(group)


def left_over(group: Group) -> Iterator[str]:
    """What a group has beyond what is shown of it one by one."""
    if len(group.effects) > MOST_ROWS:
        yield f"and {len(group.effects) - MOST_ROWS} more changes"
    if group.tags_only:
        tagged = _number(group.tags_only, "resource")
        yield f"{tagged} of which nothing but tags changes, if anything"
    if group.state is SetState.READY and not group.effects and not group.tags_only:
        yield "no resource changes: only outputs, parameters, or the stack's own settings"


def _of_properties(properties: Sequence[PropertyChange]) -> Iterator[str]:
    for one in properties[:MOST_PROPERTIES]:
        told = one.before is not None or one.after is not None
        change = f": {plain(value(one.before))} -> {plain(value(one.after))}" if told else ""
        cause = f" (because of {plain(one.cause)})" if one.cause else ""
        yield f"{plain(one.path)}{change}{cause}"
    if len(properties) > MOST_PROPERTIES:
        yield f"and {len(properties) - MOST_PROPERTIES} more properties"


# --- Markdown -----------------------------------------------------------------------------------


def markdown(review: Review) -> str:
    """A pull request's comment."""
    found = [
        f"## Review of {_code(review.project)} for {_code(review.target)}",
        "",
        f"**{_text(verdict(review))}**",
        "",
        _text(review.summary),
        "",
        *_table_of_risks(review),
    ]
    for group in review.groups:
        found += _markdown_of(group)
    if review.varying:
        names = ", ".join(map(_code, review.varying))
        found += [f"Parameters that are not the same everywhere: {names}", ""]
    about = f"Execution {_code(review.execution)}"
    if review.release:
        about += f", release {_code(review.release)}"
    return _cut([*found, f"{about}, digest {_code(review.digest[:16])}"], about)


def _cut(found: Sequence[str], end: str) -> str:
    """The lines, as many of them as a comment holds, and how to see the others."""
    text = "\n".join(found) + "\n"
    if len(text) <= LONGEST_COMMENT:
        return text
    whole = text[:LONGEST_COMMENT].rpartition("\n")[0]
    return f"{whole}\n\n**There is more: see the page.** {end}\n"


def _table_of_risks(review: Review) -> Iterator[str]:
    if not review.risks:
        return
    yield "| what | resource | where | more |"
    yield "| --- | --- | --- | --- |"
    for effect, cells in review.risks[:MOST_ROWS]:
        where = counted_places(cells)
        cells_of_row = (
            f"**{effect.kind}**",
            f"{_code(effect.name)} {_text(effect.type)}",
            _text(where),
            _text("; ".join(notes(effect))),
        )
        yield f"| {' | '.join(cells_of_row)} |"
    if len(review.risks) > MOST_ROWS:
        yield f"| | and {len(review.risks) - MOST_ROWS} more | | |"
    yield ""


def _markdown_of(group: Group) -> Iterator[str]:
    yield f"### {_text(title(group))}"
    yield ""
    if len(group.cells) < MANY:
        yield _text(places(group.cells))
    else:
        yield f"<details><summary>{counted_places(group.cells)}</summary>\n"
        yield f"{_text(places(group.cells), 4000)}\n\n</details>"
    yield ""
    if group.why:
        yield f"Reason: {_text(group.why, 800)}"
        yield ""
    if group.differs:
        yield "What is different here:"
        yield ""
        yield from (f"- {_text(line, 300)}" for line in group.differs)
        yield ""
    yield from _markdown_of_effects(group.effects)
    for line in left_over(group):
        yield f"{_text(line)}."
        yield ""


def _markdown_of_effects(effects: Sequence[Effect]) -> Iterator[str]:
    if not effects:
        return
    yield "| what | resource | properties |"
    yield "| --- | --- | --- |"
    for effect in effects[:MOST_ROWS]:
        kind = f"**{effect.kind}**" if effect.kind in RISKS or effect.is_risk else effect.kind
        properties = "<br>".join(_code(line) for line in _of_properties(effect.properties))
        yield f"| {kind} | {_code(effect.name)} {_text(effect.type)} | {properties} |"
    yield ""


def _text(text: str, longest: int = 400) -> str:
    """The text as Markdown that is nothing but text."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~@&-])", r"\\\1", plain(text, longest)) or " "


def _code(text: str) -> str:
    """The text as code, in which nothing is markup but what ends it, or a cell of a table."""
    return f"`{plain(text, 300).replace('`', chr(0x2019)).replace('|', chr(0x2758))}`"


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def headed(effects: Iterable[Effect]) -> dict[Kind, tuple[Effect, ...]]:
    """The changes of each kind, the gravest kind first."""
    found: dict[Kind, list[Effect]] = defaultdict(list)
    for effect in effects:
        found[effect.kind].append(effect)
    return {kind: tuple(found[kind]) for kind in Kind if kind in found}
