"""All commands, in one place."""

import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from foothold.cli import lifecycle, local, package, pipeline, regions
from foothold.cli.ending import one_line_at_the_end


class _Commands(TyperGroup):
    """All commands. Typer would end an interrupted one, and one whose output nobody reads,
    without a word."""

    def invoke(self, ctx: Any) -> Any:
        with one_line_at_the_end():
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()


app = typer.Typer(
    cls=_Commands,
    help="Artifact stores, packaging and pipelines for every region you deploy to.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("status")(regions.status)
app.command("plan")(lifecycle.plan)
app.add_typer(regions.app, name="regions")
app.command("package")(package.package)
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(local.app, name="local")


def _show_version(asked: bool) -> None:  # noqa: FBT001  # typer's own signature
    if asked:
        sys.stdout.write(f"foothold {version('foothold')}\n")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[  # noqa: FBT002  # a command line flag
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None: ...
