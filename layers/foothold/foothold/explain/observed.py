"""What was seen of everything between a role and an artifact. Pure values.

A fact is the thing itself, None where it certainly is not there, or `Unread` where nobody could
look, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from foothold.explain.principal import Question
from foothold.stores.model import ControlPlane, StoreSpec
from foothold.stores.register import Adoption

Json = Mapping[str, Any]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Unread:
    """A fact that could not be read: `why` is one line."""

    why: str


Fact: TypeAlias = Value | Unread | None


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """A role: who may be it, what bounds it, and its policies by name, inline and managed.

    A managed policy's name is its ARN. `boundary` is the ARN and the document; `arn` the role's own
    where it was asked for by its name alone.
    """

    trust: Json
    policies: Mapping[str, Json] | Unread
    boundary: Fact[tuple[str, Json]] = None
    arn: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyLevel:
    """The policies of an organisation that hang on one root, unit or account, by id."""

    target: str
    policies: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Membership:
    """The principal's organisation, and `owners`, that of the store's account.

    `path` has the form of aws:PrincipalOrgPaths. The levels go from the root to the account: those
    of the principal's account for SCPs, those of the store's account for RCPs.
    """

    organization: Fact[str]
    owners: Fact[str]
    path: Fact[str] = field(default_factory=lambda: Unread("only the management account tells"))
    service_levels: tuple[PolicyLevel, ...] | Unread = ()
    resource_levels: tuple[PolicyLevel, ...] | Unread = ()


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """The bucket of the store, None for what is not set."""

    name: str
    policy: Fact[Json]
    restricts_public: bool | Unread = True
    ownership: Fact[str] = "BucketOwnerEnforced"


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """An object: the ARN of its key, None where none of KMS encrypts it."""

    key_arn: str | None


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant of a key that has no constraints."""

    grantee: str
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyFacts:
    arn: str
    state: str
    policy: Fact[Json]
    grants: tuple[Grant, ...] | Unread = ()


@dataclass(frozen=True, slots=True)
class PublishedFacts:
    """The parameters of one store: its bucket and its key's ARN, at home and in its own region."""

    home: tuple[str | None, str | None] | Unread
    regional: tuple[str | None, str | None] | Unread

    @property
    def keys(self) -> list[str | None]:
        """The keys that are named, as far as was read."""
        return [one[1] for one in (self.home, self.regional) if not isinstance(one, Unread)]


@dataclass(frozen=True, slots=True)
class Simulated:
    """What IAM's own simulation says of one action of the role: whether everything on the
    principal's side allows it; and whether the boundary, and the organisation, do, None where it
    does not say."""

    allowed: bool
    boundary: bool | None = None
    organization: bool | None = None

    @property
    def identity(self) -> bool | None:
        """Whether the role's own policies allow it; None where others refuse already."""
        others = self.boundary is not False and self.organization is not False
        return True if self.allowed else False if others else None


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that was seen for one question. `plane` is what the control plane's own settings
    say, `key` the key that the object is under, or the store's own where no object is asked for;
    `simulated` is by action, and empty where IAM was not asked.
    """

    question: Question
    owner: str
    role: Fact[RoleFacts]
    membership: Membership
    region_enabled: bool | Unread
    bucket: Fact[BucketFacts]
    object: Fact[ObjectFacts]
    key: Fact[KeyFacts]
    alias: Fact[str]
    published: PublishedFacts
    plane: ControlPlane | Unread
    adopted: Adoption | None = None
    simulated: Mapping[str, Simulated] = field(default_factory=dict)

    @property
    def spec(self) -> StoreSpec | None:
        """What Foothold wants the region's store to be."""
        if isinstance(self.plane, Unread):
            return None
        return self.plane.spec(self.question.region, self.adopted)

    @property
    def same_account(self) -> bool:
        return self.question.role.account == self.owner

    @property
    def bucket_name(self) -> str:
        """The bucket that is asked for, or the store's."""
        if self.question.bucket:
            return self.question.bucket
        spec = self.spec
        if spec:
            return spec.bucket
        home = self.published.home
        return "" if isinstance(home, Unread) else home[0] or ""

    @property
    def store_key(self) -> str | None:
        """The store's own key: what two of the alias and the two parameters name; None where
        there is no telling."""
        named = [] if isinstance(self.alias, Unread) else [self.alias]
        named += self.published.keys
        elected = [one for one in named if one and named.count(one) > 1]
        known = [one for one in named if one]
        if elected:
            return elected[0]
        return known[0] if len(set(known)) == 1 else None
