"""The reference names everything there is, and nothing else."""

import re
from pathlib import Path
from typing import Any

import typer
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # brings no types

from foothold.cli.main import app

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())


def first_cells(title: str) -> set[str]:
    """What stands in backticks in the first column of a section's table."""
    section = REFERENCE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_stack_parameter_is_explained_with_its_default() -> None:
    assert first_cells("Stack parameters") == set(TEMPLATE["Parameters"])
    for name, parameter in TEMPLATE["Parameters"].items():
        default = f"`{parameter['Default']}`" if parameter["Default"] != "" else "empty"
        assert f"| `{name}` | {default} |" in REFERENCE


def test_every_alarm_says_what_to_do() -> None:
    alarms = {
        name
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert first_cells("Alarms") == alarms


def test_every_command_is_listed() -> None:
    root = typer.main.get_command(app)
    documented = {
        " ".join(word for word in command.split() if re.fullmatch(r"[a-z]+|hand-over", word))
        for command in first_cells("Command line")
    }
    assert documented == {f"foothold {name}" for name in leaves(root)}


def leaves(command: Any, path: str = "") -> set[str]:
    found: set[str] = set()
    context: Any = None
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        full = f"{path} {name}".strip()
        found |= leaves(below, full) if hasattr(below, "list_commands") else {full}
    return found
