"""A rehearsal runs the whole pipeline on the embedded AWS, with the pipeline's own roles."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types
from botocore.exceptions import ClientError
from rich.console import Console

from local.aws.embedded import (
    FOREIGN,
    HOME_REGION,
    ORGANIZATION,
    PRODUCTION,
    ROOT,
    RUNTIME,
    TEST,
    TOOLS,
    Embedded,
)
from local.rehearsal import __main__ as command
from local.rehearsal import run
from local.rehearsal.stacks import deploy_stack

HERE = Path(__file__).parent
PLACES = [
    (TEST, "eu-west-1", "test"),
    (TEST, "us-east-1", "test"),
    (PRODUCTION, "eu-central-1", "production"),
    (PRODUCTION, "eu-west-1", "production"),
    (PRODUCTION, "us-east-1", "production"),
]
# A review for each account, and for one of them an approval and its guard.
REVIEWED, ASKED = 2, 2
Json = dict[str, Any]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The application's source, to change at will."""
    return Path(shutil.copytree(HERE / "app", tmp_path / "app"))


@pytest.fixture(scope="module")
def template(aws: Embedded) -> Json:
    return run.rendered(aws, HERE / "pipeline.yaml", [])


def rehearse(aws: Embedded, template: Json, source: Path, *, approve: bool = True) -> str:
    """What the console shows of a rehearsal; `passed` or `failed` is its last word."""
    screen = io.StringIO()
    console = Console(file=screen, width=200, highlight=False)
    passed = run.rehearse(aws, template, "Pipeline", source, console, approve=approve)
    return screen.getvalue() + ("passed" if passed else "failed")


def answer(aws: Embedded, account: str, region: str) -> Any:
    client = aws.session(account, region).client("lambda")
    return json.loads(client.invoke(FunctionName="hello")["Payload"].read())


def test_a_pipeline_deploys_to_every_account_and_region_and_can_be_repeated(
    aws: Embedded, template: Json, app: Path
) -> None:
    shown = rehearse(aws, template, app)
    assert shown.endswith("passed")
    assert "2 to add, 0 to modify, 0 to remove" in shown
    for account, region, stage in PLACES:
        assert answer(aws, account, region) == f"{stage} in {region} of {account}"

    again = rehearse(aws, template, app)
    assert again.endswith("passed")
    assert "2 to add" not in again
    assert again.count("nothing to change") == 2 * len(PLACES)

    (app / "src" / "index.py").write_text("def handler(event, context):\n    return 'new'\n")
    changed = rehearse(aws, template, app)
    assert "0 to add, 1 to modify, 0 to remove" in changed
    assert {answer(aws, account, region) for account, region, _ in PLACES} == {"new"}


def test_artifacts_lie_in_every_regions_store_under_its_own_key(aws: Embedded) -> None:
    for region in (HOME_REGION, "eu-west-1", "us-east-1"):
        s3 = aws.session(TOOLS, region).client("s3")
        ssm = aws.session(TOOLS, region).client("ssm")
        path = "/foothold/artifact-store"
        bucket, key_arn = (
            ssm.get_parameter(Name=f"{path}/{leaf}")["Parameter"]["Value"]
            for leaf in ("bucket", "key-arn")
        )
        names = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
        assert [name for name in names if name.startswith("hello/PackageOut")]
        for name in names:
            head = s3.head_object(Bucket=bucket, Key=name, ExpectedBucketOwner=TOOLS)
            assert head["SSEKMSKeyId"] == key_arn


def test_a_build_that_fails_says_why_and_nothing_after_it_runs(
    aws: Embedded, template: Json, app: Path
) -> None:
    spec = app / "buildspec.yml"
    spec.write_text(spec.read_text().replace('mkdir "$OUT"', "echo no such thing; exit_with 3"))
    shown = rehearse(aws, template, app)
    assert shown.endswith("failed")
    assert "phase build ended with 127: " in shown
    assert shown.count("not run") == 1 + 2 * len(PLACES) + REVIEWED + ASKED


def test_a_stack_that_fails_says_why_and_stops_the_next_stage(
    aws: Embedded, app: Path, tmp_path: Path
) -> None:
    declaration = (HERE / "pipeline.yaml").read_text()
    file = tmp_path / "pipeline.yaml"
    file.write_text(
        declaration.replace("Name: hello", "Name: late").replace("Stack: hello", "Stack: late")
    )
    built = json.loads((app / "template.yaml").read_text())
    built["Resources"] = {
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Nobody": {
            "Type": "AWS::CloudFormation::WaitCondition",
            "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "1"},
        },
    }
    (app / "template.yaml").write_text(json.dumps(built))
    shown = rehearse(aws, run.rendered(aws, file, []), app)
    assert shown.endswith("failed")
    assert "late is ROLLBACK_COMPLETE: Nobody: WaitCondition timed out" in shown
    assert "✓ ExecuteChangeSet" not in shown
    assert shown.count("not run") == 2 * 3 + 1 + ASKED


