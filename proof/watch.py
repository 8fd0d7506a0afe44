"""What must never happen, however the world behaves: a byte written to a stranger's bucket, an S3
call that does not say whose bucket it means, a secret in a log, more calls than a service takes.
"""

import copy
import heapq
import itertools
import json
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import botocore.session

from foothold.errors import FootholdError
from foothold.stores.model import ControlPlane
from proof.cloud import (
    ACCOUNT,
    HOME,
    STACK,
    STACK_TAG,
    STRANGER,
    Bucket,
    Call,
    Cloud,
    Json,
    Perform,
    Refused,
)
from proof.flows import (
    FLOWS,
    GLOBAL_NAMES_REGION,
    Flow,
    built,
    changed,
    event,
    job,
    look_at_everything,
    packaged,
    requested,
    run,
    stack,
    store_of,
)
from proof.house import Context, Log, handler, house, saved
from proof.privileges import SELDOM
from proof.result import Result, Scale, side_by_side

# --- Whose bucket -------------------------------------------------------------------------------


def owner_named(_scale: Scale) -> Result:
    """Every S3 call that can name the bucket's owner names us."""
    failures: list[str] = []
    operations: Counter[str] = Counter()
    with house():
        for flow, meet in (*((flow, None) for flow in FLOWS), *SELDOM):
            cloud = flow.begin()
            cloud.meet = meet or cloud.meet
            run(flow, cloud)
            for call in cloud.calls:
                if call.service == "s3" and call.owner_can_be_named:
                    operations[call.operation] += 1
                    if call.params.get("ExpectedBucketOwner") != ACCOUNT:
                        failures.append(f"{flow.name}: {call} names no owner")
    note = f"{len(operations)} operations of S3; CreateBucket takes no owner"
    return Result(operations.total(), tuple(failures), (note,))


# --- Squatting ------------------------------------------------------------------------------------

# Where names are global, a stranger may hold one; elsewhere only S3's own namespace stops them.
WHERE = GLOBAL_NAMES_REGION
ALIAS = (WHERE, "alias/foothold/artifacts")
OURS = ControlPlane(ACCOUNT, HOME, "foothold").spec(WHERE).bucket


def strangers_bucket(cloud: Cloud) -> None:
    """A stranger holds the name, and lets everybody write: that is the trap."""
    cloud.add_bucket(OURS, WHERE, STRANGER)


def another_stacks_bucket(cloud: Cloud) -> None:
    """Somebody else in our own account takes the name, where it is free."""
    if OURS in cloud.buckets:
        return
    bucket = cloud.add_bucket(OURS, WHERE, ACCOUNT)
    bucket.tags = {STACK_TAG: "another"}
    bucket.objects["theirs"] = [
        {"Body": b"theirs", "VersionId": "1", "SSEKMSKeyId": None, "ChecksumSHA256": None}
    ]


def another_homes_bucket(cloud: Cloud) -> None:
    """So does a control plane of the same name, whose home is elsewhere."""
    if OURS not in cloud.buckets:
        another_stacks_bucket(cloud)
        cloud.buckets[OURS].tags = {STACK_TAG: STACK, "foothold:home": "us-east-1"}


def forged_retirement(cloud: Cloud) -> None:
    """Somebody writes down that the region is being retired."""
    record = {"phase": "retiring", "since": int(cloud.clock), "key_arn": None, "deleted": 0}
    name = f"/foothold/artifact-stores/{WHERE}/retired"
    cloud.parameters[HOME, name] = (json.dumps(record), "String")


def foreign_alias(cloud: Cloud) -> None:
    """The alias points at a key of our account that is not Foothold's."""
    key = cloud.add_key(WHERE, {STACK_TAG: "another"}, {"theirs": True})
    cloud.aliases[ALIAS] = key.arn


def tampered_parameters(cloud: Cloud) -> None:
    """Both parameters name what a stranger holds."""
    arn = f"arn:aws:kms:{WHERE}:{STRANGER}:key/0000"
    for where, path in (
        (HOME, f"/foothold/artifact-stores/{WHERE}"),
        (WHERE, "/foothold/artifact-store"),
    ):
        cloud.parameters[where, f"{path}/bucket"] = ("strangers-bucket", "String")
        cloud.parameters[where, f"{path}/key-arn"] = (arn, "String")


ATTACKS = (
    strangers_bucket,
    another_stacks_bucket,
    another_homes_bucket,
    forged_retirement,
    foreign_alias,
    tampered_parameters,
)
# Parameters are put right; for the others a person has to decide, so there is an alarm.
REPAIRED = (tampered_parameters,)
ATTACKED = (
    Flow("a region of global names is requested", requested(WHERE)),
    Flow("its store is there", requested(WHERE), changed(lambda _cloud: None, WHERE)),
    Flow(
        "its store has drifted",
        requested(WHERE),
        changed(lambda cloud: store_of(cloud, WHERE)[0].settings.clear(), WHERE),
    ),
    Flow(
        "a stack asks for it",
        stack("cfn_create", Region=WHERE),
        answers=1,
        function="artifact_store",
    ),
)


