"""Small objects in the stores, written once or not at all."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws

from foothold.aws.regional import RegionalClient
from foothold.errors import PermanentError, TemporaryError
from foothold.releases.gateways.records import RegionalRecords
from foothold.stores.register import ArtifactStore

HOME = "eu-central-1"
ACCOUNT = "123456789012"  # moto's own
STORES = [
    ArtifactStore(region, f"foothold-{region}", f"arn:aws:kms:{region}:{ACCOUNT}:key/{region}")
    for region in (HOME, "us-east-1")
]
NEAR, FAR = STORES


@pytest.fixture
def client() -> Iterator[RegionalClient]:
    with mock_aws():
        session = boto3.Session("testing", "testing", region_name=HOME)
        for store in STORES:
            where: Any = {"LocationConstraint": store.region}
            bucket: Any = session.client("s3", region_name=store.region)
            if store.region == "us-east-1":
                bucket.create_bucket(Bucket=store.bucket)
            else:
                bucket.create_bucket(Bucket=store.bucket, CreateBucketConfiguration=where)
        yield RegionalClient(session, HOME, 4)


@pytest.fixture
def records(client: RegionalClient) -> RegionalRecords:
    return RegionalRecords(client, lambda: ACCOUNT)


def answering(client: RegionalClient, operation: str, status: int, code: str) -> None:
    """From now on AWS answers this operation with an error."""

    def answer(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        parsed = {
            "Error": {"Code": code, "Message": "no"},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}},
        }
        return AWSResponse("", status, {}, None), parsed  # type: ignore[arg-type]  # nobody reads it

    events: Any = client.s3.meta.events
    events.register(f"before-call.s3.{operation}", answer)


@pytest.mark.parametrize("store", STORES)
def test_what_was_created_is_read_as_it_is(records: RegionalRecords, store: ArtifactStore) -> None:
    assert records.read(store, "shop/a.json") is None
    assert records.create(store, "shop/a.json", b"one")
    body, etag = records.read(store, "shop/a.json") or (b"", "")
    assert body == b"one"
    assert etag


def test_whether_an_object_is_there_is_told_without_reading_it(records: RegionalRecords) -> None:
    assert not records.has(NEAR, "a")
    records.create(NEAR, "a", b"one")
    assert records.has(NEAR, "a")
    assert not records.has(FAR, "a")


def test_what_is_there_is_not_created_again(records: RegionalRecords) -> None:
    assert records.create(NEAR, "a", b"one")
    assert not records.create(NEAR, "a", b"two")
    found = records.read(NEAR, "a")
    assert found
    assert found[0] == b"one"


def test_only_what_is_as_it_was_read_is_written_over(records: RegionalRecords) -> None:
    records.create(NEAR, "a", b"one")
    _, etag = records.read(NEAR, "a") or (b"", "")
    assert records.replace(NEAR, "a", b"two", etag)
    assert not records.replace(NEAR, "a", b"three", etag)
    assert not records.replace(NEAR, "b", b"three", etag)
    found = records.read(NEAR, "a")
    assert found
    assert (found[0], records.read(NEAR, "b")) == (b"two", None)


def test_two_writes_at_once_are_a_reason_to_try_again(
    client: RegionalClient, records: RegionalRecords
) -> None:
    answering(client, "PutObject", 409, "ConditionalRequestConflict")
    with pytest.raises(TemporaryError, match="cannot write a to foothold-eu-central-1"):
        records.create(NEAR, "a", b"one")


@pytest.mark.parametrize(("status", "code"), [(404, "NoSuchBucket"), (403, "AccessDenied")])
def test_a_bucket_that_is_gone_or_closed_is_named(
    client: RegionalClient, records: RegionalRecords, status: int, code: str
) -> None:
    for operation in ("GetObject", "PutObject", "ListObjectsV2"):
        answering(client, operation, status, code)
    calls: list[Callable[[], object]] = [
        lambda: records.read(NEAR, "a"),
        lambda: records.create(NEAR, "a", b"one"),
        lambda: records.folders(NEAR, "a/"),
    ]
    for call in calls:
        with pytest.raises(PermanentError, match=f"foothold-eu-central-1.* {code}"):
            call()


def test_folders_are_what_stands_between_a_prefix_and_the_next_slash(
    client: RegionalClient, records: RegionalRecords
) -> None:
    client.s3.meta.events.register(  # pages of two
        "before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update(MaxKeys=2)
    )
    for key in ("shop/releases/a/x", "shop/releases/a/y", "shop/releases/b/x", "shop/releases/c/x"):
        records.create(FAR, key, b"")
    records.create(FAR, "shop/releases/file", b"")
    records.create(FAR, "shopping/releases/d/x", b"")
    assert list(records.folders(FAR, "shop/releases/")) == ["a", "b", "c"]
    assert list(records.folders(NEAR, "shop/releases/")) == []


def test_every_call_names_the_owner_the_key_and_the_stores_own_region(
    client: RegionalClient, records: RegionalRecords
) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []
    regions = set()

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        seen.append((model.name, dict(params)))

    def sign(request: Any, **_: Any) -> None:
        regions.add(request.headers["Authorization"].decode().split("/")[2])

    client.s3.meta.events.register("before-parameter-build.s3", note)
    client.s3.meta.events.register("before-send.s3", sign)
    for store in STORES:
        records.create(store, "a", b"one")
        records.read(store, "a")
        records.has(store, "a")
        records.folders(store, "x/")
    assert {params["ExpectedBucketOwner"] for _, params in seen} == {ACCOUNT}
    put = [params for name, params in seen if name == "PutObject"]
    assert [each["SSEKMSKeyId"] for each in put] == [store.key_arn for store in STORES]
    assert {each["ServerSideEncryption"] for each in put} == {"aws:kms"}
    assert len(seen) == 8
    assert regions == {HOME, "us-east-1"}


def test_the_newest_of_many_is_what_was_written_last(
    records: RegionalRecords, client: RegionalClient
) -> None:
    assert records.newest(NEAR, "shop/reviews/", "review.json") is None
    for key in ("b/review.json", "a/review.json", "c/review.html"):
        records.create(NEAR, f"shop/reviews/{key}", b"x")
    pages: Any = client.s3.get_paginator("list_objects_v2")
    (page,) = pages.paginate(Bucket=NEAR.bucket, Prefix="shop/reviews/")
    times = {each["Key"]: each["LastModified"] for each in page["Contents"]}
    last = max(sorted(times)[:2], key=lambda key: (times[key], key))
    assert records.newest(NEAR, "shop/reviews/", "review.json") == last
    assert records.newest(NEAR, "shop/reviews/b/", "review.json") == "shop/reviews/b/review.json"


def test_a_browser_shows_a_page_that_is_opened_in_the_console(
    client: RegionalClient, records: RegionalRecords
) -> None:
    for name in ("a.html", "a.json", "a"):
        records.create(NEAR, name, b"x")
    kinds = {
        name: client.s3.head_object(Bucket=NEAR.bucket, Key=name)["ContentType"]
        for name in ("a.html", "a.json", "a")
    }
    assert kinds == {
        "a.html": "text/html; charset=utf-8",
        "a.json": "application/json",
        "a": "binary/octet-stream",
    }
