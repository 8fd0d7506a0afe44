"""What AWS does not know everywhere yet is asked again; what it refuses for good is an error."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError

from foothold.aws.clients import Clients, aws_call
from foothold.aws.patience import OF_A_STACK, OF_AN_EVENT, Limits, Patience
from foothold.errors import FootholdError, PermanentError, TemporaryError
from foothold.stores.custom_resource.claims import Claims, fulfil
from foothold.stores.custom_resource.request import parse_request
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import Use
from foothold.stores.reconcile import Reconciler
from tests.stores.worlds import HOME, PLANE, OptedIn, moto_in_turn

SPEC = PLANE.spec("eu-west-1")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/k"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that goes on only while somebody sleeps."""

    now: float = 1_800_000_000.0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def refused(code: str, status: int = 400) -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": "words"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "Op")


class Answers:
    """Calls of one run, each with the answers that it gets; the last one is for ever."""

    def __init__(self, limits: Limits = OF_AN_EVENT) -> None:
        self.clock = Clock()
        self.patience = Patience(self.clock, self.clock.sleep, chance=lambda: 1.0)
        self.patience.begin(limits)
        self.asked = 0

    def __call__(self, operation: str, answers: list[Any], **params: Any) -> Any:
        self.asked = 0

        def call() -> Any:
            answer = answers[min(self.asked, len(answers) - 1)]
            self.asked += 1
            if isinstance(answer, Exception):
                raise answer
            return answer

        return self.patience.ask(operation, "eu-west-1", params, call)

    def make_a_key(self) -> None:
        self("CreateKey", [described(KEY, self.clock.now)])

    def gives_up(self, operation: str, code: str, **params: Any) -> str:
        """The line that comes out where the answer stays the same."""
        with pytest.raises(FootholdError) as caught, aws_call("do it"):
            self(operation, [refused(code)], **params)
        return str(caught.value)


def described(arn: str, created: float, state: str = "Enabled") -> dict[str, Any]:
    born = datetime.fromtimestamp(created, UTC)
    return {"KeyMetadata": {"Arn": arn, "CreationDate": born, "KeyState": state}}


NOT_FOUND = refused("NotFoundException")


def test_what_this_run_has_made_is_asked_for_until_it_is_there() -> None:
    run = Answers()
    run.make_a_key()
    assert run("EnableKeyRotation", [NOT_FOUND, NOT_FOUND, {}], KeyId=KEY) == {}
    assert run("CreateAlias", [{}], AliasName="alias/a", TargetKeyId=KEY) == {}
    assert run("DescribeKey", [NOT_FOUND, described(KEY, 0)], KeyId="alias/a")
    run("CreateBucket", [{}], Bucket="b")
    for code in ("NoSuchBucket", "404", "AccessDenied", "OperationAborted"):
        assert run("GetBucketTagging", [refused(code), {}], Bucket="b") == {}


def test_what_was_never_made_is_not_asked_for_twice() -> None:
    run = Answers()
    run.make_a_key()
    for operation, code, params in (
        ("DescribeKey", "NotFoundException", {"KeyId": "alias/a"}),
        ("DescribeKey", "NotFoundException", {"KeyId": KEY.replace("key/k", "key/other")}),
        ("GetBucketTagging", "NoSuchBucket", {"Bucket": "b"}),
    ):
        assert "asked again" not in run.gives_up(operation, code, **params)
        assert run.asked == 1
    assert run.clock.pauses == []


def test_the_next_run_takes_not_found_for_what_it_says() -> None:
    run = Answers()
    run("CreateAlias", [{}], AliasName="alias/a", TargetKeyId=KEY)
    run.patience.begin(OF_AN_EVENT)
    run.gives_up("DescribeKey", "NotFoundException", KeyId="alias/a")
    assert run.asked == 1


def test_what_this_run_takes_away_is_not_waited_for() -> None:
    run = Answers()
    run("CreateBucket", [{}], Bucket="b")
    run("DeleteBucket", [{}], Bucket="b")
    run.gives_up("HeadBucket", "404", Bucket="b")
    assert run.asked == 1


def test_what_another_run_made_a_moment_ago_counts_as_just_made() -> None:
    run = Answers()
    run("DescribeKey", [described(KEY, run.clock.now - 20)], KeyId="alias/a")
    assert run("ListResourceTags", [NOT_FOUND, {}], KeyId=KEY) == {}
    with pytest.raises(ClientError):
        run("CreateAlias", [refused("AlreadyExistsException")], AliasName="alias/b")
    assert run("DescribeKey", [NOT_FOUND, described(KEY, 0)], KeyId="alias/b")
    with pytest.raises(ClientError):
        run("CreateBucket", [refused("BucketAlreadyOwnedByYou", 409)], Bucket="b")
    assert run("PutBucketPolicy", [refused("NoSuchBucket", 404), {}], Bucket="b") == {}


def test_an_old_key_that_is_gone_is_gone() -> None:
    run = Answers()
    run("DescribeKey", [described(KEY, LONG_AGO.timestamp())], KeyId=KEY)
    run.gives_up("EnableKeyRotation", "NotFoundException", KeyId=KEY)
    assert run.asked == 1


