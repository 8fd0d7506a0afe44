"""What a proof found, and how much of it was asked for."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

SEED = 20


@dataclass(frozen=True)
class Scale:
    """`full` asks for everything; otherwise for a sample that CI can wait for. `seed` chooses the
    sample, and orders whatever has an order."""

    full: bool = False
    seed: int = SEED

    def of(self, sample: int, full: int) -> int:
        return full if self.full else sample


@dataclass(frozen=True)
class Result:
    """`failures` has one line for each case that failed; `notes` are figures for the table."""

    cases: int
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: "Result") -> "Result":
        return Result(
            self.cases + other.cases, self.failures + other.failures, self.notes + other.notes
        )


def total(results: Iterable[Result]) -> Result:
    whole = Result(0)
    for result in results:
        whole += result
    return whole


def side_by_side(work: Callable[[Sequence[Item]], Result], items: Sequence[Item]) -> Result:
    """Do the work in as many processes as there are cores, each with its share of the items."""
    cores = min(os.cpu_count() or 1, len(items))
    if cores < 2:  # noqa: PLR2004  one core, one process
        return work(items)
    # Forked, so that nothing has to be pickled but the share and its result.
    context = multiprocessing.get_context("fork")
    with context.Pool(cores) as pool:
        return total(pool.map(work, [items[first::cores] for first in range(cores)]))
