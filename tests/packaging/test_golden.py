"""Byte for byte what `sam package` writes: every type, every way to name a file."""

import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types
from samcli.lib.utils.resources import get_packageable_resource_paths  # type: ignore[import-untyped]

from tests.packaging.side_by_side import REGIONS, SideBySide

# aws-sam-cli's own use of samtranslator.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def a_zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("app.py", "handler = None\n")
    return made.getvalue()


FILES: dict[str, str | bytes] = {
    "src/app.py": "def handler(event, context):\n    return event\n",
    "src/data/words.txt": "words\n" * 1000,
    "one.py": "handler = None\n",
    "lib.zip": a_zip(),
    "doc.json": '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}\n',
    "child/template.yaml": """\
        Resources:
          Inner:
            Type: AWS::Serverless::Function
            Properties: {CodeUri: code/, Handler: app.handler, Runtime: python3.13}
        """,
    "child/code/app.py": "handler = 1\n",
}
WAYS = (
    "src",
    "./src/",
    "one.py",
    "src/data/words.txt",
    "doc.json",
    "lib.zip",
    "child/template.yaml",
    "s3://somebody/else",
    "https://s3.eu-west-1.amazonaws.com/somebody/else",
    {"Fn::Sub": "${AWS::Region}/x"},
    {"Bucket": "somebody", "Key": "else"},
    "nowhere/at/all",
    "",
    None,
)
ECR_WAYS = ("111111111111.dkr.ecr.eu-west-1.amazonaws.com/x:1", {"Ref": "Image"})
REQUIRED: dict[str, dict[str, Any]] = {
    "AWS::Serverless::Api": {"StageName": "prod"},
    "AWS::Serverless::GraphQLApi": {"Auth": {"Type": "API_KEY"}},
}
PROPERTIES = sorted(
    (kind, path)
    for kind, lists in get_packageable_resource_paths().items()
    for paths in lists
    for path in paths
    if kind != "AWS::ECR::Repository"  # `sam delete` looks at it, `sam package` does not
)


def resource(kind: str, path: str, value: Any) -> dict[str, Any]:
    properties: dict[str, Any] = REQUIRED.get(kind, {}).copy()
    if kind == "AWS::Serverless::GraphQLApi" and path == "CodeUri":
        properties |= {
            "SchemaUri": "doc.json",
            "Functions": {"First": {"CodeUri": value}},
            "Resolvers": {"Query": {"second": {"CodeUri": "one.py"}}},
        }
    elif value is not None:
        *outer, last = path.split(".")
        inner = properties
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[last] = value
    if path.endswith("ImageUri"):
        properties["PackageType"] = "Image"
    elif kind in {"AWS::Serverless::Function", "AWS::Lambda::Function"}:
        properties |= {"Runtime": "python3.13", "Handler": "app.handler"}
    return {"Type": kind, "Properties": properties}


def files() -> dict[str, str | bytes]:
    return {
        name: textwrap.dedent(content) if isinstance(content, str) else content
        for name, content in FILES.items()
    }


@pytest.mark.parametrize(("kind", "path"), PROPERTIES)
def test_every_type_names_its_files_in_every_way(
    side_by_side: SideBySide, kind: str, path: str
) -> None:
    side_by_side.write(files())
    good: dict[str, Any] = {}
    for number, value in enumerate(ECR_WAYS if "ImageUri" in path else WAYS):
        name = f"Thing{number}"
        template: dict[str, Any] = {"Resources": {name: resource(kind, path, value)}}
        side_by_side.write({f"{number}.yaml": yaml.safe_dump(template)})
        if side_by_side.with_foothold(f"{number}.yaml").failure:
            side_by_side.assert_same(f"{number}.yaml", regions=1)
        else:
            good |= template["Resources"]
    assert good
    side_by_side.write({"all.yaml": yaml.safe_dump({"Resources": good})})
    # sam wants this option wherever there is an image, even if all images are in ECR.
    options = ["--image-repository", ECR_WAYS[0].partition(":")[0]] if "ImageUri" in path else []
    assert not side_by_side.assert_same("all.yaml", options=options).failure


