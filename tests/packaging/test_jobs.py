"""The package function, whoever asks it, from the event to the answer."""

import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from benchmarks.s3 import CallError, Stored, World
from foothold.app import App
from foothold.errors import PermanentError, TemporaryError
from foothold.jobs.gateway import PipelineJobs
from foothold.jobs.messages import InvalidRequestError
from foothold.observability import logger
from foothold.packaging import jobs
from foothold.packaging.messages import parse
from foothold.reading import Ignored
from foothold.releases.model import Release, ReleaseTarget, ReleaseTargets, SourceFacts
from functions.package import app as function
from tests.packaging.side_by_side import SideBySide, store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

EVENTS = Path(__file__).parents[2] / "events"
HOME, REGIONS = "eu-central-1", ("eu-central-1", "eu-west-1", "us-east-1")
TEMPLATE = """\
Resources:
  Code: {Type: AWS::Lambda::Function, Properties: {Code: Code, Handler: app.handler, Role: x}}
"""
BUILD: dict[str, str | bytes] = {"template.yaml": TEMPLATE, "Code/app.py": "handler = 1\n"}
SUCCEED = "CodePipeline_20150709.PutJobSuccessResult"
LISTED = "CodePipeline_20150709.ListActionExecutions"
FAIL = "CodePipeline_20150709.PutJobFailureResult"
PROJECTS = "CodeBuild_20161006.BatchGetProjects"
SECRETS = ("example-secret-of-the-job", "example-token-of-the-job", "example-secret-of-the-build")


def event(name: str) -> dict[str, Any]:
    return dict(json.loads((EVENTS / f"{name}.json").read_text()))


def zipped(files: Mapping[str, str | bytes], mode: int = 0o644) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(member, content)
    return made.getvalue()


