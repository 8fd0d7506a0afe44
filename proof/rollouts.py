"""A release on its way, on target accounts in memory: what is executed was reviewed, no wave comes
after an alarm or too early, and whoever is killed ends where nobody was.

What is judged is judged by what the world has seen, and not by what the rollout says of itself.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from foothold.errors import FootholdError
from foothold.releases.model import Cell, OnFailure, Release, When
from foothold.releases.review import Review
from foothold.releases.rollout import LEASE_SECONDS
from foothold.releases.rollout_plan import Ended, RolloutOutcome
from proof.result import Result, Scale, side_by_side
from tests.releases.memory import Killed
from tests.releases.world import World, made_for, watched

REGIONS = ("eu-central-1", "eu-west-1", "us-east-1", "us-west-2", "ap-south-1")
WAVES = (REGIONS[:1], REGIONS[1:3], REGIONS[3:])
SAMPLE_REVIEWS, REVIEWS = 60, 2_000
SAMPLE_HISTORIES, HISTORIES = 40, 1_000
SAMPLE_KILLS = 40


def begun(
    waves: Sequence[Sequence[str]], minutes: int, on_failure: OnFailure, when: When | None = None
) -> tuple[World, Release, Release]:
    """A world whose stacks run a release, and the one that is to come."""
    target = watched(waves, minutes, on_failure, approval=when)
    world = World()
    world.records.regions = REGIONS
    old, new = (world.keep(made_for(target, content=each)) for each in ("old", "new"))
    for cell in target.cells:
        world.set_alarm(cell, "OK", 0)
    assert world.deploy(old).is_done
    world.sleep(LEASE_SECONDS)
    world.executed.clear()
    return world, old, new


# --- replace, approve, execute ------------------------------------------------------------------


def reviews(scale: Scale) -> Result:
    """Two processes roll out, change sets are replaced at any call, approvals come and do not."""
    count = scale.of(SAMPLE_REVIEWS, REVIEWS)
    return side_by_side(_interleaved, [scale.seed * 1_000_000 + n for n in range(count)])


def _interleaved(seeds: Sequence[int]) -> Result:
    failures: list[str] = []
    executed = replaced = 0
    for seed in seeds:
        dice = random.Random(seed)
        world, old, new = begun(WAVES, 1, dice.choice(list(OnFailure)), When.ALWAYS)
        approved: dict[str, str] = {}
        replacing = _Replacing(world, dice)
        world.happens = replacing.happens

        def approve(
            review: Review, dice: random.Random = dice, known: dict[str, str] = approved
        ) -> bool:
            if dice.random() < 0.1:  # noqa: PLR2004  now and then somebody says no
                return False
            known |= {one.change_set: one.template_sha256 for one in review.reviewed}
            return True

        replacing.other = partial(world.deploy, old, run="other", approve=approve)
        for _ in range(3):
            try:
                world.deploy(new, run=f"run{dice.random()}", approve=approve)
            except FootholdError:
                world.sleep(LEASE_SECONDS)
        executed += len(world.executed)
        replaced += replacing.count
        failures += [
            f"seed {seed}: {one.id} was executed, and not reviewed"
            for _, one in world.executed
            if not one.name.endswith("-back") and approved.get(one.id) != one.sha256
        ]
    if not (executed and replaced):
        failures.append("nothing was executed, or nothing replaced: this proves nothing")
    return Result(len(seeds), tuple(failures))


@dataclass
class _Replacing:
    """What others do at the same time, at one call in so many."""

    world: World
    dice: random.Random
    count: int = 0
    inside: bool = False
    other: Callable[[], object] = lambda: None

    def happens(self, name: str, _cell: Cell | None) -> None:
        if self.inside or name.startswith("records.") or self.dice.random() > 0.02:  # noqa: PLR2004  one in fifty
            return
        self.inside = True
        try:
            if self.dice.random() < 0.2:  # noqa: PLR2004  mostly it is a change set
                self.other()
            elif self.world.sets:
                self.world.replace_set(self.dice.choice([*self.world.sets.values()]).cell)
                self.count += 1
        except FootholdError:
            pass  # the other process was refused, which is its right
        finally:
            self.inside = False


# --- alarms -------------------------------------------------------------------------------------


def alarms(scale: Scale) -> Result:
    """Alarms at any minute, flapping, or without data: each wave comes after the one before was
    watched to its end without one, and a rollout without alarms is never stopped."""
    count = scale.of(SAMPLE_HISTORIES, HISTORIES)
    return side_by_side(_watched, [scale.seed * 1_000_000 + n for n in range(count)])


def _watched(seeds: Sequence[int]) -> Result:
    failures: list[str] = []
    ends: set[Ended] = set()
    for seed in seeds:
        dice = random.Random(seed)
        minutes = dice.choice((1, 5, 30, 120))
        waves = _waves(dice)
        world, _, new = begun(waves, minutes, dice.choice(list(OnFailure)))
        began = world.now
        for region in REGIONS:
            _history(world, new.targets[0].cell(region), dice, 60 * minutes * len(waves))
        try:
            outcome: RolloutOutcome | None = world.deploy(new)
        except FootholdError:
            outcome = None
        ends.add(outcome.state if outcome else Ended.REFUSED)
        cells = [[new.targets[0].cell(region) for region in wave] for wave in waves]
        failures += [
            f"seed {seed}: {wrong}" for wrong in _wrong(world, cells, minutes, began, outcome)
        ]
    if Ended.DONE not in ends or len(ends) == 1:
        failures.append(f"these histories only end in {', '.join(ends)}")
    return Result(len(seeds), tuple(failures))


def _waves(dice: random.Random) -> list[tuple[str, ...]]:
    left, waves = list(REGIONS), []
    while left:
        size = dice.randint(1, len(left))
        waves.append(tuple(left[:size]))
        left = left[size:]
    return waves


def _history(world: World, cell: Cell, dice: random.Random, seconds: float) -> None:
    if dice.random() < 0.6:  # noqa: PLR2004  most alarms are quiet
        return
    at = world.now - 120 + dice.randint(0, int(seconds * 1.5))
    for _ in range(dice.randint(2, 5)):
        world.set_alarm(cell, dice.choice(("ALARM", "INSUFFICIENT_DATA", "OK")), at)
        at += dice.choice((1, 10, 30, 600))


def _alarmed(world: World, cells: Sequence[Cell], first: float, last: float) -> bool:
    """An alarm of these cells was raised at some time of these: it came, or was there."""
    for cell in cells:
        state = "OK"
        for at, now in world.alarms[cell.account, cell.region, "shop-errors"]:
            if at > last:
                break
            if now == "ALARM" and at >= first:
                return True
            state = now
        if state == "ALARM":
            return True
    return False


def _wrong(
    world: World,
    waves: Sequence[Sequence[Cell]],
    minutes: int,
    began: float,
    outcome: RolloutOutcome | None,
) -> Iterator[str]:
    forth = [(at, one) for at, one in world.executed if not one.name.endswith("-back")]
    starts = [
        (min(times), max(times))
        for wave in waves
        if (times := [at for at, one in forth if one.cell in wave])
    ]
    for number, ((first, last), (then, _)) in enumerate(pairwise(starts)):
        if then < last + world.takes + 60 * minutes:
            yield f"wave {number + 2} began {then - last:.0f} s after wave {number + 1}"
        if _alarmed(world, waves[number], first, then):
            yield f"wave {number + 2} was touched after an alarm of wave {number + 1}"
    every = [cell for wave in waves for cell in wave]
    if outcome is None and (forth or not _alarmed(world, every, began, began)):
        yield "was refused without an alarm, or after something was executed"
    if outcome and not outcome.is_done:
        first = starts[-1][0]
        if not _alarmed(world, waves[len(starts) - 1], first, world.now):
            yield "was stopped without an alarm"
    if outcome and outcome.is_done and len(starts) != len(waves):
        yield "was done, and not all waves were deployed"


# --- killed -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Journey:
    """What is asked for: there, and back; with a release that raises an alarm or not."""

    name: str
    back: bool
    alarm: bool

    def begin(self) -> tuple[World, Release]:
        world, _, new = begun(WAVES, 2, OnFailure.ROLLBACK, When.ALWAYS)
        if self.alarm:
            world.bad = (new.targets[0].cells[1], new.id)
        if self.back:
            world.deploy(new)
            world.sleep(LEASE_SECONDS)
        return world, new

    def ask(self, world: World, new: Release) -> RolloutOutcome:
        return world.rollback() if self.back else world.deploy(new)


JOURNEYS = (
    Journey("a deployment", back=False, alarm=False),
    Journey("a deployment that is taken back", back=False, alarm=True),
    Journey("a rollback", back=True, alarm=False),
    Journey("a rollback of one that was taken back", back=True, alarm=True),
)


def kills(scale: Scale) -> Result:
    """The process is gone after any call, and asked again: the same end as undisturbed."""
    cases = [
        (number, call)
        for number, journey in enumerate(JOURNEYS)
        for call in range(_length(journey))
    ]
    chosen = cases if scale.full else random.Random(scale.seed).sample(cases, SAMPLE_KILLS)
    return side_by_side(_killed, chosen)


def _length(journey: Journey) -> int:
    world, new = journey.begin()
    before = world.calls
    journey.ask(world, new)
    return world.calls - before


def _end(world: World) -> object:
    """What the stacks run, and what the record says. Change sets of waves that were not touched
    stay, and CloudFormation deletes them with the next execution."""
    record = world.record()
    return world.runs(), record.release, record.ended


def _killed(cases: Sequence[tuple[int, int]]) -> Result:
    failures: list[str] = []
    expected: dict[int, object] = {}
    for number, call in cases:
        journey = JOURNEYS[number]
        if number not in expected:
            world, new = journey.begin()
            journey.ask(world, new)
            expected[number] = _end(world)
        world, new = journey.begin()
        world.ends_after = world.calls + call
        try:
            journey.ask(world, new)
        except Killed:
            world.ends_after = None
            world.sleep(LEASE_SECONDS)
            journey.ask(world, new)
        else:
            failures.append(f"{journey.name}: it ended before call {call}")
        if _end(world) != expected[number]:
            failures.append(f"{journey.name}: killed after call {call}: another end")
    return Result(len(cases), tuple(failures))
