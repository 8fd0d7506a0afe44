"""CodePipeline as somebody who remembers what it is told."""

from typing import Any

from foothold.jobs.ports import JobResult


class Told:
    """`jobs.ports.Jobs` that remember."""

    def __init__(self, error: Exception | None = None) -> None:
        self.answers: list[tuple[Any, ...]] = []
        self._error = error

    def succeed(self, job: str, result: JobResult) -> None:
        self._tell("succeeded", job, result)

    def fail(self, job: str, kind: str, message: str) -> None:
        self._tell("failed", job, kind, message)

    def _tell(self, *answer: Any) -> None:
        if self._error:
            raise self._error
        self.answers.append(answer)
