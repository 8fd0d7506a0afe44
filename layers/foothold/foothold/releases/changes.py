"""A change set as CloudFormation describes it, in our words. Pure.

What CloudFormation does not tell is None, and never a guess.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from foothold.releases.model import Cell

# What CloudFormation shows instead of a NoEcho parameter's value, and we instead of a secret.
MASK = "****"
# What it shows where only executing the change set will tell.
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
SECRET_REFERENCE = re.compile(r"\{\{resolve:(ssm-secure|secretsmanager):[^}]*\}\}")


def without_references(text: str) -> str:
    """The text, with whatever it says about where a secret is masked (AWS CloudFormation User
    Guide, "Dynamic references")."""
    return SECRET_REFERENCE.sub(rf"{{{{resolve:\1:{MASK}}}}}", text)


class Action(StrEnum):
    """What becomes of a resource (AWS CloudFormation API Reference, "ResourceChange")."""

    ADD = "Add"
    MODIFY = "Modify"
    REMOVE = "Remove"
    IMPORT = "Import"
    DYNAMIC = "Dynamic"
    SYNC = "SyncWithActual"


class Replacement(StrEnum):
    """Whether a modified resource is made anew."""

    NO = "False"
    PERHAPS = "Conditional"
    YES = "True"


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """One property that changes: `path` as `/Properties/Name`, `attribute` as CloudFormation has
    it (Properties, Tags, Metadata ...). `before` and `after` are texts, None where not told."""

    path: str
    attribute: str = "Properties"
    before: str | None = None
    after: str | None = None
    recreation: str = "Never"
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """What becomes of one resource. `policy` is CloudFormation's PolicyAction, such as Delete,
    Retain or Snapshot, `before` and `after` are its properties, None where not told; `drift`
    is its ResourceDriftStatus. `nested` is what becomes of the resources of a nested stack, None
    where that was not read."""

    action: Action
    logical_id: str
    type: str
    physical_id: str | None = None
    replacement: Replacement = Replacement.NO
    scope: tuple[str, ...] = ()
    policy: str | None = None
    properties: tuple[PropertyChange, ...] = ()
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    drift: str | None = None
    nested_change_set: str | None = None
    nested: "tuple[ResourceChange, ...] | None" = None


class SetState(StrEnum):
    """How a change set stands."""

    READY = "ready"
    EMPTY = "empty"  # there is nothing to change
    FAILED = "failed"
    MISSING = "missing"  # there is no such change set (any more)
    UNREAD = "unread"  # it could not be read


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """The change set of one cell. `reason` says why it is neither ready nor empty; `new_stack` is
    true where the stack does not exist yet. `template_sha256` is that of the template as it was
    submitted, `parameters` what it is given (masked where it is a secret)."""

    cell: Cell
    state: SetState
    id: str = ""
    reason: str = ""
    changes: tuple[ResourceChange, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    template_sha256: str = ""
    new_stack: bool = False
