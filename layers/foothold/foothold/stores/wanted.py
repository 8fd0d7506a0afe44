"""Who may ask for which region, what the operator's list says, and what is remembered of a region
that was asked for and is not ready. Pure: values in, values out.
"""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass

from foothold.errors import RequestRefusedError

ALL_ENABLED = "all-enabled"
EXCEPT = "-"  # an entry that begins so takes a region out of all-enabled

# SSM API Reference, "PutParameter": a value has up to 4 KB; what is around the reason is short.
LONGEST_REASON = 3_500


@dataclass(frozen=True, slots=True)
class RegionPolicy:
    """What the stack parameters AllowedRegions and MaxRegions say.

    `allowed` are patterns of region names in which `*` is a wildcard; `most` is how many regions
    may have a store, the home region among them, and 0 where there is no limit.
    """

    allowed: tuple[str, ...] = ("*",)
    most: int = 0

    def allows(self, region: str, home: str) -> bool:
        """Whether this region may be asked for; the home region always may."""
        return region == home or any(_matches(pattern, region) for pattern in self.allowed)

    def refusals(
        self,
        regions: Iterable[str],
        *,
        home: str,
        stores: Collection[str] = (),
        wanted: Iterable[str] = (),
        exempt: Collection[str] = (),
    ) -> dict[str, RequestRefusedError]:
        """Those of the regions that may not be asked for, and why.

        `stores` are the regions that have a store, `wanted` those that somebody wants, first come
        first served: both count. `exempt` are regions that may stay although AllowedRegions does
        not (any more) allow them.
        """
        refused: dict[str, RequestRefusedError] = {}
        counted = {home, *stores}
        for region in (*wanted, *regions):
            if region in counted:
                pass
            elif self.most and len(counted) >= self.most:
                refused[region] = RequestRefusedError(
                    f"{region} would be one more than the stack parameter MaxRegions "
                    f"({self.most}) allows; stores are in, or wanted for, "
                    f"{', '.join(sorted(counted))}: retire one of them with `foothold regions "
                    "retire`, or deploy the control plane with a higher number"
                )
            else:
                counted.add(region)
        for region in regions:
            if not self.allows(region, home) and region not in exempt:
                patterns = ", ".join(self.allowed) or "nothing"
                refused[region] = RequestRefusedError(
                    f"{region} is not allowed by the stack parameter AllowedRegions, which holds "
                    f"{patterns}: ask for another region, or deploy the control plane with a "
                    "pattern for this one"
                )
        return {region: refused[region] for region in regions if region in refused}

    @property
    def text(self) -> str:
        """The value of the parameter that tells the command line."""
        return json.dumps({"allowed": ",".join(self.allowed), "most": self.most})

    @classmethod
    def parse(cls, text: str | None) -> "RegionPolicy":
        """What that parameter says; where it is missing or garbage nothing is refused early, for
        the control plane itself goes by its own stack parameters."""
        try:
            found = json.loads(text or "")
            patterns = tuple(part.strip() for part in found["allowed"].split(",") if part.strip())
            return cls(patterns, int(found["most"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()


ANY_REGION = RegionPolicy()


def _matches(pattern: str, region: str) -> bool:
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), region) is not None


@dataclass(frozen=True, slots=True)
class RegionList:
    """The operator's list: names, whether all enabled regions are wanted, and but for which."""

    names: tuple[str, ...] = ()
    all_enabled: bool = False
    excepted: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "RegionList":
        """What the value of the parameter says: names, `all-enabled`, and `-` before a name that
        all-enabled leaves out."""
        entries = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
        excepted = tuple(name[1:] for name in entries if name.startswith(EXCEPT))
        names = (name for name in entries if name != ALL_ENABLED and not name.startswith(EXCEPT))
        return cls(tuple(names), ALL_ENABLED in entries, excepted)

    @property
    def entries(self) -> tuple[str, ...]:
        """What is written into the parameter; exceptions to nothing are left out."""
        everything = (ALL_ENABLED, *(f"{EXCEPT}{name}" for name in self.excepted))
        return (*self.names, *(everything if self.all_enabled else ()))

    def by_all_enabled(
        self,
        usable: Iterable[str],
        policy: RegionPolicy,
        home: str,
        stores: Collection[str] = (),
        wanted: Iterable[str] = (),
    ) -> tuple[str, ...]:
        """Those of the usable regions that all-enabled stands for: never one that the policy
        refuses, and by name where there is no room for all."""
        names = sorted(name for name in usable if name not in self.excepted)
        refused = policy.refusals(names, home=home, stores=stores, wanted=wanted)
        return tuple(name for name in names if name not in refused)


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A region that is not ready, and why not. `since` is in seconds since the epoch; `asked`
    says that an event asked for it, so that it is wanted until it is ready or dropped."""

    since: int
    reason: str
    asked: bool

    @property
    def text(self) -> str:
        """The value of the parameter."""
        # SSM refuses `{{`, which would be a reference to another parameter.
        whole = asdict(self) | {"reason": self.reason.replace("{{", "{ {")}
        return json.dumps(whole, ensure_ascii=False)

    @classmethod
    def of(cls, since: int, reason: str, *, asked: bool) -> "OpenRequest":
        """The record of a reason of any length."""
        short = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
        return cls(since, short, asked)

    @classmethod
    def parse(cls, text: str) -> "OpenRequest | None":
        """What the value of the parameter says; None for what nobody of ours wrote."""
        try:
            found = json.loads(text)
            return cls(int(found["since"]), "".join(found["reason"]), found["asked"] is True)
        except (KeyError, TypeError, ValueError):
            return None
