"""What the rehearsal needs of AWS is there on the embedded AWS, and not yet upstream."""

import json
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from foothold.errors import PermanentError
from local.embedded import HOME_REGION, TOOLS, Embedded
from local.rehearsal import deploy_stack
from local.rehearsal_actions import JOBS_PATH

pytestmark = pytest.mark.embedded


def asked(aws: Embedded, job: str, method: str = "GET") -> Any:
    request = urllib.request.Request(f"{aws.endpoint}{JOBS_PATH}{job}", method=method)  # noqa: S310  # 127.0.0.1
    with urllib.request.urlopen(request) as answer:  # noqa: S310  # likewise
        return json.load(answer)


@pytest.fixture
def job(aws: Embedded) -> str:
    """A job that waits for its answer."""
    made = str(uuid.uuid4())
    assert asked(aws, made, "POST") == {"status": "InProgress"}
    return made


@pytest.fixture
def codepipeline(aws: Embedded) -> Any:
    return aws.session().client("codepipeline")


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_a_success_is_remembered(aws: Embedded, codepipeline: Any, job: str) -> None:
    codepipeline.put_job_success_result(jobId=job)
    assert asked(aws, job) == {"status": "Succeeded"}


def test_a_failure_is_remembered_with_its_type_and_message(
    aws: Embedded, codepipeline: Any, job: str
) -> None:
    details = {"type": "ConfigurationError", "message": "no template.yaml"}
    codepipeline.put_job_failure_result(jobId=job, failureDetails=details)
    assert asked(aws, job) == {"status": "Failed", **details}


def test_a_job_is_answered_once(codepipeline: Any, job: str) -> None:
    codepipeline.put_job_success_result(jobId=job)
    again = code_of(codepipeline.put_job_success_result, jobId=job)
    assert again == "InvalidJobStateException"


def test_a_job_that_was_never_given_out_is_unknown(codepipeline: Any) -> None:
    unknown = code_of(codepipeline.put_job_success_result, jobId=str(uuid.uuid4()))
    assert unknown == "JobNotFoundException"


def test_a_message_longer_than_codepipeline_takes_is_refused(
    aws: Embedded, codepipeline: Any, job: str
) -> None:
    details = {"type": "JobFailed", "message": "x" * 5001}
    code = code_of(codepipeline.put_job_failure_result, jobId=job, failureDetails=details)
    assert code == "ValidationException"
    assert asked(aws, job) == {"status": "InProgress"}


@pytest.fixture
def powerless(aws: Embedded) -> Iterator[Any]:
    """A client of a role that may do nothing."""
    iam = aws.session().client("iam")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": TOOLS}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName="powerless", AssumeRolePolicyDocument=document)
    yield aws.role_session(f"arn:aws:iam::{TOOLS}:role/powerless").client("codepipeline")
    iam.delete_role(RoleName="powerless")


def test_a_role_without_the_permission_cannot_answer(
    aws: Embedded, powerless: Any, job: str
) -> None:
    assert code_of(powerless.put_job_success_result, jobId=job) == "AccessDeniedException"
    assert asked(aws, job) == {"status": "InProgress"}


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """MiniStack without the two shims of the rehearsal."""
    bare = Embedded(tmp_path_factory.mktemp("bare"), without=["pipeline_jobs", "nested_transforms"])
    try:
        bare.start()
        yield bare
    finally:
        bare.stop()


CLOSED = "upstream has closed this gap: remove the shim"


def test_upstream_has_no_job_api(ministack: Embedded) -> None:
    client = ministack.session().client("codepipeline")
    code = code_of(client.put_job_success_result, jobId=str(uuid.uuid4()))
    assert code != "JobNotFoundException", CLOSED


def nested_stack(aws: Embedded) -> str:
    """How a stack ends whose nested stack uses the SAM transform."""
    child = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"Table": {"Type": "AWS::Serverless::SimpleTable"}},
    }
    s3 = aws.session().client("s3")
    there: Any = {"LocationConstraint": HOME_REGION}
    s3.create_bucket(Bucket="nested-templates", CreateBucketConfiguration=there)
    s3.put_object(Bucket="nested-templates", Key="child.json", Body=json.dumps(child))
    url = f"{aws.endpoint}/nested-templates/child.json"
    parent = {"Child": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}}
    try:
        deploy_stack(aws, TOOLS, "nesting", {"Resources": parent}, {})
    except PermanentError as error:
        return str(error)
    return "deployed"


def test_a_nested_stack_may_use_a_transform(aws: Embedded) -> None:
    assert nested_stack(aws) == "deployed"


def test_upstream_leaves_the_transforms_of_nested_stacks_undone(ministack: Embedded) -> None:
    assert "Unsupported resource type: AWS::Serverless::SimpleTable" in nested_stack(ministack), (
        CLOSED
    )