@dataclass(frozen=True)
class Attack:
    flow: int
    number: int
    attack: int

    def __str__(self) -> str:
        name = ATTACKS[self.attack].__name__.replace("_", " ")
        return f"{ATTACKED[self.flow].name}: {name} before call {self.number}"


def squatting(_scale: Scale) -> Result:
    """Foreign bucket, foreign alias, tampered parameters, at every step."""
    with house():
        lengths = []
        for flow in ATTACKED:
            cloud = flow.begin()
            run(flow, cloud)
            lengths.append(len(cloud.calls))
    attacks = [
        Attack(flow, number, attack)
        for flow, length in enumerate(lengths)
        for number in range(length)
        for attack in range(len(ATTACKS))
    ]
    return side_by_side(attacked, attacks)


def attacked(attacks: Sequence[Attack]) -> Result:
    failures: list[str] = []
    with house() as log:
        for attack in attacks:
            failures += [f"{attack}: {wrong}" for wrong in _withstood(attack, log)]
    return Result(len(attacks), tuple(failures))


def _withstood(attack: Attack, log: Log) -> Iterator[str]:  # noqa: C901  one check each
    flow, strike = ATTACKED[attack.flow], ATTACKS[attack.attack]
    cloud = flow.begin()
    count = iter(range(1_000_000))
    theirs: list[Bucket] = []

    def meet(_call: Call, perform: Perform) -> Json:
        if next(count) == attack.number:
            strike(cloud)
            theirs.extend(b for b in cloud.buckets.values() if _foreign(b))
        return perform()

    cloud.meet = meet
    log.text.seek(0)
    log.text.truncate()
    errors: list[FootholdError | None] = [run(flow, cloud)]
    cloud.meet = lambda _call, perform: perform()
    # Whatever was too late to be seen in this run is seen in the next look.
    errors += [run(flow, cloud), run(Flow("a look", look_at_everything), cloud)]
    errors += [run(Flow("the schedule", event("schedule")), cloud)]
    gone = ("DeleteBucket", "DeleteObjects", "DeleteAlias", "ScheduleKeyDeletion")
    if strike is forged_retirement and any(call.operation in gone for call in cloud.calls):
        yield "took a store away"
    if cloud.written_to_strangers:
        yield f"wrote to {set(cloud.written_to_strangers)}"
    for bucket in theirs:
        if bucket.settings or len(bucket.objects) > 1:
            yield f"changed a bucket that is not ours: {sorted(bucket.settings)}"
    for key in cloud.keys.values():
        if "theirs" in key.policy and (key.rotation or key.tags != {STACK_TAG: "another"}):
            yield "changed a key that is not ours"
    if strike in REPAIRED:
        name = (HOME, f"/foothold/artifact-stores/{WHERE}/bucket")
        if cloud.parameters[name][0] != OURS:
            yield f"{name} still says {cloud.parameters[name]}"
    elif (theirs or strike is foreign_alias) and not any(errors) and not alarmed(log):
        yield "no alarm"


def _foreign(bucket: Bucket) -> bool:
    theirs = "another" in bucket.tags.values() or "us-east-1" in bucket.tags.values()
    return bucket.owner == STRANGER or theirs


def alarmed(log: Log) -> bool:
    """Whether the metric that template.yaml alarms on was above zero, or the stack was told."""
    written = log.text.getvalue()
    return '"RegionsFailed":[1' in written.replace(" ", "") or "request failed" in written


# --- Secrets ----------------------------------------------------------------------------------

CANARY = "canary"


def secrets(_scale: Scale) -> Result:
    """ResponseURL, credentials, tokens and values of others' never come to a log or an answer."""
    failures: list[str] = []
    cases = silent = 0
    with house() as log:
        for flow in (*FLOWS, *_with_canaries()):
            for fault in (None, "AccessDenied", "boom"):
                cases += 1
                log.text.seek(0)
                log.text.truncate()
                cloud = flow.begin()
                cloud.meet = partial(_refuse, fault)
                raised: object = None
                # What nobody has foreseen is logged too, by Lambda itself.
                try:
                    raised = run(flow, cloud)
                except RuntimeError as error:
                    raised = error
                answers = (*cloud.answer_bodies, *cloud.job_answers)
                written = f"{log.text.getvalue()} {raised} {answers}"
                if CANARY in written:
                    at = written.index(CANARY)
                    where = written[max(0, at - 80) : at + 40]
                    failures.append(f"{flow.name}, {fault}: ...{where}")
                silent += not log.text.getvalue()
    if silent > cases / 3:
        failures.append(
            f"{silent} of {cases} requests logged nothing: there was nothing to look at"
        )
    return Result(cases, tuple(failures))


