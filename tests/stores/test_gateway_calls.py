"""What the lifecycle asks of AWS, call by call."""

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from foothold.aws.clients import Clients
from foothold.aws.pace import Pace
from foothold.errors import PermanentError, TemporaryError
from foothold.stores.aspects import BucketAspect, KeyAspect
from foothold.stores.gateways.account import SERVICES, AccountCapacity, PipelineRegions
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.usage import DeployedUsage
from foothold.stores.model import Use
from foothold.stores.ports import PipelineUse
from tests.stores.worlds import ACCOUNT, HOME, PLANE

SPEC = PLANE.spec("eu-west-1")
POLICY: dict[str, Any] = {"Version": "2012-10-17", "Statement": []}


@pytest.fixture
def clients() -> Iterator[Clients]:
    with mock_aws():
        yield Clients(boto3.Session("testing", "testing", region_name=HOME))


def requests_of(clients: Clients, service: Any) -> list[tuple[str, dict[str, Any]]]:
    made: list[tuple[str, dict[str, Any]]] = []
    client: Any = clients.get(service, SPEC.region)
    client.meta.events.register(
        "provide-client-params.*.*",
        lambda params, model, **_: made.append((model.name, dict(params))),
    )
    return made


def test_a_page_takes_versions_and_delete_markers_and_says_whether_any_are_left(
    clients: Clients,
) -> None:
    buckets = S3Buckets(clients)
    buckets.create(SPEC)
    buckets.write(SPEC, BucketAspect.VERSIONING, "Enabled")
    s3 = clients.get("s3", SPEC.region)
    for _ in range(3):
        s3.put_object(Bucket=SPEC.bucket, Key="a", Body=b"x")
    s3.delete_object(Bucket=SPEC.bucket, Key="a")
    made = requests_of(clients, "s3")
    assert buckets.delete_page(SPEC) == (4, False)
    assert buckets.is_empty(SPEC)
    assert all(params["ExpectedBucketOwner"] == ACCOUNT for _, params in made)
    assert buckets.delete_page(SPEC) == (0, False)
    buckets.delete(SPEC)
    buckets.delete(SPEC)  # a reply that was lost


