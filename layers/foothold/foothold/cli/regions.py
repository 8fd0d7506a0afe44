"""`foothold regions` and `foothold status`: which regions have a store, and who wants them."""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from foothold.caller import Caller
from foothold.cli import claims, lifecycle
from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    complain,
    date,
    err,
    one_clear_line,
    out,
    print_json,
    region_names,
    tell,
    wrong_use,
)
from foothold.cli.ending import FAILED
from foothold.errors import FootholdError, NotReachedError, PermanentError
from foothold.refused import explain_command, explained
from foothold.stores.operator.regions import RegionStatus, State
from foothold.stores.register import ArtifactStore
from foothold.stores.wanted import ALL_ENABLED

app = typer.Typer(
    help=(
        "The regions that you keep: list, add, remove, check, retire, adopt, hand over, claims, "
        "release."
    ),
    no_args_is_help=True,
)

app.command("check")(lifecycle.check)
app.command("retire")(lifecycle.retire)
app.command("adopt")(lifecycle.adopt)
app.command("hand-over")(lifecycle.hand_over)
app.command("claims")(claims.claims)
app.command("release")(claims.release)

Names = Annotated[
    list[str],
    typer.Argument(help="Region names, or all-enabled.", metavar="R...", callback=region_names),
]
COLOURS = {
    State.READY: "green",
    State.BROKEN: "red",
    State.REFUSED: "red",
    State.PENDING: "yellow",
    State.RETIRING: "yellow",
}
AS_IT_SHOULD_BE = (State.READY, State.RETIRING)
# Somebody who only looks is not kept waiting for a control plane that is at work.
LOOK_SECONDS = 10.0


@app.command("list")
def list_regions(root: RootOption = DEFAULT_ROOT, as_json: JsonFlag = False) -> None:  # noqa: FBT002  # a command line flag
    """List the regions that have a store or are wanted, one a line."""
    with one_clear_line():
        found = Caller(root).regions.status()
    if as_json:
        print_json([status.region for status in found])
    else:
        for status in found:
            out.print(status.region, highlight=False)


@app.command()
def add(
    regions: Names,
    excepted: Annotated[
        list[str] | None,
        typer.Option(
            "--except",
            help="A region that all-enabled leaves out; may be given again.",
            metavar="R",
            callback=region_names,
        ),
    ] = None,
    root: RootOption = DEFAULT_ROOT,
    wait: Annotated[bool, typer.Option(help="Wait until the stores are ready.")] = True,  # noqa: FBT002  # a command line flag
) -> None:
    """Put regions on the operator's list, and have their stores made. Exit code 1 where one is
    not ready."""
    if excepted and ALL_ENABLED not in regions:
        wrong_use(f"--except leaves regions out of {ALL_ENABLED}: say {ALL_ENABLED} too")
    with one_clear_line():
        caller = Caller(root)
        kept = caller.regions
        kept.add(regions, excepted or ())
        names = kept.asked_for(regions)
        if not names:
            return
        if not wait:
            kept.request(names)
            return
        try:
            answer = lifecycle.answer(root, {"command": "add", "regions": list(names)})
        except NotReachedError as error:
            _add_by_event(caller, names, error)
            return
    failed = False
    for region, found in answer["regions"].items():
        if found["bucket"]:
            tell(f"{region}: {found['bucket']} is ready")
        else:
            failed = True
            later = "; the schedule tries again" if found["temporary"] else ""
            complain(f"{region} is not ready: {found['error']}{later}")
    if failed:
        raise typer.Exit(FAILED)


def _add_by_event(caller: Caller, names: Sequence[str], why: NotReachedError) -> None:
    """Ask as anybody may who cannot ask the function, and follow what is written down of it."""
    complain(f"asking by an event instead: {why}", "yellow")
    published = caller.stores.ready()
    caller.regions.request(names)
    for region in [name for name in names if name in published.stores]:
        bucket = published.stores[region].bucket
        tell(f"{region}: {bucket} is published, and nobody has looked at it")

    def done(store: ArtifactStore) -> None:
        tell(f"{store.region}: {store.bucket} is ready")

    with err.status("waiting for the stores"):
        caller.regions.wait(
            [name for name in names if name not in published.stores], time.sleep, done
        )


@app.command()
def remove(
    regions: Annotated[
        list[str], typer.Argument(help="Region names, or all-enabled.", metavar="R...")
    ],
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Take regions off the operator's list, and drop what events asked for. Stores are kept."""
    with one_clear_line():
        try:
            left = Caller(root).regions.remove(regions)
        except PermanentError:
            region_names(regions)  # what somebody has put on the list can be taken off it
            raise
    tell(f"on the list now: {', '.join(left) or 'nothing'}")
    out.print("The stores are kept until they are retired.", style="dim")


def status(root: RootOption = DEFAULT_ROOT, as_json: JsonFlag = False) -> None:  # noqa: FBT002  # a command line flag
    """Show every region: how its store is and why, and who wants it. Exit code 1 where one is
    not as it should be."""
    with one_clear_line():
        regions = Caller(root).regions.status()
        found = _looked_at(root)
    judged = [(region, *region.judged(found and found.get(region.region))) for region in regions]
    if as_json:
        print_json([_as_dict(*one, looked=found is not None) for one in judged])
    else:
        for one in judged:
            _show(*one)
    if any(state not in AS_IT_SHOULD_BE for _, state, _ in judged):
        raise typer.Exit(FAILED)


def _looked_at(root: str) -> Mapping[str, Any] | None:
    """What the control plane finds in each region now; None, and a line that says why, where it
    cannot be asked."""
    try:
        plan: Mapping[str, Any] = lifecycle.answer(
            root, {"command": "plan", "regions": []}, LOOK_SECONDS
        )["plan"]
    except FootholdError as error:
        complain(f"nobody has looked, this is what the parameters say: {error}", "yellow")
        return None
    return plan


def _show(region: RegionStatus, state: State, why: tuple[str, ...]) -> None:
    """A few lines for each region: nothing in them is cut, however narrow the terminal is."""
    since = ""
    if region.request and state not in AS_IT_SHOULD_BE:
        since = f" since {date(region.request.since)}"
    lines = [f"{region.region}: [{COLOURS[state]}]{state}[/]{since}"]
    lines += [f"  {escape(explained(line, region.region))}" for line in why]
    lines += [f"  {region.store.bucket}"] if region.store else []
    by = region.wanted
    wanted = ["the list"] * by.on_the_list + [*map(_short, by.claims)]
    wanted += ["an event"] * by.requested
    lines += [
        f"  wanted by {escape('; '.join(wanted))}" if wanted else "  [dim]wanted by nobody[/]"
    ]
    for line in lines:
        tell(line)


def _short(claim: str) -> str:
    """A claim without its stack's UUID, which only tells namesakes apart."""
    stack, _, resource = claim.partition(".")
    return f"{stack}: {resource.rpartition('.')[2]}"


def _as_dict(
    region: RegionStatus, state: State, why: tuple[str, ...], *, looked: bool
) -> dict[str, Any]:
    return {
        "region": region.region,
        "state": state.value,
        "ready": state is State.READY,
        "looked_at": looked,
        "why": list(why),
        "explain": next(filter(None, (explain_command(line, region.region) for line in why)), None),
        "since": date(region.request.since) if region.request else None,
        "bucket": region.store.bucket if region.store else None,
        "key_arn": region.store.key_arn if region.store else None,
        "listed": region.wanted.on_the_list,
        "claims": list(region.wanted.claims),
        "requested": region.wanted.requested,
        "retirement": region.phase,
        "refused": region.refused,
    }
