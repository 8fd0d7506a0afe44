"""CodePipeline keeps pipelines, and takes the results of jobs."""

import json
import urllib.request
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.embedded import FOREIGN, TOOLS, Embedded
from local.rehearsal.actions import EXECUTIONS_PATH, JOBS_PATH
from tests.embedded.shims.world import CLOSED, make_role, may, outcome


def asked(embedded: Embedded, job: str, method: str = "GET") -> Any:
    request = urllib.request.Request(f"{embedded.endpoint}{JOBS_PATH}{job}", method=method)  # noqa: S310  # 127.0.0.1
    with urllib.request.urlopen(request) as answer:  # noqa: S310  # likewise
        return json.load(answer)


@pytest.fixture
def job(embedded: Embedded) -> str:
    """A job that waits for its answer."""
    made = str(uuid.uuid4())
    assert asked(embedded, made, "POST") == {"status": "InProgress"}
    return made


@pytest.fixture
def codepipeline(embedded: Embedded) -> Any:
    return embedded.session().client("codepipeline")


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_a_success_is_remembered(embedded: Embedded, codepipeline: Any, job: str) -> None:
    codepipeline.put_job_success_result(jobId=job)
    assert asked(embedded, job) == {"status": "Succeeded"}


def test_a_failure_is_remembered_with_its_type_and_message(
    embedded: Embedded, codepipeline: Any, job: str
) -> None:
    details = {"type": "ConfigurationError", "message": "no template.yaml"}
    codepipeline.put_job_failure_result(jobId=job, failureDetails=details)
    assert asked(embedded, job) == {"status": "Failed", **details}


def test_the_variables_of_a_success_are_remembered(
    embedded: Embedded, codepipeline: Any, job: str
) -> None:
    codepipeline.put_job_success_result(jobId=job, outputVariables={"ask": "yes"})
    assert asked(embedded, job) == {"status": "Succeeded", "outputVariables": {"ask": "yes"}}


def test_an_action_that_goes_on_is_to_be_called_again_with_its_token(
    embedded: Embedded, codepipeline: Any, job: str
) -> None:
    codepipeline.put_job_success_result(jobId=job, continuationToken="since=1")
    assert asked(embedded, job) == {"status": "Succeeded", "continuationToken": "since=1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"continuationToken": "x" * 2049},
        {"continuationToken": "x", "outputVariables": {"ask": "yes"}},
        {"outputVariables": {"a b": "yes"}},
    ],
)
def test_what_codepipeline_does_not_take_with_a_success_is_refused(
    embedded: Embedded, codepipeline: Any, job: str, wrong: dict[str, Any]
) -> None:
    code = code_of(codepipeline.put_job_success_result, jobId=job, **wrong)
    assert code == "ValidationException"
    assert asked(embedded, job) == {"status": "InProgress"}


def test_a_job_is_answered_once(codepipeline: Any, job: str) -> None:
    codepipeline.put_job_success_result(jobId=job)
    again = code_of(codepipeline.put_job_success_result, jobId=job)
    assert again == "InvalidJobStateException"


def test_a_job_that_was_never_given_out_is_unknown(codepipeline: Any) -> None:
    unknown = code_of(codepipeline.put_job_success_result, jobId=str(uuid.uuid4()))
    assert unknown == "JobNotFoundException"


def test_a_message_longer_than_codepipeline_takes_is_refused(
    embedded: Embedded, codepipeline: Any, job: str
) -> None:
    details = {"type": "JobFailed", "message": "x" * 5001}
    code = code_of(codepipeline.put_job_failure_result, jobId=job, failureDetails=details)
    assert code == "ValidationException"
    assert asked(embedded, job) == {"status": "InProgress"}


def test_a_role_without_the_permission_cannot_answer(embedded: Embedded, job: str) -> None:
    other = make_role(embedded, TOOLS, "powerless", may("codepipeline:ListPipelines"))
    put = other.client("codepipeline").put_job_success_result
    assert code_of(put, jobId=job) == "AccessDeniedException"
    assert asked(embedded, job) == {"status": "InProgress"}


def test_upstream_has_no_job_api(ministack: Embedded) -> None:
    client = ministack.session().client("codepipeline")
    code = code_of(client.put_job_success_result, jobId=str(uuid.uuid4()))
    assert code != "JobNotFoundException", CLOSED


def test_pipelines_can_be_listed(embedded: Embedded) -> None:
    codepipeline = embedded.session(FOREIGN).client("codepipeline")
    assert codepipeline.list_pipelines()["pipelines"] == []


def test_upstream_lists_no_pipelines(ministack: Embedded) -> None:
    assert outcome(ministack.session().client("codepipeline").list_pipelines), CLOSED


def test_what_the_actions_of_an_execution_gave_is_listed_the_latest_first(
    embedded: Embedded, codepipeline: Any
) -> None:
    details = [
        {"pipelineExecutionId": execution, "actionName": name, "output": {"outputVariables": {}}}
        for execution, name in (("1", "Source"), ("2", "Source"), ("1", "Build"))
    ]
    for detail in details:
        request = urllib.request.Request(  # noqa: S310  # 127.0.0.1
            f"{embedded.endpoint}{EXECUTIONS_PATH}orders", json.dumps(detail).encode()
        )
        urllib.request.urlopen(request).close()  # noqa: S310  # likewise
    listed = codepipeline.list_action_executions(
        pipelineName="orders", filter={"pipelineExecutionId": "1"}
    )["actionExecutionDetails"]
    assert listed == [details[2], details[0]]
    assert codepipeline.list_action_executions(pipelineName="x")["actionExecutionDetails"] == []
