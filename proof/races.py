"""Eight workers on one region, and every order of their calls that a seed can think of.

Each worker is a thread that stops before each of its calls. One at a time is let go, so a run is
the same whenever its seed is. Half of the seeds choose among the waiting workers by chance; the
other half give each worker a rank and let the highest go on, changing the ranks at a few points
(Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs").
"""

import contextvars
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

from foothold.errors import FootholdError
from foothold.stores.custom_resource.request import Claim
from proof.cloud import HOME, Call, Cloud, Json, Perform, footprint
from proof.faults import DAY, Killed
from proof.flows import REGION, changed, converged, look_at_everything, store_of
from proof.house import house, load
from proof.result import Result, Scale, side_by_side

WORKERS = 8
PATIENCE = 20.0  # seconds until a worker counts as stuck
CHANGE_POINTS = 4

me: contextvars.ContextVar[int] = contextvars.ContextVar("worker")


@dataclass
class Turnstile:
    """Lets one of the waiting workers through at a time."""

    dice: random.Random
    killed_at: tuple[int, int] | None = None  # a worker, and the number of its call
    waiting: dict[int, threading.Event] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)
    calls: dict[int, int] = field(default_factory=dict)

    def meet(self, _call: Call, perform: Perform) -> Json:
        worker = me.get()
        go = threading.Event()
        self.waiting[worker] = go
        self.stopped.set()
        assert go.wait(PATIENCE), "the scheduler is gone"
        number = self.calls[worker] = self.calls.get(worker, 0) + 1
        if self.killed_at and worker == self.killed_at[0] and number >= self.killed_at[1]:
            if number == self.killed_at[1]:
                perform()
            raise Killed
        return perform()

    def run(self, works: Sequence[Callable[[], Any]]) -> list[str]:
        """Do all the works in one interleaving; return what they raised that they may not."""
        wrong: list[str] = []

        def work_of(number: int) -> None:
            me.set(number)
            try:
                works[number]()
            except Killed:
                pass
            except FootholdError as error:
                wrong.append(f"worker {number}: {error}")
            except BaseException as error:  # noqa: BLE001  whatever it is, it is a defect
                wrong.append(f"worker {number}: unhandled {type(error).__name__}: {error}")
            finally:
                self.stopped.set()

        threads = [threading.Thread(target=work_of, args=(n,)) for n in range(len(works))]
        for thread in threads:
            self.stopped.clear()
            thread.start()
            assert self.stopped.wait(PATIENCE), "a worker is stuck"
        by_rank = self.dice.random() < 0.5  # noqa: PLR2004  a coin
        ranks = self.dice.sample(range(len(works)), len(works))
        changes = {self.dice.randrange(150) for _ in range(CHANGE_POINTS)}
        step = 0
        while self.waiting:
            ready = sorted(self.waiting)
            chosen = max(ready, key=ranks.__getitem__) if by_rank else self.dice.choice(ready)
            if step in changes:
                ranks[chosen] = -step
            step += 1
            self.stopped.clear()
            self.waiting.pop(chosen).set()
            assert self.stopped.wait(PATIENCE), "a worker is stuck"
        for thread in threads:
            thread.join()
        return wrong


@contextmanager
def workers_known() -> Iterator[None]:
    """Threads of a pool work in the name of whoever gave them the work."""
    submit = ThreadPoolExecutor.submit

    def submit_in_context(pool: Any, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        return submit(pool, contextvars.copy_context().run, work, *args, **kwargs)

    with patch.object(ThreadPoolExecutor, "submit", submit_in_context):
        yield


def _without_alias(cloud: Cloud) -> None:
    del cloud.aliases[REGION, "alias/foothold/artifacts"]


def _key_pending(cloud: Cloud) -> None:
    store_of(cloud)[1].state = "PendingDeletion"


def _half_made(cloud: Cloud) -> None:
    _without_alias(cloud)
    cloud.buckets.clear()
    cloud.parameters.clear()


# What the workers find.
BEGINNINGS: tuple[Callable[[], Cloud], ...] = (
    Cloud,
    Cloud,
    Cloud,
    changed(_without_alias),
    changed(_key_pending),
    changed(_half_made),
)


def _reconcile() -> None:
    app = load("reconcile").app
    app.events()
    app.reconciler.reconcile([REGION])


def _claim(number: int) -> None:
    load("reconcile").app.claims().ensure(
        [REGION], Claim(f"stack.{number}.Store", f"stack {number}")
    )


def race(seed: int, workers: int = WORKERS) -> list[str]:
    """One interleaving; what is wrong with what it leaves behind."""
    dice = random.Random(seed)
    begin = dice.choice(BEGINNINGS)
    cloud = begin()
    kill = dice.random() < 0.25  # noqa: PLR2004  a quarter
    turnstile = Turnstile(
        dice, killed_at=(dice.randrange(workers), dice.randrange(1, 24)) if kill else None
    )
    works = [
        partial(_claim, number) if dice.random() < 0.4 else _reconcile  # noqa: PLR2004  some
        for number in range(workers)
    ]
    with cloud.in_use():
        cloud.meet = turnstile.meet
        wrong = turnstile.run(works)
        cloud.meet = lambda _call, perform: perform()
        if kill:
            wrong = []  # what the others say of a half-made store is for the next look
            _reconcile()
        cloud.clock += DAY
        look_at_everything()
    left = footprint(cloud)
    buckets = [name for name in cloud.buckets if REGION in name]
    if len(buckets) != 1:
        wrong.append(f"buckets {buckets}")
    if left.orphans:
        wrong.append(f"orphan keys {left.orphans}")
    try:
        bucket, key = store_of(cloud)
    except (KeyError, StopIteration):
        return [f"seed {seed}: no store; {wrong}"]
    if key.state != "Enabled":
        wrong.append(f"the aliased key is {key.state}")
    expected = store_of(converged())[0].settings
    if {**bucket.settings, "policy": 0, "encryption": 0} != {
        **expected,
        "policy": 0,
        "encryption": 0,
    }:
        wrong.append(f"the bucket has {bucket.settings}")
    published = {
        (HOME, f"/foothold/artifact-stores/{REGION}/key-arn"),
        (REGION, "/foothold/artifact-store/key-arn"),
    }
    wrong += [
        f"{name} says {cloud.parameters.get(name)}"
        for name in published
        if cloud.parameters.get(name, ("",))[0] != key.arn
    ]
    if key.arn not in bucket.settings["policy"]:
        wrong.append("the bucket's policy names another key")
    return [f"seed {seed}: {one}" for one in wrong]


def raced(seeds: Sequence[int]) -> Result:
    failures: list[str] = []
    with house(threads=True), workers_known():
        converged()
        for seed in seeds:
            failures += race(seed)
    return Result(len(seeds), tuple(failures))


def races(scale: Scale) -> Result:
    """8 workers on one region, call by call."""
    first = scale.seed * 1_000_000
    count = scale.of(300, 2_000)
    result = side_by_side(raced, range(first, first + count))
    return result + Result(0, notes=(f"seeds {first} to {first + count - 1}",))
