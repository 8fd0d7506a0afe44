"""A job's one answer, in time, whatever happens."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from foothold.errors import FootholdError, TemporaryError
from foothold.jobs.messages import InvalidRequestError, Job
from foothold.jobs.ports import ArtifactMissingError, ArtifactRefusedError, JobResult, Jobs

GRACE = 15.0  # seconds that are kept back for saying that time is up


def answer_job(
    job: Job,
    jobs: Jobs,
    work: Callable[[Job], JobResult],
    seconds_left: float,
    *,
    function: str,
    too_late: str,
) -> Mapping[str, Any]:
    """Do the work, and answer the job exactly once, whatever happens; return the answer.

    `seconds_left` is the time after which this function would be killed, and nobody would
    answer; `too_late` is then the answer. `function` is what the function is called. Raises what
    nobody has foreseen, after the answer, and what keeps the answer from being given.
    """
    answer = _OneAnswer(job.id, jobs)
    timer = threading.Timer(
        max(0.0, seconds_left - GRACE), answer.fail, args=("JobFailed", too_late)
    )
    timer.daemon = True
    timer.start()
    try:
        result = work(job)
    except FootholdError as error:
        answer.fail(kind_of_failure(error), str(error))
    except Exception as error:
        answer.fail("JobFailed", f"{type(error).__name__}; the {function} function's log has it")
        raise
    else:
        answer.succeed(result)
    finally:
        timer.cancel()
        timer.join()
    return answer.given


class _OneAnswer:
    """A job's answer. Only the first is given: the worker and the clock may race for it."""

    def __init__(self, job: str, jobs: Jobs) -> None:
        self._job = job
        self._jobs = jobs
        self._lock = threading.Lock()
        self.given: Mapping[str, Any] = {}

    def succeed(self, result: JobResult) -> None:
        if self._first({"job": self._job, "summary": result.summary, "failed": {}}):
            self._jobs.succeed(self._job, result)

    def fail(self, kind: str, message: str) -> None:
        if self._first({"job": self._job, "failed": {kind: message}}):
            self._jobs.fail(self._job, kind, message)

    def _first(self, given: Mapping[str, Any]) -> bool:
        with self._lock:
            if self.given:
                return False
            self.given = given
            return True


def kind_of_failure(error: FootholdError) -> str:
    """CodePipeline's name for it (AWS CodePipeline API Reference, "FailureDetails")."""
    match error:
        case InvalidRequestError():
            return "ConfigurationError"
        case ArtifactRefusedError():
            return "PermissionError"
        case ArtifactMissingError():
            return "RevisionUnavailable"
        case TemporaryError():
            return "SystemUnavailable"
        case _:
            return "JobFailed"
