"""What a rollout does next, from what was observed; and its record. Pure: values in, values out."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import zip_longest
from typing import Any

from foothold.errors import PermanentError
from foothold.releases.model import (
    RELEASE_TAG,
    Cell,
    Release,
    ReleaseTarget,
    sharing_waves,
)
from foothold.releases.ports import SetStanding, StackState

Json = dict[str, Any]

# What a cell ran before: a release's id, "" for none that is known, None where there was no stack.
Before = Mapping[Cell, str | None]


class Ended(StrEnum):
    """How a rollout ended."""

    DONE = "done"
    REFUSED = "refused"  # before anything was executed
    STOPPED = "stopped"  # a wave failed or an alarm was raised: no later wave was touched
    TAKEN_BACK = "taken back"  # likewise, and the wave runs again what it ran before
    PARTLY_TAKEN_BACK = "partly taken back"  # as far as it can be


@dataclass(frozen=True, slots=True)
class Past:
    """The last rollout before this one that executed anything."""

    release: str
    back: bool
    before: tuple[tuple[Cell, str | None], ...]


@dataclass(frozen=True, slots=True)
class Rollout:
    """The record of a rollout, which is its lock as long as it lives: until it has `ended`, or
    until `expires` (seconds since 1970). Whoever holds it writes its own `holder`.

    `run` names change sets and stays the same over all holders; `back` is true for a rollback.
    `wave` is the one at work, from 1, and 0 before the first; `since` when it began, `baking` when
    all of it was deployed. `runs` are what was started after it. `trouble` says why no later wave
    is touched.
    """

    project: str
    target: str
    release: str
    run: str
    holder: str
    owner: str
    began: float
    expires: float
    back: bool = False
    before: tuple[tuple[Cell, str | None], ...] = ()
    digest: str = ""
    approved_by: str = ""
    wave: int = 0
    since: float = 0.0
    baking: float = 0.0
    runs: tuple[tuple[str, str], ...] = ()
    trouble: str = ""
    ended: Ended | None = None
    past: Past | None = None

    def lives(self, now: float) -> bool:
        return self.ended is None and now < self.expires

    @property
    def was(self) -> dict[Cell, str | None]:
        return dict(self.before)

    @property
    def last(self) -> Past | None:
        """The last rollout that executed anything: this one, or the one before it."""
        return Past(self.release, self.back, self.before) if self.wave else self.past

    def render(self) -> bytes:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def parse(cls, body: bytes | str, where: str) -> "Rollout":
        """Raises PermanentError where the body is not what `render` gives."""
        try:
            value = json.loads(body)
            past = value.pop("past")
            ended = value.pop("ended")
            return cls(
                **{
                    **value,
                    "before": _before(value["before"]),
                    "runs": tuple((str(name), str(run)) for name, run in value["runs"]),
                },
                ended=Ended(ended) if ended else None,
                past=Past(str(past["release"]), bool(past["back"]), _before(past["before"]))
                if past
                else None,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PermanentError(
                f"{where} is no record of a rollout that Foothold wrote ({type(error).__name__})"
            ) from None


def _before(value: Any) -> tuple[tuple[Cell, str | None], ...]:
    return tuple((Cell(**cell), release) for cell, release in value)


# --- targets and waves --------------------------------------------------------------------------


def together(release: Release, name: str) -> tuple[ReleaseTarget, ...]:
    """The target, and those that share its waves. Raises PermanentError for one that the release
    was not configured for, and for one that runs with another."""
    first = release.named(name)
    if first.joins:
        raise PermanentError(f"{name} runs with {first.joins}, and not alone: name {first.joins}")
    return sharing_waves(first, release.targets)


def waves_of(targets: Iterable[ReleaseTarget]) -> tuple[tuple[Cell, ...], ...]:
    """The cells of each wave, of all targets."""
    each = ([tuple(map(one.cell, wave)) for wave in one.waves] for one in targets)
    shared = zip_longest(*each, fillvalue=())
    return tuple(tuple(cell for cells in wave for cell in cells) for wave in shared)


def first_wave(waves: Sequence[Sequence[Cell]], running: Iterable[Cell]) -> int:
    """Where to begin, from 1: at the first wave that has to be deployed, or at the one before it,
    for nobody knows whether that was watched to its end."""
    there = set(running)
    whole = 0
    while whole < len(waves) and there.issuperset(waves[whole]):
        whole += 1
    return max(whole, 1)


def previous_release(before: Before, release: str) -> str | None:
    """What most of a rollout's cells ran before it; None where none ran any other release."""
    known = Counter(one for one in before.values() if one and one != release)
    return min(known, key=lambda one: (-known[one], one)) if known else None


def ran_before(observed: Before, release: str, last: Past | None) -> Before:
    """What each cell ran before the release came. A cell that runs it already has it of an
    earlier attempt, whose record knows."""
    known = dict(last.before) if last and last.release == release else {}
    return {cell: known.get(cell, ran) if ran == release else ran for cell, ran in observed.items()}


# --- what a stack's state means -----------------------------------------------------------------


def ran(state: StackState | None) -> str | None:
    """The release that a stack says it runs; "" where it does not say, None for no stack."""
    if state is None or state.status == "REVIEW_IN_PROGRESS":
        return None
    return (state.tags or {}).get(RELEASE_TAG, "")