class Answers(list[tuple[str, Any]]):
    """What the function told CodePipeline, in order."""


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture(scope="module", autouse=True)
def _a_cold_function() -> None:
    """AWS clients are made once for all tests: that takes longer than what they do."""
    function.app = App()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the function logs."""
    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


@pytest.fixture
def world(
    without_sam: SideBySide, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """Three stores, as the parameters name them, and a build's zip in the first."""
    world = without_sam.world
    settings = {
        "AWS_REGION": HOME,
        "FOOTHOLD_ACCOUNT": "111111111111",
        "FOOTHOLD_STACK": "foothold",
        "FOOTHOLD_NAME_PREFIX": "foothold",
        "FOOTHOLD_PARAMETER_ROOT": "/foothold",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(function.metrics, "namespace", "Foothold")
    world.parameters = {"/foothold/service-token": "arn"}
    for region in REGIONS:
        path = f"/foothold/artifact-stores/{region}"
        world.parameters[f"{path}/bucket"] = store(region).bucket
        world.parameters[f"{path}/key-arn"] = store(region).key_arn

    def answered(kind: str) -> Callable[[Any], Any]:
        def answer(body: Any) -> Any:
            if any(told["jobId"] == body["jobId"] for _, told in answers):
                raise CallError("InvalidJobStateException", "the job is not in progress")
            answers.append((kind, body))
            return {}

        return answer

    tags = [{"key": "foothold:project", "value": "orders"}]
    projects = {"projects": [{"name": "orders-build", "tags": tags}]}
    world.calls = {
        SUCCEED: answered("succeeded"),
        FAIL: answered("failed"),
        PROJECTS: lambda _: projects,
    }
    put(world, "orders/BuildOutpu/a1b2c3d", zipped(BUILD))
    put(world, "orders/build.zip", zipped(BUILD))
    yield world
    world.calls = {}
    world.parameters = {}
    world.failing = {}


def kept(world: World) -> list[Release]:
    """The releases, as the store of eu-west-1 has them."""
    begin = f"/{store('eu-west-1').bucket}/orders/releases/"
    return [
        Release.parse(one.body or b"", path)
        for path, one in world.objects.items()
        if path.startswith(begin) and path.endswith("/release.json")
    ]


def put(world: World, key: str, body: bytes) -> None:
    world.objects[f"/{store(HOME).bucket}/{key}"] = Stored(len(body), body, {})


def call(event: Mapping[str, Any], seconds: float = 300) -> Any:
    context = SimpleNamespace(
        function_name="package",
        memory_limit_in_mb=1769,
        invoked_function_arn="arn:aws:lambda:eu-central-1:111111111111:function:package",
        aws_request_id="request",
        get_remaining_time_in_millis=lambda: seconds * 1000,
    )
    return function.lambda_handler(dict(event), context)


# --- A pipeline's job -----------------------------------------------------------------------


def test_a_pipelines_artifact_becomes_a_template_for_each_region(
    world: World, answers: Answers, logged: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    call(event("codepipeline_job"))
    ((kind, told),) = answers
    assert kind == "succeeded"
    (release,) = kept(world)
    summary = f"release {release.id}; 2 regions, 1 objects, equal byte for byte"
    assert told["executionDetails"]["summary"] == summary
    output = world.objects[f"/{store(HOME).bucket}/orders/PackageOut/e4f5a6b"]
    assert output.headers == {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": (
            "arn:aws:kms:eu-central-1:111111111111:key/11111111-2222-3333-4444-555555555555"
        ),
    }
    assert output.body is not None
    with zipfile.ZipFile(io.BytesIO(output.body)) as archive:
        assert archive.namelist() == [
            "template-export-eu-west-1.yml",
            "template-export-us-east-1.yml",
            "manifest.json",
            "release.json",
        ]
        assert archive.read("release.json") == release.render()
        template = archive.read("template-export-us-east-1.yml").decode()
        manifest = json.loads(archive.read("manifest.json"))
    assert f"S3Bucket: {store('us-east-1').bucket}" in template
    assert manifest["equal"] is True
    assert '"message":"packaged"' in logged.getvalue()
    shown = logged.getvalue() + "".join(capsys.readouterr())
    assert not [secret for secret in SECRETS if secret in shown]


def test_the_artifacts_are_read_and_written_with_the_jobs_own_credentials(world: World) -> None:
    """And all else with the function's: the job's reach the pipeline's artifacts only."""
    signers: dict[str, set[str]] = {}
    real = boto3.Session.client

    def client(session: boto3.Session, *arguments: Any, **options: Any) -> Any:
        made: Any = real(session, *arguments, **options)
        made.meta.events.register("before-send.s3", look)
        return made

    def look(request: Any, **_: Any) -> None:
        authorization = request.headers["Authorization"]
        signer = str(authorization).partition("Credential=")[2].partition("/")[0]
        key = request.url.partition("-an/")[2]
        signers.setdefault(signer, set()).add(re.split("/builds/|/releases/", key)[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3.Session, "client", client)
        patch.setattr(function, "app", App())
        call(event("codepipeline_job"))
    assert signers == {
        "ASIAEXAMPLEJOB000000": {"orders/BuildOutpu/a1b2c3d", "orders/PackageOut/e4f5a6b"},
        # What has no key asks a bucket for its default encryption, which proves it.
        "111111111111": {"orders", ""},
    }
    assert world.objects


def test_without_a_key_the_buckets_own_encryption_applies(world: World, answers: Answers) -> None:
    job = event("codepipeline_job")
    del job["CodePipeline.job"]["data"]["encryptionKey"]
    call(job)
    assert answers[0][0] == "succeeded"
    assert world.objects[f"/{store(HOME).bucket}/orders/PackageOut/e4f5a6b"].headers == {}


def test_without_regions_every_store_gets_a_template(world: World, answers: Answers) -> None:
    call(job_with('{"project": "orders"}'))
    assert "3 regions" in answers[0][1]["executionDetails"]["summary"]
    assert world.objects


EXECUTION = "11111111-2222-3333-4444-555555555555"
TARGETS = ReleaseTargets(
    "orders",
    HOME,
    (
        ReleaseTarget(
            "Prod",
            "222222222222",
            "orders",
            (("us-east-1",), ("eu-west-1",)),
            parameters={"Commit": "#{SourceVariables.CommitId}"},
            tags={"run": "#{codepipeline.PipelineExecutionId}", "built": "#{Built.As}"},
        ),
    ),
)


def action(category: str, namespace: str | None, **variables: str) -> dict[str, Any]:
    kind = {"category": category, "owner": "AWS", "provider": "x", "version": "1"}
    named = {"namespace": namespace} if namespace else {}
    return {
        "actionName": category,
        "status": "Succeeded",
        "input": {"actionTypeId": kind, **named},
        "output": {"outputVariables": variables},
    }


@pytest.fixture
def execution(world: World) -> list[dict[str, Any]]:
    """What CodePipeline lists of the execution, the latest first, in pages of one."""
    listed = [
        {"actionName": "Package", "status": "InProgress", "input": {}},
        action("Build", "Built", As="new"),
        action("Build", "Built", As="old"),
        action(
            "Source", "SourceVariables", CommitId="c0ffee", BranchName="main", CommitMessage="m"
        ),
    ]

    def answer(body: Any) -> Any:
        assert body["pipelineName"] == "orders"
        assert body["filter"] == {"pipelineExecutionId": EXECUTION}
        at = int(body.get("nextToken", "0"))
        more = {"nextToken": str(at + 1)} if at + 1 < len(listed) else {}
        return {"actionExecutionDetails": listed[at : at + 1], **more}

    world.calls = {**world.calls, LISTED: answer}
    text = TARGETS.text
    for number in range(12):  # parts whose names do not sort by their numbers
        size = -(-len(text) // 12)
        part = text[number * size : (number + 1) * size]
        world.parameters[f"/foothold/pipelines/orders/{number + 1}"] = part
    return listed


def of_targets(**more: Any) -> dict[str, Any]:
    order = {"project": "orders", "execution": EXECUTION, "targets": TARGETS.digest, **more}
    return job_with(json.dumps({name: value for name, value in order.items() if value}))


def test_a_release_is_made_for_the_targets_that_the_pipeline_publishes(
    world: World, answers: Answers, execution: list[dict[str, Any]]
) -> None:
    call(of_targets())
    assert execution
    assert answers[0][0] == "succeeded"
    (release,) = kept(world)
    assert release.source == SourceFacts("c0ffee", "main", "m")
    target = release.named("Prod")
    assert target.regions == ("us-east-1", "eu-west-1")
    assert target.parameters == {"Commit": "c0ffee"}
    assert target.tags == {"run": EXECUTION, "built": "new"}
    output = world.objects[f"/{store(HOME).bucket}/orders/PackageOut/e4f5a6b"].body
    with zipfile.ZipFile(io.BytesIO(output or b"")) as archive:
        assert archive.namelist() == [
            "template-export-us-east-1.yml",
            "template-export-eu-west-1.yml",
            "configuration-Prod-us-east-1.json",
            "configuration-Prod-eu-west-1.json",
            "manifest.json",
            "release.json",
        ]
        configuration = json.loads(archive.read("configuration-Prod-eu-west-1.json"))
        assert archive.read("release.json") == release.render()
    assert configuration == {
        "Parameters": {"Commit": "c0ffee"},
        "Tags": {
            "built": "new",
            "foothold:project": "orders",
            "foothold:release": release.id,
            "run": EXECUTION,
        },
    }
    path = f"/{store('eu-west-1').bucket}/{release.prefix}configuration-Prod-eu-west-1.json"
    assert json.loads(world.objects[path].body or b"") == configuration


def test_a_job_that_runs_again_leaves_the_same_bytes(
    world: World, answers: Answers, execution: list[dict[str, Any]]
) -> None:
    call(of_targets())
    before = {path: one.body for path, one in world.objects.items()}
    again = of_targets()
    again["CodePipeline.job"]["id"] = "22222222-abcd-2222-abcd-222222abcdef"
    call(again)
    assert {path: one.body for path, one in world.objects.items()} == before
    assert answers[0][1]["executionDetails"] == answers[1][1]["executionDetails"]
    assert execution


def test_without_targets_an_execution_still_tells_the_source(
    world: World, answers: Answers, execution: list[dict[str, Any]]
) -> None:
    call(of_targets(targets=None))
    assert answers[0][0] == "succeeded"
    (release,) = kept(world)
    assert (release.source.commit, release.targets) == ("c0ffee", ())
    assert len(release.regions) == len(REGIONS)
    assert execution


def test_what_stands_in_the_parameters_counts_only_where_it_has_the_pipelines_digest(
    world: World, answers: Answers, execution: list[dict[str, Any]]
) -> None:
    world.parameters = {
        name: value.replace("2", "6") if "/pipelines/" in name else value
        for name, value in world.parameters.items()
    }
    call(of_targets())
    kind, message = failure(answers)
    assert kind == "JobFailed"
    assert "are not those that this pipeline was deployed with" in message
    assert not any("/builds/" in path for path in world.objects)
    assert execution


def test_a_variable_that_no_action_has_given_fails_the_job(
    world: World, answers: Answers, execution: list[dict[str, Any]]
) -> None:
    del execution[1:3]
    call(of_targets())
    assert failure(answers) == ("JobFailed", "no action of the pipeline has given #{Built.As}")
    assert not any("/builds/" in path for path in world.objects)


def test_a_store_that_does_not_take_the_release_fails_the_job(
    world: World, answers: Answers
) -> None:
    call(job_with('{"project": "orders"}'))
    release = kept(world)[0]
    path = f"/{store('us-east-1').bucket}/{release.prefix}"
    del world.objects[f"{path}release.json"]
    world.objects[f"{path}manifest.json"] = Stored(1, b"x", {})
    again = job_with('{"project": "orders"}')
    again["CodePipeline.job"]["id"] = "22222222-abcd-2222-abcd-222222abcdef"
    call(again)
    told = answers[1][1]["failureDetails"]["message"]
    assert told.startswith(f"us-east-1: its release is not kept: {release.prefix}manifest.json in")


def job_with(parameters: str | None) -> dict[str, Any]:
    job = event("codepipeline_job")
    configuration = job["CodePipeline.job"]["data"]["actionConfiguration"]["configuration"]
    configuration["UserParameters"] = parameters
    if parameters is None:
        del configuration["UserParameters"]
    return job


def test_a_job_that_was_answered_before_is_left_as_it_is(world: World, answers: Answers) -> None:
    call(event("codepipeline_job"))
    call(event("codepipeline_job"))
    assert len(answers) == 1
    assert world.objects


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (None, "project: Field required"),
        ("", "project: Field required"),
        ("orders", "are not JSON"),
        ("[]", "Input should be a valid dictionary"),
        ('{"project": "a b"}', "is no project name"),
        ('{"project": "orders", "region": "eu-west-1"}', "region: Extra inputs"),
        ('{"project": "orders", "regions": ["mars-1"]}', "is not the name of an AWS region"),
        ('{"project": "orders", "targets": "x"}', "targets: String should match pattern"),
        ('{"project": "orders", "execution": "#{x}"}', "execution: String should match pattern"),
        (
            f'{{"project": "orders", "targets": "{"0" * 32}", "regions": ["eu-west-1"]}}',
            'give "regions" or "targets"',
        ),
        ('{"project": "orders", "template": "../x"}', "by its path in the artifact"),
        ('{"project": "orders", "template": "other.yaml"}', "holds no other.yaml, but Code, te"),
    ],
)
def test_a_mistake_in_user_parameters_is_a_configuration_error(
    world: World, answers: Answers, parameters: str | None, message: str
) -> None:
    call(job_with(parameters))
    ((kind, told),) = answers
    assert kind == "failed"
    assert told["failureDetails"]["type"] == "ConfigurationError"
    assert message in told["failureDetails"]["message"]
    assert not any("PackageOut" in path for path in world.objects)


def failure(answers: Answers) -> tuple[str, str]:
    ((kind, told),) = answers
    assert kind == "failed"
    details = told["failureDetails"]
    return details["type"], details["message"]


def test_a_region_without_a_store_fails_the_job_with_the_way_out(
    world: World, answers: Answers
) -> None:
    call(job_with('{"project": "orders", "regions": ["sa-east-1"]}'))
    kind, message = failure(answers)
    assert kind == "JobFailed"
    assert "foothold regions add sa-east-1" in message
    assert world.requests


def test_an_artifact_that_is_gone_is_an_unavailable_revision(
    world: World, answers: Answers
) -> None:
    del world.objects[f"/{store(HOME).bucket}/orders/BuildOutpu/a1b2c3d"]
    call(event("codepipeline_job"))
    assert failure(answers)[0] == "RevisionUnavailable"


def test_an_artifact_that_the_job_may_not_read_is_a_permission_error(
    world: World, answers: Answers
) -> None:
    job = event("codepipeline_job")
    source = job["CodePipeline.job"]["data"]["inputArtifacts"][0]["location"]["s3Location"]
    source["bucketName"] = "denied-bucket"
    call(job)
    kind, message = failure(answers)
    assert kind == "PermissionError"
    assert "denied-bucket" in message
    assert world.requests


@pytest.mark.parametrize("side", ["inputArtifacts", "outputArtifacts"])
def test_an_action_needs_one_input_and_one_output(
    world: World, answers: Answers, side: str
) -> None:
    job = event("codepipeline_job")
    job["CodePipeline.job"]["data"][side] = []
    call(job)
    kind, message = failure(answers)
    assert kind == "ConfigurationError"
    assert "one input artifact" in message
    assert world.objects


def test_a_parameter_that_points_at_another_accounts_bucket_leads_no_code_there(
    world: World, answers: Answers
) -> None:
    path = "/foothold/artifact-stores/us-east-1"
    world.parameters[f"{path}/bucket"] = "evil-222"
    world.parameters[f"{path}/key-arn"] = "arn:aws:kms:us-east-1:222222222222:key/x"
    call(event("codepipeline_job"))
    _, message = failure(answers)
    assert "us-east-1: the artifact store of us-east-1 is not used" in message
    assert not [name for name in world.objects if name.startswith("/evil-222/")]


def test_a_region_that_refuses_fails_the_job_and_is_named(world: World, answers: Answers) -> None:
    world.failing[store("us-east-1").bucket] = "readonly"
    call(event("codepipeline_job"))
    kind, message = failure(answers)
    assert kind == "JobFailed"
    assert message.startswith("us-east-1: cannot write ")
    assert not any("PackageOut" in path for path in world.objects)


def test_a_build_without_what_its_template_names_says_what_the_artifact_should_hold(
    world: World, answers: Answers
) -> None:
    template = TEMPLATE.replace("Code: Code", "Code: ../../src")
    put(world, "orders/BuildOutpu/a1b2c3d", zipped({"template.yaml": template}))
    call(event("codepipeline_job"))
    assert "let the build's artifact hold the whole project folder" in failure(answers)[1]


def test_the_template_that_sam_built_comes_before_the_one_it_was_built_from(
    world: World, answers: Answers
) -> None:
    files = {f".aws-sam/build/{name}": content for name, content in BUILD.items()}
    source = TEMPLATE.replace("Code: Code", "Code: not-built")
    put(world, "orders/BuildOutpu/a1b2c3d", zipped({**files, "template.yaml": source}))
    call(event("codepipeline_job"))
    assert answers[0][0] == "succeeded"


def test_permission_bits_come_through_the_artifact(world: World, answers: Answers) -> None:
    put(world, "orders/BuildOutpu/a1b2c3d", zipped(BUILD, mode=0o750))
    call(event("codepipeline_job"))
    assert answers[0][0] == "succeeded"
    made = next(
        one.body for path, one in world.objects.items() if "eu-west-1-an/orders/builds" in path
    )
    assert made is not None
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        mode = archive.getinfo("app.py").external_attr >> 16
    assert stat.S_IMODE(mode) == 0o754


def test_what_nobody_has_foreseen_still_answers_the_job(
    world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "find_template", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call(event("codepipeline_job"))
    assert failure(answers) == ("JobFailed", "ZeroDivisionError; the package function's log has it")
    assert world.objects


def test_settings_that_are_wrong_still_answer_the_job(
    world: World, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOOTHOLD_STACK")
    monkeypatch.setattr(function, "app", App())
    call(event("codepipeline_job"))
    assert "FOOTHOLD_STACK" in failure(answers)[1]
    assert world.objects


def test_a_job_that_codepipeline_would_not_send_is_still_answered(
    world: World, answers: Answers
) -> None:
    call({"CodePipeline.job": {"id": "11111111-abcd-1111-abcd-111111abcdef"}})
    assert failure(answers)[0] == "ConfigurationError"
    assert world.objects


def test_a_long_message_is_cut_to_what_codepipeline_takes(world: World, answers: Answers) -> None:
    call(job_with(json.dumps({"project": "orders", "template": "x" * 1024})))
    files = {f"{'n' * 200}{at}": "x" for at in range(200)}
    put(world, "orders/BuildOutpu/a1b2c3d", zipped(files))
    assert len(failure(answers)[1]) <= 5000
    PipelineJobs(function.app.clients, HOME).fail("2", "JobFailed", "x" * 6000)
    assert len(answers[1][1]["failureDetails"]["message"]) == 5000


# --- A build that succeeded -----------------------------------------------------------------


def test_a_tagged_builds_artifact_is_packaged_for_every_store(world: World) -> None:
    result = call(event("codebuild_succeeded"))
    assert result["failed"] == {}
    assert [release.id for release in kept(world)] == [result["release"]]
    assert sorted(result["regions"]) == sorted(REGIONS)
    for region in REGIONS:
        there = result["regions"][region]
        for name, url in there.items():
            path = url.removeprefix(os.environ["AWS_ENDPOINT_URL"])
            assert path.startswith(f"/{store(region).bucket}/orders/packages/"), name
            assert world.objects[path].body


def test_an_event_that_comes_twice_changes_nothing_the_second_time(world: World) -> None:
    first = call(event("codebuild_succeeded"))
    before = {path: one.body for path, one in world.objects.items()}
    assert call(event("codebuild_succeeded")) == first
    assert {path: one.body for path, one in world.objects.items()} == before


def test_a_build_whose_project_has_no_tag_is_ignored(
    world: World, logged: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    world.calls[PROJECTS] = lambda _: {"projects": [{"name": "orders-build", "tags": []}]}
    assert call(event("codebuild_succeeded")) == {}
    world.calls[PROJECTS] = lambda _: {"projects": []}
    assert call(event("codebuild_succeeded")) == {}
    shown = logged.getvalue() + "".join(capsys.readouterr())
    assert "has no tag foothold:project" in shown
    assert not [secret for secret in SECRETS if secret in shown]


def test_a_build_that_failed_or_left_nothing_is_ignored(world: World) -> None:
    failed = event("codebuild_succeeded")
    failed["detail"]["build-status"] = "FAILED"
    assert call(failed) == {}
    empty = event("codebuild_succeeded")
    del empty["detail"]["additional-information"]["artifact"]
    assert call(empty) == {}
    assert world.requests == {}


def test_a_build_that_cannot_be_packaged_is_reported_and_not_tried_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    put(world, "orders/build.zip", b"not a zip")
    result = call(event("codebuild_succeeded"))
    assert "no zip" in result["failed"]["orders-build"]
    assert '"PackagesFailed":[1.0]' in capsys.readouterr().out.replace(" ", "")


def test_a_build_is_tried_again_where_that_may_help(world: World) -> None:
    def expired(_: Any) -> Any:
        raise CallError("ExpiredTokenException", "too late")

    world.calls[PROJECTS] = expired
    with pytest.raises(TemporaryError):
        call(event("codebuild_succeeded"))


# --- A direct order -------------------------------------------------------------------------


def test_whoever_may_invoke_the_function_may_package_what_lies_in_a_store(world: World) -> None:
    result = call(event("package_direct"))
    assert sorted(result["regions"]) == ["eu-west-1", "us-east-1"]
    assert result["summary"] == "2 regions, 1 objects, equal byte for byte"
    assert world.objects


def test_a_zip_elsewhere_is_refused_with_the_stores_names(world: World) -> None:
    order = event("package_direct")
    order["source"]["bucket"] = "somebody-elses"
    with pytest.raises(InvalidRequestError, match="no artifact store of Foothold: put the zip"):
        call(order)
    assert world.requests == {}


def test_a_region_that_refuses_is_named_and_the_others_are_there(world: World) -> None:
    world.parameters["/foothold/artifact-stores/us-east-1/bucket"] = "denied-bucket"
    result = call(event("package_direct"))
    assert list(result["regions"]) == ["eu-west-1"]
    assert list(result["failed"]) == ["us-east-1"]


@pytest.mark.parametrize("wrong", [{}, {"project": "x"}])
def test_what_cannot_be_understood_names_the_field(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="Field required"):
        parse(wrong)


@pytest.mark.parametrize(
    "event", [None, [], "text", {"CodePipeline.job": None}, {"CodePipeline.job": {"id": 1}}]
)
def test_what_nobody_would_send_is_refused_in_one_line(event: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"no JSON object|no job of CodePipeline"):
        parse(event)


def test_an_event_of_codebuild_that_is_malformed_is_ignored_with_its_reason() -> None:
    ignored = parse({"source": "aws.codebuild"})
    assert isinstance(ignored, Ignored)
    assert "detail: Field required" in ignored.reason


NO_PLACES = [("ab", "key"), ("b" * 64, "key"), ("bucket", "k" * 1025), ("bucket", "\ud800")]


@pytest.mark.parametrize(("bucket", "key"), [*NO_PLACES, ("bucket", "")])
@pytest.mark.parametrize("artifacts", ["inputArtifacts", "outputArtifacts"])
@pytest.mark.usefixtures("world")
def test_a_job_whose_artifact_can_lie_nowhere_fails_with_its_field(
    answers: Answers, artifacts: str, bucket: str, key: str
) -> None:
    job = event("codepipeline_job")
    at = job["CodePipeline.job"]["data"][artifacts][0]["location"]["s3Location"]
    at |= {"bucketName": bucket, "objectKey": key}
    call(job)
    [(kind, told)] = answers
    assert kind == "failed"
    assert f"{artifacts}.0.location.s3Location" in told["failureDetails"]["message"]


@pytest.mark.parametrize(("bucket", "key"), NO_PLACES)
def test_a_build_whose_artifact_can_lie_nowhere_is_ignored_with_its_reason(
    bucket: str, key: str
) -> None:
    built = event("codebuild_succeeded")
    artifact = built["detail"]["additional-information"]["artifact"]
    artifact["location"] = f"arn:aws:s3:::{bucket}/{key}"
    ignored = parse(built)
    assert isinstance(ignored, Ignored)
    assert "artifact of CodeBuild" in ignored.reason


def test_nothing_is_left_on_the_functions_disk(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warm function has the same disk again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    call(event("package_direct"))
    put(world, "orders/build.zip", b"not a zip")
    with pytest.raises(PermanentError):
        call(event("package_direct"))
    assert list(disk.iterdir()) == []
