"""How fast a service may be asked to change things, before it refuses."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable


class Pace:
    """At most `most` calls in any second for each region, from all threads together.

    The first `most` of them wait for nothing, so that one region alone is as fast as ever. `clock`
    is monotonic, in seconds; `sleep` takes seconds.
    """

    def __init__(
        self,
        most: int,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._due: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=most))

    def wait(self, region: str) -> None:
        """Return when the next call of this region is due."""
        with self._lock:
            due = self._due[region]
            now = self._clock()
            at = max(now, due[0] + 1.0) if len(due) == due.maxlen else now
            due.append(at)
        if at > now:
            self._sleep(at - now)