def _with_canaries() -> Iterator[Flow]:
    """Requests whose every secret is a canary."""
    for name in ("cfn_create", "cfn_update", "cfn_delete"):
        request = saved(name)
        url = request["ResponseURL"].replace("example", f"{CANARY}-signature")
        assert CANARY in url
        for region in ("eu-west-1", "nowhere", "af-south-1"):
            properties = {"Region": region} | (
                {"Secret": f"{CANARY}-no-echo"} if region == "nowhere" else {}
            )
            yield Flow(name, partial(_ask, request, url, properties))
    for begin in (built, Cloud):
        for wrong in ({}, {"encryptionKey": {"id": f"{CANARY}-key", "type": 7}}):
            request = job()
            data = request["CodePipeline.job"]["data"] | wrong
            data["artifactCredentials"] = dict.fromkeys(
                ("accessKeyId", "secretAccessKey", "sessionToken"), f"{CANARY}-lent"
            )
            data["continuationToken"] = f"{CANARY}-token"
            request["CodePipeline.job"]["data"] = data
            yield Flow("a job", packaged(partial(copy.deepcopy, request)), begin)
        build = saved("codebuild_succeeded")
        environment = build["detail"]["additional-information"]["environment"]
        environment["environment-variables"] = [
            {"name": "TOKEN", "type": "PLAINTEXT", "value": f"{CANARY}-value"}
        ]
        yield Flow("a build", packaged(partial(copy.deepcopy, build)), begin)


def _ask(request: Json, url: str, properties: Json) -> Any:
    changed_request = request | {"ResponseURL": url}
    changed_request["ResourceProperties"] = request["ResourceProperties"] | properties
    return handler("artifact_store")(changed_request, Context())


def _refuse(fault: str | None, call: Call, perform: Perform) -> Json:
    if fault == "boom" and call.operation == "DescribeRegions":
        raise RuntimeError(f"nobody has foreseen this in {call}")
    if fault == "AccessDenied" and call.writes:
        raise Refused("AccessDenied", 403)
    return perform()


# --- Limits -----------------------------------------------------------------------------------

CALL_SECONDS = 0.1
REGIONS = 34
MOST_READS = 6
PATIENCE = 60.0  # real seconds
# Calls a second in one region. SSM's PutParameter: what AWS Support says of it (below the
# documented 40 of all of Parameter Store). KMS: AWS KMS Developer Guide, "Request quotas", each.
LIMITS = {"ssm:PutParameter": 3} | {
    f"kms:{name}": 5
    for name in (
        "CreateKey", "CreateAlias", "EnableKeyRotation", "PutKeyPolicy", "TagResource", "EnableKey",
        "CancelKeyDeletion", "ScheduleKeyDeletion", "UpdateAlias", "DeleteAlias", "UntagResource",
    )
}  # fmt: skip
# All of a service together: AWS General Reference, "AWS Systems Manager endpoints and quotas".
LIMITS |= {"ssm": 40}


