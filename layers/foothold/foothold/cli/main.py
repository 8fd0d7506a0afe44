"""All commands, in one place. Each is imported when it is asked for, so that none waits for what
only another one needs."""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from foothold.cli.ending import one_line_at_the_end

# A command, and where it is: a module of foothold.cli, and a function or an app in it.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "status": ("regions", "status"),
    "plan": ("lifecycle", "plan"),
    "regions": ("regions", "app"),
    "package": ("package", "package"),
    "release": ("release", "app"),
    "pipeline": ("pipeline", "app"),
    "review": ("review", "review"),
    "explain": ("explain", "explain"),
    "board": ("board", "board"),
    "accept": ("accept", "accept"),
    "mcp": ("mcp", "mcp"),
    "local": ("local", "app"),
}


class _Commands(TyperGroup):
    """All commands. Typer would end an interrupted one, and one whose output nobody reads,
    without a word."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # typer's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  # likewise
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        found: Any = getattr(import_module(f"foothold.cli.{module}"), name)
        alone = typer.Typer(callback=lambda: None, add_completion=False)
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=cmd_name)
        else:
            alone.command(cmd_name)(found)
        group = typer.main.get_command(alone)
        assert isinstance(group, TyperGroup)  # because it has a callback
        return group.commands[cmd_name]

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
