"""The `foothold` command. It parses, calls one service, and shows the answer."""

from foothold.cli.main import main

__all__ = ["main"]
