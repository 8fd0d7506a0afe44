"""`foothold local`: the embedded AWS of a checkout. What it is, is the checkout's business."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from foothold.cli.console import one_clear_line
from foothold.errors import PermanentError

app = typer.Typer(help="Start and stop the embedded AWS of a checkout.", no_args_is_help=True)

FOLDER_VARIABLE = "FOOTHOLD_LOCAL"
LocalOption = Annotated[
    Path | None,
    typer.Option(
        "--local",
        envvar=FOLDER_VARIABLE,
        help="The embedded AWS's folder, .local of a checkout; or the checkout.",
        metavar="DIR",
    ),
]


@app.command()
def up(
    deploy: Annotated[  # noqa: FBT002  # a command line flag
        bool, typer.Option(help="Deploy the control plane, with sam build and sam deploy.")
    ] = True,
    local: LocalOption = None,
) -> None:
    """Start the embedded AWS, and deploy the control plane to it."""
    _run(local, "up", *([] if deploy else ["--no-deploy"]))


@app.command()
def down(local: LocalOption = None) -> None:
    """Stop the embedded AWS; everything in it is forgotten."""
    _run(local, "down")


def run_in_checkout(local: Path | None, module: str, *arguments: str) -> int:
    """Run a module of a checkout with these arguments, on the embedded AWS in its folder; return
    the exit code.

    `local` is what `--local` or FOOTHOLD_LOCAL names. Without it, the checkout is the one that the
    current folder stands in, or the one that this command was installed from. Raises
    PermanentError where there is none.
    """
    checkout = _checkout(local)
    folder = checkout / ".local" if local is None or _is_checkout(local) else local.absolute()
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=checkout,
        env={**os.environ, FOLDER_VARIABLE: str(folder)},
        check=False,
    ).returncode


def _checkout(local: Path | None) -> Path:
    here = Path.cwd()
    named = (local.absolute(), *local.absolute().parents) if local else ()
    for folder in (*named, here, *here.parents, *Path(__file__).resolve().parents):
        if _is_checkout(folder):
            return folder
    raise PermanentError(
        f"{local or here} is not in a checkout of Foothold, where the embedded AWS lives: source "
        "the `.local/env` of one, or name its folder with --local DIR"
    )


def _is_checkout(folder: Path) -> bool:
    return (folder / "local" / "__main__.py").is_file() and (folder / "template.yaml").is_file()


def _run(local: Path | None, *arguments: str) -> None:
    with one_clear_line():
        code = run_in_checkout(local, "local", *arguments)
    if code:
        raise typer.Exit(code)