def test_a_hundred_thousand_versions_take_a_hundred_calls_of_each_kind_in_constant_memory(
    clients: Clients,
) -> None:
    """S3 itself is played here: it answers pages of a thousand until all are deleted."""
    left, calls = 100_000, Counter[str]()
    s3: Any = clients.get("s3", SPEC.region)

    def play(model: Any, params: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        nonlocal left
        calls[model.name] += 1
        if model.name == "DeleteObjects":
            left -= params["body"].count(b"<Object>")
            return PlayedResponse(), {}
        page = [{"Key": f"k/{left}/{n}", "VersionId": "v"} for n in range(min(left, 1000))]
        return PlayedResponse(), {"Versions": page, "IsTruncated": left > 1000}

    s3.meta.events.register("before-call.s3", play)
    buckets, more, peaks = S3Buckets(clients), True, []
    buckets.delete_page(SPEC)
    tracemalloc.start()
    for _ in range(20):
        buckets.delete_page(SPEC)
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    while more:
        _, more = buckets.delete_page(SPEC)
    assert left == 0
    assert calls == {"ListObjectVersions": 100, "DeleteObjects": 100}
    assert peaks[-1] < 1.5 * peaks[4]


class PlayedResponse:
    status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012  # botocore's own attribute


def test_a_version_that_cannot_be_deleted_is_an_error_that_names_it(clients: Clients) -> None:
    s3: Any = clients.get("s3", SPEC.region)

    def play(model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        if model.name == "DeleteObjects":
            errors = [{"Key": "k", "Code": "SlowDown", "Message": "Reduce your rate"}]
            return PlayedResponse(), {"Errors": errors}
        return PlayedResponse(), {
            "Versions": [{"Key": "k", "VersionId": "v"}],
            "IsTruncated": False,
        }

    s3.meta.events.register("before-call.s3", play)
    with pytest.raises(TemporaryError, match="SlowDown: k: Reduce your rate"):
        S3Buckets(clients).delete_page(SPEC)


def test_a_bucket_with_new_objects_is_not_deleted_yet(clients: Clients) -> None:
    buckets = S3Buckets(clients)
    buckets.create(SPEC)
    clients.get("s3", SPEC.region).put_object(Bucket=SPEC.bucket, Key="a", Body=b"x")
    with pytest.raises(TemporaryError, match="got new artifacts"):
        buckets.delete(SPEC)


def test_a_bucket_is_open_where_its_acl_says_so(clients: Clients) -> None:
    s3 = clients.get("s3", SPEC.region)
    s3.create_bucket(
        Bucket=SPEC.bucket,
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
        ObjectOwnership="ObjectWriter",
    )
    assert S3Buckets(clients).openings(SPEC) == ()
    s3.put_bucket_acl(Bucket=SPEC.bucket, ACL="public-read")
    assert S3Buckets(clients).openings(SPEC) == ("its ACL lets everybody in",)


def test_a_retired_key_waits_for_thirty_days_and_a_spare_one_for_seven(clients: Clients) -> None:
    kms: Any = clients.get("kms", SPEC.region)  # moto's own finds no key by its ARN here
    kms.meta.events.register("before-call.kms", lambda **_: (PlayedResponse(), {}))
    made = requests_of(clients, "kms")
    KmsKeys(clients).schedule_deletion(SPEC, "arn:aws:kms:::key/one")
    KmsKeys(clients).discard(SPEC, "arn:aws:kms:::key/other")
    days = [params["PendingWindowInDays"] for _, params in made]
    assert days == [30, 7]


def test_a_key_is_spare_only_while_its_tags_say_so(clients: Clients) -> None:
    keys = KmsKeys(clients)
    never, once = keys.create(SPEC, POLICY), keys.create(SPEC, POLICY, Use.REPLACEMENT)
    keys.write(SPEC, once, KeyAspect.TAGS, SPEC.tags_in(Use.IN_USE))
    assert [key.arn for key in keys.unused(SPEC)] == [never]
    keys.write(SPEC, never, KeyAspect.TAGS, SPEC.tags_in(Use.IN_USE))
    assert keys.unused(SPEC) == ()


@pytest.mark.parametrize(
    "arn",
    [
        "garbage",
        "alias/foothold/artifacts",
        "arn:aws:kms:eu-west-1:999999999999:key/1",
        "arn:aws:kms:us-east-1:123456789012:key/1",
        "arn:aws:kms:eu-west-1:123456789012:key/../x",
    ],
)
def test_what_is_no_key_of_ours_is_not_even_asked_for(clients: Clients, arn: str) -> None:
    made = requests_of(clients, "kms")
    assert KmsKeys(clients).find(SPEC, arn) is None
    assert made == []


def test_a_key_found_by_its_arn_comes_with_its_tags(clients: Clients) -> None:
    keys = KmsKeys(clients)
    arn = keys.create(SPEC, POLICY)
    found = keys.find(SPEC, arn)
    assert found is not None
    assert found.tags == SPEC.tags_in(Use.UNUSED)
    assert keys.find(SPEC, arn[:-1] + ("0" if arn[-1] != "0" else "1")) is None


def test_giving_back_takes_off_our_tags_and_no_others(clients: Clients) -> None:
    keys, buckets = KmsKeys(clients), S3Buckets(clients)
    arn = keys.create(SPEC, POLICY)
    clients.get("kms", SPEC.region).tag_resource(
        KeyId=arn, Tags=[{"TagKey": "owner", "TagValue": "platform"}]
    )
    buckets.create(SPEC)
    buckets.write(SPEC, BucketAspect.TAGS, {"owner": "platform"})
    ours = list(SPEC.tags_in(Use.UNUSED))
    keys.untag(SPEC, arn, ours)
    buckets.untag(SPEC, ours)
    assert keys.read(SPEC, arn, KeyAspect.TAGS) == {"owner": "platform"}
    assert buckets.read(SPEC, BucketAspect.TAGS) == {"owner": "platform"}


def test_versions_are_counted_before_they_are_taken_away(clients: Clients) -> None:
    buckets, s3 = S3Buckets(clients), clients.get("s3", SPEC.region)
    buckets.create(SPEC)
    buckets.write(SPEC, BucketAspect.VERSIONING, "Enabled")
    for _ in range(3):
        s3.put_object(Bucket=SPEC.bucket, Key="a", Body=b"x")
    s3.delete_object(Bucket=SPEC.bucket, Key="a")
    assert buckets.count(SPEC) == (4, False)


LOCKS: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"ObjectLockEnabled": "Enabled"}, "each version's own retention and legal hold"),
    (
        {
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
        },
        "COMPLIANCE for 1 days",
    ),
]