FUNCTION = "{Type: AWS::Lambda::Function, Properties: {Code: src/, Handler: app.handler, Role: x}}"
APPLICATIONS = {
    "nested stacks and applications at any depth": {
        "template.yaml": """\
            Resources:
              App:
                Type: AWS::Serverless::Application
                Properties: {Location: middle/template.yaml}
              Same:
                Type: AWS::CloudFormation::Stack
                Properties: {TemplateURL: ./middle/template.yaml}
              Verbatim:
                Type: AWS::CloudFormation::StackSet
                Properties: {StackSetName: x, TemplateURL: child/template.yaml}
            """,
        "middle/template.yaml": """\
            Resources:
              Deep:
                Type: AWS::CloudFormation::Stack
                Properties: {TemplateURL: ../child/template.yaml}
              Code:
                Type: AWS::Serverless::Function
                Properties: {CodeUri: ../src/, Handler: app.handler, Runtime: python3.13}
            """,
    },
    "one folder in many functions, and in other types": {
        "template.yaml": f"""\
            Resources:
              First: {FUNCTION}
              Second: {FUNCTION}
              Third:
                Type: AWS::ElasticBeanstalk::ApplicationVersion
                Properties: {{ApplicationName: x, SourceBundle: src}}
              Layer:
                Type: AWS::Lambda::LayerVersion
                Properties: {{Content: src}}
            """,
    },
    "Globals give the code": {
        "template.yaml": """\
            Transform: AWS::Serverless-2016-10-31
            Globals: {Function: {CodeUri: src/, Runtime: python3.13, Handler: app.handler}}
            Resources:
              First: {Type: AWS::Serverless::Function, Properties: {Timeout: 3}}
              Second: {Type: AWS::Serverless::Function, Properties: {CodeUri: one.py}}
            """,
    },
    "includes anywhere, and what the application repository asks for": {
        "template.yaml": """\
            Metadata:
              AWS::ServerlessRepo::Application: {Name: x, LicenseUrl: doc.json, ReadmeUrl: one.py}
            Mappings: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: doc.json}}}
            Resources:
              Api:
                Type: AWS::Serverless::Api
                Properties:
                  StageName: prod
                  DefinitionBody:
                    Fn::Transform: {Name: AWS::Include, Parameters: {Location: doc.json}}
              Bucket:
                Type: AWS::S3::Bucket
                Properties:
                  Tags:
                    - Fn::Transform: {Name: AWS::Include, Parameters: {Location: s3://there/already}}
            """,
    },
    "code in the template, code elsewhere, code that is computed": {
        "template.yaml": """\
            Resources:
              Inline:
                Type: AWS::Serverless::Function
                Properties: {InlineCode: "handler = 1", Handler: index.handler, Runtime: python3.13}
              ZipFile:
                Type: AWS::Lambda::Function
                Properties: {Code: {ZipFile: "handler = 1"}, Handler: index.handler, Role: x}
              Elsewhere:
                Type: AWS::Lambda::Function
                Properties: {Code: {S3Bucket: b, S3Key: k}, Handler: index.handler, Role: x}
            """,
    },
    "whatever YAML can say": {
        "template.yaml": """\
            # a comment, lost
            AWSTemplateFormatVersion: 2010-09-09
            Description: "Grüße, 世界 🌍, 'quotes', \\"more\\": so long that it is folded, for
              PyYAML's lines are eighty characters long, and this one is longer by far"
            Parameters:
              Account: {Type: String, Default: "012345678901"}
              Octal: {Type: String, Default: 0777}
              Date: {Type: String, Default: 2024-01-01}
              "Yes": {Type: String, Default: "yes", AllowedValues: ["yes", "1e3", "0x1f", "~", ""]}
              Text:
                Type: String
                Default: |
                  many
                    lines

                  here
            Conditions:
              Is: !Equals [!Ref Account, !Sub "${AWS::AccountId}"]
            Resources:
              Function: &function
                Type: AWS::Serverless::Function
                Condition: Is
                Properties:
                  CodeUri: src/
                  Handler: app.handler
                  Runtime: !Ref Octal
                  Role: !GetAtt Role.Arn.More
                  Environment:
                    Variables: {A: !ImportValue x, B: !Join ["-", [1, 2.50, true, null]]}
              Again: *function
            Outputs:
              Out: {Value: !If [Is, !Select [0, !Split [",", "a,b"]], !Ref AWS::NoValue]}
            """,
    },
    "what the CDK writes": {
        "template.yaml": """\
            Resources:
              Handler886CB40B:
                Type: AWS::Lambda::Function
                Properties:
                  Code: {S3Bucket: cdk-assets, S3Key: abc.zip}
                  Handler: app.handler
                  Role: x
                  Runtime: python3.13
                Metadata:
                  aws:cdk:path: Stack/Handler/Resource
                  aws:asset:path: src
                  aws:asset:property: Code
              CDKMetadata: {Type: AWS::CDK::Metadata, Properties: {Analytics: x}}
            """,
    },
    "an empty folder, and a folder of links": {
        "template.yaml": """\
            Resources:
              Empty:
                Type: AWS::Serverless::LayerVersion
                Properties: {ContentUri: empty}
              Links:
                Type: AWS::Serverless::LayerVersion
                Properties: {ContentUri: links}
            """,
    },
    "no files": {"template.yaml": "Resources: {Topic: {Type: AWS::SNS::Topic}}\n"},
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_is_packaged_as_sam_does(side_by_side: SideBySide, name: str) -> None:
    app = side_by_side.app
    side_by_side.write(files())
    side_by_side.write({path: textwrap.dedent(text) for path, text in APPLICATIONS[name].items()})
    (app / "empty").mkdir()
    (app / "links").mkdir()
    (app / "links/file.py").symlink_to("../one.py")
    (app / "links/folder").symlink_to("../src", target_is_directory=True)
    assert not side_by_side.assert_same().failure


REFUSED = {
    "not YAML": "Resources: {",
    "not a template": "just words\n",
    "a list": "- 1\n- 2\n",
    "nothing at all": "",
    "no resources": "Description: nothing\n",
    "resources that are a list": "Resources: [1, 2]\n",
    "a resource that is a text": "Resources: {A: text}\n",
    "a folder that is missing": (
        "Resources: {A: {Type: AWS::Lambda::Function, Properties: {Code: nowhere}}}\n"
    ),
    "a nested template that is missing": (
        "Resources: {A: {Type: AWS::Serverless::Application, Properties: {Location: no.yaml}}}\n"
    ),
    "an include that is missing": (
        "Resources: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: nowhere}}}\n"
    ),
    "a transform that fails": (
        "Transform: AWS::Serverless-2016-10-31\n"
        "Resources: {A: {Type: AWS::Serverless::Api, Properties: {DefinitionUri: doc.json}}}\n"
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_sam_refuses_is_refused_with_the_same_reason(
    side_by_side: SideBySide, name: str
) -> None:
    side_by_side.write(files() | {"template.yaml": REFUSED[name]})
    failure = side_by_side.assert_same(regions=1).failure
    assert failure
    assert "\n" not in side_by_side.with_foothold("template.yaml").failure


def test_json_is_a_template_too(side_by_side: SideBySide) -> None:
    template = {"Resources": {"A": resource("AWS::Serverless::Function", "CodeUri", "src")}}
    side_by_side.write(files() | {"template.json": json.dumps(template)})
    assert not side_by_side.assert_same("template.json").failure


FOR_EACH = """\
Transform: AWS::LanguageExtensions
Mappings:
  Names: {eu-west-1: {Of: [one, two]}, us-east-1: {Of: [one]}}
Resources:
  Fn::ForEach::Functions:
    - Name
    - !FindInMap [Names, !Ref AWS::Region, Of]
    - ${Name}Function:
        Type: AWS::Lambda::Function
        Properties: {Code: "code/${Name}/", Handler: app.handler, Role: x}
  Fn::ForEach::Same:
    - Name
    - [three, four]
    - ${Name}Function:
        Type: AWS::Lambda::Function
        Properties: {Code: src/, Handler: app.handler, Role: x}
  Plain: {Type: AWS::Lambda::Function, Properties: {Code: one.py, Handler: app.handler, Role: x}}
"""


def test_for_each_is_expanded_where_language_extensions_are_asked_for(
    side_by_side: SideBySide,
) -> None:
    side_by_side.write(files() | {"template.yaml": FOR_EACH})
    side_by_side.write({f"code/{name}/app.py": name for name in ("one", "two")})
    same = side_by_side.assert_same(language_extensions=True)
    assert not same.failure
    in_ireland, in_virginia = (
        sum(path.startswith(f"/foothold-111111111111-{region}") for path in same.objects)
        for region in REGIONS
    )
    assert (in_ireland, in_virginia) == (4, 3)


def test_where_they_are_not_asked_for_the_refusal_says_how(side_by_side: SideBySide) -> None:
    side_by_side.write(files() | {"template.yaml": FOR_EACH})
    assert side_by_side.assert_same().failure
    assert "--language-extensions" in side_by_side.with_foothold("template.yaml").failure


def test_sams_own_environment_variable_asks_for_language_extensions(
    side_by_side: SideBySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    side_by_side.write(files() | {"template.yaml": FOR_EACH})
    side_by_side.write({f"code/{name}/app.py": name for name in ("one", "two")})
    asked = side_by_side.with_sam("template.yaml", ["--language-extensions"])
    monkeypatch.setenv("SAM_CLI_ENABLE_LANGUAGE_EXTENSIONS", "1")
    packaged = side_by_side.packaged()
    assert {region: text.render() for region, text in packaged.templates.items()} == asked.templates


@pytest.mark.parametrize("bucket", ["0123", "1e3", "a.b", "foothold"])
def test_a_bucket_name_that_yaml_must_quote_is_quoted(
    side_by_side: SideBySide, bucket: str
) -> None:
    side_by_side.bucket = bucket
    side_by_side.write(files())
    kinds = [
        ("AWS::Lambda::Function", "Code", "src"),
        ("AWS::StepFunctions::StateMachine", "DefinitionS3Location", "doc.json"),
        ("AWS::Serverless::Application", "Location", "child/template.yaml"),
    ]
    template = {"Resources": {f"T{at}": resource(*kind) for at, kind in enumerate(kinds)}}
    side_by_side.write({"template.yaml": yaml.safe_dump(template)})
    assert not side_by_side.assert_same().failure


@pytest.fixture(scope="session")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built by the real `sam build` for the python that runs the tests."""
    source = Path(__file__).parents[2] / "examples/orders"
    app = tmp_path_factory.mktemp("orders") / "orders"
    shutil.copytree(source, app, ignore=shutil.ignore_patterns(".aws-sam"))
    runtime = f"python3.{sys.version_info.minor}"
    command = ["sam", "build", "--parameter-overrides", f"PythonRuntime={runtime}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(
        command, cwd=app, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return app


def test_the_example_is_packaged_as_sam_does(side_by_side: SideBySide, orders: Path) -> None:
    side_by_side.app = orders
    same = side_by_side.assert_same(".aws-sam/build/template.yaml")
    assert not same.failure
    assert len(same.objects) == 2 * len(
        ["place", "price", "receipt", "shared", "notify", "machine", "api", "nested"]
    )
