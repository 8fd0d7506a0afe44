"""A job of CodePipeline gets one answer, in time, whatever happens."""

import json
import threading
import time
from typing import Any

import boto3
import pytest

from foothold.aws.clients import Clients
from foothold.errors import PermanentError, TemporaryError
from foothold.jobs.answer import GRACE, answer_job
from foothold.jobs.gateway import PipelineJobs
from foothold.jobs.messages import InvalidRequestError, Job
from foothold.jobs.ports import ArtifactMissingError, ArtifactRefusedError, JobResult
from tests.jobs.told import Told

JOB = Job("1", "111111111111", {})
DONE = JobResult("done")


def answered(told: Told, work: Any, seconds: float = 300) -> Any:
    return answer_job(JOB, told, work, seconds, function="package", too_late="time is up")


def test_when_time_is_up_the_job_is_told_so_and_nothing_else() -> None:
    told, release = Told(), threading.Event()

    def slow(_: Job) -> JobResult:
        release.wait()
        return DONE

    def watch() -> None:
        while not told.answers:
            time.sleep(0.005)
        release.set()

    threading.Thread(target=watch).start()
    given = answered(told, slow, GRACE)
    assert told.answers == [("failed", "1", "JobFailed", "time is up")]
    assert given["failed"] == {"JobFailed": "time is up"}


def test_a_job_that_ends_in_time_is_not_told_that_time_is_up() -> None:
    told = Told()
    assert answered(told, lambda _: DONE, GRACE + 60)["summary"] == "done"
    assert told.answers == [("succeeded", "1", DONE)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequestError("x"), "ConfigurationError"),
        (ArtifactRefusedError("x"), "PermissionError"),
        (ArtifactMissingError("x"), "RevisionUnavailable"),
        (PermanentError("x"), "JobFailed"),
        (TemporaryError("x"), "SystemUnavailable"),
    ],
)
def test_each_failure_has_its_kind(error: Exception, kind: str) -> None:
    told = Told()

    def work(_: Job) -> JobResult:
        raise error

    answered(told, work)
    assert told.answers == [("failed", "1", kind, "x")]


def test_what_nobody_has_foreseen_is_answered_and_raised() -> None:
    told = Told()
    with pytest.raises(ZeroDivisionError):
        answered(told, lambda _: 1 / 0)
    line = "ZeroDivisionError; the package function's log has it"
    assert told.answers == [("failed", "1", "JobFailed", line)]


def test_an_answer_that_does_not_reach_codepipeline_is_an_error_of_the_function() -> None:
    """Lambda tries again, and finds the objects where they are."""
    told = Told(TemporaryError("no connection"))
    with pytest.raises(TemporaryError):
        answered(told, lambda _: DONE)


def sent(result: JobResult) -> Any:
    """What CodePipeline is told of a result."""
    clients = Clients(boto3.Session("key", "secret", region_name="eu-central-1"))
    client, told = clients.get("codepipeline", "eu-central-1"), list[Any]()

    def tell(params: Any, **_: Any) -> Any:
        told.append(params["body"])
        return type("Answer", (), {"status_code": 200})(), {}

    client.meta.events.register("before-call", tell)
    PipelineJobs(clients, "eu-central-1").succeed("11111111-abcd-1111-abcd-111111abcdef", result)
    (body,) = told
    return json.loads(body)


def test_an_action_that_ends_hands_its_variables_on() -> None:
    told = sent(JobResult("2 changes", {"summary": "2 changes", "ask": "yes"}))
    assert told["outputVariables"] == {"summary": "2 changes", "ask": "yes"}
    assert told["executionDetails"] == {"summary": "2 changes"}
    assert "continuationToken" not in told


def test_an_action_that_goes_on_brings_its_token_and_hands_on_no_variables() -> None:
    """CodePipeline takes one or the other."""
    told = sent(JobResult("bakes", {"ask": "yes"}, continuation="since=1", percent=40))
    assert told["continuationToken"] == "since=1"
    assert told["executionDetails"] == {"summary": "bakes", "percentComplete": 40}
    assert "outputVariables" not in told


def test_a_job_says_what_the_answer_before_this_one_gave() -> None:
    data: Any = {
        "actionConfiguration": {"configuration": {}},
        "inputArtifacts": [],
        "outputArtifacts": [],
        "artifactCredentials": {"accessKeyId": "a", "secretAccessKey": "b", "sessionToken": "c"},
        "continuationToken": "since=1",
    }
    assert Job("1", "2", data).data().continuation_token == "since=1"
    del data["continuationToken"]
    assert Job("1", "2", data).data().continuation_token is None


@pytest.mark.parametrize("job", [{}, [], {"id": 1}])
def test_what_has_no_id_cannot_be_answered(job: object) -> None:
    with pytest.raises(InvalidRequestError, match="no id to answer to"):
        Job.of(job)
