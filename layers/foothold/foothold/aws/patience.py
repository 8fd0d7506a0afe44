"""Ask again while AWS does not know everywhere yet what it was told a moment ago.

A key, an alias or a bucket that was just made may be unknown to the next call, and a role that
was just made may be denied what it is allowed (AWS KMS Developer Guide, "AWS KMS eventual
consistency"; Amazon S3 User Guide, "Amazon S3 data consistency model"; IAM User Guide,
"Troubleshoot IAM", "Changes that I make are not always immediately visible"). Patience stands
between the gateways and the SDK: whatever a gateway asks is asked through it, and what it raises
has been asked for until there was no more time.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import ClientError

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
# "In some cases" a change to a key "might take several minutes" (AWS KMS Developer Guide).
YOUNG_SECONDS = 300.0

NOT_THERE = frozenset({"404", "NoSuchBucket", "NotFoundException"})
DENIED = frozenset({"403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
# Another change to the same bucket or parameter is under way. The SDK repeats neither.
BUSY = frozenset({"OperationAborted", "TooManyUpdates"})
NOT_READY = frozenset({"DisabledException", "KMSInvalidStateException"})

# The services that stores are made of, as botocore names them in its events.
SERVICES = ("ec2", "eventbridge", "kms", "lambda", "resource-groups-tagging-api", "s3", "ssm")
# What a store is made without: nobody waits for it.
DISPENSABLE = frozenset({"ListBuckets"})

TAGS_ARE_NEW = (
    "its tags are new, and it takes some minutes until they count: the schedule goes on with it"
)


@dataclass(frozen=True)
class Limits:
    """How long one run may wait, in seconds since it began; and of that, how long for a right
    that is denied to what was there before. Nothing is waited for without limits."""

    seconds: float = 0.0
    denied: float = 0.0


# Of the 220 seconds that a stack's request has, enough is left for what comes after the wait. Its
# role may be as new as the stack that made it: a first deployment asks at once.
OF_A_STACK = Limits(seconds=200.0, denied=60.0)
# This function runs one at a time, so a region that waits keeps all others waiting; and it is
# asked again, by Lambda and by the schedule. A region that an organisation's policy denies costs
# each run ten seconds at most, whatever number of regions are denied.
OF_AN_EVENT = Limits(seconds=45.0, denied=10.0)
# Less than its caller waits for the function that makes a key; its role may be as new.
OF_A_KEY = Limits(seconds=15.0, denied=15.0)


@dataclass
class _Run:
    """What one run knows: keys by ARN, aliases by region and name, buckets by name. `created` are
    the keys among those that were `made` which it made itself."""

    limits: Limits
    began: float
    made: set[str] = field(default_factory=set)
    created: set[str] = field(default_factory=set)
    tagged: set[str] = field(default_factory=set)
    revived: dict[str, str] = field(default_factory=dict)  # by key, the last call that did it
    denied_since: float | None = None

    @property
    def end(self) -> float:
        return self.began + self.limits.seconds


class Patience:
    """Asks again, with a growing pause, what a run meets for a moment only.

    `clock` is in seconds since the epoch, `sleep` takes seconds, and `chance` returns a number
    from 0 to 1, so that many runs do not ask again in step.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._run = _Run(Limits(), 0.0)

    def begin(self, limits: Limits) -> None:
        """A run begins: nothing is just made, and there is time until its limits."""
        self._run = _Run(limits, self._clock())

    def learn_of_key(self, arn: str) -> None:
        """This run had a key made, by another function."""
        self._run.created.add(arn)
        self._run.made.add(arn)

    def accompany(self, session: boto3.Session) -> None:
        """Stand behind every client that this session makes from now on (boto3 guide,
        "Extensibility guide": a client's class may be given bases)."""
        patience = self

        class Patient:
            meta: Any

            # The one way that every call of a client takes, its paginators' as well.
            def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> Any:
                above: Any = super()
                return patience.ask(
                    operation_name,
                    self.meta.region_name,
                    api_params,
                    lambda: above._make_api_call(operation_name, api_params),  # noqa: SLF001  super()
                )

        def add(base_classes: list[type], **_: Any) -> None:
            base_classes.insert(0, Patient)

        for service in SERVICES:
            session.events.register(f"creating-client-class.{service}", add)

    def ask(
        self, operation: str, region: str, params: Mapping[str, Any], call: Callable[[], Any]
    ) -> Any:
        """What `call` returns, once it is no answer of a moment; or what it raised last, with a
        note that says how long it was asked for, and why."""
        run, things = self._run, _things(region, params)
        began, tries = self._clock(), 0
        while True:
            tries += 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 10))
            pause *= 0.5 + self._chance() / 2
            try:
                answer = call()
            except ClientError as error:
                code = _learn_of_error(run, operation, things, error)
                end, why = self._patient_until(run, operation, things, code)
                if self._clock() + pause > end:
                    if why and tries > 1:
                        # The time it had, not what it took: the same line in every run.
                        error.add_note(f"asked again for {end - began:.0f} s, because {why}")
                        if code in DENIED and things & run.tagged:
                            error.add_note(TAGS_ARE_NEW)
                    raise
            else:
                _learn(run, operation, things, answer, self._clock())
                outdated = operation == "DescribeKey" and _is_outdated(run, answer)
                if not outdated or self._clock() + pause > run.end:
                    return answer
            self._sleep(pause)

    def _patient_until(
        self, run: _Run, operation: str, things: frozenset[str], code: str
    ) -> tuple[float, str]:
        """Until when this answer may be one of a moment, and why; 0 where it is none."""
        made = ", ".join(sorted(things & run.made))
        # A key that nobody uses after all is discarded by a later run, once its tags count.
        of_no_use = operation == "ScheduleKeyDeletion" and things & run.created
        if operation in DISPENSABLE or of_no_use:
            end, why = 0.0, ""
        elif made and code in NOT_THERE | DENIED:
            end, why = run.end, f"{made} was made a moment ago"
        elif code in DENIED and things & run.tagged:
            end, why = run.end, "a new tag takes a moment to count"
        elif code in DENIED:
            run.denied_since = run.denied_since or self._clock()
            end, why = run.denied_since + run.limits.denied, "a new right takes a moment to count"
        elif code in BUSY:
            end, why = run.end, "another change was under way"
        elif code in NOT_READY and things & (run.created | run.revived.keys()):
            end, why = run.end, "the key was made or enabled a moment ago"
        else:
            end, why = 0.0, ""
        return min(end, run.end), why


