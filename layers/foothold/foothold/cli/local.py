"""`foothold local`: the embedded AWS of a checkout. What it is, is the checkout's business."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from foothold.cli.console import FAILED, one_clear_line
from foothold.domain.errors import PermanentError

app = typer.Typer(help="Start and stop the embedded AWS of this checkout.", no_args_is_help=True)


@app.command()
def up(
    deploy: Annotated[  # noqa: FBT002  # a command line flag
        bool, typer.Option(help="Deploy the control plane, with sam build and sam deploy.")
    ] = True,
) -> None:
    """Start the embedded AWS, and deploy the control plane to it."""
    _run("up", *([] if deploy else ["--no-deploy"]))


@app.command()
def down() -> None:
    """Stop the embedded AWS; everything in it is forgotten."""
    _run("down")


def checkout() -> Path:
    """The checkout that the current folder stands in. Raises PermanentError outside of one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "local" / "__main__.py").is_file() and (folder / "template.yaml").is_file():
            return folder
    raise PermanentError(f"{here} is not in a checkout of Foothold: the embedded AWS lives there")


def _run(*arguments: str) -> None:
    with one_clear_line():
        folder = checkout()
    done = subprocess.run([sys.executable, "-m", "local", *arguments], cwd=folder, check=False)
    if done.returncode:
        raise typer.Exit(FAILED)
