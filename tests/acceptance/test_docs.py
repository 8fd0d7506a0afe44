"""What docs/accept.md says is what there is; tests/embedded/test_accept.py runs its commands."""

import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import typer
from cfnlint.api import lint_file  # type: ignore[import-untyped]  # it brings no types
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # brings no types

from foothold.acceptance.table import CALLS_FOR_ROWS, CLAIMS, MOST_CALLS, RUN_TAG
from foothold.cli.accept import ROWS
from foothold.cli.main import app

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "accept.md").read_text()


def first_cells(title: str | None = None) -> list[str]:
    """What stands in backticks in the first column of a section's table, in order."""
    section = PAGE.partition(f"## {title}\n")[2] if title else PAGE
    rows = [
        line.split("|")[1] for line in section.partition("\n## ")[0].splitlines() if "| `" in line
    ]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_page_names_every_row_and_no_other() -> None:
    assert sorted(first_cells("What it shows")) == sorted(claim.name for claim in CLAIMS)
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert set(ROWS) == {claim.name for claim in CLAIMS} - {"retire"}


def test_the_page_names_every_option() -> None:
    group: Any = typer.main.get_command(app)
    command: Any = group.get_command(None, "accept")
    options = {name for parameter in command.params for name in parameter.opts if name[:2] == "--"}
    documented = {name.split()[0] for name in first_cells()}
    assert documented | {"--root", "--output"} == options
    assert "`-o DIR`" in PAGE


def test_the_page_names_the_limits_and_the_tag() -> None:
    assert f"at most {MOST_CALLS} calls to AWS: {CALLS_FOR_ROWS} for its rows" in " ".join(
        PAGE.split()
    )
    assert f"`{RUN_TAG}`" in PAGE


def test_the_policys_template_is_sound() -> None:
    assert lint_file(ROOT / "pipelines" / "acceptance.yaml") == []


def test_the_policys_deployment_fits_its_template() -> None:
    blocks = "\n".join(re.findall(r"^ {4}.*", PAGE, flags=re.MULTILINE))
    text = textwrap.dedent(blocks).replace("\\\n", " ")
    (words,) = [shlex.split(line) for line in text.splitlines() if line.startswith("aws ")]
    assert words[:3] == ["aws", "cloudformation", "deploy"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    template: Any = yaml_parse((ROOT / options["--template-file"]).read_text())
    assert all("Default" in parameter for parameter in template["Parameters"].values())
    assert options["--capabilities"] == "CAPABILITY_IAM"
    assert "Name" not in template["Resources"]["Acceptance"]["Properties"]
