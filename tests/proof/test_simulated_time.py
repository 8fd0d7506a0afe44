"""The clock on which 34 regions are measured tells the same of every run."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from proof.watch import SimulatedTime

WORKERS = 20


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can, as they do on a machine with other work."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
def test_side_by_side_works_take_as_long_as_the_longest_in_every_run() -> None:
    for _ in range(50):
        time = SimulatedTime()

        def work(number: int, time: SimulatedTime = time) -> float:
            for _ in range(number):
                time.sleep(1)
            return time.now

        with time.of_pools(), ThreadPoolExecutor(WORKERS) as pool:
            time.sleep(1)
            ended = list(pool.map(work, range(WORKERS)))
            time.sleep(1)
        assert ended == [1 + number for number in range(WORKERS)]
        assert time.now == WORKERS + 1


@pytest.mark.usefixtures("restless")
def test_while_anybody_works_the_time_stands_still() -> None:
    time = SimulatedTime()
    with time.of_pools(), ThreadPoolExecutor(2) as pool:
        asleep = pool.submit(time.sleep, 5)
        assert sum(range(1_000_000)) > 0  # the caller works
        assert time.now == 0
        asleep.result()
        assert time.now == 5


def test_what_a_pool_raises_is_raised_to_who_waits() -> None:
    time = SimulatedTime()

    def work() -> None:
        time.sleep(1)
        raise LookupError

    with time.of_pools(), ThreadPoolExecutor(1) as pool:
        late = pool.submit(work)
        with pytest.raises(LookupError):
            late.result()
        time.sleep(1)
    assert time.now == 2