def is_at_work(state: StackState | None) -> bool:
    """An operation is under way. REVIEW_IN_PROGRESS is none: it is a stack that has nothing but
    change sets."""
    status = state.status if state else ""
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def runs(state: StackState | None, release: str) -> bool:
    """The stack runs the release, and its last operation went well."""
    if state is None or ran(state) != release:
        return False
    return state.status.endswith("_COMPLETE") and "ROLLBACK" not in state.status


def unusable(cell: Cell, state: StackState | None) -> str:
    """Why no change set can be made of a stack, and the way out; empty where one can
    (AWS CloudFormation User Guide, "Stack status codes")."""
    if state is None:
        return ""
    line = f"{cell} is {state.status}"
    if is_at_work(state):
        return f"{line}: somebody is at work on it; wait until that has ended"
    if state.status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
        return (
            f"{line}, and can only be deleted: `aws cloudformation delete-stack --stack-name "
            f"{cell.stack} --region {cell.region}` in account {cell.account}"
        )
    if state.status == "UPDATE_ROLLBACK_FAILED":
        return (
            f"{line}: `aws cloudformation continue-update-rollback --stack-name {cell.stack} "
            f"--region {cell.region}` in account {cell.account} goes on with it"
        )
    return f"{line}: {state.reason or 'look at its events'}" if "FAILED" in state.status else ""


class Next(StrEnum):
    """What a cell needs on its way to a release."""

    NOTHING = "nothing"
    CHANGE_SET = "change set"
    EXECUTE = "execute"
    WAIT = "wait"
    GIVE_UP = "give up"


def next_step(  # noqa: PLR0911  # one for each way a change set can stand
    release: str, state: StackState | None, standing: SetStanding | None
) -> Next:
    """What a cell needs next; `standing` is its change set's, None where it has none yet.

    An execution is judged by its own standing as well as by the stack's state: after it was asked
    for, the stack looks for a moment as it did before.
    """
    if is_at_work(state):
        return Next.WAIT
    if runs(state, release):
        return Next.NOTHING
    match standing:
        case None:
            return Next.CHANGE_SET
        case SetStanding.MAKING | SetStanding.EXECUTING:
            return Next.WAIT
        case SetStanding.READY:
            return Next.EXECUTE
        case SetStanding.EMPTY:
            return Next.NOTHING
        case SetStanding.FAILED | SetStanding.EXECUTED | SetStanding.GONE:
            return Next.GIVE_UP


# --- watching -----------------------------------------------------------------------------------


class Watched(StrEnum):
    """How watching a wave stands."""

    GO_ON = "go on"
    DONE = "done"
    RAISED = "raised"


@dataclass(frozen=True, slots=True)
class Watch:
    """A wave that is watched: alarms since `since`, and until `minutes` after `baking`, both in
    seconds since 1970. `runs` are the trials that were started, each with its own id."""

    since: float
    baking: float
    runs: Mapping[str, str] = field(default_factory=dict)

    def render(self) -> str:
        """A line of JSON, which can be a continuation token."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> "Watch":
        """Raises PermanentError for what `render` does not give."""
        try:
            value = json.loads(text)
            runs = {str(name): str(run) for name, run in value["runs"].items()}
            return cls(float(value["since"]), float(value["baking"]), runs)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise PermanentError("this continuation token is none that Foothold gave") from None


@dataclass(frozen=True, slots=True)
class Watching:
    """What one look at a wave said, with the watch to look again with. `wait` is how long to
    wait before that, in seconds."""

    state: Watched
    line: str
    watch: Watch
    wait: float = 0.0


def baked_until(targets: Iterable[ReleaseTarget], baking: float) -> float:
    """When a wave was watched for long enough: the longest of its targets' times."""
    return baking + 60 * max((one.bake.minutes for one in targets if one.bake), default=0)


def alarms_of(
    targets: Iterable[ReleaseTarget], cells: Iterable[Cell]
) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """The alarms to watch for these cells: account, region, names."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    there = set(cells)
    for target in targets:
        for cell in target.cells if target.bake and target.bake.alarms else ():
            if cell in there and target.bake:
                names = found.setdefault((cell.account, cell.region), {})
                names.update(dict.fromkeys(target.bake.alarms))
    return tuple((*where, tuple(names)) for where, names in found.items())


# --- the outcome --------------------------------------------------------------------------------


class CellState(StrEnum):
    """What became of one cell."""

    RAN_ALREADY = "ran it already"
    DEPLOYED = "deployed"
    FAILED = "failed"
    NOT_TOUCHED = "not touched"
    TAKEN_BACK = "taken back"
    NOT_TAKEN_BACK = "not taken back"
    LEFT = "left alone"


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """One cell: what it ran before the rollout and runs after it (as `Before` has it), what
    became of it, and why where there is something to say."""

    cell: Cell
    before: str | None
    after: str | None
    state: CellState
    line: str = ""


@dataclass(frozen=True, slots=True)
class RolloutOutcome:
    """How a rollout ended, cell by cell."""

    project: str
    target: str
    release: str
    run: str
    state: Ended
    line: str
    cells: tuple[CellOutcome, ...] = ()

    @property
    def is_done(self) -> bool:
        return self.state is Ended.DONE

    def as_json(self) -> Json:
        return asdict(self)


def cell_state(
    before: str | None, after: str | None, release: str, *, touched: bool, failed: bool
) -> CellState:
    """What became of a cell of a wave that was `touched`, or of a later one."""
    if failed:
        return CellState.FAILED
    if not touched:
        return CellState.RAN_ALREADY if after == release else CellState.NOT_TOUCHED
    if before == release:
        return CellState.RAN_ALREADY
    return CellState.DEPLOYED if after == release else CellState.FAILED