def test_without_a_person_to_ask_an_approval_fails(
    aws: Embedded, template: Json, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    shown = rehearse(aws, template, app, approve=False)
    assert "nobody is there to ask; give --approve to say yes" in shown
    assert shown.endswith("failed")
    assert shown.count("not run") == 1 + 3


# Roles: with any one permission missing, the rehearsal fails


class Person(io.StringIO):
    """Somebody at a terminal, who types this."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "end"), [("y\n", "passed"), ("\n", "failed")])
def test_a_person_sees_every_change_set_and_is_asked(
    aws: Embedded, app: Path, monkeypatch: pytest.MonkeyPatch, typed: str, end: str
) -> None:
    (app / "src" / "index.py").write_text(f"def handler(event, context):\n    return {typed!r}\n")
    monkeypatch.setattr("sys.stdin", Person(typed))
    template = run.rendered(aws, HERE / "pipeline.yaml", [])
    shown = rehearse(aws, template, app, approve=False)
    assert shown.endswith(end)
    _, _, asked = shown.partition("eu-central-1 of 333333333333: 0 to add, 1 to modify")
    assert "Modify Hello (AWS::Lambda::Function)" in asked
    assert "it is fine" in asked
    assert "https://review.test/1" in asked
    assert "Approve Production? [y/N]" in asked


def test_waves_are_watched_without_waiting_and_nobody_is_asked_where_nothing_is_to_be_said(
    aws: Embedded, app: Path, tmp_path: Path
) -> None:
    declared = yaml.safe_load((HERE / "pipeline.yaml").read_text())
    watched = {"Waves": [1, 3], "Bake": {"Minutes": 1000}, "Approval": {"When": "changes"}}
    declared["Targets"] = [
        {**{k: v for k, v in each.items() if k not in {"WaveSize", "Approval"}}, **watched}
        for each in declared["Targets"]
    ]
    declared |= {"Name": "quiet"}
    declared["Targets"][0] |= {"Name": "Quiet", "Stack": "quiet"}
    declared["Targets"][1] |= {"Name": "Loud", "Stack": "loud"}
    template = app / "template.yaml"
    template.write_text(template.read_text().replace('"hello"', '"quiet"'))
    file = tmp_path / "pipeline.yaml"
    file.write_text(json.dumps(declared))  # which is YAML, whatever the maps were read as
    rendered = run.rendered(aws, file, [])
    assert '\\"minutes\\":1000' not in json.dumps(rendered)
    shown = rehearse(aws, rendered, app)
    assert shown.endswith("passed")
    assert shown.count("not asked for") == 1
    assert "approved: it is fine" in shown


PIPELINE, BUILD = "PipelineRole", "PipelineBuildRole"


@pytest.mark.parametrize(
    ("role", "permission"),
    [
        (PIPELINE, ("PassArtifactsOn", "s3:GetObject")),
        (PIPELINE, ("PassArtifactsOn", "s3:GetObjectVersion")),
        (PIPELINE, ("PassArtifactsOn", "s3:PutObject")),
        (PIPELINE, ("FindArtifactStores", "s3:GetBucketLocation")),
        (PIPELINE, ("FindArtifactStores", "s3:GetBucketVersioning")),
        (PIPELINE, ("EncryptArtifacts", "kms:Decrypt")),
        (PIPELINE, ("EncryptArtifacts", "kms:GenerateDataKey*")),
        (PIPELINE, ("Package", "lambda:InvokeFunction")),
        (PIPELINE, ("DeployAsTheTargetAccount", "sts:AssumeRole")),
        (BUILD, ("PassArtifactsOn", "s3:GetObjectVersion")),
        (BUILD, ("PassArtifactsOn", "s3:PutObject")),
        (BUILD, ("EncryptArtifacts", "kms:Decrypt")),
        (BUILD, ("EncryptArtifacts", "kms:GenerateDataKey*")),
    ],
)
def test_a_permission_that_is_taken_away_is_missed(
    aws: Embedded, template: Json, app: Path, role: str, permission: tuple[str, str]
) -> None:
    sid, action = permission
    poorer = json.loads(json.dumps(template))
    [policy] = poorer["Resources"][role]["Properties"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    [statement] = [each for each in statements if each["Sid"] == sid]
    statement["Action"].remove(action)
    if not statement["Action"]:
        statements.remove(statement)
    shown = rehearse(aws, poorer, app)
    assert shown.endswith("failed")
    assert "not authorized" in shown or "AccessDenied" in shown or "Access Denied" in shown


def assume(aws: Embedded, account: str, role: str, deploy_role: str) -> str:
    """Assume a deploy role as a role of this account that may assume anything."""
    iam = aws.session(account, HOME_REGION).client("iam")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": account}}
    everything = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=document(trust))
    iam.put_role_policy(RoleName=role, PolicyName="all", PolicyDocument=document(everything))
    try:
        session = aws.role_session(f"arn:aws:iam::{account}:role/{role}")
        session.client("sts").assume_role(RoleArn=deploy_role, RoleSessionName="test")
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="all")
        iam.delete_role(RoleName=role)
    return "allowed"


def document(statement: Json) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture(scope="module")
def target_account(aws: Embedded) -> str:
    """The Test account with its deploy role, which lets one pipeline in."""
    arn = f"arn:aws:iam::{TOOLS}:role/foothold-hello-pipeline"
    run.deploy_target_account(aws, TEST, arn)
    return f"arn:aws:iam::{TEST}:role/foothold-deploy"


def test_the_deploy_role_lets_in_the_pipelines_role_and_nobody_else(
    aws: Embedded, template: Json, target_account: str
) -> None:
    run.deploy_roles(aws, "hello", template["Resources"])
    session = aws.role_session(f"arn:aws:iam::{TOOLS}:role/foothold-hello-pipeline")
    session.client("sts").assume_role(RoleArn=target_account, RoleSessionName="test")
    for account, role in (
        (TOOLS, "foothold-other-pipeline"),
        (PRODUCTION, "foothold-hello-pipeline"),
        (FOREIGN, "foothold-hello-pipeline"),
    ):
        assert assume(aws, account, role, target_account) == "AccessDenied"


def test_a_pipeline_of_another_organisation_is_refused(aws: Embedded) -> None:
    arn = f"arn:aws:iam::{FOREIGN}:role/foothold-hello-pipeline"
    template = (ROOT / "pipelines" / "target-account.yaml").read_text()
    parameters = {
        "ToolsAccountId": FOREIGN,
        "OrganizationId": ORGANIZATION,
        "PipelineRoleArns": arn,
    }
    deploy_stack(aws, "555555555555", "target", template, parameters)
    deploy_role = "arn:aws:iam::555555555555:role/foothold-deploy"
    assert assume(aws, FOREIGN, "foothold-hello-pipeline", deploy_role) == "AccessDenied"


@pytest.mark.usefixtures("target_account")
def test_the_deploy_role_hands_cloudformation_one_role_and_reads_the_tools_accounts_artifacts(
    aws: Embedded,
) -> None:
    iam = aws.session(TEST, HOME_REGION).client("iam")
    found: Any = iam.get_role_policy(RoleName="foothold-deploy", PolicyName="deploy")
    statements = {each["Sid"]: each for each in found["PolicyDocument"]["Statement"]}
    hand_over = statements["HandOverToCloudFormation"]
    assert hand_over["Resource"] == f"arn:aws:iam::{TEST}:role/foothold-cloudformation"
    assert hand_over["Condition"] == {
        "StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}
    }
    reads = statements["ReadArtifacts"]
    assert reads["Condition"] == {"StringEquals": {"aws:ResourceAccount": TOOLS}}


# The python of this machine


@pytest.mark.parametrize(
    ("default", "given", "added"),
    [
        ("python3.99", [], [f"PythonRuntime={RUNTIME}"]),
        ("python3.99", ["PythonRuntime=python3.99"], []),
        (RUNTIME, [], []),
        ("nodejs22.x", [], []),
    ],
)
def test_a_build_is_played_with_the_python_that_is_here_unless_it_is_told_otherwise(
    tmp_path: Path, default: str, given: list[str], added: list[str]
) -> None:
    text = (ROOT / "pipelines" / "example.yaml").read_text()
    file = tmp_path / "pipeline.yaml"
    file.write_text(text.replace("Default: python3.13", f"Default: {default}"))
    assert command.pythons_of_here(file, given) == added


def test_a_version_managers_stand_in_for_a_python_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    python = tmp_path / "python3.98"
    for code, missing in ((127, True), (0, False)):
        python.write_text(f"#!/bin/sh\nexit {code}\n")
        python.chmod(0o755)
        assert command.is_missing_python("python3.98") is missing


# Bad input


def test_a_source_that_is_no_folder_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["rehearsal", "x.yaml", "--source", "/nowhere"])
    assert command.main() == 1
    assert "--source /nowhere: there is no such folder" in capsys.readouterr().out
