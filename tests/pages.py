"""The commands that the pages at the top and in docs/ show in their code blocks, as printed."""

import re
import shlex
from dataclasses import dataclass

from local.aws.embedded import ROOT

PROGRAMS = ("aws", "export", "foothold", "make", "sam", ".")
# docs/decisions tells what was measured; docs/proof.md is written by the proof.
AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = (
    *AT_THE_TOP,
    *sorted({path.name for path in (ROOT / "docs").glob("*.md")} - {"proof.md"}),
)


@dataclass(frozen=True)
class Command:
    """A command of a page: `line` as printed, on one line and without its comment."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line, comments=True)

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


def commands_of(page: str, *programs: str) -> list[Command]:
    """Every command of the page's code blocks that begins with one of these programs; with any of
    them all where none is named."""
    path = ROOT / page if page in AT_THE_TOP else ROOT / "docs" / page
    lines = path.read_text().replace("\\\n", " ").splitlines()
    blocks = [line.strip().removeprefix("$ ") for line in lines if line.startswith("    ")]
    return [
        Command(page, re.sub(r" +# .*", "", re.sub(r" {2,}", " ", line)))
        for line in blocks
        if line.split(" ", 1)[0] in (programs or PROGRAMS)
    ]


ALL = [command for page in PAGES for command in commands_of(page)]
