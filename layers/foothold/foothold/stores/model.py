"""The values that travel from an event to an outcome. The names of buckets and keys are derived
here, those of parameters in `register`."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from foothold.errors import FootholdError, PermanentError
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

    def parameters(self, path: str, key_arn: str) -> dict[str, str]:
        """Name and value of the two parameters that publish this store below `path`."""
        names = self.control_plane.names.publishing(path)
        return dict(zip(names, (self.bucket, key_arn), strict=True))


class KeyState(StrEnum):
    """The states that matter here (AWS KMS API Reference, "KeyMetadata")."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"


@dataclass(frozen=True, slots=True)
class ObservedKey:
    """A key as DescribeKey shows it. `state` is KMS's own word, which may be one of the many
    that `KeyState` does not name; `created` is in seconds since the epoch; `fit` says that it
    is symmetric, encrypts, and is managed by the account; `tags` are there where the key was
    found by its tags or by its ARN."""

    arn: str
    state: str
    created: float = 0.0
    fit: bool = True
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_pending_deletion(self) -> bool:
        return self.state == KeyState.PENDING_DELETION


class Aspect(StrEnum):
    """One setting of a store that is read, compared and written on its own; and the keys that
    should not be there, which are only looked for."""

    KEY_POLICY = "key policy"
    KEY_ROTATION = "key rotation"
    KEY_TAGS = "key tags"
    SPARE_KEYS = "spare keys"
    PUBLIC_ACCESS = "public access block"
    OWNERSHIP = "object ownership"
    VERSIONING = "versioning"
    ENCRYPTION = "default encryption"
    LIFECYCLE = "lifecycle"
    BUCKET_TAGS = "bucket tags"
    BUCKET_POLICY = "bucket policy"


KEY_ASPECTS = (Aspect.KEY_POLICY, Aspect.KEY_ROTATION, Aspect.KEY_TAGS)
BUCKET_ASPECTS = tuple(
    aspect for aspect in Aspect if aspect not in (*KEY_ASPECTS, Aspect.SPARE_KEYS)
)


@dataclass(frozen=True, slots=True)
class ObservedStore:
    """One region as it was found.

    `settings` holds only the aspects that were read: their value in the shape that
    `planner.desired_settings` uses, None where nothing is set. `key` is what the alias points
    at; `tagged_keys` are looked for only where the alias points at nothing. `named_keys` are
    those other keys of this account and region that a parameter names and that still exist;
    `spare_keys` carry our tags and the word that they were never used. `bucket_empty` is
    None where it was not looked at. The parameters are name and value of those that exist.
    """

    key: ObservedKey | None = None
    tagged_keys: tuple[ObservedKey, ...] = ()
    named_keys: tuple[ObservedKey, ...] = ()
    spare_keys: tuple[ObservedKey, ...] = ()
    bucket_exists: bool = False
    bucket_empty: bool | None = None
    settings: Mapping[Aspect, Any] = field(default_factory=dict)
    home_parameters: Mapping[str, str] = field(default_factory=dict)
    regional_parameters: Mapping[str, str] = field(default_factory=dict)


class KeepVerb(StrEnum):
    """What a step of `planner.plan` does: it makes, repairs or brings back a store."""

    RESTORE = "call off the retirement"
    CREATE_KEY = "create the key"
    ADOPT_KEY = "point the alias at the key"
    CANCEL_KEY_DELETION = "cancel the deletion of the key"
    ENABLE_KEY = "enable the key"
    CREATE_BUCKET = "create the bucket"
    SET = "set the"
    SET_ASIDE = "take out what opens the bucket, and set the"
    TAG_PARAMETERS = "tag the parameters"
    PUBLISH_REGIONAL = "publish the store in its region"
    PUBLISH_HOME = "publish the store in the home region"
    ANNOUNCE = "tell that the store was replaced"
    UNTAG = "take the retirement's mark off the"
    DISTRUST = "pay no heed to the record of a retirement"
    DISCARD_KEY = "schedule the deletion of the spare key"
    FORGET_RETIREMENT = "forget the retirement"
    LEAVE = "leave to a person: the"