@pytest.mark.parametrize(("configuration", "words"), LOCKS)
def test_an_object_lock_is_told_in_a_few_words(
    clients: Clients, configuration: dict[str, Any], words: str | None
) -> None:
    s3: Any = clients.get("s3", SPEC.region)

    def play(**_: Any) -> tuple[Any, dict[str, Any]]:
        return PlayedResponse(), {"ObjectLockConfiguration": configuration}

    s3.meta.events.register("before-call.s3", play)
    assert S3Buckets(clients).lock(SPEC) == words


def test_a_bucket_without_object_lock_has_none(clients: Clients) -> None:
    S3Buckets(clients).create(SPEC)
    assert S3Buckets(clients).lock(SPEC) is None


def pipeline(name: str, bucket: str, *, follow: bool) -> dict[str, Any]:
    role = f"arn:aws:iam::{ACCOUNT}:role/pipeline"
    stage = {"name": "Source", "actions": [{
        "name": "Source", "actionTypeId": {
            "category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
        "configuration": {"S3Bucket": "b", "S3ObjectKey": "k"},
        "outputArtifacts": [{"name": "a"}],
    }]}  # fmt: skip
    deploy = {**stage, "name": "Deploy"}
    stores = {region: {"type": "S3", "location": name} for region, name in (
        (HOME, "home-bucket"), (SPEC.region, bucket))}  # fmt: skip
    return {
        "pipeline": {
            "name": name, "roleArn": role, "artifactStores": stores, "stages": [stage, deploy],
            "version": 1,
        },
        "tags": [{"key": "foothold:follow", "value": "true"}] if follow else [],
    }  # fmt: skip


def test_a_pipeline_uses_the_buckets_of_its_artifact_stores(clients: Clients) -> None:
    trust = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "codepipeline.amazonaws.com"},
        "Action": "sts:AssumeRole"}]})  # fmt: skip
    iam = boto3.client("iam", region_name=HOME)
    iam.create_role(RoleName="pipeline", AssumeRolePolicyDocument=trust)
    codepipeline: Any = clients.get("codepipeline", HOME)
    for name, bucket, follow in (
        ("by-hand", SPEC.bucket, False),
        ("following", SPEC.bucket, True),
        ("elsewhere", "another", False),
    ):
        codepipeline.create_pipeline(**pipeline(name, bucket, follow=follow))
    used = DeployedUsage(clients, HOME).pipelines(SPEC.bucket)
    assert set(used) == {PipelineUse("by-hand", follows=False), PipelineUse("following", True)}


def test_a_stack_uses_the_bucket_that_its_template_names(clients: Clients) -> None:
    cloudformation = boto3.client("cloudformation", region_name=SPEC.region)
    for name, bucket in (("app", SPEC.bucket), ("other", "another")):
        template = {"Resources": {"Topic": {
            "Type": "AWS::SNS::Topic", "Properties": {"DisplayName": bucket}}}}  # fmt: skip
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    usage = DeployedUsage(clients, HOME)
    assert usage.stacks(SPEC) == (f"{ACCOUNT}/app",)
    cloudformation.delete_stack(StackName="app")
    assert usage.stacks(SPEC) == ()


