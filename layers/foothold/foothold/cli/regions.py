"""`foothold regions` and `foothold status`: which regions have a store, and who wants them."""

import time
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from foothold import bootstrap
from foothold.cli import lifecycle
from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    err,
    one_clear_line,
    out,
    print_json,
)
from foothold.domain.models import ArtifactStore
from foothold.services.regions import RegionStatus

app = typer.Typer(
    help="The regions that you keep: list, add, remove, check, retire, adopt.",
    no_args_is_help=True,
)

app.command("check")(lifecycle.check)
app.command("retire")(lifecycle.retire)
app.command("adopt")(lifecycle.adopt)

Names = Annotated[list[str], typer.Argument(help="Region names, or all-enabled.", metavar="R...")]


@app.command("list")
def list_regions(root: RootOption = DEFAULT_ROOT, as_json: JsonFlag = False) -> None:  # noqa: FBT002  # a command line flag
    """List the regions that have a store or are wanted, one a line."""
    with one_clear_line():
        found = bootstrap.region_desk(root).status()
    if as_json:
        print_json([status.region for status in found])
    else:
        for status in found:
            out.print(status.region, highlight=False)


@app.command()
def add(
    regions: Names,
    root: RootOption = DEFAULT_ROOT,
    wait: Annotated[bool, typer.Option(help="Wait until the stores are ready.")] = True,  # noqa: FBT002  # a command line flag
) -> None:
    """Put regions on the operator's list, and ask for their stores."""
    with one_clear_line():
        desk = bootstrap.region_desk(root)
        desk.add(regions)
        if not wait:
            return
        names = [name for name in dict.fromkeys(regions) if name != "all-enabled"]
        columns = (SpinnerColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=err, transient=True) as progress:
            tasks = {name: progress.add_task(f"{name}: asked for", total=None) for name in names}

            def done(store: ArtifactStore) -> None:
                progress.remove_task(tasks[store.region])
                out.print(f"{store.region}: {store.bucket} is ready", highlight=False)

            desk.wait(names, time.sleep, done)


@app.command()
def remove(regions: Names, root: RootOption = DEFAULT_ROOT) -> None:
    """Take regions off the operator's list. Their stores are kept."""
    with one_clear_line():
        left = bootstrap.region_desk(root).remove(regions)
    out.print(f"on the list now: {', '.join(left) or 'nothing'}", highlight=False)
    out.print("The stores are kept until they are retired.", style="dim")


def status(root: RootOption = DEFAULT_ROOT, as_json: JsonFlag = False) -> None:  # noqa: FBT002  # a command line flag
    """Show every region: its store, and who wants it."""
    with one_clear_line():
        found = bootstrap.region_desk(root).status()
    if as_json:
        print_json([_as_dict(region) for region in found])
        return
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Region", no_wrap=True)
    table.add_column("Bucket", no_wrap=True)
    table.add_column("Wanted by", overflow="fold")
    for region in found:
        table.add_row(
            region.region,
            region.store.bucket if region.store else f"[yellow]{region.phase or 'pending'}[/]",
            "\n".join([*(["the list"] if region.listed else []), *map(_short, region.claims)])
            or "[dim]nobody; kept[/]",
        )
    out.print(table)


def _short(claim: str) -> str:
    """A claim without its stack's UUID, which only tells namesakes apart."""
    stack, _, resource = claim.partition(".")
    return f"{stack}: {resource.rpartition('.')[2]}"


def _as_dict(status: RegionStatus) -> dict[str, Any]:
    return {
        "region": status.region,
        "ready": status.store is not None,
        "bucket": status.store.bucket if status.store else None,
        "key_arn": status.store.key_arn if status.store else None,
        "listed": status.listed,
        "claims": list(status.claims),
        "retirement": status.phase,
    }
