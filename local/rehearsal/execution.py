"""What one execution of a pipeline knows, and how an action of it fails."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]
# Account, region and name of a stack.
Place = tuple[str, str, str]


class ActionFailedError(Exception):
    """An action that did not succeed; the message is its one-line reason, `command` what a person
    would run next, if anything."""

    def __init__(self, message: str, command: str = "") -> None:
        super().__init__(message)
        self.command = command


@dataclass(frozen=True, slots=True)
class Artifact:
    """One version of one object in an artifact store."""

    bucket: str
    key: str
    version: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What a change set would do: how many of what, and the lines that say so."""

    added: int = 0
    modified: int = 0
    removed: int = 0
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.lines:
            return "nothing to change"
        return f"{self.added} to add, {self.modified} to modify, {self.removed} to remove"


@dataclass
class Execution:
    """What one execution knows: the pipeline's definition, its artifacts, its change sets."""

    definition: Json
    home_region: str
    source: Path
    work: Path
    approve: Callable[[Json, Mapping[Place, Changes], Mapping[str, str]], bool]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    changes: dict[Place, Changes] = field(default_factory=dict)
