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
Written by `make prove-full`. `make prove` runs a sample of every line, `make prove
SEED=7` another one, and `make test` the first one; and each line has a test that shows
it something broken. Everything runs on one machine, without AWS.

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


def write(lines: Sequence[Line], scale: Scale) -> None:
    """docs/proof.md: the table with date and versions, what each check caught, what is left."""
    versions = ", ".join(f"{name} {version(name)}" for name in TOOLS)
    today, python = f"{datetime.now(UTC):%Y-%m-%d}", f"Python {platform.python_version()}"
    rows = [
        f"| {' | '.join(cells)} |" for cells in (*(line.cells for line in lines), totals(lines))
    ]
    notes = [f"- {peak_memory()}"]
    notes += [f"- {line.check.what}: {note}" for line in lines for note in line.result.notes]
    PAGE.write_text(
        "\n".join(
            (
                "# Proof",
                "",
                *ABOUT,
                f"{today}, seed {scale.seed}, {python}, {versions}.",
                "",
                f"| {' | '.join(HEAD)} |",
                "| --- | ---: | ---: | ---: | ---: |",
                *rows,
                "",
                *notes,
                "",
                FOUND.read_text().rstrip(),
                "",
            )
        )
    )
