"""Who uses a store."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PipelineUse:
    """A pipeline that keeps artifacts in a store. One that follows the stores drops those that
    are withdrawn, by itself."""

    name: str
    follows: bool
