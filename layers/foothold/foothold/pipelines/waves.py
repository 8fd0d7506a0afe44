"""Which regions are deployed one after the other. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Wave = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waves:
    """How a target's regions are shared out: by `sizes`, the last of which repeats, or by `lists`
    of regions, after which come those that no list names. One of the two is given."""

    sizes: tuple[int, ...] = ()
    lists: tuple[Wave, ...] = ()

    def over(self, regions: Sequence[str]) -> tuple[Wave, ...]:
        """The waves of these regions, in their order; no wave is empty."""
        waves = list(self.lists)
        left = [region for region in regions if not any(region in wave for wave in self.lists)]
        while left:
            taken = self.sizes[min(len(waves), len(self.sizes) - 1)] if self.sizes else len(left)
            waves.append(tuple(left[:taken]))
            left = left[taken:]
        return tuple(waves)

    def problems(self, where: str, regions: Sequence[str]) -> Iterator[str]:
        """A line for each region that a list names, and the target does not have or has named."""
        named = [region for wave in self.lists for region in wave]
        for region in dict.fromkeys(named):
            if region not in regions:
                yield (
                    f"{where}: {region} is not among the target's regions; add it to Regions, or "
                    "remove it here"
                )
            if named.count(region) > 1:
                yield (
                    f"{where}: {region} stands there {named.count(region)} times; once is enough"
                )


def beside(waves: Sequence[Wave], regions: Sequence[str]) -> tuple[Wave, ...]:
    """The waves of a target that runs with another one, whose waves these are: a region is in the
    same wave as there, and in the last one where it is not there. A wave may be empty."""
    others = {region for wave in waves for region in wave}
    alone = tuple(region for region in regions if region not in others)
    shared = [tuple(region for region in wave if region in regions) for wave in waves]
    return (*shared[:-1], (*shared[-1], *alone)) if shared else (alone,)
