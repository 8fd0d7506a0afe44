"""The `foothold` command. It parses, calls one service, and shows the answer."""

import sys

from foothold.cli.ending import one_line_at_the_end


def main() -> None:
    """Run the command line. Whatever ends it early is one line, from the first import on."""
    with one_line_at_the_end():
        from foothold.cli.main import app  # noqa: PLC0415  # somebody may interrupt this too

        try:
            app()
        finally:
            sys.stdout.flush()


__all__ = ["main"]
