"""`foothold pipeline`: a file in; a template, a picture or a rehearsal out; one line an error."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types
from typer.testing import CliRunner

from foothold import bootstrap
from foothold.cli import pipeline as cli
from foothold.domain.models import ArtifactStore
from tests.pipeline.declarations import HOME, KNOWN, REGIONS, declared, stores, target

ROOT = Path(__file__).parent.parent.parent


class Desk:
    """The operator's desk and the session, as far as `foothold pipeline` needs them."""

    home_region = HOME
    known: Mapping[str, ArtifactStore] = KNOWN

    def ready(self) -> Mapping[str, ArtifactStore]:
        return self.known


@pytest.fixture(autouse=True)
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk()
    monkeypatch.setattr(bootstrap, "region_desk", lambda _root: made)
    monkeypatch.setattr(bootstrap, "clients", lambda: made)
    return made


def foothold(*arguments: object) -> Any:
    return CliRunner().invoke(
        cli.app, [str(argument) for argument in arguments], env={"COLUMNS": "500"}
    )


def written(folder: Path, text: object) -> Path:
    file = folder / "pipeline.yaml"
    file.write_text(text if isinstance(text, str) else json.dumps(text))
    return file


def test_the_example_is_rendered_to_a_template_of_plain_resources() -> None:
    done = foothold("render", ROOT / "pipelines" / "example.yaml")
    assert done.exit_code == 0
    template = yaml.safe_load(done.stdout)
    assert "Transform" not in template
    assert template["Resources"]["Pipeline"]["Type"] == "AWS::CodePipeline::Pipeline"
    assert {resource["Type"].split("::")[0] for resource in template["Resources"].values()} == {
        "AWS"
    }


def test_a_bare_declaration_needs_no_template_around_it(tmp_path: Path) -> None:
    done = foothold("render", written(tmp_path, declared()), "-o", tmp_path / "out.json")
    assert (done.exit_code, done.stdout) == (0, "")
    made = json.loads((tmp_path / "out.json").read_text())
    assert made["Resources"]["Pipeline"]["Properties"]["Name"] == "orders"


def test_a_template_keeps_its_functions_and_its_dates(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "AWSTemplateFormatVersion: 2010-09-09\n"
        "Conditions: {Wanted: !Equals [!Ref AWS::Region, eu-central-1]}\n"
        "Resources:\n"
        "  Topic: {Type: AWS::SNS::Topic, Properties: {DisplayName: !GetAtt Other.Arn.Part}}\n"
        f"  Pipeline: {{Type: Foothold::Pipeline, Properties: {json.dumps(declared())}}}\n",
    )
    template = yaml.safe_load(foothold("render", file).stdout)
    assert template["AWSTemplateFormatVersion"] == "2010-09-09"
    assert template["Conditions"]["Wanted"] == {
        "Fn::Equals": [{"Ref": "AWS::Region"}, "eu-central-1"]
    }
    topic = template["Resources"]["Topic"]["Properties"]
    assert topic == {"DisplayName": {"Fn::GetAtt": ["Other", "Arn.Part"]}}


def test_rendered_yaml_has_no_aliases_which_cloudformation_does_not_read(tmp_path: Path) -> None:
    done = foothold("render", written(tmp_path, declared(target(Regions="follow"))))
    assert "&id" not in done.stdout
    assert "*id" not in done.stdout


def test_parameters_are_given_on_the_command_line() -> None:
    example = ROOT / "pipelines" / "example.yaml"
    done = foothold("render", example, "-p", "TestAccount=555555555555")
    pipeline = yaml.safe_load(done.stdout)["Resources"]["Pipeline"]
    assert "555555555555" in str(pipeline)
    assert "222222222222" not in str(pipeline)


def test_a_template_too_large_to_be_sent_inline_says_how_it_is_deployed(
    tmp_path: Path, desk: Desk
) -> None:
    desk.known = stores(*REGIONS)
    targets = (
        target(f"T{number}", Account=f"{number:012d}", Regions="follow") for number in range(4)
    )
    file = written(tmp_path, declared(*targets))
    done = foothold("render", file, "-o", tmp_path / "out.yaml")
    assert done.exit_code == 0
    assert "deploy it with --s3-bucket" in done.stderr


def test_the_picture_is_written_as_svg_and_as_mermaid(tmp_path: Path) -> None:
    done = foothold("graph", written(tmp_path, declared()), "-o", tmp_path)
    assert done.exit_code == 0
    assert (tmp_path / "orders.svg").read_text().startswith("<svg ")
    assert (tmp_path / "orders.mmd").read_text().startswith("flowchart TB")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "empty; write Name, Source and Targets"),
        ("Name: [", "is neither YAML nor JSON, line 1"),
        ("Resources: {}", "no Foothold::Pipeline among its Resources; declare one"),
        ("Resources: orders", "Resources is no map; name each resource in it"),
        ("Parameters: [Stage]\nResources: {}", "Parameters is no map; give each name its Type"),
        ("Parameters: {Stage: test}\nResources: {}", "Parameters is no map; give each name"),
        ("Targets: &t [*t]", "a part of it contains itself; write it out"),
        ("Name: x", "Source: missing"),
        (declared(target(Regions=["sa-east-1"])), "run: foothold regions add sa-east-1"),
        (declared(target("[Test]")), "Targets[[Test]].Name"),
    ],
)
def test_what_is_wrong_is_said_line_by_line_without_a_traceback(
    tmp_path: Path, text: object, line: str
) -> None:
    done = foothold("render", written(tmp_path, text))
    assert done.exit_code == 1
    assert line in done.stderr
    assert all(each.startswith("foothold: ") for each in done.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["render", "nowhere.yaml"], "cannot read nowhere.yaml: No such file or directory"),
        (["render", "{example}", "-p", "Acount=1"], "--parameter Acount=1: write NAME=VALUE"),
        (["render", "{example}", "-o", "/nowhere/x"], "cannot write /nowhere/x"),
    ],
)
def test_a_file_or_a_parameter_that_is_not_there_is_named(arguments: list[str], line: str) -> None:
    example = str(ROOT / "pipelines" / "example.yaml")
    done = foothold(*(example if each == "{example}" else each for each in arguments))
    assert done.exit_code == 1
    assert line in done.stderr


def test_a_parameter_without_a_value_is_asked_for(tmp_path: Path) -> None:
    fragment = {
        "Parameters": {"Account": {"Type": "String"}},
        "Resources": {"Pipeline": {"Type": "Foothold::Pipeline", "Properties": declared()}},
    }
    done = foothold("render", written(tmp_path, fragment))
    assert "give --parameter Account=VALUE: the template has no default" in done.stderr


def test_a_rehearsal_is_run_by_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []

    def run(command: list[str], **more: Any) -> Any:
        ran.append((command[1:], more["cwd"]))
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.chdir(ROOT)
    file = written(tmp_path, declared())
    done = foothold("rehearse", file, "--source", "examples", "--approve", "-p", "A=1")
    assert done.exit_code == 7
    [(command, folder)] = ran
    assert folder == ROOT
    assert command == [
        *("-m", "local.rehearsal", str(file), "--source", str(ROOT / "examples")),
        *("--root", "/foothold", "--approve", "--parameter", "A=1"),
    ]


def test_the_published_schema_is_what_the_command_prints() -> None:
    published = (ROOT / "docs" / "pipeline-declaration.schema.json").read_text()
    assert foothold("schema").stdout == published
