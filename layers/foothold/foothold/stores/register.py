"""The SSM parameters of a control plane: what each is called, and what its value says.

Parameters are all that is remembered between two runs, and all that others read. Each stands below
one root: in the home region whatever the control plane knows of its regions, and in each region
the two parameters that publish its own store. Pure: values in, values out.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from foothold.errors import PermanentError
from foothold.partitions import partition_of
from foothold.stores.wanted import ALL_ENABLED, OpenRequest, RegionList, RegionPolicy


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the parameters below `root`, such as `/foothold`. Those that hold a region's
    name stand in the home region, below one of the paths `stores`, `claims` and `requests`."""

    root: str

    @property
    def regions(self) -> str:
        """The operator's list."""
        return f"{self.root}/regions"

    @property
    def region_policy(self) -> str:
        """What AllowedRegions and MaxRegions say, for the command line."""
        return f"{self.root}/region-policy"

    @property
    def pipeline_regions(self) -> str:
        """What the stack parameter PipelineRegions says, for the command line."""
        return f"{self.root}/pipeline-regions"

    @property
    def service_token(self) -> str:
        """The function that answers custom resources: it is there where Foothold is deployed."""
        return f"{self.root}/service-token"

    @property
    def reconcile_function(self) -> str:
        """The function that answers commands."""
        return f"{self.root}/reconcile-function"

    @property
    def package_function(self) -> str:
        return f"{self.root}/package-function"

    @property
    def review_function(self) -> str:
        """The function that reads change sets, for a review and for its guard."""
        return f"{self.root}/review-function"

    @property
    def rollout_function(self) -> str:
        """The function that watches a wave, and takes it back."""
        return f"{self.root}/rollout-function"

    @property
    def turn(self) -> str:
        """Who has the turn, where several runs could meet."""
        return f"{self.root}/turn"

    @property
    def acceptance_run(self) -> str:
        """The acceptance run that has not ended."""
        return f"{self.root}/acceptance/run"

    @property
    def own_store(self) -> str:
        """The path of a store's parameters in its own region, the same in every region."""
        return f"{self.root}/artifact-store"

    @property
    def stores(self) -> str:
        return f"{self.root}/artifact-stores"

    @property
    def claims(self) -> str:
        return f"{self.root}/claims"

    @property
    def requests(self) -> str:
        """Below it stands what was asked for and is not ready."""
        return f"{self.root}/requests"

    def pipeline(self, project: str) -> str:
        """Below it stands what a pipeline's releases are made for, in parts that are numbered
        from 1."""
        return f"{self.root}/pipelines/{project}"

    def store(self, region: str) -> str:
        """The path of a store's parameters in the home region."""
        return f"{self.stores}/{region}"

    def retirement(self, region: str) -> str:
        """Where it is written that a store is being retired, or was."""
        return f"{self.store(region)}/retired"

    def adoption(self, region: str) -> str:
        """Where it is written which bucket and key were adopted for a region."""
        return f"{self.store(region)}/adopted"

    def claim(self, region: str, claim: str) -> str:
        return f"{self.claims}/{region}/{claim}"

    def request(self, region: str) -> str:
        return f"{self.requests}/{region}"

    def publishing(self, path: str) -> tuple[str, str]:
        """The two parameters that publish a store below a path: its bucket, and its key's ARN."""
        return f"{path}/bucket", f"{path}/key-arn"

    def region_of_store(self, name: str) -> str | None:
        """The region whose store a parameter of the home region is about; None for any other."""
        return next((region for region, _ in _below(self.stores, (name,))), None)

    def is_about_stores(self, name: str) -> bool:
        """Whether the store of a region, or who wants which, may hang on this parameter."""
        return name == self.regions or name.startswith((f"{self.stores}/", f"{self.own_store}/"))


