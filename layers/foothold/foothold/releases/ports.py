"""What releases need of the world, in their own words; `gateways` has one of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from foothold.releases.changes import ChangeSet
from foothold.releases.model import Cell
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

    def execute(self, cell: Cell, change_set_id: str) -> None:
        """Execute exactly this change set. Executed before is no error."""
        ...

    def why_failed(self, cell: Cell) -> str:
        """Each resource that failed in the stack's last operation, with its reason."""
        ...


class Alarms(Protocol):
    """CloudWatch alarms in target accounts, through their reader roles."""

    def raised(self, account: str, region: str, names: Sequence[str], since: float) -> str | None:
        """A line on an alarm that is in ALARM, or was since then (seconds since 1970); None where
        there is none. Raises PermanentError for a name that no alarm has."""
        ...
