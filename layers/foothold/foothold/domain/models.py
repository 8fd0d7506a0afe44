"""The values that travel from an event to an outcome. Every name is derived here."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from foothold.domain.errors import FootholdError, PermanentError
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

    @property
    def home_path(self) -> str:
        """Path of this store's parameters in the home region."""
        return f"{self.control_plane.stores_path}/{self.region}"

    @property
    def regional_path(self) -> str:
        """Path of this store's parameters in its own region, the same in every region."""
        return f"{self.control_plane.parameter_root}/artifact-store"

    def parameters(self, path: str, key_arn: str) -> dict[str, str]:
        """Name and value of the two parameters that publish this store below `path`."""
        return {f"{path}/bucket": self.bucket, f"{path}/key-arn": key_arn}


class KeyState(StrEnum):
    """The states that matter here (AWS KMS API Reference, "KeyMetadata")."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"


@dataclass(frozen=True, slots=True)
class ObservedKey:
    """A key as DescribeKey shows it. `state` is KMS's own word, which may be one of the many
    that `KeyState` does not name; `created` is in seconds since the epoch."""

    arn: str
    state: str
    created: float = 0.0


class Aspect(StrEnum):
    """One setting of a store that is read, compared and written on its own."""

    KEY_POLICY = "key policy"
    KEY_ROTATION = "key rotation"
    KEY_TAGS = "key tags"
    PUBLIC_ACCESS = "public access block"
    OWNERSHIP = "object ownership"
    VERSIONING = "versioning"
    ENCRYPTION = "default encryption"
    LIFECYCLE = "lifecycle"
    BUCKET_TAGS = "bucket tags"
    BUCKET_POLICY = "bucket policy"


KEY_ASPECTS = (Aspect.KEY_POLICY, Aspect.KEY_ROTATION, Aspect.KEY_TAGS)
BUCKET_ASPECTS = tuple(aspect for aspect in Aspect if aspect not in KEY_ASPECTS)


@dataclass(frozen=True, slots=True)
class ObservedStore:
    """One region as it was found.

    `settings` holds only the aspects that were read: their value in the shape that
    `planner.desired_settings` uses, None where nothing is set. `key` is what the alias points
    at; `tagged_keys` are looked for only where the alias points at nothing. `bucket_empty` is
    None where it was not looked at. The parameters are name and value of those that exist.
    """

    key: ObservedKey | None = None
    tagged_keys: tuple[ObservedKey, ...] = ()
    bucket_exists: bool = False
    bucket_empty: bool | None = None
    settings: Mapping[Aspect, Any] = field(default_factory=dict)
    home_parameters: Mapping[str, str] = field(default_factory=dict)
    regional_parameters: Mapping[str, str] = field(default_factory=dict)


class Verb(StrEnum):
    """What a step does."""

    CREATE_KEY = "create the key"
    ADOPT_KEY = "point the alias at the key"
    CANCEL_KEY_DELETION = "cancel the deletion of the key"
    ENABLE_KEY = "enable the key"
    CREATE_BUCKET = "create the bucket"
    SET = "set the"
    PUBLISH_REGIONAL = "publish the store in its region"
    PUBLISH_HOME = "publish the store in the home region"


@dataclass(frozen=True, slots=True)
class Step:
    """One change, and why it is made. `aspect` goes with `Verb.SET`, `key` with the verbs
    that act on a key that exists already."""

    verb: Verb
    reason: str
    aspect: Aspect | None = None
    key: str | None = None

    def __str__(self) -> str:
        what = f"{self.verb} {self.aspect}" if self.aspect else str(self.verb)
        return f"{what}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one region: the store where it is ready, the steps that were taken, and
    the error that stopped it, if one did."""

    region: str
    store: ArtifactStore | None = None
    steps: tuple[Step, ...] = ()
    error: FootholdError | None = None
