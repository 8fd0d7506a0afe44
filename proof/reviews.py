"""Reviews: what a fold tells of worlds whose truth is known, and whether a policy allows more.

A world is what CloudFormation would answer about 68 change sets: the product's own reader reads
them, and the truth is kept beside them, by whoever made the world.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

from foothold.partitions import REGIONS, partition_of
from foothold.releases.access import Access, compare_policies
from foothold.releases.gateways.changesets import TargetChangeSets
from foothold.releases.model import Cell, When
from foothold.releases.review import Kind, Review, fold
from proof.judge import Row, allowed, install
from proof.result import Result, Scale, side_by_side

Json = dict[str, Any]
Dice = random.Random

ACCOUNTS = ("111111111111", "222222222222")
STACK = "shop"
CELLS = tuple(
    Cell(account, region, STACK)
    for account in ACCOUNTS
    for region in sorted(r for r in REGIONS if partition_of(r).name == "aws")[:34]
)
GRAVE = frozenset({Kind.REPLACED, Kind.PERHAPS_REPLACED, Kind.REMOVED})


# --- worlds -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """One change as CloudFormation describes it in a stack, and what is true of it."""

    described: Json
    grave: tuple[Kind, str] | None = None  # and its PolicyAction
    risky: bool = False
    nested: tuple[Json, ...] = ()


Maker = Callable[[str, Cell], Made]


def _letters(cell: Cell, name: str) -> str:
    """What CloudFormation makes up for a stack's own resource."""
    return "".join(Dice(f"{cell} {name}").choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=12))


def _described(action: str, name: str, type_: str, cell: Cell, **more: Any) -> Json:
    given: Json = {"Action": action, "LogicalResourceId": name, "ResourceType": type_}
    if action != "Add":
        given["PhysicalResourceId"] = f"{STACK}-{name}-{_letters(cell, name)}"
    if action == "Modify":
        given |= {"Replacement": "False", "Scope": ["Properties"]}
    return given | more


def _value(path: str, before: str, after: str, **more: Any) -> Json:
    target = {"Attribute": "Properties", "Path": f"/Properties/{path}", "BeforeValue": before}
    return {"Target": target | {"AfterValue": after, "RequiresRecreation": "Never"} | more}


def _own(cell: Cell) -> str:
    table = f"{STACK}-Elsewhere-{_letters(cell, 'Elsewhere')}"
    return f"arn:aws:dynamodb:{cell.region}:{cell.account}:table/{table}"


def add(name: str, cell: Cell) -> Made:
    properties = {"Properties": {"Source": _own(cell), "Home": "us-east-1"}}
    return Made(
        _described("Add", name, "AWS::SQS::Queue", cell, AfterContext=json.dumps(properties))
    )


def modify(name: str, cell: Cell, value: str = "2") -> Made:
    details = [
        _value("Timeout", "1", value),
        _value("Environment/Variables/TABLE", "none", _own(cell)),
    ]
    return Made(_described("Modify", name, "AWS::Lambda::Function", cell, Details=details))


def replace(name: str, cell: Cell, word: str = "True") -> Made:
    policy = "ReplaceAndDelete" if word == "True" else "ReplaceAndRetain"
    detail = _value("KeySchema/0/AttributeName", "id", "key", RequiresRecreation="Always")
    kind = Kind.REPLACED if word == "True" else Kind.PERHAPS_REPLACED
    more = {"Replacement": word, "PolicyAction": policy, "Details": [detail]}
    described = _described("Modify", name, "AWS::DynamoDB::Table", cell) | more
    return Made(described, (kind, policy), risky=True)


def remove(name: str, cell: Cell, policy: str = "Delete") -> Made:
    described = _described("Remove", name, "AWS::RDS::DBInstance", cell, PolicyAction=policy)
    return Made(described, (Kind.REMOVED, policy), risky=True)


