"""What was asked for and is not ready: one parameter a region, so that nothing is forgotten."""

from collections.abc import Callable, Collection, Sequence

from foothold.stores.model import ControlPlane
from foothold.stores.ports import Parameters
from foothold.stores.steps import Outcome
from foothold.stores.wanted import OpenRequest


class OpenRequests:
    """The regions that are not ready, of one control plane. `clock` is in seconds since the
    epoch."""

    def __init__(
        self, control_plane: ControlPlane, parameters: Parameters, clock: Callable[[], float]
    ) -> None:
        self._control_plane = control_plane
        self._parameters = parameters
        self._clock = clock

    def settle(
        self,
        outcomes: Sequence[Outcome],
        *,
        asked: Collection[str] = (),
        everything: bool = False,
    ) -> None:
        """Write down why a region is not ready, and forget it once it is.

        `asked` are the regions that an event has asked for: they stay wanted. `everything` says
        that all desired regions were looked at, so that what is noted of any other goes. Reads
        once; a region that is ready and of which nothing is noted is not written about.
        """
        if not outcomes and not everything:
            return
        plane = self._control_plane
        below = self._parameters.below(plane.home_region, plane.names.requests)
        # A store that is kept until its retirement can go on has an outcome of each.
        failed = {outcome.region: str(outcome.error) for outcome in outcomes if outcome.failed}
        for region, reason in failed.items():
            name = plane.names.request(region)
            old = OpenRequest.parse(below.get(name, ""))
            now = OpenRequest.of(
                old.since if old else int(self._clock()),
                reason,
                asked=region in asked or bool(old and old.asked),
            )
            if below.get(name) != now.text:
                self._parameters.put(plane.home_region, name, now.text)
        settled = {outcome.region for outcome in outcomes if not outcome.error} - set(failed)
        kept = {outcome.region for outcome in outcomes} - settled
        done = {*map(plane.names.request, settled)}
        if everything:
            done |= below.keys() - {*map(plane.names.request, kept)}
        if names := tuple(name for name in below if name in done):
            self._parameters.delete(plane.home_region, names)
