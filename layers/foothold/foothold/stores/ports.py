"""What the services need of the world, in their own words. Gateways keep them.

Every method raises TemporaryError or PermanentError, and nothing else of AWS.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from foothold.stores.aspects import BucketAspect, KeyAspect
from foothold.stores.model import StoreSpec, Use
from foothold.stores.register import ArtifactStore
from foothold.stores.steps import ObservedKey


class Keys(Protocol):
    """KMS keys and their aliases, region by region."""

    def aliased(self, spec: StoreSpec) -> ObservedKey | None:
        """The key that the alias points at."""
        ...

    def tagged(self, spec: StoreSpec) -> tuple[ObservedKey, ...]:
        """Every key of this account that carries all the tags of the spec."""
        ...

    def unused(self, spec: StoreSpec) -> tuple[ObservedKey, ...]:
        """Those of them whose tags say that they were never used, and that are not pending
        deletion."""
        ...

    def find(self, spec: StoreSpec, key_arn: str) -> ObservedKey | None:
        """The key with this ARN, and its tags; None where this account has none in the region
        of the spec, or where the text is no ARN of a key of theirs."""
        ...

    def create(self, spec: StoreSpec, policy: Mapping[str, Any], use: Use = Use.UNUSED) -> str:
        """Create a key with its policy and tags, in one call, and return its ARN."""
        ...

    def point_alias(self, spec: StoreSpec, key_arn: str) -> str:
        """Point the alias at the key, unless another got there first; return the winner."""
        ...

    def discard(self, spec: StoreSpec, key_arn: str) -> None:
        """Schedule the deletion of a key that was never used."""
        ...

    def schedule_deletion(self, spec: StoreSpec, key_arn: str) -> None:
        """Have the key deleted after the longest time that KMS grants to change one's mind."""
        ...

    def delete_alias(self, spec: StoreSpec) -> None:
        """Delete the alias, where there is one. The key stays."""
        ...

    def untag(self, spec: StoreSpec, key_arn: str, names: Sequence[str]) -> None:
        """Take the tags of these names off the key, and no others."""
        ...

    def enable(self, spec: StoreSpec, key_arn: str) -> None: ...

    def cancel_deletion(self, spec: StoreSpec, key_arn: str) -> None: ...

    def read(self, spec: StoreSpec, key_arn: str, aspect: KeyAspect) -> Any:
        """One setting of the key, in the shape of `aspects.desired_settings`."""
        ...

    def write(self, spec: StoreSpec, key_arn: str, aspect: KeyAspect, value: Any) -> None: ...


class Buckets(Protocol):
    """S3 buckets, region by region."""

    def read(self, spec: StoreSpec, aspect: BucketAspect) -> Any:
        """One setting of the bucket, None where it is not set, in the shape of
        `aspects.desired_settings`. Raises BucketMissingError where there is no bucket, and
        PermanentError where the bucket belongs to another account."""
        ...

    def is_empty(self, spec: StoreSpec) -> bool: ...

    def delete_page(self, spec: StoreSpec) -> tuple[int, bool]:
        """Delete up to a thousand versions; return how many, and whether any are left."""
        ...

    def delete(self, spec: StoreSpec) -> None:
        """Delete the bucket, where there is one. Raises TemporaryError where it is not empty."""
        ...

    def untag(self, spec: StoreSpec, names: Sequence[str]) -> None:
        """Take the tags of these names off the bucket, and no others."""
        ...

    def count(self, spec: StoreSpec) -> tuple[int, bool]:
        """How many versions and delete markers it holds, as far as ten pages go; and whether
        there are more."""
        ...

    def lock(self, spec: StoreSpec) -> str | None:
        """Which object lock the bucket has, in a few words; None where it has none."""
        ...

    def openings(self, spec: StoreSpec) -> tuple[str, ...]:
        """How the bucket is open to everybody, a few words each; nothing where it is not."""
        ...

    def create(self, spec: StoreSpec, use: Use = Use.UNUSED) -> None:
        """Create the bucket, or find it created by a parallel run of our own. Raises
        PermanentError where the name belongs to another account."""
        ...

    def write(self, spec: StoreSpec, aspect: BucketAspect, value: Any) -> None: ...

    def verify(self, spec: StoreSpec) -> None:
        """Raise unless the bucket can be reached, is ours, and stands in its region."""
        ...


