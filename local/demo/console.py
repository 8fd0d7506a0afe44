"""How the demo shows itself: its commands, its tables, and how it fails."""

import os
import subprocess
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console

from local.aws.embedded import BINARIES, ROOT, Embedded

console = Console(highlight=False)
LOOK: dict[str, Any] = {"header_style": "bold", "box": SIMPLE_HEAD, "pad_edge": False}


class DemoError(Exception):
    """Something that the demo promises did not happen."""


def show(*command: str) -> None:
    console.print(f"[bold cyan]$ {' '.join(command)}[/]", soft_wrap=True)


def foothold(*arguments: str) -> None:
    """Show the command, and run it on the embedded AWS that the environment names."""
    show("foothold", *arguments)
    embedded = Embedded()
    environment = embedded.environment() if embedded.pid else {}
    subprocess.run(
        [BINARIES / "foothold", *arguments], cwd=ROOT, env={**os.environ, **environment}, check=True
    )