def _policy(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Properties": {"PolicyDocument": {"Statement": [statement]}}})


def access(name: str, cell: Cell, *, wider: bool = True) -> Made:
    less, more = _policy("s3:GetObject"), _policy("s3:GetObject", "s3:PutObject")
    before, after = (less, more) if wider else (more, less)
    contexts = {"BeforeContext": before, "AfterContext": after}
    return Made(
        _described("Modify", name, "AWS::IAM::ManagedPolicy", cell, **contexts), risky=wider
    )


def nested(name: str, cell: Cell, *, read: bool = True) -> Made:
    inner = remove("Inner", cell)
    where = f"arn:aws:cloudformation:{cell.region}:{cell.account}"
    id_ = f"{where}:changeSet/{name}/{_letters(cell, name)}"
    described = _described("Modify", name, "AWS::CloudFormation::Stack", cell, ChangeSetId=id_)
    return Made(described, risky=True, nested=(inner.described,) if read else ())


def tags(name: str, cell: Cell) -> Made:
    tag = _value("Tags/0/Value", "0" * 16, "1" * 16, Attribute="Tags")
    return Made(_described("Modify", name, "AWS::SNS::Topic", cell, Details=[tag], Scope=["Tags"]))


def drift(name: str, cell: Cell) -> Made:
    made = modify(name, cell)
    return Made(made.described | {"ResourceDriftStatus": "MODIFIED"}, risky=True)


def dynamic(name: str, cell: Cell) -> Made:
    return Made(_described("Dynamic", name, "AWS::SNS::Topic", cell), risky=True)


MAKERS: Mapping[str, Maker] = {
    "add": add,
    "modify": modify,
    "replace": replace,
    "replace, perhaps": partial(replace, word="Conditional"),
    "remove and delete": remove,
    "remove and retain": partial(remove, policy="Retain"),
    "remove after a snapshot": partial(remove, policy="Snapshot"),
    "wider": access,
    "narrower": partial(access, wider=False),
    "nested": nested,
    "nested, not read": partial(nested, read=False),
    "tags": tags,
    "drift": drift,
    "dynamic": dynamic,
}
QUIET = ("add", "modify", "narrower", "tags")
# What CloudFormation answers about a whole change set.
NOTHING = "The submitted information didn't contain changes. Submit different information."
STATES: Mapping[str, tuple[Json, bool]] = {
    "nothing to change": ({"Status": "FAILED", "StatusReason": NOTHING}, False),
    "failed": ({"Status": "FAILED", "StatusReason": "Template error"}, True),
    "a name that is taken": (
        {"Status": "FAILED", "StatusReason": "Resource of type 'AWS::SQS::Queue' already exists"},
        True,
    ),
    "gone": ({"Status": "DELETE_COMPLETE"}, True),
}
READY: Json = {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE"}
# How the one region may be different.
ODDITIES = ("a value", "one more", "one less", "replaced instead", *STATES)


@dataclass
class World:
    """Answers by stack, and the truth: what is grave where, which stack is odd, whether any of it
    is a risk. Without `odd` every stack does the same."""

    answers: dict[Cell, Json] = field(default_factory=dict)
    inner: dict[str, Json] = field(default_factory=dict)
    grave: dict[Cell, dict[str, tuple[Kind, str]]] = field(default_factory=dict)
    counted: dict[Cell, set[str]] = field(default_factory=dict)  # more than tags
    odd: Cell | None = None
    risky: bool = False

    def put(self, cell: Cell, made: Mapping[str, Made], about: Json) -> None:
        changes = [{"ResourceChange": one.described} for one in made.values()]
        id_ = (
            f"arn:aws:cloudformation:{cell.region}:{cell.account}:changeSet/it/{_letters(cell, '')}"
        )
        parameters = [{"ParameterKey": "Size", "ParameterValue": cell.region}]
        self.answers[cell] = {"ChangeSetId": id_, "Parameters": parameters, **about}
        if about is not READY:
            return
        self.answers[cell]["Changes"] = changes
        self.grave[cell] = {name: one.grave for name, one in made.items() if one.grave}
        counted = {name for name, one in made.items() if one.described.get("Scope") != ["Tags"]}
        self.counted[cell] = counted
        for name, one in made.items():
            self.risky |= one.risky
            if one.nested:
                inside = {"Changes": [{"ResourceChange": each} for each in one.nested]}
                self.inner[one.described["ChangeSetId"]] = READY | inside
                self.grave[cell][f"{name}/Inner"] = (Kind.REMOVED, "Delete")
                counted.add(f"{name}/Inner")


def world(seed: str, *, odd: bool) -> World:
    """What the dice make of it: quiet worlds in which nothing is a risk are a third of them."""
    dice, found = Dice(seed), World()
    names = QUIET if dice.random() < 1 / 3 else tuple(MAKERS)
    kinds = {f"R{n}": dice.choice(names) for n in range(dice.randint(0, 6))}
    everywhere = "nothing to change" if not kinds and dice.random() < 1 / 2 else None
    strange = dice.choice(CELLS) if odd else None
    how = dice.choice(ODDITIES)
    if everywhere == how:
        how = "one more"
    for cell in CELLS:
        made = {name: MAKERS[kind](name, cell) for name, kind in kinds.items()}
        about = STATES[everywhere][0] if everywhere else READY
        if cell == strange:
            made, about = _made_odd(dice, how, made, cell, found)
        found.put(cell, made, about)
    found.odd = strange
    return found


def _made_odd(
    dice: Dice, how: str, made: dict[str, Made], cell: Cell, found: World
) -> tuple[dict[str, Made], Json]:
    if how in STATES:
        about, risky = STATES[how]
        found.risky |= risky
        return made, about
    counted = [name for name, one in made.items() if one.described.get("Scope") != ["Tags"]]
    if how == "one less" and counted:
        del made[dice.choice(counted)]
    elif how == "replaced instead" and counted:
        name = dice.choice(counted)
        instead = (
            replace(name, cell)
            if made[name].grave != (Kind.REPLACED, "ReplaceAndDelete")
            else add(name, cell)
        )
        made[name] = instead
    elif how == "a value":
        made["Odd"] = modify("Odd", cell, "3")
    else:
        made["More"] = MAKERS[dice.choice([kind for kind in MAKERS if kind != "tags"])](
            "More", cell
        )
    return made, READY


@dataclass(frozen=True)
class _Client:
    """CloudFormation in one account and region of a world."""

    world: World
    cell: Cell

    def describe_change_set(self, **asked: Any) -> Json:
        name = asked["ChangeSetName"]
        if name in self.world.inner:
            return self.world.inner[name]
        if "StackName" not in asked:
            return {"Status": "FAILED", "StatusReason": "not to be read"}
        return self.world.answers[self.cell]

    def get_template(self, **_: Any) -> Json:
        return {"TemplateBody": f"# {self.cell}"}


def reviewed(found: World) -> Review:
    def client(account: str, region: str) -> Any:
        return _Client(found, Cell(account, region, STACK))

    reader = TargetChangeSets(client)
    return fold(STACK, "prod", "run", [reader.read(cell, "it") for cell in found.answers])


def judged(found: World, name: str) -> Iterator[str]:
    """What the review says otherwise than it is."""
    review = reviewed(found)
    told = {cell: group for group in review.groups for cell in group.cells}
    for cell in CELLS:
        effects = told[cell].effects
        said = {one.name: one.kind for one in effects if one.kind in GRAVE}
        grave = found.grave.get(cell, {})
        true = {each: kind for each, (kind, _) in grave.items()}
        if said != true:
            yield f"{name}, {cell}: {true} is told as {said}"
            break
        if {one.name for one in effects} != found.counted.get(cell, set()):
            yield f"{name}, {cell}: not what changes is told, or more than it"
            break
        fates = {one.name: one.fate for one in effects if one.kind in GRAVE}
        wrong = [each for each, (_, policy) in grave.items() if _fate(policy) not in fates[each]]
        if wrong:
            yield f"{name}, {cell}: what becomes of the data of {wrong} is told as {fates}"
            break
    yield from _odd_judged(found, review, name)
    if review.ask(When.RISK) != found.risky:
        asked = "asks nobody" if found.risky else "asks"
        yield f"{name}: {asked}, although it is {'' if found.risky else 'not '}risky"
    if Review.parse(review.render(), name) != review:
        yield f"{name}: is read as another one than was written"


def _fate(policy: str) -> str:
    """A word that has to be told of what this PolicyAction does with the data."""
    words = {"Delete": "deleted, with", "Retain": "left behind", "Snapshot": "snapshot"}
    return next(word for name, word in words.items() if policy.endswith(name))


def _odd_judged(found: World, review: Review, name: str) -> Iterator[str]:
    odd = {cell for group in review.odd for cell in group.cells}
    if odd != ({found.odd} if found.odd else set()):
        yield f"{name}: {found.odd} is odd, and {sorted(map(str, odd))[:3]} is told"
    if any(not group.differs for group in review.odd):
        yield f"{name}: nothing says what is odd in {found.odd}"


def worlds_of(seed: int, numbers: Sequence[int]) -> Result:
    """Every second world has one region that is different."""
    failures = [
        line
        for number in numbers
        for line in judged(world(f"{seed} {number}", odd=bool(number % 2)), f"world {number}")
    ]
    return Result(len(numbers), tuple(failures))


def reviews(scale: Scale) -> Result:
    """Replacements and removals all told and none invented, the odd region found, no alarm
    without one, and nobody left unasked where there is a risk."""
    numbers = range(scale.of(40, 1_000))
    found = side_by_side(partial(worlds_of, scale.seed), numbers)
    half = len(numbers) // 2
    note = f"{half} worlds with one odd region of {len(CELLS)}, {half} without"
    return found + Result(0, (), (note,))


# --- policies -----------------------------------------------------------------------------------

ACCOUNT, OTHER = "111111111111", "222222222222"
ROLE, ANOTHER = f"arn:aws:iam::{OTHER}:role/one", f"arn:aws:iam::{OTHER}:role/two"
# Of everything that a policy may name there is one thing more that only a wildcard means.
ACTIONS = ("s3:GetObject", "s3:GetObjectTagging", "s3:PutObject", "s3:DeleteObject")
ASKED_ACTIONS = (*ACTIONS, "s3:RestoreObject")
OBJECTS = ("arn:aws:s3:::a/x", "arn:aws:s3:::a/y", "arn:aws:s3:::b/x")
ASKED_OBJECTS = (*OBJECTS, "arn:aws:s3:::a/z", "arn:aws:s3:::b/z", "arn:aws:s3:::c/x")
CONDITIONS: tuple[Json, ...] = (
    {},
    {"Bool": {"aws:SecureTransport": "true"}},
    {"StringEquals": {"aws:PrincipalOrgID": "o-one"}},
    {"StringEquals": {"aws:PrincipalOrgID": ["o-one", "o-two"]}},
    {"StringLike": {"aws:PrincipalOrgID": "o-*"}},
    {"StringNotEquals": {"aws:PrincipalOrgID": "o-two"}},
    {"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}},
    {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
)
CONTEXTS = tuple(
    {"aws:SecureTransport": secure, "aws:PrincipalOrgID": organization, "aws:SourceIp": address}
    for secure, organization, address in product(
        ("true", "false"), ("o-one", "o-two", "x"), ("10.1.2.3", "10.2.2.3", "8.8.8.8")
    )
)
PRINCIPALS: tuple[Any, ...] = ({"AWS": ROLE}, {"AWS": [ROLE, ANOTHER]}, "*")


AT_A_TIME = 40  # pairs that the evaluator is asked about, which has so long for an answer


@dataclass(frozen=True)
class Pair:
    before: Json
    after: Json
    of_bucket: bool


def pair(dice: Dice) -> Pair:
    """A policy, and what one change makes of it."""
    of_bucket = dice.random() < 1 / 3
    statements = [_statement(dice, of_bucket=of_bucket) for _ in range(dice.randint(1, 3))]
    changed = json.loads(json.dumps(statements))
    dice.choice((_more, _less, _otherwise, _otherwise))(dice, changed, of_bucket)
    both = [statements, changed] if dice.random() < 1 / 2 else [changed, statements]
    before, after = ({"Version": "2012-10-17", "Statement": each} for each in both)
    return Pair(before, after, of_bucket)


def _statement(dice: Dice, *, of_bucket: bool) -> Json:
    found: Json = {"Effect": "Allow" if dice.random() < 3 / 4 else "Deny"}
    found |= _actions(dice) | _resources(dice)
    if condition := dice.choice(CONDITIONS):
        found["Condition"] = condition
    if of_bucket:
        found["Principal"] = dice.choice(PRINCIPALS)
    return found


def _actions(dice: Dice) -> Json:
    some = dice.sample(ACTIONS, dice.randint(1, 2))
    return dice.choice(
        ({"Action": some}, {"Action": "s3:Get*"}, {"Action": "s3:*"}, {"NotAction": some})
    )


def _resources(dice: Dice) -> Json:
    some = dice.sample(OBJECTS, dice.randint(1, 2))
    everything = ({"Resource": "arn:aws:s3:::a/*"}, {"Resource": "*"}, {"NotResource": some})
    return dice.choice(({"Resource": some}, *everything))


def _more(dice: Dice, statements: list[Json], of_bucket: bool) -> None:  # noqa: FBT001  one of three alike
    statements.append(_statement(dice, of_bucket=of_bucket))


def _less(dice: Dice, statements: list[Json], _of_bucket: bool) -> None:  # noqa: FBT001  likewise
    if len(statements) > 1:
        statements.pop(dice.randrange(len(statements)))
    else:
        statements[0].pop("Condition", None)


def _otherwise(dice: Dice, statements: list[Json], of_bucket: bool) -> None:  # noqa: FBT001  likewise
    one = dice.choice(statements)
    other = _statement(dice, of_bucket=of_bucket)
    parts = (("Action", "NotAction"), ("Resource", "NotResource"), ("Condition",), ("Principal",))
    for name in dice.choice(parts if of_bucket else parts[:3]):
        one.pop(name, None)
        if name in other:
            one[name] = other[name]


def _rows(found: Pair, name: str) -> Iterator[Row]:
    """Everything that could be asked. Who asks a bucket's policy has every permission at home."""
    principals = (ROLE, ANOTHER, f"arn:aws:iam::{OTHER}:role/three")
    whole = {"identity": ("everything",), "policy": name}
    for action, thing, context in product(ASKED_ACTIONS, ASKED_OBJECTS, _contexts(found)):
        if not found.of_bucket:
            role = f"arn:aws:iam::{ACCOUNT}:role/one"
            yield Row(role, action, thing, ACCOUNT, context, (name,))
            continue
        for principal in principals:
            yield Row(principal, action, thing, ACCOUNT, context, **whole)  # type: ignore[arg-type]  # the two by their names


def _contexts(found: Pair) -> Sequence[Mapping[str, str]]:
    """Those that the pair's conditions tell apart."""
    named = json.dumps([found.before, found.after])
    seen: dict[str, Mapping[str, str]] = {}
    for context in CONTEXTS:
        seen.setdefault(str({key: context[key] for key in context if key in named}), context)
    return tuple(seen.values())


EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
}


def compared(pairs: Sequence[Pair]) -> Iterator[tuple[Pair, bool, bool]]:
    """Each pair, whether something is allowed after and was not before, and the other way round,
    as the evaluator has it."""
    policies: Json = {"everything": EVERYTHING}
    rows: list[Row] = []
    sizes = []
    for number, found in enumerate(pairs):
        before = list(_rows(found, f"before {number}"))
        after = list(_rows(found, f"after {number}"))
        policies |= {f"before {number}": found.before, f"after {number}": found.after}
        rows += before + after
        sizes.append(len(before))
    verdicts = iter(allowed(policies, rows))
    for found, size in zip(pairs, sizes, strict=True):
        was = [next(verdicts) for _ in range(size)]
        now = [next(verdicts) for _ in range(size)]
        gained = any(b and not a for a, b in zip(was, now, strict=True))
        lost = any(a and not b for a, b in zip(was, now, strict=True))
        yield found, gained, lost


def pairs_judged(pairs: Sequence[Pair]) -> Result:
    """Both ways of each pair: one that allows more is never called anything but wider or unclear,
    and what is called wider, narrower or the same is that."""
    failures, agreed, cautious = [], 0, 0
    shares = (pairs[first : first + AT_A_TIME] for first in range(0, len(pairs), AT_A_TIME))
    for found, gained, lost in (one for share in shares for one in compared(share)):
        for ways in (
            (found.before, found.after, gained, lost),
            (found.after, found.before, lost, gained),
        ):
            before, after, more, less = ways
            said = compare_policies(before, after)
            agreed += said is Access.WIDER and more and not less
            cautious += said is Access.UNCLEAR and not (more and less)
            if not _is_true(said, more=more, less=less):
                truth = f"{'more' if more else 'no more'} and {'less' if less else 'no less'}"
                failures.append(f"{truth} is called {said}: {json.dumps([before, after])}")
    return Result(2 * len(pairs), tuple(failures), (f"{agreed} {cautious}",))


def _is_true(said: Access, *, more: bool, less: bool) -> bool:
    match said:
        case Access.WIDER:
            return not less
        case Access.NARROWER:
            return not more
        case Access.SAME:
            return not (more or less)
        case Access.UNCLEAR:
            return True


def policy_pairs(scale: Scale) -> Result:
    """Policies and what became of them, judged independently."""
    install()
    dice = Dice(scale.seed)
    pairs = [pair(dice) for _ in range(scale.of(12, 480))]
    found = side_by_side(pairs_judged, pairs)
    counts = [tuple(map(int, note.split())) for note in found.notes]
    agreed, cautious = (sum(column) for column in zip(*counts, strict=True))
    failures = list(found.failures)
    if agreed < scale.of(3, 200):
        failures.append(f"only {agreed} are wider, as the evaluator has it too")
    note = f"{agreed} wider, as the evaluator has it too; {cautious} unclear that need not be"
    return Result(found.cases, tuple(failures), (note,))