@pytest.mark.parametrize("limits", [OF_A_STACK, OF_AN_EVENT])
def test_the_same_answer_until_the_deadline_is_an_error_that_says_how_long(limits: Limits) -> None:
    run = Answers(limits)
    run.make_a_key()
    line = run.gives_up("EnableKeyRotation", "NotFoundException", KeyId=KEY)
    waited = run.clock.now - 1_800_000_000.0
    assert limits.seconds - 5 < waited <= limits.seconds
    assert line == (
        f"cannot do it: NotFoundException: words; asked again for {limits.seconds:.0f} s, "
        f"because {KEY} was made a moment ago"
    )


@pytest.mark.parametrize(("limits", "seconds"), [(OF_A_STACK, 60.0), (OF_AN_EVENT, 10.0)])
def test_all_denials_of_a_run_together_are_waited_for_once(limits: Limits, seconds: float) -> None:
    run = Answers(limits)
    line = run.gives_up("CreateKey", "AccessDeniedException")
    assert line.endswith("because a new right takes a moment to count")
    for operation in ("CreateBucket", "GetParameters", "GetResources"):
        run.gives_up(operation, "AccessDenied", Bucket="b")
    assert run.clock.now - 1_800_000_000.0 <= seconds


def test_nobody_waits_where_no_run_has_begun() -> None:
    run = Answers(Limits())
    run.make_a_key()
    run.gives_up("EnableKeyRotation", "NotFoundException", KeyId=KEY)
    run.gives_up("PutParameter", "TooManyUpdates", Name="/n")
    run.gives_up("CreateKey", "AccessDeniedException")
    assert run.clock.pauses == []


def test_pauses_grow_to_five_seconds_and_are_never_in_step() -> None:
    run = Answers()
    run.make_a_key()
    run.gives_up("EnableKeyRotation", "NotFoundException", KeyId=KEY)
    assert [round(pause, 1) for pause in run.clock.pauses[:6]] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert max(run.clock.pauses) == 5.0
    early = Patience(run.clock, run.clock.sleep, chance=lambda: 0.0)
    early.begin(OF_AN_EVENT)
    run.patience, run.clock.pauses = early, []
    run.make_a_key()
    run.gives_up("EnableKeyRotation", "NotFoundException", KeyId=KEY)
    assert run.clock.pauses[:2] == [0.1, 0.2]


def test_a_key_that_was_enabled_is_asked_for_until_it_is_shown_so() -> None:
    run = Answers()
    run("CancelKeyDeletion", [{}], KeyId=KEY)
    run("EnableKey", [refused("KMSInvalidStateException"), {}], KeyId=KEY)
    run("EnableKeyRotation", [refused("DisabledException"), {}], KeyId=KEY)
    old = LONG_AGO.timestamp()
    states = [described(KEY, old, state) for state in ("PendingDeletion", "Disabled", "Enabled")]
    shown = run("DescribeKey", states, KeyId="alias/a")
    assert shown["KeyMetadata"]["KeyState"] == "Enabled"


def test_a_key_that_was_made_may_not_be_ready_at_once() -> None:
    run = Answers()
    run.make_a_key()
    assert run("EnableKeyRotation", [refused("KMSInvalidStateException"), {}], KeyId=KEY) == {}


def test_a_state_that_this_run_did_not_end_is_told_at_once() -> None:
    run = Answers()
    shown = run("DescribeKey", [described(KEY, LONG_AGO.timestamp(), "Disabled")], KeyId="alias/a")
    assert shown["KeyMetadata"]["KeyState"] == "Disabled"
    run.gives_up("CreateAlias", "KMSInvalidStateException", AliasName="a", TargetKeyId=KEY)
    assert run.clock.pauses == []


def test_a_denial_after_tagging_is_temporary_and_says_that_it_takes_minutes() -> None:
    run = Answers()
    run("TagResource", [{}], KeyId=KEY)
    with pytest.raises(TemporaryError, match="takes some minutes"), aws_call("do it"):
        run("PutKeyPolicy", [refused("AccessDeniedException")], KeyId=KEY)


def test_what_a_store_is_made_without_is_not_waited_for() -> None:
    run = Answers()
    run.make_a_key()
    run.gives_up("ListBuckets", "AccessDenied")
    run.gives_up("ScheduleKeyDeletion", "AccessDeniedException", KeyId=KEY)
    assert run.clock.pauses == []


# --- A stack's request, on moto ---------------------------------------------------------------


class Refusal(NamedTuple):
    """What is answered instead, so many times."""

    service: str
    operation: str
    code: str
    status: int
    times: float = 1


