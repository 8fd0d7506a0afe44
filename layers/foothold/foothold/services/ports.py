"""What the services need of the world, in their own words. Gateways and test fakes keep them.

Every method raises TemporaryError or PermanentError, and nothing else of AWS.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from foothold.domain.models import ArtifactStore, Aspect, ObservedKey, StoreSpec


class Keys(Protocol):
    """KMS keys and their aliases, region by region."""

    def aliased(self, spec: StoreSpec) -> ObservedKey | None:
        """The key that the alias points at."""
        ...

    def tagged(self, spec: StoreSpec) -> tuple[ObservedKey, ...]:
        """Every key of this account that carries all the tags of the spec."""
        ...

    def create(self, spec: StoreSpec, policy: Mapping[str, Any]) -> str:
        """Create a key with its policy and tags, in one call, and return its ARN."""
        ...

    def point_alias(self, spec: StoreSpec, key_arn: str) -> str:
        """Point the alias at the key, unless another got there first; return the winner."""
        ...

    def discard(self, spec: StoreSpec, key_arn: str) -> None:
        """Schedule the deletion of a key that was never used."""
        ...

    def enable(self, spec: StoreSpec, key_arn: str) -> None: ...

    def cancel_deletion(self, spec: StoreSpec, key_arn: str) -> None: ...

    def read(self, spec: StoreSpec, key_arn: str, aspect: Aspect) -> Any:
        """One setting of the key, in the shape of `planner.desired_settings`."""
        ...

    def write(self, spec: StoreSpec, key_arn: str, aspect: Aspect, value: Any) -> None: ...


class Buckets(Protocol):
    """S3 buckets, region by region."""

    def read(self, spec: StoreSpec, aspect: Aspect) -> Any:
        """One setting of the bucket, None where it is not set, in the shape of
        `planner.desired_settings`. Raises BucketMissingError where there is no bucket, and
        PermanentError where the bucket belongs to another account."""
        ...

    def is_empty(self, spec: StoreSpec) -> bool: ...

    def create(self, spec: StoreSpec) -> None:
        """Create the bucket, or find it created by a parallel run of our own. Raises
        PermanentError where the name belongs to another account."""
        ...

    def write(self, spec: StoreSpec, aspect: Aspect, value: Any) -> None: ...

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

    def put(self, region: str, name: str, value: str) -> None: ...

    def delete(self, region: str, names: tuple[str, ...]) -> None:
        """Delete those that exist."""
        ...


class Regions(Protocol):
    """The regions of this account."""

    def statuses(self) -> Mapping[str, str]:
        """Opt-in status by region name, of every region that the account can see."""
        ...


class Stores(Protocol):
    """The artifact stores that are ready, as the home region's parameters name them."""

    def ready(self) -> Mapping[str, ArtifactStore]:
        """Every ready store by region. Raises TemporaryError or PermanentError."""
        ...
