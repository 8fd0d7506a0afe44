"""`foothold release`: what was packaged, by name, and where it goes."""

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from foothold.caller import Caller
from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    complain,
    one_clear_line,
    out,
    print_json,
    tell,
)
from foothold.cli.ending import FAILED
from foothold.cli.rollout import Target, deploy, rollback
from foothold.errors import PermanentError
from foothold.packaging.manifest import Manifest
from foothold.packaging.release import keys_of
from foothold.releases.holds import Hold, write_hold
from foothold.releases.model import MANIFEST, Release, ReleaseTarget

app = typer.Typer(
    help="Releases: list and show them, deploy them, roll them back.", no_args_is_help=True
)

Project = Annotated[str, typer.Argument(help="The project's name.", metavar="PROJECT")]
ReleaseId = Annotated[
    str,
    typer.Argument(
        help="A release's id, or how it begins. Default: the newest.",
        metavar="[ID]",
        show_default=False,
    ),
]


@app.command("list")
def list_releases(
    project: Project,
    root: RootOption = DEFAULT_ROOT,
    as_json: JsonFlag = False,  # noqa: FBT002  # a command line flag
) -> None:
    """List a project's releases, the newest first."""
    with one_clear_line():
        found = Caller(root).releases.all(project)
    for name, why in found.unread.items():
        complain(f"{name} is not read: {why}", "yellow")
    if as_json:
        releases = [_as_json(release) for release in found.releases]
        print_json({"project": project, "releases": releases, "unread": dict(found.unread)})
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("Release", "Packaged", "Commit"):
        table.add_column(column, no_wrap=True)
    for column in ("Message", "Regions", "Targets"):
        table.add_column(column)
    for release in found.releases:
        source = release.source
        table.add_row(
            release.id,
            release.packaged_at,
            escape(source.commit[:12]),
            escape(source.message.partition("\n")[0]),
            str(len(release.regions)),
            escape(", ".join(target.name for target in release.targets)),
        )
    out.print(table)


@app.command()
def show(
    project: Project,
    release_id: ReleaseId = "",
    root: RootOption = DEFAULT_ROOT,
    as_json: JsonFlag = False,  # noqa: FBT002  # a command line flag
) -> None:
    """Show a release: where it comes from, its regions, targets and waves, and whether all of it
    is still there. Exit code 1 where it is not."""
    with one_clear_line():
        releases = Caller(root).releases
        release = releases.read(project, release_id)
        body = releases.file(release, MANIFEST)
        manifest = Manifest.from_json(json.loads(body)) if body else None
        gone = releases.gone(release, keys_of(release, manifest))
    objects = len(manifest.packages[0].objects) if manifest and manifest.packages else None
    if as_json:
        print_json({**_as_json(release), "objects": objects, "gone": list(gone)})
    else:
        for line in _lines(release, objects):
            tell(line, markup=False)
    for line in gone:
        complain(f"release {release.id} is not whole any more: {line}")
    if gone:
        raise typer.Exit(FAILED)


app.command()(deploy)
app.command()(rollback)


@app.command()
def hold(
    project: Project,
    target: Target,
    release: Annotated[  # noqa: FBT002  # a command line flag
        bool, typer.Option("--release", help="Let it go again.")
    ] = False,
    root: RootOption = DEFAULT_ROOT,
    as_json: JsonFlag = False,  # noqa: FBT002  # likewise
) -> None:
    """Keep what a target runs: rollouts pass it by and pipelines stop before it, until it is let
    go."""
    with one_clear_line():
        caller = Caller(root)
        names = [one.name for one in caller.declared_targets(project)]
        if target not in names and not release:
            known = ", ".join(names) or "none"
            raise PermanentError(f"{project} has no target {target}; it has {known}")
        wanted = Hold(project, target, not release, caller.clients.caller(), time.time())
        found = write_hold(caller.records, caller.home_store, wanted)
    if as_json:
        print_json(found.as_json())
    else:
        tell(found.line if found.held else f"{target} of {project} is not held", markup=False)


def _as_json(release: Release) -> dict[str, Any]:
    """Without the values of parameters: some of them may be nobody's business."""
    told = release.as_json()
    hidden = {"parameters", "region_parameters"}
    return told | {
        "targets": [
            {name: value for name, value in target.items() if name not in hidden}
            for target in told["targets"]
        ]
    }


def _lines(release: Release, objects: int | None) -> Iterator[str]:
    source = release.source
    yield f"release {release.id} of {release.project}"
    yield f"packaged {release.packaged_at} by {release.packaged_by}"
    for what, said in (
        ("commit", source.commit),
        ("branch", source.branch),
        ("message", source.message.partition("\n")[0]),
        ("link", source.link),
    ):
        if said:
            yield f"{what} {said}"
    several = "" if objects is None else f", {objects} objects in each"
    yield f"{len(release.regions)} regions{several}: {', '.join(sorted(release.regions))}"
    for target in release.targets:
        yield from _of_target(target)


def _of_target(target: ReleaseTarget) -> Iterator[str]:
    asked = f", approval {target.approval}" if target.approval else ""
    beside = f", with {target.joins}" if target.joins else ""
    yield f"target {target.name}: stack {target.stack} in {target.account}{asked}{beside}"
    for number, wave in enumerate(target.waves, start=1):
        yield f"  wave {number}: {', '.join(wave) or 'nothing'}"
