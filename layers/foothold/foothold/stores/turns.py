"""One run at a time, where nobody reserves concurrency for the function that retires stores.

Every write to the parameter has a number. Whoever finds it free and whose write has the very next
number has the turn; whoever comes second has a higher one, so no two can. A turn ends by itself
some seconds after the longest run, so that a run that was killed blocks nobody for long.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from foothold.errors import BusyError, FootholdError
from foothold.stores.ports import NumberedParameter

# Longer than template.yaml's Timeout of the reconcile function, by what two clocks may differ.
LONGEST_SECONDS = 310


class Turns:
    """The turns of one control plane. `clock` is in seconds since the epoch."""

    def __init__(self, parameter: NumberedParameter, clock: Callable[[], float]) -> None:
        self._parameter = parameter
        self._clock = clock

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Have the turn for the block. Raises BusyError, before the block, where somebody else
        has it."""
        number, text = self._parameter.read()
        until = _until(text)
        if until > self._clock():
            raise BusyError(_BUSY)
        mine = self._parameter.write(json.dumps({"until": int(self._clock()) + LONGEST_SECONDS}))
        if mine != number + 1:
            raise BusyError(_BUSY)
        try:
            yield
        finally:
            with suppress(FootholdError):  # it ends by itself
                self._parameter.write(json.dumps({"until": 0}))


_BUSY = "the control plane is at work for somebody else; ask again in some minutes"


def _until(text: str) -> float:
    """When the turn ends; now, where nobody of ours wrote this."""
    try:
        return float(json.loads(text)["until"])
    except (KeyError, TypeError, ValueError):
        return 0.0
