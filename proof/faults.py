"""Every call of every flow meets every error; the same request, asked once more, mends it all.

The schedule looks at a part of the settings at a time, so it is asked for one round.

A fault is what is left when the SDK has given up, so it is harder than on AWS, where most of
these pass unseen. A reply that is lost after the call took effect, and a call that the SDK
repeats because of that, are faults too.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from proof.cloud import Call, Cloud, Footprint, Json, Perform, Refused, footprint
from proof.flows import FLOWS, Flow, ask_all_turns, look_at_everything, run
from proof.house import house
from proof.result import Result, Scale, side_by_side

REPLY_LIMIT = 4096  # AWS CloudFormation User Guide, "Custom resource reference"


DAY = 86_400.0
NOT_FOUND = frozenset({"NoSuchBucket", "NotFoundException", "ParameterNotFound"})


class Killed(BaseException):
    """The process is gone: nothing may catch this, and no call comes after it."""


@dataclass(frozen=True)
class Fault:
    """One way in which a call goes wrong."""

    name: str
    strike: Callable[[Call, Perform], Json]
    kills: bool = False


def _refused(status: int, **codes: str) -> Callable[[Call, Perform], Json]:
    """The service refuses, each in its own words; `others` is for those without any."""

    def strike(call: Call, _perform: Perform) -> Json:
        # The reply to CloudFormation is an object that is put into a bucket of its own.
        service = "s3" if call.operation == "Answer" else call.service
        code = codes.get(service, codes["others"])
        if code in NOT_FOUND and (call.operation == "Answer" or not _made_something()):
            return _connection_reset(call, _perform)  # what has been there for long is found
        at = {"SlowDown": 503, "AccessDenied": 403, "NoSuchBucket": 404}.get(code, status)
        # A HEAD has no body, so no code either.
        raise Refused(str(at) if call.operation.startswith("Head") else code, at)

    return strike


def _made_something() -> bool:
    cloud = Cloud.current
    assert cloud is not None
    return any(made.operation.startswith("Create") for made in cloud.calls[cloud.asked_from :])


def _connection_refused(call: Call, _perform: Perform) -> Json:
    raise EndpointConnectionError(endpoint_url=f"https://{call.service}.{call.region}")


def _connection_reset(call: Call, _perform: Perform) -> Json:
    raise ConnectionClosedError(endpoint_url=f"https://{call.service}.{call.region}")


def _read_timeout(call: Call, _perform: Perform) -> Json:
    raise ReadTimeoutError(endpoint_url=f"https://{call.service}.{call.region}")


def _reply_lost(call: Call, perform: Perform) -> Json:
    perform()
    return _read_timeout(call, perform)


def _repeated(call: Call, perform: Perform) -> Json:
    perform()
    body: Any = call.params.get("Body")
    if hasattr(body, "seek"):
        body.seek(0)  # as the SDK does
    return perform()


def _garbled(call: Call, perform: Perform) -> Json:
    perform()
    if call.service != "s3":
        return _connection_reset(call, perform)
    # S3 speaks XML; botocore's parser gives up with an exception of its own.
    raise ResponseParserError("Unable to parse response: not well-formed (invalid token)")


def _killed_before(_call: Call, _perform: Perform) -> Json:
    raise Killed


def _killed_after(_call: Call, perform: Perform) -> Json:
    perform()
    raise Killed


FAULTS: tuple[Fault, ...] = (
    Fault("throttle", _refused(400, s3="SlowDown", others="ThrottlingException")),
    Fault("too many requests", _refused(429, others="TooManyRequestsException")),
    Fault("500", _refused(500, kms="KMSInternalException", others="InternalError")),
    Fault("503", _refused(503, others="ServiceUnavailable")),
    Fault("request timeout", _refused(400, others="RequestTimeout")),
    Fault("connection refused", _connection_refused),
    Fault("connection reset", _connection_reset),
    Fault("read timeout", _read_timeout),
    Fault("reply lost after success", _reply_lost),
    Fault("reply lost, repeated by the SDK", _repeated),
    Fault("garbled reply", _garbled),
    Fault("access denied", _refused(400, s3="AccessDenied", others="AccessDeniedException")),
    Fault("expired token", _refused(400, s3="ExpiredToken", others="ExpiredTokenException")),
    Fault(
        "conflict",
        _refused(409, s3="OperationAborted", ssm="TooManyUpdates", others="ConflictException"),
    ),
    Fault(
        "not found right after it was made",
        _refused(404, s3="NoSuchBucket", ssm="ParameterNotFound", others="NotFoundException"),
    ),
    Fault(
        "limit exceeded",
        _refused(
            400, s3="TooManyBuckets", ssm="ParameterLimitExceeded", others="LimitExceededException"
        ),
    ),
    Fault("region refused", _refused(403, others="UnrecognizedClientException")),
)
CRASHES: tuple[Fault, ...] = (
    Fault("killed before the call", _killed_before, kills=True),
    Fault("killed after the call", _killed_after, kills=True),
)


@dataclass(frozen=True)
class Case:
    """One flow, and what happens to which of its calls: in each run, faults by call number."""

    flow: int
    runs: tuple[Mapping[int, int], ...]

    def __str__(self) -> str:
        flow = FLOWS[self.flow]
        strikes = "; then ".join(
            ", ".join(f"{ALL[fault].name} at call {number}" for number, fault in one.items())
            for one in self.runs
        )
        return f"{flow.name}: {strikes}"


ALL = FAULTS + CRASHES


def struck(faults: Mapping[int, int]) -> Callable[[Call, Perform], Json]:
    """A way to meet calls: the n-th of them with the fault for n, if there is one."""
    count = iter(range(1_000_000))
    dead: list[bool] = []

    def meet(call: Call, perform: Perform) -> Json:
        number = next(count)
        if dead:
            raise Killed
        if number in faults:
            fault = ALL[faults[number]]
            if fault.kills:
                dead.append(True)
            return fault.strike(call, perform)
        return perform()

    return meet


@dataclass(frozen=True)
class Undisturbed:
    """How a flow goes when nothing goes wrong: its calls, and what it leaves."""

    calls: tuple[Call, ...]
    left: Footprint


def undisturbed(flow: Flow) -> Undisturbed:
    cloud = flow.begin()
    error = run(flow, cloud)
    calls = tuple(cloud.calls)
    error = error or ask_all_turns(flow, cloud)
    assert error is None, f"{flow.name}: {error}"
    return Undisturbed(calls, footprint(cloud))


def judge(case: Case, expected: str) -> Iterator[str]:
    """What is wrong after the faults and one request without any; nothing, if all is well.
    `expected` is the store that the flow leaves, undisturbed."""
    flow = FLOWS[case.flow]
    cloud = flow.begin()
    for faults in (*case.runs, {}):
        last = not faults
        cloud.answer_bodies.clear()
        cloud.job_answers.clear()
        cloud.meet = struck(faults)
        cloud.asked_from = len(cloud.calls)
        killed = False
        try:
            error = ask_all_turns(flow, cloud) if last else run(flow, cloud)
        except Killed:
            killed, error = True, None
        except Exception as unhandled:  # noqa: BLE001  what the function let through
            yield f"{case}: unhandled {type(unhandled).__name__}: {unhandled}"
            continue
        if not killed:
            wrongs = _wrong_answers(flow, cloud, again=error is not None, last=last)
            yield from (f"{case}: {wrong}" for wrong in wrongs)
        if last and error:
            yield f"{case}: asked again without a fault: {error}"
    left = footprint(cloud)
    if left.orphans:
        # One that might still be on its way to be used is only known as an orphan after a while.
        cloud.clock += DAY
        run(Flow("a day later", look_at_everything), cloud)
        if orphans := footprint(cloud).orphans:
            yield f"{case}: orphan {', '.join(orphans)}"
    if left.store != expected:
        yield f"{case}: another state than undisturbed: {_difference(expected, left.store)}"
    if cloud.written_to_strangers:
        yield f"{case}: wrote to {cloud.written_to_strangers}"


def _wrong_answers(flow: Flow, cloud: Cloud, *, again: bool, last: bool) -> Iterator[str]:
    """`again`: the function raised, and Lambda asks it again, but for CloudFormation's requests."""
    # The same bytes twice are one answer: the first PUT was taken and its own answer lost.
    bodies = set(cloud.answer_bodies)
    if len(bodies) != flow.answers:
        yield f"{len(bodies)} answers where {flow.answers} is due"
    for body in bodies:
        answer = json.loads(body)
        if len(body) > REPLY_LIMIT or answer["Status"] not in ("SUCCESS", "FAILED"):
            yield f"malformed answer {body!r}"
        if last and answer["Status"] != "SUCCESS":
            yield f"answered without a fault: {answer['Reason']}"
    later = again and not last and not cloud.job_answers
    if len(cloud.job_answers) != flow.job_answers and not later:
        yield f"{len(cloud.job_answers)} job answers where {flow.job_answers} is due"


