"""`foothold regions claims` and `release`: which stacks hold a region, and what lets it go."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    date,
    err,
    one_clear_line,
    print_json,
    region_names,
    tell,
    wrong_use,
)
from foothold.cli.ending import FAILED
from foothold.cli.lifecycle import YesFlag, ask
from foothold.errors import PermanentError


def claims(root: RootOption = DEFAULT_ROOT, as_json: JsonFlag = False) -> None:  # noqa: FBT002  # a command line flag
    """List every claim: its region, stack and resource, since when, and whether the stack still
    exists."""
    found = ask(root, {"command": "claims"})["claims"]
    if as_json:
        print_json(found)
        return
    for claim in found:
        _show(claim)


def release(
    region: Annotated[
        str | None, typer.Argument(help="The claim's region.", callback=region_names)
    ] = None,
    claim: Annotated[str | None, typer.Argument(help="The claim's name.")] = None,
    stack: Annotated[
        str | None, typer.Option(help="Instead: every claim of this stack, by name or ARN.")
    ] = None,
    yes: YesFlag = False,  # noqa: FBT002  # a command line flag
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Drop a claim that its stack cannot drop any more. The store is kept, unless the stack
    parameter RetirementPolicy says otherwise."""
    if (claim is None) == (stack is None) or (stack is not None and region is not None):
        wrong_use("name a claim, as REGION CLAIM, or all claims of a stack with --stack S")
    found = ask(root, {"command": "claims"})["claims"]
    chosen = [
        one
        for one in found
        if (one["region"], one["claim"]) == (region, claim)
        or (stack is not None and stack in (one["stack"], one["stack_id"]))
    ]
    with one_clear_line():
        if not chosen:
            what = f"stack {stack} has no claim" if stack else f"there is no claim {region} {claim}"
            raise PermanentError(f"{what}: `foothold regions claims` lists them")
    if not yes:
        _ask_a_person(chosen)
    names = [{"region": one["region"], "claim": one["claim"]} for one in chosen]
    ask(root, {"command": "release", "claims": names})
    for one in chosen:
        tell(f"{one['region']}: {one['claim']} is released")


def _ask_a_person(chosen: Sequence[Mapping[str, Any]]) -> None:
    for one in chosen:
        _show(one)
    if any(one["exists"] for one in chosen):
        err.print(
            "[yellow]A stack that exists still counts on its region: once released, the region "
            "can be retired under it.[/]",
            highlight=False,
            soft_wrap=True,
        )
    try:
        agreed = typer.confirm("Release?", err=True)
    except typer.Abort:  # nobody there to answer
        agreed = False
    if not agreed:
        err.print("nothing was released; --yes releases without asking", highlight=False)
        raise typer.Exit(FAILED)


def _show(claim: Mapping[str, Any]) -> None:
    """Two lines, in which nothing is cut: the first is what `release` takes."""
    tell(f"{claim['region']} {claim['claim']}", markup=False)
    gone = f", which is gone{_since(claim['gone_since'])}" if not claim["exists"] else ""
    whose = escape(f"{claim['resource']} of stack {claim['stack']}")
    tell(f"  {whose}[red]{gone}[/]; claimed {date(claim['since'])}")


def _since(seconds: int | None) -> str:
    return "" if seconds is None else f" since {date(seconds)}"