class Parameters(Protocol):
    """SSM parameters, region by region."""

    def get(self, region: str, names: tuple[str, ...]) -> Mapping[str, str]:
        """Name and value of those that exist; at most ten names."""
        ...

    def below(self, region: str, path: str) -> Mapping[str, str]:
        """Name and value of every parameter below the path, at any depth."""
        ...

    def dated(self, region: str, path: str) -> Mapping[str, tuple[str, float]]:
        """As `below`, with the time of the last change beside each value, in seconds since the
        epoch."""
        ...

    def put(self, region: str, name: str, value: str) -> None: ...

    def put_list(self, region: str, name: str, values: tuple[str, ...]) -> None:
        """Write a StringList; `values` hold no comma and are not empty."""
        ...

    def tag(self, region: str, names: tuple[str, ...]) -> None:
        """Give those that exist the tags that new ones get."""
        ...

    def delete(self, region: str, names: tuple[str, ...]) -> None:
        """Delete those that exist."""
        ...


class NumberedParameter(Protocol):
    """One parameter whose writes are numbered: each has the number after the one before it,
    whoever makes it."""

    def read(self) -> tuple[int, str]:
        """The number of the last write, and what it wrote; zero and nothing where there was
        none. What is read may be older than the last write."""
        ...

    def write(self, value: str) -> int:
        """Write, and return the number of this write."""
        ...


class Stacks(Protocol):
    """CloudFormation stacks of this account in the home region."""

    def gone(self, stack_ids: Collection[str]) -> Mapping[str, float | None]:
        """Those of the stacks that do not exist any more, and when they went, in seconds since
        the epoch, None where nobody remembers. A stack that cannot be read exists."""
        ...


# Account Management API Reference, "Region": the two statuses in which a region can be used.
OPTED_IN = "ENABLED"
USABLE = frozenset({OPTED_IN, "ENABLED_BY_DEFAULT"})


class Regions(Protocol):
    """The regions of this account."""

    def statuses(self) -> Mapping[str, str]:
        """Opt-in status by region name, of every region that there is. One that cannot be used
        is DISABLED here, whatever is under way."""
        ...

    def opt_in_status(self, region: str) -> str | None:
        """The status of a region that cannot be used, with what is under way: ENABLING,
        DISABLING; None where nobody can tell."""
        ...


class StoreBuckets(Protocol):
    """The stores' buckets, as far as they prove what the parameters say. Each call names the
    owner that it expects, and raises PermanentError where the bucket is somebody else's."""

    def default_key(self, store: ArtifactStore, owner: str) -> str | None:
        """What the bucket encrypts with where nobody says otherwise; None for no key of KMS."""
        ...

    def tags(self, store: ArtifactStore, owner: str) -> Mapping[str, str]: ...


class Announcements(Protocol):
    """What others are told."""

    def replaced(self, store: ArtifactStore) -> None:
        """Tell that the store is a new one, so that packages are made again."""
        ...


@dataclass(frozen=True, slots=True)
class PipelineUse:
    """A pipeline that keeps artifacts in a store. One that follows the stores drops those that
    are withdrawn, by itself."""

    name: str
    follows: bool


class Usage(Protocol):
    """Who uses a region's artifacts. Raises where it cannot be told: unknown is not unused."""

    def pipelines(self, bucket: str) -> tuple[PipelineUse, ...]:
        """The pipelines of the home region one of whose artifact stores is the bucket."""
        ...

    def stacks(self, spec: StoreSpec) -> tuple[str, ...]:
        """The live stacks in the region, of every account that can be reached, whose template
        names the bucket: `<account>/<name>`."""
        ...


class Capacity(Protocol):
    """What stands in the way of one more store, apart from what the store itself shows."""

    def missing_services(self, region: str) -> tuple[str, ...]:
        """Names of the services that a store needs and the region does not have."""
        ...

    def bucket_room(self) -> int | None:
        """How many more buckets the account may have; None where nobody can tell."""
        ...

    def denied(self, spec: StoreSpec) -> tuple[str, ...] | None:
        """The actions that the caller may not do in the region, by its own policies and its
        organisation's; None where nobody can tell."""
        ...


class ControlPlaneFunction(Protocol):
    """The function that answers commands, from outside it."""

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Its answer. Raises what the function refused with, BusyError where it is at work for
        somebody else, and NotReachedError where the caller cannot ask it."""
        ...


class Requests(Protocol):
    """The way to ask the control plane for regions."""

    def request(self, regions: Sequence[str]) -> None:
        """Send the event "Regions Requested"."""
        ...