@dataclass
class Account:
    """The custom resource's work on moto, and the answers that are put in its way."""

    clients: Clients
    claims: Claims
    clock: Clock

    def refuse(self, refusal: Refusal) -> None:
        service: Any = refusal.service
        client: Any = self.clients.get(service, SPEC.region)
        asked = [0]

        def hook(**_: Any) -> Any:
            asked[0] += 1
            if asked[0] > refusal.times:
                return None
            body = {
                "Error": {"Code": refusal.code, "Message": "injected"},
                "ResponseMetadata": {"HTTPStatusCode": refusal.status},
            }
            http = type("Answer", (), {"status_code": refusal.status, "headers": {}})
            return http(), body

        client.meta.events.register(f"before-call.{service}.{refusal.operation}", hook)

    def ask(self) -> dict[str, str]:
        request = {
            "RequestType": "Create",
            "ResourceType": "Custom::ArtifactStore",
            "StackId": f"arn:aws:cloudformation:{HOME}:123456789012:stack/t/aaaa",
            "LogicalResourceId": "S",
            "RequestId": "r",
            "ResourceProperties": {"ServiceToken": "x", "Region": SPEC.region},
        }
        return dict(fulfil(parse_request(request), lambda: self.claims))


@pytest.fixture
def account() -> Iterator[Account]:
    with moto_in_turn():
        clock = Clock()
        patience = Patience(clock, clock.sleep)
        session = boto3.Session(region_name=HOME)
        patience.accompany(session)
        clients = Clients(session)
        parameters = SsmParameters(clients)
        gateways = (KmsKeys(clients), S3Buckets(clients), parameters, OptedIn())
        stores = Reconciler(PLANE, *gateways, clock=clock)
        patience.begin(OF_A_STACK)
        yield Account(clients, Claims(PLANE, stores, parameters, clock), clock)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("s3", "CreateBucket", "OperationAborted", 409),
        Refusal("s3", "PutBucketVersioning", "OperationAborted", 409),
        Refusal("kms", "CreateAlias", "NotFoundException", 400),
        Refusal("kms", "EnableKeyRotation", "NotFoundException", 400),
        Refusal("s3", "PutBucketPolicy", "NoSuchBucket", 404),
        Refusal("s3", "PutPublicAccessBlock", "NoSuchBucket", 404),
        Refusal("s3", "PutBucketEncryption", "AccessDenied", 403),
        Refusal("s3", "HeadBucket", "404", 404),
        Refusal("s3", "GetBucketTagging", "NoSuchBucket", 404, times=2),
        Refusal("ssm", "PutParameter", "TooManyUpdates", 400),
        Refusal("kms", "CreateKey", "AccessDeniedException", 400),
        Refusal("kms", "DescribeKey", "NotFoundException", 400, times=2),
    ],
)
def test_one_refusal_of_a_moment_fails_no_stack(account: Account, refusal: Refusal) -> None:
    account.refuse(refusal)
    assert account.ask()["Bucket"] == SPEC.bucket
    assert account.ask()["Bucket"] == SPEC.bucket


def test_a_healthy_request_waits_for_nothing(account: Account) -> None:
    account.ask()
    assert account.clock.pauses == []


FOR_EVER = float("inf")


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        (
            Refusal("kms", "CreateKey", "AccessDeniedException", 400, FOR_EVER),
            "a new right takes a moment to count",
        ),
        (
            Refusal("s3", "PutBucketPolicy", "NoSuchBucket", 404, FOR_EVER),
            f"{SPEC.bucket} was made a moment ago",
        ),
        (
            Refusal("s3", "PutBucketEncryption", "AccessDenied", 403, FOR_EVER),
            f"{SPEC.bucket} was made a moment ago",
        ),
    ],
)
def test_a_refusal_that_stays_fails_the_stack_with_its_own_line(
    account: Account, refusal: Refusal, why: str
) -> None:
    account.refuse(refusal)
    line = rf"{refusal.code}: injected; asked again for \d+ s, because {why}"
    with pytest.raises(PermanentError, match=line):
        account.ask()
    assert account.clock.now - 1_800_000_000.0 <= OF_A_STACK.seconds


def test_a_store_that_another_process_is_making_right_now_is_not_a_refusal() -> None:
    """The alias is taken by another run, whose key this process cannot see yet."""
    run = Answers()
    with pytest.raises(ClientError):
        run("CreateAlias", [refused("AlreadyExistsException")], AliasName=SPEC.key_alias)
    winner = described(KEY, run.clock.now - 1)
    assert run("DescribeKey", [NOT_FOUND, winner], KeyId=SPEC.key_alias) == winner
    assert run("DescribeKey", [NOT_FOUND, winner], KeyId=KEY) == winner


def test_a_lost_race_whose_key_cannot_be_discarded_yet_ends_well(account: Account) -> None:
    """The tags of a key that is seconds old do not count yet, so KMS refuses to delete it."""
    account.refuse(Refusal("kms", "ScheduleKeyDeletion", "AccessDeniedException", 400, FOR_EVER))
    keys = KmsKeys(account.clients)
    client: Any = account.clients.get("kms", SPEC.region)
    others: list[str] = []

    def another_is_first(**_: Any) -> None:
        if not others:
            policy = {"Version": "2012-10-17", "Statement": []}
            others.append(keys.create(SPEC, policy, Use.UNUSED))
            client.create_alias(AliasName=SPEC.key_alias, TargetKeyId=others[0])

    client.meta.events.register("before-call.kms.CreateAlias", another_is_first)
    assert account.ask()["KeyArn"] == others[0]
    assert len(keys.unused(SPEC)) == 1  # an hour later the spare-key step discards it
