"""What docs/pipeline.md says can be typed works, and what pipelines/ holds can be deployed."""

import re
import shlex
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types
from cfnlint.api import lint_file  # type: ignore[import-untyped]  # it brings no types
from typer.testing import CliRunner

from foothold.caller import Caller
from foothold.cli import pipeline as cli
from foothold.pipelines import file as pipeline_file
from foothold.pipelines.declaration import resolve
from foothold.pipelines.file import read_template
from foothold.pipelines.form import read_declaration
from foothold.stores.published import Published
from local.aws.embedded import PRODUCTION, ROOT, TEST
from tests.pipelines.declarations import HOME, KNOWN, TOPIC, declared, pipeline, stores, target
from tests.pipelines.test_declaration import refused

PAGE = (ROOT / "docs" / "pipeline.md").read_text()
BLOCKS = [
    textwrap.dedent(block).strip()
    for block in re.findall(r"(?:^(?: {4}.*)?\n)+", PAGE, flags=re.MULTILINE)
    if block.strip()
]
TEMPLATES = ("target-account", "tools-account", "organization-events")


def commands(*beginning: str) -> list[list[str]]:
    """Every command of the page that begins with these words."""
    lines = "\n".join(BLOCKS).replace("\\\n", " ").splitlines()
    found = [shlex.split(line) for line in lines if line.startswith(beginning[0])]
    return [words for words in found if words[: len(beginning)] == list(beginning)]


# A refused declaration is shown too, and a rehearsal takes minutes: `make demo` does that.
RUN = [
    words
    for words in commands("foothold", "pipeline")
    if words[2] != "rehearse" and words[3] != "pipeline.yaml"
]


class KnownStores:
    """The stores that are ready, and the session's region."""

    home_region = HOME

    @property
    def stores(self) -> "KnownStores":
        return self

    def ready(self) -> Any:
        return Published(KNOWN)


@pytest.mark.parametrize("words", commands("foothold", "pipeline"), ids=" ".join)
def test_every_pipeline_command_of_the_page_works(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pipelines").symlink_to(ROOT / "pipelines")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Caller, "stores", KnownStores())
    monkeypatch.setattr(Caller, "home_region", HOME)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0)
    )
    done = CliRunner().invoke(cli.app, words[2:])
    assert done.exit_code == 0, done.stderr
    for name in [word for word in words if word.startswith(("pipelines/", "examples/"))]:
        assert (ROOT / name).exists()


def test_the_page_rehearses_what_it_renders() -> None:
    assert [words[2] for words in commands("foothold", "pipeline")] == [
        *("render", "render", "graph", "rehearse"),
    ]


def deployments() -> list[tuple[str, dict[str, str], list[str]]]:
    """Template, parameters and capabilities of every `aws cloudformation deploy` of the page."""
    found = []
    for words in commands("aws", "cloudformation", "deploy"):
        options: dict[str, list[str]] = {}
        for word in words[3:]:
            if word.startswith("--"):
                options[word] = []
            else:
                options[list(options)[-1]].append(word)
        pairs = [pair.partition("=") for pair in options.get("--parameter-overrides", ())]
        found.append(
            (
                options["--template-file"][0],
                {name: value for name, _, value in pairs},
                options["--capabilities"],
            )
        )
    return found


@pytest.mark.parametrize(("file", "parameters", "capabilities"), deployments())
def test_every_deployment_of_the_page_fits_its_template(
    file: str, parameters: dict[str, str], capabilities: list[str]
) -> None:
    template = read_template(ROOT / file) if "example" in file else read_any(ROOT / file)
    fields = template["Parameters"]
    assert set(parameters) <= set(fields)
    assert {name for name, field in fields.items() if "Default" not in field} <= set(parameters)
    named = "RoleName" in (ROOT / file).read_text() or "example" in file
    assert ("CAPABILITY_NAMED_IAM" in capabilities) is named
    assert ("CAPABILITY_AUTO_EXPAND" in capabilities) is ("Transform" in template)


def read_any(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader=pipeline_file._Loader)  # noqa: S506  # as safe as SafeLoader


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_deployed_beside_passes_cfn_lint(name: str) -> None:
    found = lint_file(ROOT / "pipelines" / f"{name}.yaml")
    assert [str(match) for match in found] == []


