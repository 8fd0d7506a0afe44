"""The reference names everything there is, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # brings no types

from foothold.cli.main import app
from foothold.stores.register import Names

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


def test_every_parameter_is_listed() -> None:
    names = Names("")
    each = (getattr(names, name) for name, value in vars(Names).items() if type(value) is property)
    paths = {names.own_store, names.stores, names.claims, names.requests}
    expected = {*each} - paths | {
        *names.publishing(names.own_store),
        *names.publishing(names.store("<region>")),
        names.retirement("<region>"),
        names.adoption("<region>"),
        names.claim("<region>", "<claim>"),
        names.request("<region>"),
        f"{names.pipeline('<project>')}/<number>",
    }
    assert {f"/{name}" for name in _parameters_listed()} == expected


def _parameters_listed() -> Iterator[str]:
    """What the table's first column names; `...` stands for the path of the name before."""
    section = REFERENCE.partition("## Parameters in Parameter Store\n")[2].partition("\n## ")[0]
    before = ""
    for name in re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`.+?) \|", section, re.M))):
        before = name.replace("...", before.rpartition("/")[0])
        yield before


def test_every_parameter_of_the_template_is_read_by_its_name() -> None:
    made = {
        resource["Properties"]["Name"]["Fn::Sub"].removeprefix("${ParameterRoot}")
        for resource in TEMPLATE["Resources"].values()
        if resource["Type"] == "AWS::SSM::Parameter"
    }
    names = Names("")
    assert made == {
        names.service_token,
        names.reconcile_function,
        names.package_function,
        names.review_function,
        names.rollout_function,
        names.region_policy,
        names.pipeline_regions,
    }


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
