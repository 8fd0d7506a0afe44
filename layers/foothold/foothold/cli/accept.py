"""`foothold accept`: what only a live account can show, asked of one."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from foothold.acceptance.table import CLAIMS, ClaimVerdict, Report
from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    err,
    one_clear_line,
    out,
    print_json,
    region_names,
)
from foothold.cli.ending import FAILED, INTERRUPTED
from foothold.errors import PermanentError

if TYPE_CHECKING:
    from foothold.acceptance.run import Say

COLOURS = {ClaimVerdict.HOLDS: "green", ClaimVerdict.FAILS: "red", ClaimVerdict.NOT_ASKED: "yellow"}
ROWS = tuple(claim.name for claim in CLAIMS if claim.name != "retire")


def accept(  # noqa: PLR0917  # typer gives each by its name
    region: Annotated[
        str | None,
        typer.Option(help="The region to ask in: one that nobody wants.", callback=region_names),
    ] = None,
    target_profile: Annotated[
        str | None, typer.Option(help="A profile of an account that pipelines deploy to.")
    ] = None,
    deploy_role: Annotated[
        str, typer.Option(help="Name of that account's role that may read artifacts.")
    ] = "foothold-deploy",
    run_pipeline: Annotated[  # noqa: FBT002  # a command line flag
        bool, typer.Option("--run-pipeline", help="Start the pipeline, which costs a build.")
    ] = False,
    without: Annotated[
        list[str] | None, typer.Option(help="A row to leave out; may be repeated.", metavar="ROW")
    ] = None,
    clean_up: Annotated[  # noqa: FBT002  # a command line flag
        bool, typer.Option("--clean-up", help="Take away what an interrupted run has left.")
    ] = False,
    folder: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write to.", metavar="DIR")
    ] = Path(),
    root: RootOption = DEFAULT_ROOT,
    as_json: JsonFlag = False,  # noqa: FBT002  # a command line flag
) -> None:
    """Make a store on a live account, ask AWS every open question, take everything away again.

    Exit code 1 where a claim does not hold.
    """
    _refuse_wrong_use(region, without or [], clean_up=clean_up)
    # Nobody else's command waits for these.
    from foothold.acceptance.run import AcceptanceRequest  # noqa: PLC0415
    from foothold.caller import Caller  # noqa: PLC0415

    with one_clear_line(), _told_how_to_go_on(), _progress() as say:
        runs = Caller(root).acceptance(target_profile, deploy_role)
        if region is None:
            _tell_of_cleaning(runs.clean_up(say))
            return
        _make(folder)
        request = AcceptanceRequest(region, run_pipeline, frozenset(without or ()))
        with _interruptions() as is_interrupted:
            report = runs.run(request, say, is_interrupted)
        _write(report, folder)
    if as_json:
        print_json(report.as_json())
    else:
        _show(report)
    if not report.holds:
        raise typer.Exit(FAILED)


def _refuse_wrong_use(region: str | None, without: list[str], *, clean_up: bool) -> None:
    if clean_up and region:
        raise typer.BadParameter(
            "the run that is cleaned up knows its region", param_hint="--region"
        )
    if not clean_up and not region:
        raise typer.BadParameter(
            "name a region that nobody wants; `foothold status` shows who wants which",
            param_hint="--region",
        )
    for name in without:
        if name not in ROWS:
            raise typer.BadParameter(
                f"there is no row {name}: {', '.join(ROWS)}", param_hint="--without"
            )


@contextmanager
def _told_how_to_go_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interrupt:
        line = str(interrupt) or "interrupted; `foothold accept --clean-up` takes away what is left"
        err.print(f"foothold: {line}", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _interruptions() -> Iterator[Callable[[], bool]]:
    """Whether somebody has pressed Ctrl-C. Python forgets that where it comes while an object is
    thrown away (Python Language Reference, "object.__del__"), and the run would go on for minutes.
    """
    heard = threading.Event()

    def interrupt(*_: object) -> None:
        heard.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield heard.is_set
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress() -> Iterator["Say"]:
    """The step that is under way, with a spinner where a person watches; else line by line."""
    if not err.is_interactive:
        yield lambda line: err.print(line, highlight=False, markup=False, soft_wrap=True)
        return
    with err.status("looking at the account") as status:
        yield lambda line: status.update(escape(line))


def _tell_of_cleaning(left: tuple[str, ...] | None) -> None:
    if left is None:
        out.print("there is no run to clean up after")
    elif left:
        raise PermanentError(f"some of the run is left still: {'; '.join(left)}")
    else:
        out.print("everything that the run had made is taken away")


def _make(folder: Path) -> None:
    """Before anything is asked: what was asked should not be lost for want of a place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermanentError(f"cannot write to {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise PermanentError(f"cannot write to {folder}: permission denied")


def _write(report: Report, folder: Path) -> None:
    for name, text in (
        ("acceptance.json", json.dumps(report.as_json(), indent=2) + "\n"),
        ("acceptance.md", report.as_markdown()),
    ):
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise PermanentError(f"cannot write {folder / name}: {error.strerror}") from None


def _show(report: Report) -> None:
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Claim", ratio=3, overflow="fold")
    table.add_column("Expected", ratio=1, overflow="fold")
    table.add_column("Seen", ratio=3, overflow="fold")
    table.add_column("Seconds", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for finding in report.findings:
        table.add_row(
            f"{escape(finding.claim)} [dim]{finding.name}[/]",
            finding.expected,
            escape(finding.seen),
            f"{finding.seconds:.1f}",
            f"[{COLOURS[finding.verdict]}]{finding.verdict}[/]",
        )
    out.print(table)
    out.print(report.summary, highlight=False)
    for line in report.left:
        err.print(f"[bold red]foothold:[/] left behind: {escape(line)}", soft_wrap=True)
    if report.left:
        err.print("`foothold accept --clean-up` takes it away", highlight=False, markup=False)
