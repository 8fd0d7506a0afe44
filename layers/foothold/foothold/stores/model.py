"""The values that travel from an event to an outcome. The names of buckets and keys are derived
here, those of parameters in `register`."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from foothold.errors import PermanentError
from foothold.partitions import Partition, has_account_regional_namespace, partition_of
from foothold.stores.register import Adoption, ArtifactStore, Names, Register
from foothold.stores.wanted import ANY_REGION, RegionPolicy

STACK_TAG = "foothold:stack"
HOME_TAG = "foothold:home"
REGION_TAG = "foothold:region"
STATE_TAG = "foothold:state"
# Begin time of a retirement: without it on bucket and key, a record of one is only a parameter.
RETIRING_TAG = "foothold:retiring"
# On a stack or pipeline, with the value "true": it is to use the stores that there are at any time.
FOLLOW_TAG = "foothold:follow"


class Use(StrEnum):
    """The values of the tag `foothold:state`. It is given at creation and changed once the
    bucket or key is a part of a published store, so that what never was one can be told."""

    UNUSED = "unused"
    REPLACEMENT = "replacement"  # unused too; somebody is to be told once it is not
    IN_USE = "in-use"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What one deployment of Foothold knows about itself: the same for all its regions.

    `retires` says whether a region is retired when its last claim goes, or retained;
    `region_policy` which regions may be asked for.
    `stack` and `home_region` together tell it from every other one in the account: they are the
    values of the tags `foothold:stack` and `foothold:home`. `organization_ids` may be empty: then
    no other account is let in. `reader_roles` are role names (wildcards allowed) that may
    read artifacts from any account of those organisations; `reader_org_paths` and
    `reader_accounts` narrow that to accounts below an organisational unit, and to some accounts,
    `REGION=VALUE` for one region's store only. `tags` are the organisation's own, for whatever
    is made.
    """

    account: str
    home_region: str
    stack: str
    prefix: str = "foothold"
    parameter_root: str = "/foothold"
    organization_ids: tuple[str, ...] = ()
    reader_roles: tuple[str, ...] = ()
    reader_org_paths: tuple[str, ...] = ()
    reader_accounts: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    retires: bool = False
    region_policy: RegionPolicy = ANY_REGION

    def spec(self, region: str, adopted: Adoption | None = None) -> "StoreSpec":
        """The desired store of one region; its bucket is our own unless another is adopted.
        Raises PermanentError for an impossible name."""
        return StoreSpec(self, region, adopted)

    @property
    def identity(self) -> dict[str, str]:
        """The tags of all that is this control plane's."""
        return {STACK_TAG: self.stack, HOME_TAG: self.home_region}

    @property
    def key_alias(self) -> str:
        return f"alias/{self.prefix}/artifacts"

    @property
    def names(self) -> Names:
        """What its parameters are called."""
        return Names(self.parameter_root)

    def register(self, parameters: Mapping[str, str]) -> Register:
        """What these parameters of the home region say."""
        return Register(self.names, parameters)


BUCKET_NAME = re.compile(r"(?!xn--|sthree-)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """The desired state of one region's store. All its names follow from these values."""

    control_plane: ControlPlane
    region: str
    adopted: Adoption | None = None
    partition: Partition = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "partition", partition_of(self.region))
        if self.adopted and not BUCKET_NAME.fullmatch(self.bucket):
            raise PermanentError(
                f"{self.bucket!r} is not the name of a bucket that can be adopted: 3 to 63 "
                "lower-case letters, digits and hyphens"
            )
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
        if self.adopted:
            return self.adopted.bucket
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
        """What tells that a bucket or key is ours, and whose region it serves."""
        return {**self.control_plane.identity, REGION_TAG: self.region}

    def owns(self, tags: Mapping[str, str] | None) -> bool:
        """Whether these are the tags of a bucket or key of this very control plane."""
        return self.control_plane.identity.items() <= (tags or {}).items()

    def tags_in(self, use: Use) -> dict[str, str]:
        """All tags of a bucket or key in this use."""
        return {**dict(self.control_plane.tags), **self.tags, STATE_TAG: use}

    @property
    def reader_org_paths(self) -> tuple[str, ...]:
        """The paths of organisational units whose accounts may read; empty for any."""
        return self._narrowed(self.control_plane.reader_org_paths)

    @property
    def reader_accounts(self) -> tuple[str, ...]:
        """The accounts that may read; empty for any."""
        return self._narrowed(self.control_plane.reader_accounts)

    def _narrowed(self, entries: tuple[str, ...]) -> tuple[str, ...]:
        """The region's own entries, or where it has none, those that name no region."""
        own = [entry.partition("=")[2] for entry in entries if entry.startswith(f"{self.region}=")]
        return tuple(own or (entry for entry in entries if "=" not in entry))

    @property
    def home_path(self) -> str:
        """Path of this store's parameters in the home region."""
        return self.control_plane.names.store(self.region)

    @property
    def regional_path(self) -> str:
        """Path of this store's parameters in its own region, the same in every region."""
        return self.control_plane.names.own_store

    @property
    def retirement_parameter(self) -> str:
        """Where it is written that this store is being retired, or was."""
        return self.control_plane.names.retirement(self.region)

    @property
    def adoption_parameter(self) -> str:
        """Where it is written which bucket and key were adopted for this region."""
        return self.control_plane.names.adoption(self.region)

    def store(self, key_arn: str) -> ArtifactStore:
        """The store that a converged region holds."""
        return ArtifactStore(self.region, self.bucket, key_arn)

    def keys_named_in(self, parameters: Mapping[str, str]) -> set[str]:
        """The keys that the parameters of this store name, at home and in its own region."""
        publishing = self.control_plane.names.publishing
        names = (publishing(path)[1] for path in (self.home_path, self.regional_path))
        return {parameters[name] for name in names if name in parameters}

    def parameters(self, path: str, key_arn: str) -> dict[str, str]:
        """Name and value of the two parameters that publish this store below `path`."""
        names = self.control_plane.names.publishing(path)
        return dict(zip(names, (self.bucket, key_arn), strict=True))
