"""What releases need of the world, in their own words; `gateways` has one of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from foothold.releases.changes import ChangeSet
from foothold.releases.model import Cell, Trial
from foothold.stores.register import ArtifactStore


class Records(Protocol):
    """Small objects in the artifact stores. Any thread may call it."""

    def read(self, store: ArtifactStore, key: str) -> tuple[bytes, str] | None:
        """The object and its entity tag; None where there is none."""
        ...

    def has(self, store: ArtifactStore, key: str) -> bool:
        """Whether there is such an object, of whatever size."""
        ...

    def create(self, store: ArtifactStore, key: str, body: bytes) -> bool:
        """Write an object that is not there yet; False where there is one (Amazon S3 User Guide,
        "How to prevent object overwrites with conditional writes")."""
        ...

    def replace(self, store: ArtifactStore, key: str, body: bytes, etag: str) -> bool:
        """Write over the object that has this entity tag; False where it has another by now."""
        ...

    def newest(self, store: ArtifactStore, prefix: str, name: str) -> str | None:
        """The key of what was written last of all that lies below the prefix and ends with this
        name; None for nothing."""
        ...

    def folders(self, store: ArtifactStore, prefix: str) -> Sequence[str]:
        """The names that come after the prefix and before the next slash."""
        ...


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack as CloudFormation describes it; `reason` is that of its status."""

    status: str
    reason: str = ""
    tags: Mapping[str, str] | None = None
    outputs: Mapping[str, str] | None = None


class ChangeSetReader(Protocol):
    """Reads change sets in target accounts. Any thread may call it."""

    def read(self, cell: Cell, name: str) -> ChangeSet:
        """The cell's change set of this name or id, with its template's digest: at most two reads,
        and one more for each further page. What cannot be read is a state, never an error."""
        ...

    def read_all(self, cells: Sequence[Cell], name: str) -> list[ChangeSet]:
        """The same of many cells, side by side, in their order."""
        ...


class SetStanding(StrEnum):
    """How a change set stands, from being made to having been executed."""

    MAKING = "being made"
    EMPTY = "empty"  # there is nothing to change
    READY = "ready"
    EXECUTING = "being executed"
    EXECUTED = "executed"
    FAILED = "failed"  # it could not be made or executed, or cannot be any more
    GONE = "gone"


class TargetStacks(Protocol):
    """Works on stacks in target accounts, through their deploy roles. Any thread may call it."""

    def state(self, cell: Cell) -> StackState | None:
        """The stack; None where there is none. Raises TemporaryError and PermanentError."""
        ...

    def create_change_set(
        self,
        cell: Cell,
        name: str,
        *,
        template_url: str,
        configuration: Mapping[str, Any],
        capabilities: Sequence[str],
    ) -> str:
        """Ask for a change set; return its id. One of this name that is there already is left as
        it is, and its id returned."""
        ...

    def standing(self, cell: Cell, change_set_id: str) -> SetStanding:
        """How this change set stands."""
        ...

    def execute(self, cell: Cell, change_set_id: str) -> None:
        """Execute exactly this change set. Executed before is no error."""
        ...

    def why_failed(self, cell: Cell, change_set_id: str = "") -> str:
        """Each resource that failed in the stack's last operation, with its reason; of a change
        set that could not be made, why."""
        ...


class Alarms(Protocol):
    """CloudWatch alarms in target accounts, through their reader roles."""

    def raised(self, account: str, region: str, names: Sequence[str], since: float) -> str | None:
        """A line on an alarm that is in ALARM, or was since then (seconds since 1970); None where
        there is none. Raises PermanentError for a name that no alarm has."""
        ...


@dataclass(frozen=True, slots=True)
class TrialRun:
    """A trial that was started. `passed` is None as long as it runs; `line` says how it failed."""

    id: str
    passed: bool | None = None
    line: str = ""


class Trials(Protocol):
    """CodeBuild projects and Lambda functions of our own account, run after a wave."""

    def start(
        self, trial: Trial, region: str, environment: Mapping[str, str], token: str
    ) -> TrialRun:
        """Start it in a region; the same token starts it once. Raises PermanentError where there
        is no such project or function."""
        ...

    def look(self, trial: Trial, region: str, run_id: str) -> TrialRun:
        """How a trial that was started stands."""
        ...


@dataclass(frozen=True, slots=True)
class SeenStack:
    """A stack as CloudFormation tells of it among all others. `changed_at` is the beginning of its
    last operation, in seconds since 1970; `drift` what its last drift detection found."""

    name: str
    status: str
    tags: Mapping[str, str]
    changed_at: float
    drift: str = ""
    is_nested: bool = False


@dataclass(frozen=True, slots=True)
class SeenPlace:
    """One region of one account: its stacks, and the SHA-256 of each function's code as Lambda has
    it, in base64, by their names. `unread` and `code_unread` say why something is not known."""

    account: str
    region: str
    stacks: Mapping[str, SeenStack] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    unread: str = ""
    code_unread: str = ""


@dataclass(frozen=True, slots=True)
class SeenResources:
    """What a stack is made of: its template as it was submitted, with its SHA-256 in hexadecimal
    (empty where the text is not as it was written); its own functions, by their logical ids the
    names, and the logical ids of nested stacks."""

    template: str
    template_sha256: str
    functions: Mapping[str, str] = field(default_factory=dict)
    nested: tuple[str, ...] = ()


class CellReader(Protocol):
    """Looks at target accounts through their reader roles. Any thread may call it."""

    def place(self, account: str, region: str, *, code: bool = True) -> SeenPlace:
        """All stacks of a region and, if wished, the code of its functions: a read for each page.
        What cannot be read is told, and is no error."""
        ...

    def resources(self, cell: Cell) -> SeenResources:
        """What a stack is made of: two reads, and one more for each further page. Raises
        TemporaryError and PermanentError."""
        ...
