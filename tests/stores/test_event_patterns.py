"""The rules ask EventBridge for the events that the parser acts on, and for no others."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # has no types

from foothold.stores.aspects import BREAKING
from foothold.stores.triggers import StoreTouched, parse_event

ROOT = Path(__file__).parent.parent.parent
ACCOUNT, BUCKET = "111111111111", "foothold-111111111111-eu-west-1-an"

# What S3 logs as data events (Amazon S3 User Guide, "Amazon S3 CloudTrail events").
OF_OBJECTS = (
    *("AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload"),
    *("DeleteObject", "DeleteObjectTagging", "DeleteObjects", "GetObject", "HeadObject"),
    *("ListParts", "PutObject", "PutObjectAcl", "PutObjectLegalHold", "PutObjectLockRetention"),
    *("PutObjectRetention", "PutObjectTagging", "RestoreObject", "UploadPart", "UploadPartCopy"),
)
HARMLESS = ("CreateBucket", "GetBucketPolicy", "PutBucketCors", "PutBucketLogging", "Sign")


def written(text: Any) -> Any:
    """A pattern as it is deployed, with the default prefix."""
    if isinstance(text, dict) and set(text) == {"Fn::Sub"}:
        return text["Fn::Sub"].replace("${NamePrefix}-${AWS::AccountId}-", f"foothold-{ACCOUNT}-")
    if isinstance(text, dict):
        return {name: written(item) for name, item in text.items()}
    return [written(item) for item in text] if isinstance(text, list) else text


@cache
def rules() -> dict[str, Any]:
    """Every pattern of template.yaml and of pipelines/region-events.yaml, by its rule's name."""
    home = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]["ReconcileFunction"]
    away = yaml_parse((ROOT / "pipelines" / "region-events.yaml").read_text())["Resources"]
    found = {
        f"home {name}": event["Properties"]["Pattern"]
        for name, event in home["Properties"]["Events"].items()
        if event["Type"] == "EventBridgeRule"
    } | {
        f"away {name}": resource["Properties"]["EventPattern"]
        for name, resource in away.items()
        if resource["Type"] == "AWS::Events::Rule"
    }
    return {name: written(pattern) for name, pattern in found.items()}


def matches(pattern: Any, event: Any) -> bool:
    """Whether an event has what the pattern asks for (Amazon EventBridge User Guide, "Event
    patterns"), as far as these patterns go: lists of texts and prefixes."""
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(
            name in event and matches(wanted, event[name]) for name, wanted in pattern.items()
        )
    return isinstance(event, str) and any(
        event.startswith(wanted["prefix"]) if isinstance(wanted, dict) else event == wanted
        for wanted in pattern
    )


def call(source: str, name: str, bucket: str = BUCKET) -> dict[str, Any]:
    service = source.removesuffix(".amazonaws.com")
    return {
        "source": f"aws.{service}",
        "detail-type": "AWS API Call via CloudTrail",
        "account": ACCOUNT,
        "region": "eu-west-1",
        "detail": {
            "eventSource": source,
            "eventName": name,
            "awsRegion": "eu-west-1",
            "recipientAccountId": ACCOUNT,
            "requestParameters": {"bucketName": bucket} if service == "s3" else {"keyId": "1"},
        },
    }


def caught(event: dict[str, Any], where: str) -> list[str]:
    return [
        name
        for name, pattern in rules().items()
        if name.startswith(where) and matches(pattern, event)
    ]


def breaking() -> Iterator[tuple[str, str]]:
    for source, names in BREAKING.items():
        yield from ((source, name) for name in sorted(names))


@pytest.mark.parametrize(("source", "name"), list(breaking()))
def test_a_call_that_breaks_a_store_is_asked_for_at_home_and_away(source: str, name: str) -> None:
    event = call(source, name)
    for where in ("home", "away"):
        assert len(caught(event, where)) == 1
    assert parse_event(event, account=ACCOUNT, parameter_root="/foothold") == StoreTouched(
        "eu-west-1", name
    )


def test_no_other_call_is_asked_for_by_name() -> None:
    for name, pattern in rules().items():
        if "eventName" in pattern.get("detail", {}):
            (source,) = pattern["detail"]["eventSource"]
            assert pattern["detail"]["eventName"] == sorted(BREAKING[source]), name


@pytest.mark.parametrize("name", [*OF_OBJECTS, *HARMLESS])
def test_what_is_done_with_objects_starts_nothing(name: str) -> None:
    event = call("s3.amazonaws.com", name)
    assert caught(event, "home") == caught(event, "away") == []


def test_calls_on_another_bucket_start_nothing() -> None:
    event = call("s3.amazonaws.com", "PutBucketPolicy", "foothold-222222222222-eu-west-1-an")
    assert caught(event, "home") == caught(event, "away") == []


@pytest.mark.parametrize("status", ["ENABLING", "ENABLED", "DISABLING", "DISABLED"])
def test_a_region_that_was_enabled_is_heard_of_wherever_the_event_arises(status: str) -> None:
    event = {
        "source": "aws.account",
        "detail-type": "Region Opt-In Status Change",
        "account": ACCOUNT,
        "region": "us-east-1",
        "detail": {"accountId": ACCOUNT, "regionName": "ap-east-1", "status": status},
    }
    heard = status == "ENABLED"
    assert caught(event, "home") == ["home RegionOptIn"] * heard
    assert caught(event, "away") == ["away RegionOptIn"] * heard
