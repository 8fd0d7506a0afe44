"""A review as one HTML page that needs nothing else. Pure.

No script, and nothing is fetched: the page says so to the browser itself, which then refuses it
even where a name or a value of a stranger's template came through as markup.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from foothold.releases.changes import PropertyChange
from foothold.releases.model import Cell
from foothold.releases.review import RISKS, Effect, Group, Kind, Review
from foothold.releases.shown import (
    HEADINGS,
    MANY,
    counted_places,
    headed,
    left_over,
    notes,
    places,
    plain,
    title,
    value,
    verdict,
)

LONGEST = 1000

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --faint: #57606a;
  --line: #d0d7de; --soft: #f6f8fa; --bad: #a40e26; --badsoft: #fff0f0; --link: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --text: #e6edf3; --faint: #9da7b3;
  --line: #3d444d; --soft: #161b22; --bad: #ff9492; --badsoft: #2d1517; --link: #79c0ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
header, main, footer { max-width: 80rem; margin: 0 auto; padding: 0 clamp(.75rem, 3vw, 2rem); }
header { padding-top: 1.5rem; } footer { padding-bottom: 3rem; color: var(--faint); }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line);
  padding-bottom: .25rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; } .skip:focus { position: static; }
.verdict { font-size: 1.1rem; font-weight: 600; padding: .75rem 1rem; margin: 1rem 0;
  border: 1px solid var(--line); border-left-width: .4rem; background: var(--soft); }
.risky { border-color: var(--bad); background: var(--badsoft); color: var(--bad); }
.faint { color: var(--faint); } .mark { color: var(--bad); font-weight: 600; }
dl { display: grid; grid-template-columns: fit-content(14rem) 1fr; gap: .15rem 1rem;
  margin: .5rem 0; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
code { font: .875em/1.4 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace;
  overflow-wrap: anywhere; white-space: pre-wrap; }
.scroll { overflow-x: auto; border: 1px solid var(--line); margin: .5rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .925rem; }
caption { text-align: left; padding: .5rem .75rem; color: var(--faint); }
th, td { text-align: left; vertical-align: top; padding: .45rem .75rem;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { background: var(--soft); border-top: 0; white-space: nowrap; }
tbody th { font-weight: 600; min-width: 7.5rem; }
section.group { border: 1px solid var(--line); padding: 0 1rem 1rem; margin: 1rem 0; }
section.group > h3:first-child { font-size: 1.05rem; }
details { margin: .35rem 0; } summary { cursor: pointer; padding: .15rem 0; }
ul { margin: .35rem 0; padding-left: 1.25rem; } li { overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .4rem; }
  thead { position: absolute; left: -999rem; }
  table, tbody, tr, th, td, caption { display: block; }
  tr { border-top: 1px solid var(--line); padding: .4rem 0; }
  tbody th, td { border: 0; padding: .1rem .75rem; }
  td:empty { display: none; }
  td[data-of]::before { content: attr(data-of) ": "; color: var(--faint); }
  section.group { padding: 0 .6rem .6rem; } }
@media print { details > * { display: block; } .skip { display: none; } }
"""
FOOTER = """<footer>
<p>An approval counts for these change sets and templates only. Values are those of the first stack
of each group; secrets are masked.</p>
</footer>
"""


def html(review: Review) -> str:
    """The page."""
    name = f"Review of {review.project} for {review.target}"
    bad = " risky" if review.is_risky else ""
    return document(
        name,
        "To the review",
        f"<header>\n<h1>{_text(name)}</h1>\n",
        f'<p class="verdict{bad}">{_text(verdict(review))}</p>\n',
        f"<p>{_text(review.summary)}</p>\n{_facts(review)}</header>\n",
        f'<main id="main" tabindex="-1">\n{"".join(_unread(review))}',
        f"{''.join(_risks(review))}{''.join(_groups(review))}</main>\n",
        FOOTER,
    )


