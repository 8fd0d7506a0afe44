"""`foothold pipeline`: a file in; a template, a picture or a rehearsal out; one line an error."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types
from cfnlint.api import lint  # type: ignore[import-untyped]  # it brings no types
from typer.testing import CliRunner

from foothold.cli import pipeline as cli
from foothold.stores.published import Published
from foothold.stores.register import ArtifactStore
from tests.pipelines.declarations import HOME, KNOWN, REGIONS, TOPIC, declared, stores, target

ROOT = Path(__file__).parent.parent.parent


class KnownStores:
    """A caller and the stores that are published, as far as `foothold pipeline` needs them."""

    home_region = HOME
    without: tuple[str, ...] = ()
    known: Mapping[str, ArtifactStore] = KNOWN

    @property
    def stores(self) -> "KnownStores":
        return self

    def ready(self) -> Published:
        return Published(self.known)

    def pipeline_regions(self, region: str) -> bool:
        return region not in self.without


@pytest.fixture(autouse=True)
def caller(monkeypatch: pytest.MonkeyPatch) -> KnownStores:
    made = KnownStores()
    monkeypatch.setattr(cli, "Caller", lambda _root: made)
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
    tmp_path: Path, caller: KnownStores
) -> None:
    caller.known = stores(*REGIONS)
    targets = (
        target(f"T{number}", Account=f"{number:012d}", Regions="follow") for number in range(4)
    )
    file = written(tmp_path, declared(*targets))
    done = foothold("render", file, "-o", tmp_path / "out.yaml")
    assert done.exit_code == 0
    assert "deploy it with --s3-bucket" in done.stderr


def test_a_region_that_is_not_followed_is_named_beside_the_template(
    tmp_path: Path, caller: KnownStores
) -> None:
    caller.without = ("us-east-1",)
    done = foothold("render", written(tmp_path, declared(target(Regions="follow"))))
    assert done.exit_code == 0
    assert done.stderr == "not followed, because CodePipeline is not there: us-east-1\n"
    assert "us-east-1" not in str(yaml.safe_load(done.stdout)["Resources"])


def test_the_picture_is_written_as_svg_and_as_mermaid(tmp_path: Path) -> None:
    done = foothold("graph", written(tmp_path, declared()), "-o", tmp_path)
    assert done.exit_code == 0
    assert (tmp_path / "orders.svg").read_text().startswith("<svg ")
    assert (tmp_path / "orders.mmd").read_text().startswith("flowchart TB")


# Values as they are written


# What YAML 1.1 or 1.2 makes a number, a boolean, a time or a date of.
WRITTEN = [
    *("00123", "12:30", "1.10", "1_000", "0x1F", "0o17", "1e3", "1.5e+3", "010", "089", "+1", "-0"),
    *("yes", "No", "ON", "off", "true", "False", "y", "n", "2024-01-31", "2024-01-31T10:00:00Z"),
    *(".5", "5.", ".inf", "190:20:30", "0b11", "1.2.3", "=", "12345678901234567890123"),
]


@pytest.mark.parametrize("text", WRITTEN)
def test_a_value_stays_as_it_is_written(tmp_path: Path, text: str) -> None:
    known = json.dumps(
        declared(
            target(Parameters={"A": "MARK"}),
            Build={"Environment": {"A": "MARK"}},
            Package="buildspec",
        )
    )
    done = foothold("render", written(tmp_path, known.replace('"MARK"', f" {text} ")))
    assert done.exit_code == 0, done.stderr
    resources = yaml.safe_load(done.stdout)["Resources"]
    create = resources["Pipeline"]["Properties"]["Stages"][2]["Actions"][0]
    assert json.loads(create["Configuration"]["ParameterOverrides"]) == {"A": text}
    for reader in (yaml.SafeLoader, yaml.BaseLoader, YamlOfVersion12):
        project = yaml.load(done.stdout, Loader=reader)["Resources"]["PipelineBuildProject"]  # noqa: S506  # of our own
        [given] = [
            each["Value"]
            for each in project["Properties"]["Environment"]["EnvironmentVariables"]
            if each["Name"] == "A"
        ]
        assert given == text


class YamlOfVersion12(yaml.BaseLoader):  # type: ignore[misc]  # PyYAML brings no types
    """The core schema of YAML 1.2, as far as it makes other things than text of scalars."""


for _tag, _pattern in (
    ("bool", "true|True|TRUE|false|False|FALSE"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)"),
):
    YamlOfVersion12.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), None)
    YamlOfVersion12.add_constructor(_tag, lambda _loader, node: (node.tag, node.value))


def test_a_name_that_yaml_takes_for_a_boolean_stays_a_name(tmp_path: Path) -> None:
    text = json.dumps(declared(target(Parameters={"MARK": 1}))).replace(
        '"MARK": 1', "Off: off, y: 1"
    )
    done = foothold("render", written(tmp_path, text))
    assert '{"Off":"off","y":"1"}' in done.stdout


def test_an_account_that_begins_with_zero_needs_no_quotes(tmp_path: Path) -> None:
    text = json.dumps(declared(target(Account="MARK"))).replace('"MARK"', " 012345678901 ")
    assert (
        "::012345678901:role/foothold-deploy" in foothold("render", written(tmp_path, text)).stdout
    )


def test_what_is_to_be_a_number_or_a_yes_may_be_written_as_one(tmp_path: Path) -> None:
    text = json.dumps(
        declared(
            target(Approval="MARK", WaveSize=2),
            Build={"TimeoutMinutes": 7},
            Notifications={"Topic": TOPIC},
        )
    ).replace('"MARK"', " yes ")
    resources = yaml.safe_load(foothold("render", written(tmp_path, text)).stdout)["Resources"]
    assert resources["PipelineBuildProject"]["Properties"]["TimeoutInMinutes"] == 7
    assert "Approve" in str(resources["Pipeline"])


def test_what_is_no_declaration_keeps_its_numbers_and_how_they_are_written(tmp_path: Path) -> None:
    pipeline = json.dumps(declared())
    file = written(
        tmp_path,
        "Transform: FootholdPipeline\n"
        "Parameters: {Cost: {Type: String, Default: 00123}}\n"
        "Mappings: {Size: {Off: {no: 1_000}}}\n"
        "Resources:\n"
        "  Rule:\n"
        "    Type: AWS::SSM::Parameter\n"
        "    Properties:\n"
        "      {Value: 00123, Other: 1.10, Flag: yes, Big: 0x1F, Text: '00123', Sign: =}\n"
        f"  Pipeline: {{Type: Foothold::Pipeline, Properties: {pipeline}}}\n",
    )
    done = foothold("render", file)
    assert "Value: 00123\n" in done.stdout
    assert "Other: 1.10\n" in done.stdout
    assert "Big: 0x1F\n" in done.stdout
    assert "Text: '00123'\n" in done.stdout
    assert "Default: '00123'\n" in done.stdout
    assert "'Off':\n      'no': 1_000\n" in done.stdout
    rule = yaml.safe_load(done.stdout)["Resources"]["Rule"]["Properties"]
    assert rule["Flag"] is True
    made = foothold("render", file, "-o", tmp_path / "out.json")
    assert made.exit_code == 0
    assert json.loads((tmp_path / "out.json").read_text())["Resources"]["Rule"]["Properties"][
        "Other"
    ] == pytest.approx(1.1)


def test_a_letter_that_json_writes_in_two_halves_is_one_letter(tmp_path: Path) -> None:
    done = foothold(
        "render", written(tmp_path, json.dumps(declared(target(Parameters={"A": "\U0001f600"}))))
    )
    assert '{"A":"\U0001f600"}' in done.stdout
    half = json.dumps(declared(target(Parameters={"A": "MARK"}))).replace("MARK", "\\ud83d")
    refused = foothold("render", written(tmp_path, half))
    assert refused.exit_code == 1
    assert "half of a letter" in refused.stderr


# The template around a declaration


def around(**more: Any) -> dict[str, Any]:
    resources = {
        "Pipeline": {
            "Type": "Foothold::Pipeline",
            "Properties": declared(target(Account={"Ref": "TestAccount"})),
        },
        **more.pop("Resources", {}),
    }
    parameters = {"TestAccount": {"Type": "String", "Default": "222222222222"}}
    template = {"Transform": ["FootholdPipeline"], "Parameters": parameters, "Resources": resources}
    return {**template, **more}


def rendered(folder: Path, template: dict[str, Any], *more: object) -> dict[str, Any]:
    done = foothold("render", written(folder, template), *more)
    assert done.exit_code == 0, done.stderr
    made: dict[str, Any] = yaml.safe_load(done.stdout)
    return made


def test_a_parameter_that_a_declaration_used_up_is_gone(tmp_path: Path) -> None:
    made = rendered(tmp_path, around())
    assert "Parameters" not in made
    assert [str(match) for match in lint(json.dumps(made), regions=[HOME])] == []


def test_the_consoles_form_loses_what_the_parameters_lose(tmp_path: Path) -> None:
    form = {
        "ParameterGroups": [{"Label": {"default": "Accounts"}, "Parameters": ["TestAccount"]}],
        "ParameterLabels": {"TestAccount": {"default": "Test"}},
    }
    made = rendered(tmp_path, around(Metadata={"AWS::CloudFormation::Interface": form, "Mine": 1}))
    assert made["Metadata"] == {"Mine": 1}


REFERRING = [
    {"Fn::Sub": "account ${TestAccount}"},
    {"Fn::Sub": ["account ${TestAccount} ${Other}", {"Other": "x"}]},
    {"Fn::Join": ["", ["account ", {"Ref": "TestAccount"}]]},
]


@pytest.mark.parametrize("value", REFERRING)
def test_a_parameter_that_something_else_refers_to_stays(tmp_path: Path, value: Any) -> None:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": value}}
    made = rendered(tmp_path, around(Resources={"Topic": topic}))
    assert list(made["Parameters"]) == ["TestAccount"]


@pytest.mark.parametrize("text", ["echo ${TestAccount}", {"Fn::Sub": "echo ${!TestAccount}"}])
def test_a_text_that_only_looks_like_a_reference_keeps_nothing(tmp_path: Path, text: Any) -> None:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": text}}
    assert "Parameters" not in rendered(tmp_path, around(Resources={"Topic": topic}))


@pytest.mark.parametrize(
    "more",
    [
        {"Transform": ["FootholdPipeline", "SomebodysMacro"]},
        {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "s3://a/b"}}},
        {"Conditions": {"IsTest": {"Fn::Equals": [{"Ref": "TestAccount"}, "222222222222"]}}},
    ],
)
def test_a_parameter_that_a_macro_or_a_condition_may_need_stays(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    assert list(rendered(tmp_path, around(**more))["Parameters"]) == ["TestAccount"]


def test_a_parameter_that_nothing_ever_used_is_left_alone(tmp_path: Path) -> None:
    parameters = {**around()["Parameters"], "Unused": {"Type": "String", "Default": "x"}}
    assert list(rendered(tmp_path, around(Parameters=parameters))["Parameters"]) == ["Unused"]


def test_a_value_that_is_given_holds_in_all_of_the_template(tmp_path: Path) -> None:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "TestAccount"}}}
    made = rendered(tmp_path, around(Resources={"Topic": topic}), "-p", "TestAccount=555555555555")
    assert made["Parameters"]["TestAccount"]["Default"] == "555555555555"
    assert "555555555555" in str(made["Resources"]["Pipeline"])


def test_a_value_that_is_not_to_be_shown_is_written_nowhere(tmp_path: Path) -> None:
    hidden = {"Type": "String", "NoEcho": True}
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "Hidden"}}}
    template = around(
        Parameters={**around()["Parameters"], "Hidden": hidden}, Resources={"Topic": topic}
    )
    done = foothold("render", written(tmp_path, template), "-p", "Hidden=hunter2")
    assert done.exit_code == 0
    assert "hunter2" not in done.stdout + done.stderr


def test_a_template_with_another_transform_is_a_template_still(tmp_path: Path) -> None:
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "InlineCode": "def handler(event, context): return 1\n",
        },
    }
    transforms = ["FootholdPipeline", "AWS::Serverless-2016-10-31"]
    made = rendered(tmp_path, around(Transform=transforms, Resources={"Tell": function}))
    assert made["Transform"] == ["AWS::Serverless-2016-10-31"]
    assert [str(match) for match in lint(json.dumps(made), regions=[HOME])] == []


@pytest.mark.parametrize("command", ["render", "graph", "rehearse"])
def test_a_template_that_names_no_transform_is_remarked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0)
    )
    template = around()
    more = ["--source", tmp_path] if command == "rehearse" else ["-o", tmp_path / "out.json"]
    more = ["-o", tmp_path] if command == "graph" else more
    assert foothold(command, written(tmp_path, template), *more).stderr == ""
    del template["Transform"]
    file = written(tmp_path, template)
    done = foothold(command, file, *more)
    assert done.exit_code == 0
    assert done.stderr == (
        f"foothold: {file} has no Transform: FootholdPipeline, without which CloudFormation does "
        "not expand it\n"
    )


def test_a_bare_declaration_needs_no_transform(tmp_path: Path) -> None:
    assert foothold("render", written(tmp_path, declared())).stderr == ""


def test_what_is_no_resource_of_its_own_does_not_stop_a_picture(tmp_path: Path) -> None:
    loop = {"Fn::ForEach::Topics": ["Name", ["a"], {"Topic${Name}": {"Type": "AWS::SNS::Topic"}}]}
    template = around(Transform=["AWS::LanguageExtensions", "FootholdPipeline"], Resources=loop)
    assert foothold("graph", written(tmp_path, template), "-o", tmp_path).exit_code == 0


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
        ("Name: x\nName: y", "line 2: Name stands there a second time; once is enough"),
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