class RetireVerb(StrEnum):
    """What a step of `retirement_plan.plan` does: it takes a store away."""

    WITHDRAW_HOME = "withdraw the store in the home region"
    WITHDRAW_REGIONAL = "withdraw the store in its region"
    DRAIN_BUCKET = "delete every version in the bucket"
    DELETE_BUCKET = "delete the bucket"
    SCHEDULE_KEY_DELETION = "schedule the deletion of the key"
    DELETE_ALIAS = "delete the alias"
    RECORD_RETIREMENT = "record the retirement"
    CALL_OFF = "bring the store back: its retirement was called off"
    FORGET_ADOPTION = "give the adopted bucket and key back"


Verb = KeepVerb | RetireVerb

# What a person should hear about, though (or because) it is being dealt with.
LOUD: frozenset[Verb] = frozenset(
    {
        KeepVerb.CANCEL_KEY_DELETION,
        KeepVerb.ANNOUNCE,
        KeepVerb.LEAVE,
        KeepVerb.DISTRUST,
        KeepVerb.SET_ASIDE,
        RetireVerb.CALL_OFF,
    }
)


@dataclass(frozen=True, slots=True)
class Step:
    """One change, and why it is made. `aspect` goes with `SET`, `SET_ASIDE`, `UNTAG` and `LEAVE`;
    `key` is the ARN of the key that the step acts on where that is not, or not yet, the one that
    the alias points at; `command` is what a person would run where the step is left to a person."""

    verb: Verb
    reason: str
    aspect: Aspect | None = None
    key: str = ""
    command: str | None = None

    def __str__(self) -> str:
        what = f"{self.verb} {self.aspect}" if self.aspect else str(self.verb)
        line = f"{what}: {self.reason}"
        return f"{line}; it would be done with `{self.command}`" if self.command else line


@dataclass(frozen=True, slots=True)
class KeepStep(Step):
    """A step of `planner.plan`, with all that carrying it out takes.

    `use` is what is created is tagged with. `value` is what is written: the setting, the policy of
    a new key, name and value of the parameters, the record of the retirement (None: none is
    written, or kept); of `TAG_PARAMETERS`, names by region."""

    verb: KeepVerb
    value: Any = None
    use: Use = Use.UNUSED

    def value_with(self, key_arn: str) -> Any:
        """The value, with this ARN in place of `KEY_TO_COME`."""
        return _with_key(self.value, key_arn)


# Stands in the values of a plan for the ARN that only carrying it out tells: of the key that the
# alias will point at.
KEY_TO_COME = "the key that the alias will point at"


def _with_key(value: Any, key_arn: str) -> Any:
    match value:
        case Mapping():
            return {name: _with_key(each, key_arn) for name, each in value.items()}
        case list():
            return [_with_key(each, key_arn) for each in value]
        case _:
            return key_arn if value == KEY_TO_COME else value


@dataclass(frozen=True, slots=True)
class RetireStep(Step):
    """A step of `retirement_plan.plan`, with all that carrying it out takes: `names` are those of
    the parameters, or of the tags, that are taken away."""

    verb: RetireVerb
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one region: the store where it is ready, the steps that were taken, and
    the error that stopped it, if one did. `ignored`: the error only says why an event that asked
    for the region gets nothing, which is nobody's failure."""

    region: str
    store: ArtifactStore | None = None
    steps: tuple[Step, ...] = ()
    error: FootholdError | None = None
    ignored: bool = False

    @property
    def failed(self) -> bool:
        return self.error is not None and not self.ignored

    @property
    def alarms(self) -> tuple[Step, ...]:
        """The steps that a person should hear about, unless a person has asked for them."""
        if any(step.verb is KeepVerb.RESTORE for step in self.steps):
            return tuple(step for step in self.steps if step.verb is KeepVerb.LEAVE)
        return tuple(step for step in self.steps if step.verb in LOUD)
