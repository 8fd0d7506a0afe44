"""The table that `python -m proof` prints, and docs/proof.md, which a full run writes."""

import os
import platform
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from proof.house import ROOT
from proof.result import Result, Scale

PAGE = ROOT / "docs" / "proof.md"
FOUND = ROOT / "proof" / "found.md"
TOOLS = ("boto3", "botocore", "aws-lambda-powertools", "pydantic", "hypothesis", "cfn-lint", "mypy")
SHOWN = 20  # failures of one check
ABOUT = """\
Written by `make prove-full`, or some lines of it by `make prove-full LINES="roles sizes"`:
each says when it was last run in full. `make prove` runs a sample of every line, `make
prove SEED=7` another one, and `make test` the first one; and each line has a test that
shows it something broken. Everything runs on one machine, without AWS.

Most of it runs the functions' own handlers and boto3 clients on a model of AWS under
botocore (`proof/cloud.py`), which is stricter than the emulators: owners of buckets,
states of keys, sizes of policies. Policies are judged by `@cloud-copilot/iam-simulate`,
and the same table is asked of the embedded AWS, with real signatures.

""".splitlines()


@dataclass(frozen=True)
class Check:
    """One proof: its name on the command line, and in the table what was proven."""

    name: str
    what: str
    run: Callable[[Scale], Result]


@dataclass(frozen=True)
class Line:
    check: Check
    result: Result
    seconds: float

    @property
    def cells(self) -> tuple[str, ...]:
        rate = self.result.cases / self.seconds if self.seconds else 0.0
        return (
            self.check.what,
            f"{self.result.cases:,}",
            f"{len(self.result.failures):,}",
            f"{self.seconds:.1f}",
            f"{rate:,.0f}",
        )


HEAD = ("what", "cases", "failed", "seconds", "cases/s")


def timed(check: Check, scale: Scale) -> Line:
    """Run one check. What it raises counts as a failure: a proof that breaks proves nothing."""
    began = time.monotonic()
    try:
        result = check.run(scale)
        if not result.cases:
            result += Result(0, ("nothing was checked",))
    except Exception as error:  # noqa: BLE001  reported, and the next check goes on
        result = Result(0, (f"{type(error).__name__}: {error}",))
    return Line(check, result, time.monotonic() - began)


def totals(lines: Sequence[Line]) -> tuple[str, ...]:
    cases = sum(line.result.cases for line in lines)
    failed = sum(len(line.result.failures) for line in lines)
    seconds = sum(line.seconds for line in lines)
    return ("all", f"{cases:,}", f"{failed:,}", f"{seconds:.1f}", f"{cases / (seconds or 1):,.0f}")


def peak_memory() -> str:
    """The largest that one process became; Linux counts in KiB (getrusage(2))."""
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    most = max(resource.getrusage(who).ru_maxrss for who in users)
    return f"peak memory of one process: {most >> 10:,} MiB, of {os.cpu_count()} at a time"


def show(lines: Sequence[Line], console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for number, title in enumerate(HEAD):
        table.add_column(title, justify="left" if number == 0 else "right")
    for line in lines:
        style = "red" if line.result.failures else None
        table.add_row(*line.cells, style=style)
    table.add_section()
    table.add_row(*totals(lines))
    console.print(table)
    console.print(peak_memory(), style="dim")
    for line in lines:
        for note in line.result.notes:
            console.print(f"{line.check.name}: {note}", style="dim")
        for failure in line.result.failures[:SHOWN]:
            console.print(f"{line.check.name}: {failure}", style="red")
        if len(line.result.failures) > SHOWN:
            console.print(f"{line.check.name}: and {len(line.result.failures) - SHOWN} more")


def write(lines: Sequence[Line], scale: Scale, checks: Sequence[Check]) -> None:
    """docs/proof.md: the table with dates, what each check caught, what is left.

    Lines that were not run this time stay as the page has them, with their own date.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in TOOLS)
    today, python = f"{datetime.now(UTC):%Y-%m-%d}", f"Python {platform.python_version()}"
    rows, notes = _written()
    for line in lines:
        rows[line.check.what] = (*line.cells, today)
        notes[line.check.what] = [f"- {line.check.what}: {note}" for note in line.result.notes]
    known = [check.what for check in checks if check.what in rows]
    table = [rows[what] for what in known]
    PAGE.write_text(
        "\n".join(
            (
                "# Proof",
                "",
                *ABOUT,
                f"{today}, seed {scale.seed}, {python}, {versions}.",
                "",
                f"| {' | '.join((*HEAD, 'when'))} |",
                "| --- | ---: | ---: | ---: | ---: | --- |",
                *(f"| {' | '.join(cells)} |" for cells in (*table, _sum(table))),
                "",
                f"- {peak_memory()}",
                *(note for what in known for note in notes.get(what, ())),
                "",
                FOUND.read_text().rstrip(),
                "",
            )
        )
    )


def _written() -> tuple[dict[str, tuple[str, ...]], dict[str, list[str]]]:
    """The rows and the notes of the page as it is, by what was proven."""
    rows: dict[str, tuple[str, ...]] = {}
    notes: dict[str, list[str]] = {}
    for text in PAGE.read_text().partition("\n## ")[0].splitlines() if PAGE.exists() else ():
        cells = tuple(cell.strip() for cell in text.strip("| ").split(" | "))
        if text.startswith("| ") and len(cells) == len(HEAD) + 1 and cells[0] != HEAD[0]:
            rows[cells[0]] = cells
        elif what := next((what for what in rows if text.startswith(f"- {what}: ")), None):
            notes.setdefault(what, []).append(text)
    return rows, notes


def _sum(rows: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The last row: all cases, and the seconds of all."""
    cases, failed = (sum(int(row[n].replace(",", "")) for row in rows) for n in (1, 2))
    seconds = sum(float(row[3]) for row in rows)
    return (
        "all",
        f"{cases:,}",
        f"{failed:,}",
        f"{seconds:.1f}",
        f"{cases / (seconds or 1):,.0f}",
        "",
    )
