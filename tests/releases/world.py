"""Target accounts in memory, on a simulated clock: stacks, change sets, alarms, and the records of
rollouts. Every call of a rollout is counted, and the world may end at any of them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from foothold.errors import PermanentError
from foothold.releases.changes import Action, ChangeSet, ResourceChange, SetState
from foothold.releases.keeping import Releases
from foothold.releases.model import (
    RELEASE_TAG,
    Bake,
    Cell,
    OnFailure,
    Release,
    ReleaseTarget,
    Trial,
    configuration_name,
)
from foothold.releases.ports import SetStanding, StackState, TrialRun
from foothold.releases.review import Review
from foothold.releases.rollout import Rollouts, rollout_key
from foothold.releases.rollout_plan import Rollout, RolloutOutcome
from tests.releases.memory import HOME, Killed, MemoryRecords, files, release, store

TAKES_SECONDS = 30.0
ALARM = "shop-errors"
Alarm = tuple[str, str, str]


def approved(_: Review) -> bool:
    return True


@dataclass
class Set:
    """A change set: what it would make of its stack, and how it stands."""

    id: str
    cell: Cell
    name: str
    state: StackState
    sha256: str
    standing: SetStanding = SetStanding.READY


@dataclass
class World:
    """`fails` are the cells whose next operation fails, `takes` is how long one takes, in seconds;
    `bad` is a cell, and the release that raises its alarm for a minute. `alarms` has of each alarm
    when it went into which state. `happens` is told of every call before it is made; after
    `ends_after` calls the process is gone."""

    takes: float = TAKES_SECONDS
    now: float = 1_000_000.0
    stacks: dict[Cell, StackState] = field(default_factory=dict)
    sets: dict[str, Set] = field(default_factory=dict)
    busy: dict[Cell, tuple[float, Set]] = field(default_factory=dict)
    fails: set[Cell] = field(default_factory=set)
    bad: tuple[Cell, str] | None = None
    alarms: dict[Alarm, list[tuple[float, str]]] = field(default_factory=dict)
    trials: dict[str, TrialRun] = field(default_factory=dict)
    given: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    executed: list[tuple[float, Set]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    records: MemoryRecords = field(default_factory=MemoryRecords)
    happens: Callable[[str, Cell | None], None] = lambda *_: None
    ends_after: int | None = None
    calls: int = 0
    made: int = 0
    holders: int = 0

    def __post_init__(self) -> None:
        self.records.before = lambda operation, *_: self.call(f"records.{operation}")

    # The process

    def call(self, name: str, cell: Cell | None = None) -> None:
        if self.ends_after is not None and self.calls >= self.ends_after:
            raise Killed
        self.calls += 1
        self.happens(name, cell)
        self._settle()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0, "a wait of nothing would never end"
        self.now += seconds

    def rollouts(self) -> Rollouts:
        """A process of its own, which knows nothing of any other."""
        self.holders += 1
        holder = f"holder-{self.holders}"
        return Rollouts(
            releases=Releases(self.records, self.records, HOME, threads=1),
            records=self.records,
            stores=self.records,
            reader=self,
            stacks=self,
            alarms=self,
            trials=self,
            home_region=HOME,
            url_of=lambda store, key: f"{store.bucket}/{key}",
            owner=lambda: "me",
            new_id=lambda: holder,
            clock=self.clock,
            sleep=self.sleep,
            say=self.said.append,
            gone=lambda _, regions: [line for line in self.gone if line.split(":")[0] in regions],
            threads=1,
        )

    def deploy(self, what: Release, name: str = "Prod", **more: Any) -> RolloutOutcome:
        asked = {"run": f"run{self.holders}", "approve": approved, **more}
        return self.rollouts().deploy(what, name, **asked)

    def rollback(self, name: str = "Prod", **more: Any) -> RolloutOutcome:
        asked = {"run": f"run{self.holders}", "approve": approved, **more}
        return self.rollouts().rollback("shop", name, **asked)

    # What is there

    def keep(self, what: Release) -> Release:
        """A release in its stores, with the configuration of its targets."""
        for region in what.regions:
            each = {name: render() for name, render in files(what)[region].items()}
            for one in what.targets:
                text = json.dumps(one.configuration(region, what.project, what.id))
                each[configuration_name(one.name, region)] = text.encode()
            each["release.json"] = what.render()
            for name, body in each.items():
                self.records.objects[store(region).bucket, what.prefix + name] = body
        return what

    def runs(self) -> dict[Cell, str]:
        """The release that each stack says it runs."""
        self._settle()
        return {
            cell: (state.tags or {}).get(RELEASE_TAG, "") for cell, state in self.stacks.items()
        }

    def record(self, name: str = "Prod") -> Rollout:
        return Rollout.parse(
            self.records.objects[store(HOME).bucket, rollout_key("shop", name)], "the record"
        )

    def set_alarm(self, cell: Cell, state: str, at: float, name: str = ALARM) -> None:
        self.alarms.setdefault((cell.account, cell.region, name), []).append((at, state))

    def replace_set(self, cell: Cell) -> None:
        """Somebody puts another change set in the place of each of a cell's, under its name."""
        for one in [one for one in self.sets.values() if one.cell == cell]:
            del self.sets[one.id]
            other = replace(one, id=self._new_id(cell, one.name), sha256="another template")
            self.sets[other.id] = other

    def _new_id(self, cell: Cell, name: str) -> str:
        self.made += 1
        return f"arn:{cell.region}:{cell.account}:{name}/{self.made}"

    def _settle(self) -> None:
        for cell, (until, one) in list(self.busy.items()):
            if self.now < until:
                continue
            del self.busy[cell]
            was, new = self.stacks[cell], one.state
            if cell in self.fails:
                self.fails.discard(cell)
                one.standing = SetStanding.FAILED
                first = was.status.startswith(("CREATE", "REVIEW"))
                status = "ROLLBACK_COMPLETE" if first else "UPDATE_ROLLBACK_COMPLETE"
                self.stacks[cell] = StackState(status, "", was.tags, was.outputs)
            else:
                one.standing = SetStanding.EXECUTED
                kind = "CREATE" if was.status.startswith("CREATE") else "UPDATE"
                self.stacks[cell] = replace(new, status=f"{kind}_COMPLETE")
                if self.bad == (cell, (new.tags or {})[RELEASE_TAG]):
                    self.set_alarm(cell, "ALARM", self.now + 30)
                    self.set_alarm(cell, "OK", self.now + 90)

    # TargetStacks

    def state(self, cell: Cell) -> StackState | None:
        self.call("state", cell)
        return self.stacks.get(cell)

    def create_change_set(
        self,
        cell: Cell,
        name: str,
        *,
        template_url: str,
        configuration: Mapping[str, Any],
        capabilities: Sequence[str],
    ) -> str:
        self.call("create", cell)
        for one in self.sets.values():
            if (one.cell, one.name) == (cell, name):
                return one.id
        bucket, _, key = template_url.partition("/")
        sha256 = hashlib.sha256(self.records.objects[bucket, key]).hexdigest()
        state = StackState("", "", configuration["Tags"], {"Url": f"https://{cell.region}"})
        new = Set(self._new_id(cell, name), cell, name, state, sha256)
        self.sets[new.id] = new
        self.stacks.setdefault(cell, StackState("REVIEW_IN_PROGRESS"))
        return new.id

    def standing(self, cell: Cell, change_set_id: str) -> SetStanding:
        self.call("standing", cell)
        named = {one.name: one for one in self.sets.values() if one.cell == cell}
        found = self.sets.get(change_set_id) or named.get(change_set_id)
        return found.standing if found else SetStanding.GONE

    def execute(self, cell: Cell, change_set_id: str) -> None:
        """By its id, or by its name as CloudFormation does it, too."""
        self.call("execute", cell)
        named = {one.name: one for one in self.sets.values() if one.cell == cell}
        found = self.sets.get(change_set_id) or named.get(change_set_id)
        if found is None or found.standing in {SetStanding.FAILED, SetStanding.GONE}:
            raise PermanentError(f"{change_set_id} cannot be executed")
        if found.standing is not SetStanding.READY:
            return
        assert cell not in self.busy, "CloudFormation refuses two operations on one stack"
        for other in [one for one in self.sets.values() if one.cell == cell and one is not found]:
            del self.sets[other.id]
        self.executed.append((self.now, found))
        found.standing = SetStanding.EXECUTING
        was = self.stacks[cell]
        kind = "CREATE" if was.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        self.stacks[cell] = replace(was, status=f"{kind}_IN_PROGRESS")
        self.busy[cell] = (self.now + self.takes, found)

    def why_failed(self, cell: Cell, change_set_id: str = "") -> str:
        self.call("why_failed", cell)
        return "Function: it did not start"

    # ChangeSetReader

    def read(self, cell: Cell, name: str) -> ChangeSet:
        self.call("read", cell)
        for one in self.sets.values():
            if one.cell == cell and name in {one.name, one.id}:
                if one.standing is SetStanding.FAILED:
                    return ChangeSet(cell, SetState.FAILED, one.id, "it cannot be executed")
                change = ResourceChange(Action.MODIFY, "Function", "AWS::Lambda::Function")
                return ChangeSet(
                    cell,
                    SetState.READY,
                    one.id,
                    changes=(change,),
                    tags=dict(one.state.tags or {}),
                    template_sha256=one.sha256,
                )
        return ChangeSet(cell, SetState.MISSING, reason="there is no such change set")

    def read_all(self, cells: Sequence[Cell], name: str) -> list[ChangeSet]:
        return [self.read(cell, name) for cell in cells]

    # Alarms

    def raised(self, account: str, region: str, names: Sequence[str], since: float) -> str | None:
        self.call("raised")
        for name in names:
            history = self.alarms.get((account, region, name))
            if history is None:
                raise PermanentError(f"there is no alarm {name} in {region} of {account}")
            past = [(at, state) for at, state in history if at <= self.now]
            state = past[-1][1] if past else "INSUFFICIENT_DATA"
            if state == "ALARM" or any(at >= since and one == "ALARM" for at, one in past):
                return f"alarm {name} in {region} of {account} was raised"
        return None

    # Trials

    def start(
        self, trial: Trial, region: str, environment: Mapping[str, str], token: str
    ) -> TrialRun:
        self.call("start")
        self.given.append((trial.name, region, environment))
        return TrialRun(self.trials[trial.name].id)

    def look(self, trial: Trial, region: str, run_id: str) -> TrialRun:
        self.call("look")
        return self.trials[trial.name]


def watched(
    regions: Sequence[Sequence[str]],
    minutes: int = 10,
    on_failure: OnFailure = OnFailure.STOP,
    **more: Any,
) -> ReleaseTarget:
    """A target of these waves, watched by the one alarm."""
    waves = tuple(map(tuple, regions))
    bake = Bake(minutes, (ALARM,)) if minutes else None
    return ReleaseTarget(
        "Prod", "222222222222", "shop", waves, bake=bake, on_failure=on_failure, **more
    )


def made_for(*targets: ReleaseTarget, content: str = "a") -> Release:
    """A release for these targets."""
    regions = tuple(dict.fromkeys(region for one in targets for region in one.regions))
    return replace(release(content, regions=regions), targets=targets)
