"""The values that travel from an event to an outcome. Every name is derived here."""

import hashlib
import re
from dataclasses import dataclass, field

from foothold.domain.errors import PermanentError
from foothold.domain.partitions import Partition, has_account_regional_namespace, partition_of

STACK_TAG = "foothold:stack"
REGION_TAG = "foothold:region"


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
class ControlPlane:
    """What one deployment of Foothold knows about itself: the same for all its regions.

    `stack` is the value of the `foothold:stack` tag. `organization_ids` may be empty: then
    no other account is let in. `reader_roles` are role names (wildcards allowed) that may
    read artifacts from any account of those organisations.
    """

    account: str
    home_region: str
    stack: str
    prefix: str = "foothold"
    parameter_root: str = "/foothold"
    organization_ids: tuple[str, ...] = ()
    reader_roles: tuple[str, ...] = ()

    def spec(self, region: str) -> "StoreSpec":
        """The desired store of one region. Raises PermanentError for an impossible name."""
        return StoreSpec(self, region)

    @property
    def key_alias(self) -> str:
        return f"alias/{self.prefix}/artifacts"

    @property
    def regions_parameter(self) -> str:
        return f"{self.parameter_root}/regions"

    @property
    def stores_path(self) -> str:
        return f"{self.parameter_root}/artifact-stores"

    @property
    def claims_path(self) -> str:
        return f"{self.parameter_root}/claims"


BUCKET_NAME = re.compile(r"(?!xn--|sthree-)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """The desired state of one region's store. All its names follow from these two values."""

    control_plane: ControlPlane
    region: str
    partition: Partition = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "partition", partition_of(self.region))
        if not BUCKET_NAME.fullmatch(self.bucket):
            raise PermanentError(
                f"NamePrefix {self.control_plane.prefix!r} makes the bucket name "
                f"{self.bucket!r} ({len(self.bucket)} characters), which S3 refuses: use 1 to "
                f"{63 - len(self.bucket) + len(self.control_plane.prefix)} lower-case letters, "
                "digits and hyphens, beginning with a letter or digit"
            )

    @property
    def account(self) -> str:
        return self.control_plane.account

    @property
    def bucket(self) -> str:
        stem = f"{self.control_plane.prefix}-{self.account}-{self.region}"
        if has_account_regional_namespace(self.region):
            return f"{stem}-an"
        return f"{stem}-{hashlib.sha256(stem.encode()).hexdigest()[:10]}"

    @property
    def bucket_arn(self) -> str:
        return f"arn:{self.partition.name}:s3:::{self.bucket}"

    @property
    def key_alias(self) -> str:
        return self.control_plane.key_alias

    @property
    def tags(self) -> dict[str, str]:
        return {STACK_TAG: self.control_plane.stack, REGION_TAG: self.region}

    def home_parameters(self, key_arn: str) -> dict[str, str]:
        """Name and value of the parameters in the home region that name this store."""
        return self._pair(f"{self.control_plane.stores_path}/{self.region}", key_arn)

    def regional_parameters(self, key_arn: str) -> dict[str, str]:
        """Name and value of the parameters in the store's own region."""
        return self._pair(f"{self.control_plane.parameter_root}/artifact-store", key_arn)

    def _pair(self, path: str, key_arn: str) -> dict[str, str]:
        return {f"{path}/bucket": self.bucket, f"{path}/key-arn": key_arn}