def _things(region: str, params: Mapping[str, Any]) -> frozenset[str]:
    """What a call is about: the bucket, the keys and the aliases that it names."""
    names = [params[name] for name in ("AliasName", "Bucket", "KeyId", "TargetKeyId")
             if isinstance(params.get(name), str)]  # fmt: skip
    return frozenset(_name(region, name) for name in names)


def _name(region: str, name: str) -> str:
    return f"{name} in {region}" if name.startswith("alias/") else name


def _learn(run: _Run, operation: str, things: frozenset[str], answer: Any, now: float) -> None:
    match operation:
        case "CreateBucket":
            run.made |= things
        case "CreateAlias":
            run.made |= {thing for thing in things if thing.startswith("alias/")}
        case "CreateKey":
            run.created.add(answer["KeyMetadata"]["Arn"])
            run.made |= run.created
        case "DescribeKey":
            key = answer["KeyMetadata"]
            if now - key["CreationDate"].timestamp() < YOUNG_SECONDS:
                run.made |= {key["Arn"], *things}  # by another run
        case "TagResource":
            run.tagged |= things - run.created
        case "CancelKeyDeletion" | "EnableKey":
            run.revived |= dict.fromkeys(things, operation)
        case "DeleteAlias" | "DeleteBucket":
            run.made -= things
        case _:
            pass


def _learn_of_error(run: _Run, operation: str, things: frozenset[str], error: ClientError) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    # Where the first look found none, another run has just made it.
    if (operation, code) == ("CreateBucket", "BucketAlreadyOwnedByYou"):
        run.made |= things
    if (operation, code) == ("CreateAlias", "AlreadyExistsException"):
        run.made |= {thing for thing in things if thing.startswith("alias/")}
    return code


def _is_outdated(run: _Run, answer: Any) -> bool:
    """Whether a key is shown in the state that this run has ended."""
    key = answer["KeyMetadata"]
    ended = {"CancelKeyDeletion": ("PendingDeletion",),
             "EnableKey": ("Disabled", "PendingDeletion")}  # fmt: skip
    return key["KeyState"] in ended.get(run.revived.get(key["Arn"], ""), ())
