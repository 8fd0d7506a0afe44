"""What was found in a region, the steps that follow from it, and what became of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from foothold.errors import FootholdError
from foothold.stores.aspects import Aspect
from foothold.stores.model import Use
from foothold.stores.register import ArtifactStore


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

    @property
    def what(self) -> str:
        """What is done, without the reason."""
        return f"{self.verb} {self.aspect}" if self.aspect else str(self.verb)

    def __str__(self) -> str:
        line = f"{self.what}: {self.reason}"
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
