"""What answering a job needs of the world, in its own words, and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from foothold.errors import PermanentError


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job that has not failed stands.

    `summary` is a line for a person, `variables` what later actions may use, by name, of letters,
    digits, `@`, `-` and `_`. With a `continuation` the action goes on: CodePipeline calls again
    within a minute and brings it along, for a day at most; `percent` says how far it is (AWS
    CodePipeline API Reference, "PutJobSuccessResult"; User Guide, "Quotas in AWS CodePipeline").
    """

    summary: str
    variables: Mapping[str, str] = field(default_factory=dict)
    continuation: str = ""
    percent: int | None = None


class Jobs(Protocol):
    """The jobs of a pipeline. A job that somebody answered before is left as it is."""

    def succeed(self, job: str, result: JobResult) -> None: ...

    def fail(self, job: str, kind: str, message: str) -> None: ...


class ArtifactRefusedError(PermanentError):
    """An artifact may not be read or written with the rights that were given."""


class ArtifactMissingError(PermanentError):
    """There is no such artifact (any more)."""