# Service Authorization Reference, "Actions, resources, and condition keys for Amazon CloudWatch
# Logs", "for AWS Secrets Manager"; of composite alarms CloudWatch tells only who may ask for every
# one (Amazon CloudWatch API Reference, "DescribeAlarms", "DescribeAlarmHistory"), as does
# CloudFormation where no stack is named (AWS CloudFormation API Reference, "DescribeStacks").
KNOW_NO_RESOURCE = {
    "cloudformation:DescribeStacks",
    "cloudformation:ListStacks",
    "lambda:ListFunctions",
    "cloudwatch:DescribeAlarmHistory",
    "cloudwatch:DescribeAlarms",
    "secretsmanager:GetRandomPassword",
    "logs:DescribeIndexPolicies",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_deployed_beside_grants_nothing_to_everybody_or_on_everything(name: str) -> None:
    resources = read_any(ROOT / "pipelines" / f"{name}.yaml")["Resources"]
    for resource in resources.values():
        for policy in resource["Properties"].get("Policies", ()):
            for statement in statements(policy):
                if statement["Resource"] == "*":
                    actions = statement["Action"]
                    named = {actions} if isinstance(actions, str) else set(actions)
                    assert named <= KNOW_NO_RESOURCE
                assert "*" not in str(statement["Action"])
        trust = resource["Properties"].get("AssumeRolePolicyDocument", {})
        for statement in trust.get("Statement", ()):
            assert statement["Principal"] != "*"


def statements(policy: Any) -> Any:
    """The statements of an inline policy, whether or not a condition stands before it."""
    if "Fn::If" in policy:
        policy = policy["Fn::If"][1]
    found = policy["PolicyDocument"]["Statement"]
    return [each["Fn::If"][1] if "Fn::If" in each else each for each in found]


def test_the_example_is_for_the_accounts_of_the_embedded_aws() -> None:
    fields = read_template(ROOT / "pipelines" / "example.yaml")["Parameters"]
    assert fields["TestAccount"]["Default"] == TEST
    assert fields["ProductionAccount"]["Default"] == PRODUCTION


def test_the_declarations_of_the_page_are_understood() -> None:
    [mine] = [yaml.safe_load(block) for block in BLOCKS if block.startswith("RegionNames")]
    made = read_declaration(declared(**mine))
    assert made.packages_itself
    assert made.region_names == {"eu-west-1": "region1", "ap-southeast-1": "region2"}
    assert made.build.buildspec == "buildspec.yaml"


def test_targets_run_together_as_the_page_shows() -> None:
    [shown] = [yaml.safe_load(block) for block in BLOCKS if block.startswith("Targets:")]
    made = pipeline(declared(*shown["Targets"], Notifications={"Topic": TOPIC}))
    [together] = made.groups
    assert [each.name for each in together] == ["Europe", "America"]
    assert together[1].waves == together[0].waves


def test_a_target_deploys_in_the_waves_that_the_page_shows() -> None:
    [shown] = [yaml.safe_load(block) for block in BLOCKS if block.startswith("Waves:")]
    made = pipeline(declared(target(Regions="follow", **shown), Notifications={"Topic": TOPIC}))
    assert made.targets[0].stages == ("Test", "Test-Approve", "Test-1", "Test-2")


def test_the_target_of_the_page_follows_all_regions_but_one() -> None:
    [targets] = [yaml.safe_load(block) for block in BLOCKS if block.startswith("- Name")]
    made = resolve(read_declaration(declared(*targets)), stores(HOME, "ap-east-1"), HOME)
    assert made.targets[0].regions == (HOME,)


def test_the_refusals_of_the_page_are_the_programs_own() -> None:
    [said] = [block for block in BLOCKS if block.startswith("$ foothold pipeline render")]
    lines = [line.removeprefix("foothold: ") for line in said.splitlines()[1:]]
    assert refused(declared(target(Regions=["sa-east-1"]))) == [lines[0]]
    assert refused(declared(target(Approval=True))) == [lines[1]]
