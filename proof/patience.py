"""AWS does not know everywhere yet what it was told a moment ago: READY in the same run.

Each answer that stands for "not yet" is given at every call that can meet it, once or for some
seconds: a key, an alias or a bucket that this run has made is not there, or not open to its role;
another change is under way; a role's rights are new; a key that was enabled is shown as before.
And in a slow world, everything that is made is seen by nobody for some seconds. The run ends as
if nothing had happened, by whoever asks: a stack's request, an event, the schedule, a command.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from foothold.errors import FootholdError, TemporaryError
from proof.cloud import Call, Cloud, Footprint, Json, Key, Perform, Refused, footprint
from proof.flows import FLOWS, Flow, adopt, event, requested, run, stack, to_adopt
from proof.house import house
from proof.result import Result, Scale, side_by_side

# The functions that make stores.
HANDLERS = ("reconcile", "artifact_store")
STORE_SERVICES = frozenset({"ec2", "events", "kms", "resourcegroupstaggingapi", "s3", "ssm"})
# How long an answer stands, in seconds; None: once. A new stack's role is waited for longer.
JUST_MADE = {"reconcile": 30.0, "artifact_store": 150.0}
NEW_RIGHT = {"reconcile": 5.0, "artifact_store": 40.0}
# AWS KMS Developer Guide, "ABAC for AWS KMS": a tag may take five minutes to count.
TAGS_COUNT_AFTER = 300.0
BY_TAG = frozenset({"CancelKeyDeletion", "EnableKey", "PutKeyPolicy", "ScheduleKeyDeletion"})


@dataclass
class Made:
    """What a run has made so far, and when: keys by ARN, aliases and buckets by name."""

    since: dict[str, float] = field(default_factory=dict)
    revived: set[str] = field(default_factory=set)

    def note(self, call: Call, answer: Json, now: float) -> None:
        match call.operation:
            case "CreateKey":
                self.since[answer["KeyMetadata"]["Arn"]] = now
            case "CreateAlias":
                self.since[f"{call.params['AliasName']} in {call.region}"] = now
            case "CreateBucket":
                self.since[call.params["Bucket"]] = now
            case "EnableKey":
                self.revived.add(call.params["KeyId"])
            case _:
                pass

    def of(self, call: Call) -> list[str]:
        """What was made of that which the call names."""
        asked = ("Bucket", "KeyId", "TargetKeyId", "AliasName")
        named = [str(call.params.get(name)) for name in asked]
        named += [f"{name} in {call.region}" for name in named]
        return [name for name in named if name in self.since]


Strike = Callable[[Call, Perform], Json]


def _not_there(call: Call, _perform: Perform) -> Json:
    code = "NoSuchBucket" if call.service == "s3" else "NotFoundException"
    status = 404 if call.service == "s3" else 400
    raise Refused("404" if call.operation.startswith("Head") else code, status)


def _denied(call: Call, _perform: Perform) -> Json:
    codes = {"s3": "AccessDenied", "ec2": "UnauthorizedOperation"}
    code = codes.get(call.service, "AccessDeniedException")
    raise Refused("403" if call.operation.startswith("Head") else code, 403)


def _under_way(call: Call, _perform: Perform) -> Json:
    if call.service == "s3":
        raise Refused("OperationAborted", 409)
    raise Refused("TooManyUpdates", 400)


def _still_disabled(_call: Call, perform: Perform) -> Json:
    answer = perform()
    answer["KeyMetadata"]["KeyState"] = "Disabled"
    return answer


def _of_a_disabled_key(_call: Call, _perform: Perform) -> Json:
    raise Refused("DisabledException", 400)


STRIKES = {
    "not there yet": _not_there,
    "denied": _denied,
    "another change is under way": _under_way,
    "still disabled": _still_disabled,
    "refused as disabled": _of_a_disabled_key,
}


def answers_of_a_moment(call: Call, made: Made, function: str) -> Iterator[tuple[str, float]]:
    """Each answer that this call can meet, by name, and for how long it may stand."""
    if call.service not in STORE_SERVICES:
        return
    just = bool(made.of(call))
    if just:
        yield "not there yet", JUST_MADE[function]
    yield "denied", (JUST_MADE if just else NEW_RIGHT)[function]
    if (call.service == "s3" and call.writes) or call.operation == "PutParameter":
        yield "another change is under way", JUST_MADE[function]
    if call.service == "kms" and call.params.get("KeyId") in made.revived:
        yield "refused as disabled", JUST_MADE[function]
    if call.operation == "DescribeKey" and made.revived:
        yield "still disabled", JUST_MADE[function]


@dataclass(frozen=True)
class Moment:
    """One answer, from one call of one flow on, for so many seconds; 0: once."""

    flow: int
    number: int
    answer: str
    seconds: float

    def __str__(self) -> str:
        long = f"for {self.seconds:.0f} s" if self.seconds else "once"
        return f"{FLOWS[self.flow].name}: {self.answer} at call {self.number}, {long}"


def moments() -> list[Moment]:
    """Every answer of a moment that any call of any flow can meet."""
    found = []
    with house():
        for number, flow in enumerate(FLOWS):
            if flow.function in HANDLERS:
                found += _moments_of(number, flow)
    return found


def _moments_of(number: int, flow: Flow) -> list[Moment]:
    cloud, made = flow.begin(), Made()
    found: list[Moment] = []

    def meet(call: Call, perform: Perform) -> Json:
        at = len(cloud.calls) - 1
        for answer, seconds in answers_of_a_moment(call, made, flow.function):
            found.extend(Moment(number, at, answer, long) for long in (0.0, seconds))
        result = perform()
        made.note(call, result, cloud.clock)
        return result

    begun = len(cloud.calls)
    cloud.meet = meet
    run(flow, cloud)
    return [Moment(m.flow, m.number - begun, m.answer, m.seconds) for m in found]


def struck(cloud: Cloud, moment: Moment) -> Strike:
    """A way to meet calls: the one of the moment, and its like while the moment lasts."""
    count = iter(range(1_000_000))
    strike = STRIKES[moment.answer]
    struck_at: list[tuple[float, Call]] = []

    def meet(call: Call, perform: Perform) -> Json:
        number = next(count)
        if number == moment.number:
            struck_at.append((cloud.clock, call))
            return strike(call, perform)
        if moment.seconds and struck_at:
            since, first = struck_at[0]
            alike = (str(call), call.params) == (str(first), first.params)
            if alike and cloud.clock < since + moment.seconds:
                return strike(call, perform)
        return perform()

    return meet


def ended(flow: Flow, cloud: Cloud) -> tuple[FootholdError | None, Footprint, list[str]]:
    """What the run raised, what it left, and what the stack was told."""
    cloud.answer_bodies.clear()
    cloud.answers.clear()
    error = run(flow, cloud)
    left = footprint(cloud)
    # When a retirement began is not what is compared.
    store = re.sub(r'(\\"since\\": ?)\d+', r"\1n", left.store)
    return error, Footprint(store, left.orphans), [one["Status"] for one in cloud.answers]


@lru_cache
def undisturbed(flow: Flow) -> tuple[Footprint, list[str]]:
    error, left, told = ended(flow, flow.begin())
    assert error is None, f"{flow.name}: {error}"
    return left, told


def wrongs(flow: Flow, cloud: Cloud) -> Iterator[str]:
    """What is not as it would have been without anything of the kind."""
    error, left, told = ended(flow, cloud)
    if error:
        yield f"{type(error).__name__}: {error}"
    before, told_before = undisturbed(flow)
    if told != told_before:
        reasons = [one.get("Reason") for one in cloud.answers if one["Status"] != "SUCCESS"]
        yield f"the stack was told {told} {reasons}"
    if left.store != before.store:
        known = before.store.splitlines()
        more = [line for line in left.store.splitlines() if line not in known]
        yield f"not the same store: {more[:4]}"
    if len(left.orphans) != len(before.orphans):
        yield f"spare keys {left.orphans}"


def judged(cases: Sequence[Moment]) -> Result:
    failures: list[str] = []
    with house():
        for moment in cases:
            flow = FLOWS[moment.flow]
            cloud = flow.begin()
            cloud.meet = struck(cloud, moment)
            failures += [f"{moment}: {wrong}" for wrong in wrongs(flow, cloud)]
    return Result(len(cases), tuple(failures))


# --- Worlds in which everything is late -------------------------------------------------------


def slow(cloud: Cloud, seconds: float) -> Strike:
    """Whatever is made is seen by nobody for so long, whoever asks about it."""
    made = Made()

    def meet(call: Call, perform: Perform) -> Json:
        late = [name for name in made.of(call) if cloud.clock < made.since[name] + seconds]
        if late and call.operation not in ("CreateKey", "CreateBucket"):
            return _not_there(call, perform)
        answer = perform()
        made.note(call, answer, cloud.clock)
        return answer

    return meet


def unrighted(cloud: Cloud, seconds: float) -> Strike:
    """The role is new: it may do nothing yet."""
    began = cloud.clock

    def meet(call: Call, perform: Perform) -> Json:
        if call.service in STORE_SERVICES and cloud.clock < began + seconds:
            return _denied(call, perform)
        return perform()

    return meet


def late_tags(cloud: Cloud) -> Strike:
    """What a tag of a key allows is allowed minutes after the tag was given."""
    tagged: dict[str, float] = {}

    def meet(call: Call, perform: Perform) -> Json:
        key = call.params.get("KeyId")
        since = tagged.get(str(key), 0.0)
        if call.operation in BY_TAG and cloud.clock < since + TAGS_COUNT_AFTER:
            return _denied(call, perform)
        answer = perform()
        if call.operation == "CreateKey":
            tagged[answer["KeyMetadata"]["Arn"]] = cloud.clock
        if call.operation == "TagResource":
            tagged.setdefault(str(key), cloud.clock)
        return answer

    return meet


def first_alias_is_anothers(cloud: Cloud, strike: Strike) -> Strike:
    """Another run of our own points the alias first."""

    def meet(call: Call, perform: Perform) -> Json:
        name = (call.region, str(call.params.get("AliasName")))
        if call.operation == "CreateAlias" and name not in cloud.aliases:
            mine = cloud.keys[call.params["TargetKeyId"]]
            other: Key = cloud.add_key(call.region, dict(mine.tags), dict(mine.policy))
            cloud.aliases[name] = other.arn
        return strike(call, perform)

    return meet


def late_worlds() -> Result:
    """Everything late at once, for each who asks; and tags that take minutes to count."""
    failures: list[str] = []
    cases = 0
    with house():
        for flow in FLOWS:
            if flow.function not in HANDLERS:
                continue
            for meet, seconds in ((slow, JUST_MADE), (unrighted, NEW_RIGHT)):
                cases += 1
                cloud = flow.begin()
                cloud.meet = meet(cloud, seconds[flow.function] / 6)
                name = f"{flow.name}, {meet.__name__}"
                failures += [f"{name}: {wrong}" for wrong in wrongs(flow, cloud)]
        for flow in (
            Flow("a region is requested", requested("eu-west-1")),
            Flow("a stack asks for a store", stack("cfn_create"), function="artifact_store"),
        ):
            cases += 1
            cloud = flow.begin()
            cloud.meet = first_alias_is_anothers(cloud, late_tags(cloud))
            error, _, told = ended(flow, cloud)
            if error or "FAILED" in told:
                failures.append(f"{flow.name}, a race lost: {error} {cloud.answers}")
        cases += 1
        failures += list(_late_adoption())
    return Result(cases, tuple(failures))


def _late_adoption() -> Iterator[str]:
    """The command says that it takes some minutes, and the schedule ends it."""
    cloud = to_adopt()
    cloud.meet = late_tags(cloud)
    error = run(Flow("adopt", adopt()), cloud)
    if not isinstance(error, TemporaryError) or "takes some minutes" not in str(error):
        yield f"an adoption whose tags are late: {type(error).__name__}: {error}"
    for _ in range(5):
        cloud.clock += 900.0
        if error := run(Flow("the schedule", event("schedule")), cloud):
            yield f"the schedule after an adoption: {error}"
    undisturbed = to_adopt()
    run(Flow("adopt", adopt()), undisturbed)
    if footprint(cloud).store != footprint(undisturbed).store:
        yield "the schedule does not end an adoption"


def patience(scale: Scale) -> Result:
    """Each answer of a moment at every call that can meet it; and everything late at once."""
    cases = moments()
    chosen = cases if scale.full else random.Random(scale.seed).sample(cases, 500)
    note = f"{len(cases)} answers of a moment at {len({(m.flow, m.number) for m in cases})} calls"
    return side_by_side(judged, chosen) + late_worlds() + Result(0, notes=(note,))
