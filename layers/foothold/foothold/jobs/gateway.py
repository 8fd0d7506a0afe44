"""Jobs of CodePipeline."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from foothold.aws.clients import Clients, aws_call, error_code
from foothold.jobs.ports import JobResult

# Lengths: AWS CodePipeline API Reference, "FailureDetails" and "ExecutionDetails".
LONGEST_MESSAGE = 5000
LONGEST_SUMMARY = 2048
# The job is not in progress: somebody answered it, or its pipeline was stopped.
ANSWERED = frozenset({"InvalidJobStateException", "JobNotFoundException"})


class PipelineJobs:
    """`jobs.ports.Jobs` on CodePipeline."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients = clients
        self._region = region

    def succeed(self, job: str, result: JobResult) -> None:
        details: Any = {"summary": result.summary[:LONGEST_SUMMARY]}
        if result.percent is not None:
            details["percentComplete"] = result.percent
        # One or the other (AWS CodePipeline API Reference, "PutJobSuccessResult").
        more: Any = (
            {"continuationToken": result.continuation}
            if result.continuation
            else {"outputVariables": dict(result.variables)}
            if result.variables
            else {}
        )
        with aws_call(f"tell CodePipeline that job {job} succeeded"), _unless_answered():
            self._clients.get("codepipeline", self._region).put_job_success_result(
                jobId=job, executionDetails=details, **more
            )

    def fail(self, job: str, kind: str, message: str) -> None:
        details: Any = {"type": kind, "message": message[:LONGEST_MESSAGE] or kind}
        with aws_call(f"tell CodePipeline that job {job} failed"), _unless_answered():
            self._clients.get("codepipeline", self._region).put_job_failure_result(
                jobId=job, failureDetails=details
            )


@contextmanager
def _unless_answered() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error_code(error) not in ANSWERED:
            raise
