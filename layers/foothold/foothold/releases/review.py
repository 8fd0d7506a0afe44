"""One review of all change sets of a target: equal ones are one, and what is odd is named.

Two change sets are equal where they do the same to the same resources. A stack's own account id,
its own region's name and the names that AWS made up for its own resources are the same to it;
nothing else is. What decides over risk is judged for each stack by itself, on the values as they
are, and is a part of what has to be equal. Pure: values in, values out.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from foothold.errors import PermanentError
from foothold.refused import explained, role_in
from foothold.releases.access import Access, judge_access
from foothold.releases.changes import (
    KNOWN_AFTER_APPLY,
    MASK,
    Action,
    ChangeSet,
    PropertyChange,
    Replacement,
    ResourceChange,
    SetState,
    without_references,
)
from foothold.releases.model import Cell, When

Json = dict[str, Any]

REVIEW = "review.json"
SUMMARY_LENGTH = 250
NESTED_STACK = "AWS::CloudFormation::Stack"
MOST_DIFFERENCES = 20
LONGEST_VALUE = 1000
LONGEST_IN_A_LINE = 60
NO_TEXT = "\0"  # stands for what is no text


class Kind(StrEnum):
    """What becomes of a resource, as a reader has to know it; the gravest first."""

    REPLACED = "replaced"
    PERHAPS_REPLACED = "perhaps replaced"
    REMOVED = "removed"
    OPENED = "more open"
    ACCESS_UNCLEAR = "access changed"
    UNKNOWN = "unknown"
    IMPORTED = "imported"
    NARROWED = "less open"
    MODIFIED = "modified"
    ADDED = "added"


ORDER = tuple(Kind)
RISKS = frozenset(ORDER[: ORDER.index(Kind.NARROWED)])
DRIFTED = frozenset({"MODIFIED", "DELETED"})

# What becomes of a resource's data (AWS CloudFormation API Reference, "ResourceChange":
# PolicyAction).
FATES: Mapping[str, str] = {
    "Delete": "deleted, with its data",
    "Retain": "left behind with its data, outside the stack",
    "Snapshot": "deleted, after a snapshot",
    "ReplaceAndDelete": "the old one is deleted, with its data",
    "ReplaceAndRetain": "the old one is left behind with its data, outside the stack",
    "ReplaceAndSnapshot": "the old one is deleted, after a snapshot",
}
NOT_TOLD = "CloudFormation does not say what becomes of its data"

# What holds data, by the beginning of its type.
STATEFUL = (
    "AWS::Backup::BackupVault",
    "AWS::Cassandra::",
    "AWS::CloudFormation::Stack",
    "AWS::Cognito::UserPool",
    "AWS::DAX::",
    "AWS::DSQL::",
    "AWS::DocDB",
    "AWS::DynamoDB::",
    "AWS::EC2::Instance",
    "AWS::EC2::Volume",
    "AWS::ECR::Repository",
    "AWS::EFS::FileSystem",
    "AWS::ElastiCache::",
    "AWS::Elasticsearch::Domain",
    "AWS::FSx::",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::MSK::Cluster",
    "AWS::MemoryDB::",
    "AWS::Neptune::",
    "AWS::OpenSearch",
    "AWS::QLDB::",
    "AWS::RDS::DB",
    "AWS::RDS::GlobalCluster",
    "AWS::Redshift",
    "AWS::S3::Bucket",
    "AWS::S3Express::",
    "AWS::S3Tables::",
    "AWS::SDB::",
    "AWS::SQS::Queue",
    "AWS::SSM::Parameter",
    "AWS::SecretsManager::Secret",
    "AWS::Timestream::",
)
# A name like these is one of a secret, whatever is in it, unless it ends as a name of something.
SECRET_NAME = re.compile(
    r"(?i)passw(or)?d|passphrase|secret|token|credential|private_?key|api_?key|connection_?string"
)
NOT_SECRET = re.compile(r"(?i)(arn|id|ids|name|policy|length|validity|ttl|days|units|enabled)$")


@dataclass(frozen=True, slots=True)
class Effect:
    """What becomes of one resource. `name` is its logical id, after those of the nested stacks
    that it lies in; `fate` what becomes of its data, empty where nothing does; `access` what
    becomes of who may reach it or what it may do, and `why` says where that stands."""

    kind: Kind
    action: Action
    name: str
    type: str
    physical_id: str = ""
    fate: str = ""
    access: Access = Access.SAME
    why: tuple[str, ...] = ()
    drift: str = ""
    properties: tuple[PropertyChange, ...] = ()

    @property
    def is_stateful(self) -> bool:
        return self.type.startswith(STATEFUL)

    @property
    def is_risk(self) -> bool:
        opened = self.access in {Access.WIDER, Access.UNCLEAR}
        return self.kind in RISKS or opened or self.drift in DRIFTED

    @property
    def order(self) -> tuple[int, bool, str]:
        return ORDER.index(self.kind), not self.is_stateful, self.name


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What an approval is bound to, of one stack."""

    cell: Cell
    state: SetState
    change_set: str = ""
    template_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Stacks whose change sets are equal. `effects` are as the first of its stacks has them,
    the gravest first; `tags_only` counts the resources of which nothing but tags changes.
    `differs` says in lines what is otherwise than in the largest group, of which it is empty."""

    cells: tuple[Cell, ...]
    state: SetState
    reason: str = ""
    effects: tuple[Effect, ...] = ()
    tags_only: int = 0
    new_stack: bool = False
    differs: tuple[str, ...] = ()

    @property
    def is_read(self) -> bool:
        return self.state in {SetState.READY, SetState.EMPTY}

    @property
    def why(self) -> str:
        """The reason, and where access was refused, the command that tells why, for the first of
        the stacks."""
        if self.state is not SetState.UNREAD:
            return self.reason
        cell = self.cells[0]
        reader = role_in(cell.account, cell.region)
        return explained(self.reason, cell.region, reader, "cloudformation:DescribeChangeSet")


@dataclass(frozen=True)
class Review:
    """All change sets of one target. `groups` are of equal stacks, the largest first; `varying`
    names the parameters of the stacks that are not the same everywhere."""

    project: str
    target: str
    execution: str
    groups: tuple[Group, ...]
    reviewed: tuple[Reviewed, ...]
    release: str = ""
    varying: tuple[str, ...] = ()

    @property
    def odd(self) -> tuple[Group, ...]:
        """The groups that differ from the largest one."""
        return self.groups[1:]

    @cached_property
    def risks(self) -> tuple[tuple[Effect, tuple[Cell, ...]], ...]:
        """What a person should decide on, the gravest first, each with its stacks, and without
        what a stack has for itself."""
        found: dict[tuple[int, bool, str], dict[Effect, list[Cell]]] = defaultdict(dict)
        for group in self.groups:
            for effect in group.effects:
                if effect.is_risk:
                    same = found[effect.order]
                    shared = replace(effect, physical_id="", properties=())
                    same.setdefault(shared, []).extend(group.cells)
        return tuple(
            (effect, tuple(cells))
            for order in sorted(found)
            for effect, cells in found[order].items()
        )

    @property
    def unread(self) -> tuple[Group, ...]:
        """The groups of which it is not known what would change."""
        return tuple(group for group in self.groups if not group.is_read)

    @property
    def is_empty(self) -> bool:
        """Nothing is to be done anywhere."""
        return bool(self.groups) and all(group.state is SetState.EMPTY for group in self.groups)

    @property
    def is_complete(self) -> bool:
        """Every change set was read."""
        return bool(self.groups) and not self.unread

    @property
    def is_risky(self) -> bool:
        """Something is replaced, removed or made more open, perhaps; or it is not known."""
        return bool(self.risks) or not self.is_complete

    def ask(self, when: When) -> bool:
        """Whether a person is to be asked."""
        match when:
            case When.ALWAYS:
                return True
            case When.CHANGES:
                return not self.is_empty
            case When.RISK:
                return self.is_risky

    @cached_property
    def summary(self) -> str:
        """One line of up to 250 characters, the gravest first."""
        stacks = len(self.reviewed)
        parts = [f"{_counted(stacks, 'stack')}"]
        if self.unread or not self.groups:
            missing = sum(len(group.cells) for group in self.unread)
            parts.insert(0, f"INCOMPLETE: {missing} of {_counted(stacks, 'stack')} not read")
            del parts[1]
        if self.is_empty:
            parts.append("nothing to change anywhere")
        parts += [_told(kind, names) for kind, names in self._by_kind().items()]
        if any(group.state is SetState.READY and not group.effects for group in self.groups):
            parts.append("only tags, outputs or parameters change in some")
        if self.odd:
            few = sum(len(group.cells) for group in self.odd)
            first = next((group for group in self.odd if group.is_read), self.odd[0])
            parts.insert(1, f"{few} unlike the others ({_some(map(str, first.cells), 1)})")
        return _fitting(parts, SUMMARY_LENGTH)

    def _by_kind(self) -> dict[Kind, tuple[str, ...]]:
        found: dict[Kind, set[str]] = defaultdict(set)
        for group in self.groups:
            for effect in group.effects:
                found[effect.kind].add(effect.name)
        return {kind: tuple(sorted(found[kind])) for kind in ORDER if kind in found}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what an approval is bound to: account, region, stack, change set, template."""
        lines = sorted(
            "\t".join(
                (
                    one.cell.account,
                    one.cell.region,
                    one.cell.stack,
                    one.change_set,
                    one.template_sha256,
                )
            )
            for one in self.reviewed
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def as_json(self) -> Json:
        """Everything, with what follows from it for whoever reads only JSON."""
        return {
            "project": self.project,
            "target": self.target,
            "execution": self.execution,
            "release": self.release,
            "summary": self.summary,
            "digest": self.digest,
            "empty": self.is_empty,
            "complete": self.is_complete,
            "risky": self.is_risky,
            "varying": list(self.varying),
            "groups": [asdict(group) for group in self.groups],
            "reviewed": [asdict(one) for one in self.reviewed],
        }

    def render(self) -> bytes:
        """The file that holds it."""
        return json.dumps(self.as_json(), indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def parse(cls, body: bytes | str, where: str) -> "Review":
        """Raises PermanentError where the body is not what `render` gives; `where` names the
        object."""
        try:
            value = json.loads(body)
            found = cls(
                project=str(value["project"]),
                target=str(value["target"]),
                execution=str(value["execution"]),
                groups=tuple(map(_group, value["groups"])),
                reviewed=tuple(map(_reviewed, value["reviewed"])),
                release=str(value["release"]),
                varying=_texts(value["varying"]),
            )
            said = value["digest"]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PermanentError(
                f"{where} is no review that Foothold wrote ({type(error).__name__})"
            ) from None
        if found.digest != said:
            raise PermanentError(f"{where} does not hold what was reviewed: its digest is another")
        return found


def differences(reviewed: Review, current: Iterable[ChangeSet]) -> list[str]:
    """What is otherwise now than when it was reviewed, a line each; nothing else may be executed.

    A stack whose change set was not read when it was reviewed is a difference too: nobody can
    have approved what it does.
    """
    now = {one.cell: _bound(one) for one in current}
    found: list[str] = []
    for was in reviewed.reviewed:
        found += _difference(was, now.pop(was.cell, None))
    return [*found, *(f"{cell}: was not reviewed" for cell in now)]


def _difference(was: Reviewed, now: Reviewed | None) -> Iterator[str]:
    if was.state not in {SetState.READY, SetState.EMPTY}:
        yield f"{was.cell}: its change set was {was.state} when it was reviewed"
    elif now is None:
        yield f"{was.cell}: was reviewed, and is no longer a part of the target"
    elif now.state is not was.state:
        yield f"{was.cell}: its change set was {was.state} when it was reviewed, and is {now.state}"
    elif now.change_set != was.change_set:
        yield f"{was.cell}: its change set is another one than was reviewed"
    elif now.template_sha256 != was.template_sha256:
        yield f"{was.cell}: its change set has another template than was reviewed"


def fold(  # noqa: PLR0917  # the first four say what is reviewed
    project: str,
    target: str,
    execution: str,
    sets: Iterable[ChangeSet],
    release: str = "",
    own_names: Mapping[str, Mapping[str, str]] | None = None,
) -> Review:
    """One review of the change sets.

    `release` is the id of what they deploy, where it is known; `own_names` are by region the names
    that are its own, each with what it stands for in all regions: its artifact store's bucket and
    key, and the keys of packaged templates that name them.
    """
    every = sorted(sets, key=lambda one: (one.cell.account, one.cell.region, one.cell.stack))
    folded = _Folded(every, own_names or {})
    return Review(
        project,
        target,
        execution,
        folded.groups(),
        tuple(map(_bound, every)),
        release,
        tuple(_varying(every)),
    )


def _bound(one: ChangeSet) -> Reviewed:
    return Reviewed(one.cell, one.state, one.id, one.template_sha256)


def _varying(sets: Sequence[ChangeSet]) -> Iterator[str]:
    read = [one for one in sets if one.state is SetState.READY]
    for name in sorted({name for one in read for name in one.parameters}):
        if len({one.parameters.get(name) for one in read}) > 1:
            yield name


# --- what a change comes to ---------------------------------------------------------------------


def _each(changes: Iterable[ResourceChange], inside: str = "") -> Iterator[tuple[str, Any]]:
    """Every change with its name, those in nested stacks after the nested stack's own."""
    for change in changes:
        name = inside + change.logical_id
        yield name, change
        yield from _each(change.nested or (), f"{name}/")


def _settled(changes: Sequence[ResourceChange]) -> Iterator[ResourceChange]:
    """The changes without what only follows from a name or an ARN that stays as it is.

    Where a resource changes in any way, tags too, CloudFormation lists whoever refers to it as
    changed perhaps, or replaced perhaps (AWS CloudFormation API Reference, "ResourceChangeDetail":
    Evaluation, CausingEntity). What is not replaced keeps its name and its ARN.
    """
    staying = {name for one in changes if _stays(one) for name in (one.logical_id, _arn_of(one))}
    for change in changes:
        nested = None if change.nested is None else tuple(_settled(change.nested))
        yield replace(_without_followers(change, staying), nested=nested)


def _stays(one: ResourceChange) -> bool:
    """Whether the resource is certainly not made anew. What is not AWS's own may answer an update
    with another name."""
    in_place = one.action is Action.MODIFY and one.replacement is Replacement.NO
    of_aws = one.type.startswith("AWS::") and not one.type.startswith("AWS::CloudFormation::")
    return in_place and of_aws and one.drift not in DRIFTED


def _arn_of(one: ResourceChange) -> str:
    return f"{one.logical_id}.Arn"


def _without_followers(change: ResourceChange, staying: Collection[str]) -> ResourceChange:
    followers = [one for one in change.properties if _only_follows(one, change, staying)]
    if change.action is not Action.MODIFY or not followers:
        return change
    left = tuple(one for one in change.properties if one not in followers)
    after = change.after
    for one in followers:
        if change.before is not None and after is not None:
            after = _kept(change.before, after, _below(one.path))
    attributes = {one.attribute for one in left}
    scope = tuple(name for name in change.scope if name != "Properties" or name in attributes)
    found = replace(change, properties=left, after=after, scope=scope or ("Tags",))
    perhaps_by_them = any(one.recreation != "Never" for one in followers)
    by_them_alone = perhaps_by_them and all(one.recreation == "Never" for one in left)
    if by_them_alone and change.replacement is Replacement.PERHAPS:
        return replace(found, replacement=Replacement.NO, policy=None)
    return found


def _only_follows(one: PropertyChange, change: ResourceChange, staying: Collection[str]) -> bool:
    """Whether a property is listed for nothing but something that stays, and is told no other
    value than it has."""
    path = _below(one.path)
    if one.attribute != "Properties" or one.cause not in staying or not path:
        return False
    if any(other is not one and _overlap(path, _below(other.path)) for other in change.properties):
        return False
    told = [(one.before, one.after)]
    if change.before is not None and change.after is not None:
        told.append((_at(change.before, path), _at(change.after, path)))
    return all(
        after in {None, KNOWN_AFTER_APPLY, before} and after != NO_TEXT for before, after in told
    )


def _below(path: str) -> Sequence[str]:
    """The names on the way to a property, from the resource's properties on."""
    return path.split("/")[2:]


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    return all(a == b for a, b in zip(one, other, strict=False))


def _at(value: Any, path: Sequence[str]) -> str | None:
    """The text there; None for nothing, and something that no text is for all else."""
    for name in path:
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value if value is None or isinstance(value, str) else NO_TEXT


def _kept(before: Any, after: Any, path: Sequence[str]) -> Any:
    """What is after, with what was before at this path, where both have it."""
    name, rest = path[0], path[1:]
    if isinstance(before, Mapping) and isinstance(after, Mapping) and name in {*before} & {*after}:
        kept = _kept(before[name], after[name], rest) if rest else before[name]
        return {**after, name: kept}
    both = isinstance(before, list) and isinstance(after, list) and name.isdigit()
    if both and int(name) < min(len(before), len(after)):
        number = int(name)
        kept = _kept(before[number], after[number], rest) if rest else before[number]
        return [*after[:number], kept, *after[number + 1 :]]
    return after


def is_tags_only(change: ResourceChange) -> bool:
    """Nothing but tags changes. What a nested stack does is more than its own tags."""
    return (
        change.action is Action.MODIFY
        and change.replacement is Replacement.NO
        and bool(change.scope)
        and set(change.scope) == {"Tags"}
        and change.type != NESTED_STACK
        and change.drift not in DRIFTED
    )


def _effect(name: str, change: ResourceChange) -> Effect:
    access, why = judge_access(change)
    kind = _kind(change, access)
    fate = ""
    if kind in {Kind.REPLACED, Kind.PERHAPS_REPLACED, Kind.REMOVED}:
        fate = FATES.get(change.policy or "", NOT_TOLD)
    return Effect(
        kind=kind,
        action=change.action,
        name=name,
        type=change.type,
        physical_id=change.physical_id or "",
        fate=fate,
        access=access,
        why=why,
        drift=change.drift or "",
        properties=tuple(map(_shown, _properties(change))),
    )


def _kind(change: ResourceChange, access: Access) -> Kind:
    """The gravest of what may be said of the change."""
    unread = change.type == NESTED_STACK and change.nested is None
    by_policy = (change.policy or "").startswith("Replace")
    anew = any(one.recreation == "Always" for one in change.properties)
    said = {
        Kind.REMOVED: change.action is Action.REMOVE,
        Kind.REPLACED: change.replacement is Replacement.YES,
        Kind.PERHAPS_REPLACED: change.replacement is Replacement.PERHAPS or by_policy or anew,
        Kind.OPENED: access is Access.WIDER,
        Kind.ACCESS_UNCLEAR: access is Access.UNCLEAR,
        Kind.UNKNOWN: change.action is Action.DYNAMIC or unread,
        Kind.IMPORTED: change.action is Action.IMPORT,
        Kind.NARROWED: access is Access.NARROWER,
        Kind.ADDED: change.action is Action.ADD,
        Kind.MODIFIED: True,
    }
    return next(kind for kind, so in said.items() if so)


def _properties(change: ResourceChange) -> tuple[PropertyChange, ...]:
    """The properties that change, without tags; from the whole of before and after where
    CloudFormation names none with its values."""
    named = [one for one in change.properties if not _of_tags(one)]
    if change.action is not Action.MODIFY or any(
        one.before is not None or one.after is not None for one in named
    ):
        return tuple(named)
    told = tuple(_between(change.before, change.after))
    return told or tuple(named)


def _of_tags(one: PropertyChange) -> bool:
    return one.attribute == "Tags" or bool(re.match(r"/Properties/Tags(/|$)", one.path))


def _between(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Iterator[PropertyChange]:
    if before is None or after is None:
        return
    was, will = dict(_leaves(before, "/Properties")), dict(_leaves(after, "/Properties"))
    for path in sorted({*was, *will}):
        one = PropertyChange(path, before=was.get(path), after=will.get(path))
        if one.before != one.after and not _of_tags(one):
            yield one


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each text in a value with its path. A text that holds JSON is what it holds."""
    if isinstance(value, Mapping) and value:
        for name in value:
            yield from _leaves(value[name], f"{path}/{name}")
    elif isinstance(value, list | tuple) and value:
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}/{number}")
    elif isinstance(value, str) and value[:1] in {"{", "["}:
        parsed = _parsed(value)
        if isinstance(parsed, str):
            yield path, value
        else:
            yield from _leaves(parsed, path)
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)


def _parsed(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value else text


def _shown(one: PropertyChange) -> PropertyChange:
    """The property with nothing in it that may be a secret, and nothing that is too long."""
    return replace(one, before=_masked(one.path, one.before), after=_masked(one.path, one.after))


def _masked(path: str, value: str | None) -> str | None:
    if value is None:
        return None
    if is_secret(path):
        return MASK
    parsed = _parsed(value) if value[:1] in {"{", "["} else value
    if not isinstance(parsed, str):
        value = json.dumps(_without_secrets(parsed), ensure_ascii=False)
    value = without_references(value)
    return value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}... (cut)"


def is_secret(path: str) -> bool:
    """Whether what stands there is probably a secret, by the last name of its path."""
    name = path.rpartition("/")[2]
    return bool(SECRET_NAME.search(name)) and not NOT_SECRET.search(name)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: MASK if is_secret(name) and isinstance(item, str) else _without_secrets(item)
            for name, item in value.items()
        }
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


# --- which change sets are equal ----------------------------------------------------------------

# What stands for a stack's own names; which of them are meant differs from text to text, because
# a text may name one region everywhere, which then is some stack's own by chance.
ACCOUNT, REGION, OWN = "account", "region", "own"
NEUTRAL = (
    frozenset({ACCOUNT, REGION, OWN}),
    frozenset({ACCOUNT, OWN}),
    frozenset({REGION, OWN}),
    frozenset({OWN}),
    frozenset[str](),
)
SHORTEST_MADE_UP = 6


class _OwnNames:
    """Finds a stack's own names in texts."""

    def __init__(self, one: ChangeSet, own_names: Mapping[str, str]) -> None:
        cell = one.cell
        self._account = re.compile(rf"(?<!\d){re.escape(cell.account)}(?!\d)")
        self._region = re.compile(rf"(?<![A-Za-z0-9]){re.escape(cell.region)}(?!\d)")
        # CloudFormation names what has no name after the stack and the logical id, and 12 or 13
        # letters and digits (AWS CloudFormation User Guide, "Name type").
        self._made_up = re.compile(
            rf"(?<![A-Za-z0-9])({re.escape(cell.stack)}-[A-Za-z0-9]+)-[A-Za-z0-9]{{12,13}}"
            r"(?![A-Za-z0-9])",
            re.IGNORECASE,
        )
        self._own = dict(own_names)
        for name, change in _each(one.changes):
            own = _by_hash(change) or name
            if own != name:
                self._own |= dict.fromkeys(_digests(change), own)
            if change.physical_id and _is_made_up(change.physical_id):
                self._own[change.physical_id] = own
        longest = sorted(self._own, key=len, reverse=True)
        self._ids = re.compile(
            rf"(?<![A-Za-z0-9])({'|'.join(map(re.escape, longest)) or '(?!)'})(?![A-Za-z0-9])"
        )

    def neutral(self, text: str, meant: frozenset[str]) -> str:
        if OWN in meant:
            text = self._ids.sub(lambda found: f"\0{self._own[found[0]]}\0", text)
            text = self._made_up.sub(lambda found: f"\0{found[1].lower()}\0", text)
        if ACCOUNT in meant:
            text = self._account.sub("\0account\0", text)
        return self._region.sub("\0region\0", text) if REGION in meant else text


def _is_made_up(physical_id: str) -> bool:
    """Whether an id looks like one that AWS made up: a name that somebody chose is a difference."""
    return len(physical_id) >= SHORTEST_MADE_UP and bool(re.search(r"\d", physical_id))


# What SAM names after a digest of itself, in which its region's bucket may be (AWS SAM Developer
# Guide, "Generated CloudFormation resources"; samtranslator, LogicalIdGenerator: 10 digits).
NAMED_BY_HASH = frozenset(
    {
        "AWS::ApiGateway::Deployment",
        "AWS::ApiGatewayV2::Deployment",
        "AWS::Lambda::LayerVersion",
        "AWS::Lambda::Version",
    }
)
BY_HASH = re.compile(r"(.*[^0-9a-f]|.+)[0-9a-f]{10}")


def _by_hash(change: ResourceChange) -> str:
    """What a logical id is called without the digest that SAM put at its end; empty for any other.
    A new one and the one in whose place it comes are two."""
    found = BY_HASH.fullmatch(change.logical_id) if change.type in NAMED_BY_HASH else None
    if found is None:
        return ""
    return f"{found[1]}…" if change.action is Action.ADD else f"{found[1]}… ({change.action})"


def _digests(change: ResourceChange) -> Iterator[str]:
    """The logical id, and the whole digest of which 10 digits are at its end: SAM describes a
    deployment of an API with it."""
    yield change.logical_id
    written = json.dumps([change.before, change.after], default=str)
    yield from re.findall(rf"\b{change.logical_id[-10:]}[0-9a-f]{{30}}\b", written)


def _named(changes: Iterable[ResourceChange]) -> Iterator[tuple[str, ResourceChange]]:
    """Every change with the name that it has in all regions, as far as that is one's alone."""
    every = list(_each(changes))
    names = [_in_all_regions(name, change) for name, change in every]
    for (name, change), common in zip(every, names, strict=True):
        yield name if names.count(common) > 1 else common, change


def _in_all_regions(name: str, change: ResourceChange) -> str:
    common = _by_hash(change)
    return f"{name.removesuffix(change.logical_id)}{common}" if common else name


Facts = dict[str, str]


class _Folded:
    """Change sets, and which of them are equal: resource by resource, so that the texts of all
    stacks are never there at once."""

    def __init__(
        self, sets: Sequence[ChangeSet], own_names: Mapping[str, Mapping[str, str]]
    ) -> None:
        self._sets = sets
        self._own = [_OwnNames(one, own_names.get(one.cell.region, {})) for one in sets]
        self._changes: list[dict[str, ResourceChange]] = []
        self._tags_only: list[int] = []
        self._ways: dict[tuple[str, str], frozenset[str]] = {}
        for one in sets:
            every = list(_named(tuple(_settled(one.changes))))
            noteworthy = {name: change for name, change in every if not is_tags_only(change)}
            self._changes.append(noteworthy)
            self._tags_only.append(len(every) - len(noteworthy))
        self._classes: list[dict[str, int]] = [{} for _ in sets]
        for name in sorted({name for each in self._changes for name in each}):
            self._classify(name, [_facts_of(each.get(name)) for each in self._changes])
        self._classify("", [{"": f"{one.state} {one.new_stack} {one.reason}"} for one in sets])

    def _classify(self, name: str, facts: Sequence[Facts | None]) -> None:
        """Number the ways in which a resource changes, and note for each stack which is its."""
        for key in {key for one in facts if one is not None for key in one}:
            texts = [None if one is None else one.get(key) for one in facts]
            meant = self._meant(texts)
            if meant:
                self._ways[name, key] = meant
            for one, text in zip(facts, self._alike(texts, meant), strict=True):
                if one is not None and text is not None:
                    one[key] = text
        seen: dict[tuple[tuple[str, str], ...] | None, int] = {}
        for number, one in enumerate(facts):
            kind = None if one is None else tuple(sorted(one.items()))
            self._classes[number][name] = seen.setdefault(kind, len(seen))

    def _meant(self, texts: Sequence[str | None]) -> frozenset[str]:
        """Which names of the stacks' own are taken out of these texts: those that leave the fewest
        different ones. In each way two are the same only where nothing but own names differs."""
        fewest, best = len(set(texts)), frozenset[str]()
        for meant in NEUTRAL:
            if fewest > 1 and (different := len(set(self._alike(texts, meant)))) < fewest:
                fewest, best = different, meant
        return best

    def _alike(self, texts: Sequence[str | None], meant: frozenset[str]) -> list[str | None]:
        return [
            None if text is None else own.neutral(text, meant)
            for own, text in zip(self._own, texts, strict=True)
        ]

    def groups(self) -> tuple[Group, ...]:
        equal: dict[tuple[tuple[str, int], ...], list[int]] = defaultdict(list)
        for number, classes in enumerate(self._classes):
            equal[tuple(classes.items())].append(number)
        largest_first = sorted(equal.values(), key=len, reverse=True)
        return tuple(self._group(one, largest_first[0][0]) for one in largest_first)

    def _group(self, numbers: Sequence[int], usual: int) -> Group:
        first = numbers[0]
        one = self._sets[first]
        found = [_effect(name, change) for name, change in self._changes[first].items()]
        return Group(
            cells=tuple(self._sets[number].cell for number in numbers),
            state=one.state,
            reason=one.reason,
            effects=tuple(sorted(found, key=lambda effect: effect.order)),
            tags_only=self._tags_only[first],
            new_stack=one.new_stack,
            differs=tuple(self._differs(first, usual)),
        )

    def _differs(self, here: int, usual: int) -> Iterator[str]:
        one, other = self._sets[here], self._sets[usual]
        if one.state is not other.state:
            yield f"the change set is {one.state} here, and {other.state} in most"
        elif one.new_stack != other.new_stack:
            yield "the stack is new here" if one.new_stack else "the stack is there already"
        elif one.reason != other.reason:
            yield "the reason is another one"
        if one.state is not SetState.READY or other.state is not SetState.READY:
            return
        lines = [
            line
            for name in self._otherwise(here, usual)
            for line in self._lines(
                name, self._changes[here].get(name), self._changes[usual].get(name), (here, usual)
            )
        ]
        yield from lines[:MOST_DIFFERENCES]
        if len(lines) > MOST_DIFFERENCES:
            yield f"and {len(lines) - MOST_DIFFERENCES} more differences"

    def _otherwise(self, here: int, usual: int) -> Iterator[str]:
        for name, number in self._classes[here].items():
            if name and number != self._classes[usual][name]:
                yield name

    def _lines(
        self,
        name: str,
        here: ResourceChange | None,
        usual: ResourceChange | None,
        numbers: tuple[int, int],
    ) -> Iterator[str]:
        if here is None or usual is None:
            change = here or usual
            assert change is not None  # one of them has it
            kind = _kind(change, judge_access(change)[0])
            where = "only here" if usual is None else "not here, as in most"
            yield f"{name} ({change.type}) is {kind} {where}"
            return
        ours, theirs = dict(_facts(here)), dict(_facts(usual))
        for key in sorted({*ours, *theirs}):
            told = ours.get(key), theirs.get(key)
            # Said by the value after it already.
            if (
                None in told
                and key.endswith((" before", " recreation"))
                and _after(key) in (ours if told[1] is None else theirs)
            ):
                continue
            if self._is_other(told, numbers, self._ways.get((name, key), frozenset())):
                yield f"{name}{key}: {_brief(key, told[0])} here, {_brief(key, told[1])} in most"

    def _is_other(
        self, told: tuple[str | None, str | None], numbers: tuple[int, int], meant: frozenset[str]
    ) -> bool:
        one, other = (
            None if text is None else self._own[number].neutral(text, meant)
            for text, number in zip(told, numbers, strict=True)
        )
        return one != other


def _after(key: str) -> str:
    return f"{key.rpartition(' ')[0]} after"


def _facts_of(change: ResourceChange | None) -> Facts | None:
    return None if change is None else dict(_facts(change))


def _facts(change: ResourceChange) -> Iterator[tuple[str, str]]:
    """All that has to be equal of what becomes of a resource, but for own names."""
    access, why = judge_access(change)
    yield "", f"{_kind(change, access)} {change.type}"
    yield " action", change.action
    yield " access", " ".join((access, *why))
    yield " data", change.policy or "not told"
    yield " drift", change.drift or "not told"
    for one in change.properties:
        if not _of_tags(one):
            yield f" {one.path or one.attribute} recreation", one.recreation
            yield from _valued(one)
    if change.action is Action.MODIFY:
        for one in _between(change.before, change.after):
            yield from _valued(one)
    elif change.action in {Action.ADD, Action.IMPORT} and change.after is not None:
        for path, text in _leaves(change.after, "/Properties"):
            if not path.startswith("/Properties/Tags/"):
                yield f" {path} after", text


def _valued(one: PropertyChange) -> Iterator[tuple[str, str]]:
    for when, value in (("before", one.before), ("after", one.after)):
        if value is not None:
            for path, text in _leaves(value, one.path or one.attribute):
                yield f" {path} {when}", text


def _brief(key: str, text: str | None) -> str:
    if text is None:
        return "nothing"
    path = key.strip().rpartition(" ")[0]
    text = (_masked(path, text) or "").replace("\n", " ")
    return text if len(text) <= LONGEST_IN_A_LINE else f"{text[:LONGEST_IN_A_LINE]}..."


# --- lines --------------------------------------------------------------------------------------


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _some(names: Iterable[str], most: int = 2) -> str:
    every = tuple(names)
    more = len(every) - most
    return ", ".join(every[:most]) + (f" and {more} more" if more > 0 else "")


def _told(kind: Kind, names: Sequence[str]) -> str:
    return f"{len(names)} {kind}" + (f" ({_some(names)})" if kind in RISKS else "")


def _fitting(parts: Sequence[str], length: int) -> str:
    line = " ".join("; ".join(parts).split())
    return line if len(line) <= length else f"{line[: length - 3]}..."


# --- from JSON ----------------------------------------------------------------------------------


def _texts(value: Iterable[Any]) -> tuple[str, ...]:
    return tuple(map(str, value))


def _cell(value: Mapping[str, Any]) -> Cell:
    return Cell(str(value["account"]), str(value["region"]), str(value["stack"]))


def _reviewed(value: Mapping[str, Any]) -> Reviewed:
    return Reviewed(
        _cell(value["cell"]),
        SetState(value["state"]),
        str(value["change_set"]),
        str(value["template_sha256"]),
    )


def _group(value: Mapping[str, Any]) -> Group:
    return Group(
        cells=tuple(map(_cell, value["cells"])),
        state=SetState(value["state"]),
        reason=str(value["reason"]),
        effects=tuple(map(_found, value["effects"])),
        tags_only=int(value["tags_only"]),
        new_stack=bool(value["new_stack"]),
        differs=_texts(value["differs"]),
    )


def _found(value: Mapping[str, Any]) -> Effect:
    texts = {name: str(value[name]) for name in ("name", "type", "physical_id", "fate", "drift")}
    return Effect(
        kind=Kind(value["kind"]),
        action=Action(value["action"]),
        access=Access(value["access"]),
        why=_texts(value["why"]),
        properties=tuple(PropertyChange(**one) for one in value["properties"]),
        **texts,
    )