def _difference(expected: str, left: str) -> str:
    before, after = expected.splitlines(), left.splitlines()
    wrong = [line for line in after if line not in before]
    missing = [line for line in before if line not in after]
    return f"+{wrong[:4]} -{missing[:4]}"


def singles(calls: Sequence[int], kinds: range) -> list[Case]:
    return [
        Case(flow, ({number: kind},))
        for flow, length in enumerate(calls)
        for number in range(length)
        for kind in kinds
    ]


def pairs(calls: Sequence[int], count: int, seed: int) -> list[Case]:
    """Two faults in one run, or one in each of two."""
    dice = random.Random(seed)
    cases = []
    for _ in range(count):
        flow = dice.randrange(len(calls))
        first, second = (dice.randrange(calls[flow]) for _ in range(2))
        kinds = [dice.randrange(len(ALL)) for _ in range(2)]
        if dice.random() < 0.5 and first != second:  # noqa: PLR2004  a coin
            cases.append(Case(flow, (dict(zip(sorted((first, second)), kinds, strict=True)),)))
        else:
            cases.append(Case(flow, ({first: kinds[0]}, {second: kinds[1]})))
    return cases


def every_flow() -> list[Undisturbed]:
    with house():
        return [undisturbed(flow) for flow in FLOWS]