def test_the_stacks_of_other_accounts_are_read_by_the_role_that_is_named(
    clients: Clients,
) -> None:
    cloudformation = boto3.client("cloudformation", region_name=SPEC.region)
    template = {"Resources": {"Topic": {
        "Type": "AWS::SNS::Topic", "Properties": {"DisplayName": SPEC.bucket}}}}  # fmt: skip
    arn = "arn:aws:iam::222222222222:role/stack-reader"
    credentials = boto3.client("sts", region_name=HOME).assume_role(
        RoleArn=arn, RoleSessionName="test"
    )["Credentials"]
    boto3.client(
        "cloudformation",
        region_name=SPEC.region,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    ).create_stack(StackName="shop", TemplateBody=json.dumps(template))
    assert cloudformation.list_stacks()["StackSummaries"] == []
    assert DeployedUsage(clients, HOME, [arn]).stacks(SPEC) == ("222222222222/shop",)


def test_what_cannot_be_listed_is_an_error_and_not_nothing(clients: Clients) -> None:
    codepipeline: Any = clients.get("codepipeline", HOME)

    def deny(**_: Any) -> tuple[Any, dict[str, Any]]:
        response = PlayedResponse()
        response.status_code = 400
        return response, {"Error": {"Code": "AccessDeniedException", "Message": "no"}}

    codepipeline.meta.events.register("before-call.codepipeline.ListPipelines", deny)
    with pytest.raises(PermanentError, match="cannot list the pipelines"):
        DeployedUsage(clients, HOME).pipelines(SPEC.bucket)


@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1", "us-gov-west-1"])
def test_every_partition_has_what_a_store_needs(clients: Clients, region: str) -> None:
    assert AccountCapacity(clients).missing_services(region) == ()


def test_a_region_newer_than_the_sdk_is_given_the_benefit_of_the_doubt(clients: Clients) -> None:
    assert AccountCapacity(clients).missing_services("eu-nowhere-9") == ()


def test_a_region_that_lacks_a_service_says_which(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        boto3.Session,
        "get_available_regions",
        lambda _self, name, _partition, **_: [] if name == "kms" else ["eu-west-1"],
    )
    assert AccountCapacity(clients).missing_services("eu-west-1") == ("kms",)
    assert "kms" in SERVICES


@pytest.mark.parametrize(
    ("region", "has"),
    [
        ("eu-central-1", True),
        ("us-gov-west-1", True),
        ("cn-north-1", True),
        ("ca-west-1", False),
        ("mx-central-1", False),
        ("eu-nowhere-9", False),
    ],
)
def test_codepipeline_is_where_the_sdk_has_an_endpoint_for_it(
    clients: Clients, region: str, has: bool
) -> None:
    assert PipelineRegions(clients)(region) is has


def test_a_region_that_the_sdk_does_not_know_yet_may_be_added_and_is_asked_for_once(
    clients: Clients,
) -> None:
    asked: list[str] = []

    def more() -> tuple[str, ...]:
        asked.append("more")
        return ("ca-west-1",)

    has_codepipeline = PipelineRegions(clients, more)
    assert has_codepipeline("eu-central-1")
    assert asked == []
    assert [has_codepipeline(name) for name in ("ca-west-1", "mx-central-1")] == [True, False]
    assert asked == ["more"]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_pace_lets_the_first_calls_through_and_spaces_the_others() -> None:
    clock = Clock()
    pace, at = Pace(3, clock, clock.sleep), []
    for _ in range(10):
        pace.wait("eu-west-1")
        at.append(clock.now)
    assert at == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    pace.wait("us-east-1")
    assert clock.now == 3  # each region has a quota of its own