def document(name: str, skip: str, *inside: str, style: str = STYLE) -> str:
    """A whole page. `inside` is markup with a `main` whose id is that, to which `skip` leads; the
    style is the only thing that the browser may take."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="referrer" content="no-referrer">\n',
            f"<title>{_text(name)}</title>\n<style>{style}</style>\n</head>\n<body>\n",
            f'<a class="skip" href="#main">{_text(skip)}</a>\n',
            *inside,
            "</body>\n</html>\n",
        )
    )


def _facts(review: Review) -> str:
    facts = {
        "Stacks": str(len(review.reviewed)),
        "Execution": review.execution,
        "Release": review.release,
        "Digest": review.digest,
        "Parameters that are not the same everywhere": ", ".join(review.varying),
    }
    rows = (
        f"<dt>{name}</dt><dd>{_text(text)}</dd>\n" for name, text in facts.items() if text != ""
    )
    return f"<dl>\n{''.join(rows)}</dl>\n"


def _unread(review: Review) -> Iterator[str]:
    if not review.unread:
        return
    yield '<section aria-labelledby="unread">\n<h2 id="unread">Not read</h2>\n'
    yield "<p>What would change in these stacks is not known.</p>\n"
    rows = ((places(group.cells), title(group), group.why) for group in review.unread)
    yield _table("Stacks whose change sets were not read", ("Where", "State", "Reason"), rows)
    yield "</section>\n"


def _risks(review: Review) -> Iterator[str]:
    yield '<section aria-labelledby="risks">\n<h2 id="risks">To decide on</h2>\n'
    if not review.risks:
        known = "that was read " if review.unread else ""
        yield f"<p>Nothing {known}is replaced, removed or made more open.</p>\n"
    else:
        rows = (
            (effect.kind, f"{effect.name} ({effect.type})", _where(cells, review), _notes(effect))
            for effect, cells in review.risks
        )
        heads = ("What", "Resource", "Where", "What to know")
        yield _table("Replacements, removals, and what is made more open first", heads, rows)
    yield "</section>\n"


def _where(cells: Sequence[Cell], review: Review) -> str:
    if len(cells) == len(review.reviewed) > 1:
        return f"all {len(cells)} stacks"
    return counted_places(cells)


def _notes(effect: Effect) -> str:
    return "; ".join(notes(effect))


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{_text(one)}</th>' for one in heads)
    body = "".join(
        f'<tr><th scope="row">{_text(first)}</th>'
        + "".join(
            f'<td data-of="{_text(name)}">{_text(cell)}</td>'
            for name, cell in zip(heads[1:], rest, strict=True)
        )
        + "</tr>\n"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(caption)}">\n'
        f"<table>\n<caption>{_text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _groups(review: Review) -> Iterator[str]:
    yield '<section aria-labelledby="all">\n<h2 id="all">Everything that changes</h2>\n'
    for number, group in enumerate(review.groups):
        yield _group(group, f"group-{number}")
    yield "</section>\n"


def _group(group: Group, name: str) -> str:
    found = [
        f'<section class="group" aria-labelledby="{name}">\n<h3 id="{name}">{_text(title(group))}',
        f"</h3>\n{_cells(group.cells)}",
    ]
    if group.why:
        found.append(f"<p>Reason: {_text(group.why)}</p>\n")
    if group.differs:
        found.append("<p>What is different from most stacks:</p>\n" + _list(group.differs))
    found += [_of_kind(kind, effects) for kind, effects in headed(group.effects).items()]
    found += [f'<p class="faint">{_text(line)}</p>\n' for line in left_over(group)]
    return "".join([*found, "</section>\n"])


def _cells(cells: Sequence[Cell]) -> str:
    every = _list(map(str, cells))
    if len(cells) < MANY:
        return every
    line = counted_places(cells)
    return f"<details>\n<summary>{line}</summary>\n{every}</details>\n"


def _list(items: Iterable[str]) -> str:
    return f"<ul>\n{''.join(f'<li>{_text(item)}</li>{chr(10)}' for item in items)}</ul>\n"


def _of_kind(kind: Kind, effects: Sequence[Effect]) -> str:
    mark = '<span class="mark" aria-hidden="true">&#9650; </span>' if kind in RISKS else ""
    return (
        f"<h4>{mark}{_text(HEADINGS[kind])} ({len(effects)})</h4>\n{''.join(map(_effect, effects))}"
    )


def _effect(effect: Effect) -> str:
    line = f"<code>{_text(effect.name)}</code> <span class='faint'>{_text(effect.type)}</span>"
    told = _notes(effect)
    inside = f"<p>{_text(told)}</p>\n" if told else ""
    if effect.physical_id:
        inside += f"<p class='faint'>Id: <code>{_text(effect.physical_id)}</code></p>\n"
    inside += _properties(effect.properties)
    if not inside:
        return f"<p>{line}</p>\n"
    opened = " open" if effect.is_risk else ""
    return f"<details{opened}>\n<summary>{line}</summary>\n{inside}</details>\n"


def _properties(properties: Sequence[PropertyChange]) -> str:
    if not properties:
        return ""
    rows = ((one.path, value(one.before), value(one.after), one.cause or "") for one in properties)
    heads = ("Property", "Before", "After", "Because of")
    return _table("Properties that change", heads, rows)


def _text(text: str) -> str:
    return escape(plain(text, LONGEST), quote=True)
