"""`foothold release deploy` and `foothold release rollback`: a release on its way, without
CodePipeline."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    complain,
    err,
    one_clear_line,
    print_json,
    tell,
)
from foothold.cli.ending import FAILED
from foothold.errors import PermanentError
from foothold.releases.review import Review
from foothold.releases.rollout import Approve, Rollouts
from foothold.releases.rollout_plan import CellOutcome, CellState, RolloutOutcome
from foothold.releases.shown import lines
from foothold.releases_caller import ReleasesCaller, new_run

Project = Annotated[str, typer.Argument(help="The name it was packaged under.", metavar="PROJECT")]
Target = Annotated[str, typer.Option("--target", "-t", help="A target of the release.")]
Approved = Annotated[
    bool, typer.Option("--approve", help="Nobody is asked; the review is shown all the same.")
]
WELL = frozenset({CellState.DEPLOYED, CellState.RAN_ALREADY, CellState.TAKEN_BACK})


def deploy(  # noqa: PLR0917  # one for each option
    project: Project,
    release: Annotated[str, typer.Argument(help="Its id, or how that begins.", metavar="ID")],
    target: Target,
    approve: Approved = False,  # noqa: FBT002  # a command line flag
    as_json: JsonFlag = False,  # noqa: FBT002  # likewise
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Bring a release to a target, wave by wave, or go on with it."""

    def work(caller: ReleasesCaller, rollouts: Rollouts, asking: Approve) -> RolloutOutcome:
        found = caller.releases.read(project, release)
        return rollouts.deploy(found, target, run=new_run(), approve=asking)

    _roll_out(root, work, approve=approve, as_json=as_json)


def rollback(  # noqa: PLR0917  # likewise
    project: Project,
    target: Target,
    to: Annotated[
        str, typer.Option("--to", help="A release; the one before if left out.", metavar="ID")
    ] = "",
    approve: Approved = False,  # noqa: FBT002  # a command line flag
    as_json: JsonFlag = False,  # noqa: FBT002  # likewise
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Bring back the release that a target had before."""

    def work(_: ReleasesCaller, rollouts: Rollouts, asking: Approve) -> RolloutOutcome:
        return rollouts.rollback(project, target, run=new_run(), approve=asking, to=to)

    _roll_out(root, work, approve=approve, as_json=as_json)


def _roll_out(
    root: str,
    work: Callable[[ReleasesCaller, Rollouts, Approve], RolloutOutcome],
    *,
    approve: bool,
    as_json: bool,
) -> None:
    with one_clear_line():
        caller = ReleasesCaller(root)

        def asking(review: Review) -> bool:
            return _approved(review, approve=approve)

        outcome = work(caller, caller.rollouts(_say), asking)
    if as_json:
        print_json(outcome.as_json())
    else:
        for cell in outcome.cells:
            tell(_line(cell), markup=False)
    if not outcome.is_done:
        complain(f"{outcome.state}: {outcome.line}")
        raise typer.Exit(FAILED)
    if not as_json:
        tell(outcome.line, markup=False)


def _say(line: str) -> None:
    """How it goes is no result: it goes to stderr."""
    err.print(line, markup=False, highlight=False, soft_wrap=True)


def _approved(review: Review, *, approve: bool) -> bool:
    """Show the review, and ask whoever is at the terminal."""
    for line in lines(review):
        _say(line)
    if approve:
        return True
    if not sys.stdin.isatty():
        raise PermanentError(
            "this target asks for an approval, and nobody is at a terminal: look at the review, "
            "and run the command again with --approve"
        )
    return typer.confirm("Execute exactly this?", err=True)


def _line(one: CellOutcome) -> str:
    before, after = (_release(each) for each in (one.before, one.after))
    ran = f"{before} before, {after} now" if one.state is not CellState.LEFT else before
    line = f": {one.line}" if one.line and one.state not in WELL else ""
    return f"{one.cell}: {one.state} ({ran}){line}"


def _release(id_: str | None) -> str:
    return "no stack" if id_ is None else id_ or "no known release"
