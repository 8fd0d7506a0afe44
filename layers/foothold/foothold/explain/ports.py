"""What an explanation needs to see. Nothing of it writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from foothold.explain.observed import Observed
from foothold.explain.principal import Question


@dataclass(frozen=True, slots=True)
class PipelineAction:
    """What an action of a pipeline does as whom: `role_arns` are the roles it uses in `region`,
    `name` is STAGE/ACTION; `message` is what an execution said when it failed."""

    name: str
    role_arns: tuple[str, ...]
    region: str
    message: str = ""


class ChainObserver(Protocol):
    """Sees the chain of one question, with at most twelve reads."""

    def observe(self, question: Question) -> Observed:
        """Everything that can be seen; whatever cannot is told as unread. Raises TemporaryError or
        PermanentError only where it is not known who looks."""
        ...

    def region_of(self, bucket: str) -> str:
        """The region whose store this bucket is. Raises PermanentError where it is none."""
        ...


class PipelineReader(Protocol):
    """Reads which roles a pipeline uses, and where."""

    def role_of(self, pipeline: str) -> str:
        """The ARN of the pipeline's own role. Raises PermanentError where it is not there."""
        ...

    def actions(self, pipeline: str) -> Sequence[PipelineAction]:
        """The actions that reach for artifacts. Raises PermanentError."""
        ...

    def failed(self, pipeline: str, execution: str) -> Sequence[PipelineAction]:
        """Those of an execution that failed. Raises PermanentError."""
        ...
