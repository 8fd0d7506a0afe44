"""How the command line speaks: one clear line for an error, tables for people, JSON for scripts."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from foothold.domain.errors import FootholdError

DONE, FAILED, WRONG_USE = 0, 1, 2

out = Console()
err = Console(stderr=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for a script to read.")]
RootOption = Annotated[
    str,
    typer.Option(
        "--root", envvar="FOOTHOLD_PARAMETER_ROOT", help="The stack parameter ParameterRoot."
    ),
]
DEFAULT_ROOT = "/foothold"


@contextmanager
def one_clear_line() -> Iterator[None]:
    """Turn every failure a user can meet into one line on stderr and an exit code."""
    try:
        yield
    except FootholdError as error:
        err.print(f"[bold red]foothold:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(FAILED) from None


def print_json(value: Any) -> None:
    """JSON to stdout, plain, whatever the terminal."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")