class SimulatedTime:
    """A clock that stands still while anybody works, and goes on to whoever wakes first. Whoever
    asks for the work counts as well as who does it in a pool, so every run takes the same time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._asleep: list[tuple[float, int, threading.Event]] = []
        self._waiting: Counter[Future[Any]] = Counter()  # how many wait for each
        self._working = 1

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        wake = threading.Event()
        with self._lock:
            heapq.heappush(self._asleep, (self.now + seconds, next(self._numbers), wake))
            self._rest()
        assert wake.wait(PATIENCE), "the simulated time stands still"

    def _rest(self) -> None:
        """One fewer works; after the last, the time goes on."""
        self._working -= 1
        if self._asleep and not self._working:
            self.now = self._asleep[0][0]
            while self._asleep and self._asleep[0][0] <= self.now:
                heapq.heappop(self._asleep)[2].set()
                self._working += 1

    @contextmanager
    def of_pools(self) -> Iterator[None]:
        """Count who works for a `ThreadPoolExecutor`, and who waits for what it does."""
        submit, result = ThreadPoolExecutor.submit, Future.result

        def counted(pool: Any, work: Any, /, *args: Any) -> Future[Any]:
            with self._lock:
                self._working += 1
            future = submit(pool, work, *args)
            future.add_done_callback(self._done)
            return future

        def awaited(future: Future[Any], timeout: float | None = None) -> Any:
            with self._lock:
                if not future.done():  # then it will still come to _done
                    self._waiting[future] += 1
                    self._rest()
            return result(future, timeout)

        with (
            patch.object(ThreadPoolExecutor, "submit", counted),
            patch.object(Future, "result", awaited),
        ):
            yield

    def _done(self, future: Future[Any]) -> None:
        with self._lock:
            self._working += self._waiting.pop(future, 0)
            self._rest()


@dataclass
class Clocked:
    """A cloud whose calls take their time, and when each of them was made."""

    cloud: Cloud
    time: SimulatedTime
    made: list[tuple[float, Call]]

    def meet(self, call: Call, perform: Perform) -> Json:
        self.time.sleep(CALL_SECONDS)
        self.made.append((self.time.now, call))
        return perform()

    def take(self, ask: Callable[[], object]) -> float:
        """Do the work; return how many simulated seconds it took."""
        self.made.clear()
        began = self.time.now
        with self.cloud.in_use():
            ask()
        return self.time.now - began


def limits(scale: Scale) -> Result:
    """34 regions from nothing within the rates of SSM and KMS; steady, in twice the time of one;
    and while 1,000 accounts ask, no call more than for as many requests of one account."""
    from foothold.aws.pace import Pace

    time = SimulatedTime()
    names = sorted(botocore.session.get_session().get_available_regions("s3"))[:REGIONS]
    accounts = scale.of(100, 1_000)
    failures: list[str] = []

    with (
        house(pace=lambda most: Pace(most, time.clock, time.sleep), threads=True),
        time.of_pools(),
    ):
        clocked = Clocked(Cloud(dict.fromkeys(names, "ENABLED")), time, [])
        clocked.cloud.meet = clocked.meet
        cold = clocked.take(requested(*names))
        made = list(clocked.made)
        ready = [name for _, name in clocked.cloud.parameters if name.endswith("/bucket")]
        if len(set(ready)) != REGIONS + 1:  # the home region's name for each, and the regional one
            failures.append(f"{len(set(ready)) - 1} of {REGIONS} stores were made")
        steady = clocked.take(event("schedule"))
        made += clocked.made
        reads = Counter(call.region for _, call in clocked.made if call.service != "ec2")
        writes = [str(call) for _, call in clocked.made if call.writes]
        clocked.take(partial(_accounts_ask, names, accounts))
        made += clocked.made
        writes += [str(call) for _, call in clocked.made if call.writes]
        each = len(clocked.made) / accounts
        one = Clocked(Cloud(dict.fromkeys(names, "ENABLED")), time, [])
        one.cloud.meet = one.meet
        one.take(requested(HOME))
        alone = one.take(event("schedule"))
    busy = busiest(made)
    failures += [
        f"{what} in {region}: {count} calls in one second, {LIMITS[what]} are allowed"
        for (what, region), count in busy.items()
        if count > LIMITS[what]
    ]
    if writes:
        failures.append(f"with nothing to do, it writes: {writes[:5]}")
    if round(steady, 3) > round(2 * alone, 3):
        failures.append(
            f"a steady look at {REGIONS} regions takes {steady:.1f} s, {alone:.1f} at one"
        )
    most = max(count for region, count in reads.items() if region != HOME)
    if most > MOST_READS:
        failures.append(f"a steady look reads {most} times in a region")
    stores = (
        f"{REGIONS} regions from nothing in {cold:.0f} s of {CALL_SECONDS:.1f} s calls, steady in "
        f"{steady:.1f} s (one: {alone:.1f} s), {most} reads a region"
    )
    asked = (
        f"{accounts:,} accounts ask for a region each: {each:.0f} reads a request, no write; the "
        f"most in a second: {_most(busy)}"
    )
    return Result(len(busy) + accounts + 3, tuple(failures), (stores, asked))


def _accounts_ask(names: Sequence[str], accounts: int) -> None:
    """An account's events come one at a time, because the function runs one at a time."""
    for number in range(accounts):
        requested(names[number % len(names)])()


def _most(busy: Mapping[tuple[str, str], int]) -> str:
    most: Counter[str] = Counter()
    for (what, _region), count in busy.items():
        most[what] = max(most[what], count)
    closest = sorted(most, key=lambda what: -most[what] / LIMITS[what])[:3]
    return ", ".join(f"{what} {most[what]} of {LIMITS[what]}" for what in closest)


def busiest(made: Sequence[tuple[float, Call]]) -> dict[tuple[str, str], int]:
    """The most calls in any second, for each limited operation or service in each region."""
    recent: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
    most: dict[tuple[str, str], int] = {}
    for at, call in sorted(made, key=lambda one: one[0]):
        for what in (call.service, f"{call.service}:{call.operation}"):
            if what in LIMITS:
                name = (what, call.region)
                recent[name].append(at)
                while recent[name][0] <= at - 1.0 + 1e-9:
                    recent[name].popleft()
                most[name] = max(most.get(name, 0), len(recent[name]))
    return most
