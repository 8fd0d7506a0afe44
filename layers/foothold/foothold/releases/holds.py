"""Holds: a target that is held keeps what it runs, until somebody lets it go.

A hold is a small object in the home store. It is never deleted, only written over: who let a
target go stands there, too.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from foothold.errors import BusyError, FootholdError, PermanentError
from foothold.releases.ports import Records
from foothold.stores.register import ArtifactStore

WRITES = 3  # how often it is tried anew because somebody else writes it


def hold_key(project: str, target: str) -> str:
    return f"{project}/holds/{target}.json"


@dataclass(frozen=True, slots=True)
class Hold:
    """Whether a target is held, who said so last (an ARN), and when (seconds since 1970)."""

    project: str
    target: str
    held: bool
    by: str
    since: float

    @property
    def line(self) -> str:
        day = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%dT%H:%MZ")
        return (
            f"{self.target} of {self.project} is held since {day} by {self.by}, and keeps what it "
            f"runs: `foothold release hold {self.project} --target {self.target} --release` lets "
            "it go"
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def render(self) -> bytes:
        return json.dumps(self.as_json(), ensure_ascii=False).encode() + b"\n"

    @classmethod
    def parse(cls, body: bytes, where: str) -> "Hold":
        """Raises PermanentError for what `render` does not give; `where` names the object."""
        try:
            value = json.loads(body)
            return cls(
                str(value["project"]),
                str(value["target"]),
                bool(value["held"]),
                str(value["by"]),
                float(value["since"]),
            )
        except (KeyError, TypeError, ValueError):
            raise PermanentError(
                f"{where} is no hold that Foothold wrote: hold the target again, or let it go"
            ) from None


def held(records: Records, home: ArtifactStore, project: str, target: str) -> Hold | None:
    """The hold that a target is under; None for none. Raises TemporaryError, and PermanentError
    where it cannot be told: what may be held is not touched."""
    found = records.read(home, key := hold_key(project, target))
    hold = Hold.parse(found[0], f"{key} in {home.bucket}") if found else None
    return hold if hold and hold.held else None


def all_held(
    records: Records, home: ArtifactStore, project: str, targets: Iterable[str]
) -> list[Hold]:
    """Those of these targets that are held. Raises what `held` raises."""
    return [hold for name in targets if (hold := held(records, home, project, name))]


def write_hold(records: Records, home: ArtifactStore, wanted: Hold) -> Hold:
    """Hold a target, or let it go; return what stands there now. What is so already is left as it
    is. Raises TemporaryError and PermanentError."""
    key = hold_key(wanted.project, wanted.target)
    for _ in range(WRITES):
        found = records.read(home, key)
        if found is None:
            written = records.create(home, key, wanted.render())
        else:
            there = _as_written(found[0])
            if there and there.held == wanted.held:
                return there
            written = records.replace(home, key, wanted.render(), found[1])
        if written:
            return wanted
    raise BusyError(f"others write {key} in {home.bucket} at this moment; ask again")


def _as_written(body: bytes) -> Hold | None:
    try:
        return Hold.parse(body, "")
    except FootholdError:
        return None  # written over
