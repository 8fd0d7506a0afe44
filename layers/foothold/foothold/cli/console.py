"""How the command line speaks: one clear line for an error, tables for people, JSON for scripts."""

import errno
import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape

from foothold.cli.ending import FAILED, WRONG_USE
from foothold.errors import FootholdError, PermanentError, TemporaryError
from foothold.partitions import partition_of
from foothold.stores.wanted import ALL_ENABLED


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Nobody reads any more: the one line about it is told where all such lines are."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


out = _Console()
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
        line = f"{error}{_way_out() if isinstance(error, TemporaryError) else ''}"
        complain(line)
        raise typer.Exit(FAILED) from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises PermanentError where a file cannot be written in the block."""
    try:
        yield
    except OSError as error:
        raise PermanentError(f"cannot write {path}: {error.strerror}") from error


def tell(line: str, *, style: str | None = None, markup: bool = True) -> None:
    """A line to stdout in which nothing is cut, however narrow the terminal is."""
    out.print(line, style=style, markup=markup, highlight=False, soft_wrap=True)


def complain(line: str, style: str = "bold red") -> None:
    """The same to stderr, with our name before it."""
    err.print(f"[{style}]foothold:[/] {escape(line)}", highlight=False, soft_wrap=True)


def date(seconds: float) -> str:
    """Seconds since 1970 as a date and time of UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")


def region_names(given: list[str] | str | None) -> list[str] | str | None:
    """A region argument or option as it was given; for a name that no region can have, one line
    and the exit code for wrong use."""
    try:
        for name in each_name([given] if isinstance(given, str) else given or ()):
            if name != ALL_ENABLED:
                partition_of(name)
    except PermanentError as error:
        wrong_use(str(error))
    return given


def each_name(given: Iterable[str]) -> tuple[str, ...]:
    """The names, of which one text may hold several with commas between them."""
    return tuple(name.strip() for several in given for name in several.split(","))


def wrong_use(line: str) -> NoReturn:
    """One line on stderr, and the exit code for wrong use."""
    complain(line)
    raise typer.Exit(WRONG_USE) from None


def _way_out() -> str:
    """The way out where the SDK is pointed at an endpoint of this machine and nothing listens
    there; nothing otherwise."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    try:
        address = urlsplit(endpoint)
        if address.hostname not in {"127.0.0.1", "localhost"}:
            return ""
        socket.create_connection((address.hostname, address.port or 80)).close()
    except ConnectionRefusedError:
        folder = os.environ.get("FOOTHOLD_LOCAL", ".local")
        return (
            f"; nothing runs at {endpoint}: start the embedded AWS with `make local` and source "
            f"{folder}/env again, or unset AWS_ENDPOINT_URL"
        )
    except (OSError, ValueError):
        pass
    return ""


def print_json(value: Any) -> None:
    """JSON to stdout, plain, whatever the terminal."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")