def judged(cases: Sequence[Case], known: Sequence[str] = ()) -> Result:
    """Judge these cases in this process. `known`: the store that each flow leaves, undisturbed,
    where somebody has asked already."""
    failures: list[str] = []
    expected = dict(enumerate(known))
    with house():
        for case in cases:
            if case.flow not in expected:
                expected[case.flow] = undisturbed(FLOWS[case.flow]).left.store
            failures += judge(case, expected[case.flow])
    return Result(len(cases), tuple(failures))


def _judged_beside(flows: Sequence[Undisturbed], cases: Sequence[Case]) -> Result:
    return side_by_side(partial(judged, known=[flow.left.store for flow in flows]), cases)


def faults(scale: Scale) -> Result:
    """Every call of every flow x every error."""
    flows = every_flow()
    calls = [len(flow.calls) for flow in flows]
    cases = singles(calls, range(len(FAULTS)))
    chosen = cases if scale.full else random.Random(scale.seed).sample(cases, 1600)
    result = _judged_beside(flows, chosen)
    return result + Result(
        0,
        notes=(f"{len(FLOWS)} flows, {sum(calls)} calls x {len(FAULTS)} errors = {len(cases)}",),
    )


def crashes(scale: Scale) -> Result:
    """The process is gone before or after every call."""
    flows = every_flow()
    cases = singles([len(flow.calls) for flow in flows], range(len(FAULTS), len(ALL)))
    chosen = cases if scale.full else random.Random(scale.seed).sample(cases, 200)
    return _judged_beside(flows, chosen)


def pairs_of_faults(scale: Scale) -> Result:
    """Two errors or crashes, in one run or in two."""
    flows = every_flow()
    calls = [len(flow.calls) for flow in flows]
    return _judged_beside(flows, pairs(calls, scale.of(200, 8_000), scale.seed))


def fault_named(name: str) -> int:
    return next(number for number, fault in enumerate(ALL) if fault.name == name)