def _below(path: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Of each name below the path the next part, which is a region's name, and all the rest."""
    for name in names:
        if name.startswith(f"{path}/"):
            region, _, rest = name.removeprefix(f"{path}/").partition("/")
            yield region, rest


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """A region's bucket and key, as CodePipeline means it: never one without the other."""

    region: str
    bucket: str
    key_arn: str

    @property
    def bucket_arn(self) -> str:
        return f"arn:{partition_of(self.region).name}:s3:::{self.bucket}"


@dataclass(frozen=True, slots=True)
class Adoption:
    """The bucket and the key that were adopted for a region."""

    bucket: str
    key_arn: str

    @property
    def text(self) -> str:
        """The value of the parameter that records it."""
        return json.dumps({"bucket": self.bucket, "key_arn": self.key_arn})

    @classmethod
    def parse(cls, name: str, text: str) -> "Adoption":
        """What the value of the parameter `name` says. Raises PermanentError for what nobody of
        ours wrote."""
        try:
            found = json.loads(text)
            return cls("".join(found["bucket"]), "".join(found["key_arn"]))
        except (KeyError, TypeError, ValueError):
            raise PermanentError(
                f"the parameter {name} does not hold an adoption, nothing was changed: adopt "
                "the bucket again with `foothold regions adopt`, or delete the parameter"
            ) from None


class Phase(StrEnum):
    """Which way a store is going."""

    ASKED = "asked"  # nothing was taken away yet: the store is kept while something refuses
    RETIRING = "retiring"
    RETIRED = "retired"
    RESTORING = "restoring"
    CALLED_OFF = "called off"  # the store is kept like any other; only the reason is remembered


@dataclass(frozen=True, slots=True)
class Retirement:
    """A store's retirement. `since` is in seconds since the epoch, `deleted` in versions;
    `key_arn` is the key it had, None where it had none; `reason` says why it was called off."""

    phase: Phase
    since: int
    key_arn: str | None = None
    deleted: int = 0
    reason: str | None = None

    @property
    def mark(self) -> str:
        """The value of the tag that proves it."""
        return str(self.since)

    @property
    def text(self) -> str:
        """The value of the parameter."""
        return json.dumps(asdict(self))

    def to(self, phase: Phase) -> "Retirement":
        return replace(self, phase=phase)

    @classmethod
    def parse(cls, name: str, text: str) -> "Retirement":
        """What the value of the parameter `name` says. Raises PermanentError for what nobody of
        ours wrote."""
        try:
            found = json.loads(text)
            key_arn = None if found["key_arn"] is None else _arn(found["key_arn"])
            reason = None if found.get("reason") is None else str(found["reason"])
            return cls(
                Phase(found["phase"]), int(found["since"]), key_arn, int(found["deleted"]), reason
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise PermanentError(
                f"the parameter {name} does not hold a retirement, nothing was changed: delete "
                "the parameter to keep the store"
            ) from None


def _arn(value: str) -> str:
    if not value.startswith("arn:"):
        raise ValueError(value)
    return value


@dataclass(frozen=True, slots=True)
class WantedBy:
    """Who wants a region: claims by their names, the operator's list, which may name it or stand
    for all that are enabled, and an event that has asked for it and not got it yet."""

    claims: tuple[str, ...] = ()
    listed: bool = False
    all_enabled: bool = False
    requested: bool = False

    @property
    def on_the_list(self) -> bool:
        return self.listed or self.all_enabled

    @property
    def names(self) -> tuple[str, ...]:
        """Each of them, for a person."""
        others = {
            "the list": self.listed,
            f"{ALL_ENABLED} on the list": self.all_enabled,
            "an event that asked for it": self.requested,
        }
        return (*self.claims, *(name for name, wants_it in others.items() if wants_it))


@dataclass(frozen=True, slots=True)
class Register:
    """What the parameters of the home region say. One that was not read counts as missing."""

    names: Names
    parameters: Mapping[str, str]

    @property
    def listed(self) -> RegionList:
        """The operator's list."""
        return RegionList.parse(self.parameters.get(self.names.regions, ""))

    @property
    def region_policy(self) -> RegionPolicy:
        """Which regions may be asked for, as far as a parameter tells."""
        return RegionPolicy.parse(self.parameters.get(self.names.region_policy))

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions of whose store anything is written, sorted: that it is published, was
        adopted, or is being retired."""
        return tuple(sorted({region for region, _ in _below(self.names.stores, self.parameters)}))

    @property
    def stores(self) -> dict[str, ArtifactStore]:
        """By region, the stores whose two parameters both stand, proven by nothing."""
        stores = {}
        for region in self.regions:
            bucket, key_arn = self.names.publishing(self.names.store(region))
            if bucket in self.parameters and self.parameters.get(key_arn):
                found = self.parameters[bucket], self.parameters[key_arn]
                stores[region] = ArtifactStore(region, *found)
        return stores

    def retirement(self, region: str) -> Retirement | None:
        """The record of the region's retirement. Raises PermanentError where it is garbage."""
        name = self.names.retirement(region)
        text = self.parameters.get(name)
        return None if text is None else Retirement.parse(name, text)

    def has_retirement(self, region: str) -> bool:
        """Whether there is a record of the region's retirement, be it garbage."""
        return self.names.retirement(region) in self.parameters

    def adoption(self, region: str) -> Adoption | None:
        """What was adopted for the region. Raises PermanentError where the record is garbage."""
        name = self.names.adoption(region)
        text = self.parameters.get(name)
        return None if text is None else Adoption.parse(name, text)

    @property
    def claims(self) -> dict[str, tuple[str, ...]]:
        """By region, the names of the claims that stand."""
        claims: dict[str, tuple[str, ...]] = {}
        for region, claim in _below(self.names.claims, self.parameters):
            claims[region] = (*claims.get(region, ()), claim)
        return claims

    @property
    def requests(self) -> dict[str, OpenRequest]:
        """By region, what is noted of those that are not ready."""
        found = {}
        for name, text in self.parameters.items():
            region = name.removeprefix(f"{self.names.requests}/")
            if name == self.names.request(region) and (record := OpenRequest.parse(text)):
                found[region] = record
        return found

    def wanted(self, all_enabled: Collection[str] = ()) -> dict[str, WantedBy]:
        """By region, who wants it, first come first served; `all_enabled` are the regions that
        the list stands for where it holds that word."""
        claims, listed = self.claims, self.listed.names
        asked = [region for region, record in self.requests.items() if record.asked]
        return {
            region: WantedBy(
                tuple(sorted(claims.get(region, ()))),
                region in listed,
                region in all_enabled,
                region in asked,
            )
            for region in dict.fromkeys((*claims, *listed, *all_enabled, *asked))
        }
