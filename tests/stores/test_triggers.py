"""What EventBridge events ask for, as values; and what is ignored, and why."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.reading import Ignored
from foothold.stores.triggers import (
    ParameterChanged,
    RegionOptIn,
    RegionsRequested,
    Scheduled,
    StoreTouched,
    parse_event,
)

EVENTS = Path(__file__).parents[2] / "events"
ACCOUNT = "111111111111"
MOST_REGIONS = 100


def saved(file: str, /, **detail: Any) -> dict[str, Any]:
    """The saved event, with these values in its detail instead; ... takes a value out."""
    event: dict[str, Any] = json.loads((EVENTS / f"{file}.json").read_text())
    changed = event["detail"] | detail
    event["detail"] = {name: value for name, value in changed.items() if value is not ...}
    return event


def asks(event: object) -> object:
    return parse_event(event, account=ACCOUNT, parameter_root="/foothold")


@pytest.mark.parametrize(
    ("name", "trigger"),
    [
        ("regions_requested", RegionsRequested(("eu-west-1", "us-east-1"))),
        ("region_opt_in", RegionOptIn("ap-east-1", "ENABLED", ACCOUNT)),
        ("parameter_changed", ParameterChanged("/foothold/regions", "Update", "eu-central-1")),
        ("bucket_deleted", StoreTouched("eu-west-1", "DeleteBucket")),
        ("bucket_policy_changed", StoreTouched("eu-west-1", "PutBucketPolicy")),
        ("key_disabled", StoreTouched("eu-west-1", "DisableKey")),
        ("key_deletion_scheduled", StoreTouched("eu-west-1", "ScheduleKeyDeletion")),
        ("schedule", Scheduled()),
    ],
)
def test_every_saved_event_asks_for_what_it_says(name: str, trigger: object) -> None:
    assert asks(saved(name)) == trigger


def test_eventbridge_schedulers_own_event_is_a_schedule() -> None:
    """EventBridge Scheduler's default input has its detail as a text."""
    assert asks(saved("schedule") | {"source": "aws.scheduler", "detail": "{}"}) == Scheduled()


@pytest.mark.parametrize("status", ["ENABLING", "ENABLED", "DISABLING", "DISABLED"])
def test_every_opt_in_status_is_passed_on(status: str) -> None:
    trigger = asks(saved("region_opt_in", status=status))
    assert isinstance(trigger, RegionOptIn)
    assert trigger.status == status


@pytest.mark.parametrize(
    "name",
    [
        "/foothold/regions",
        "/foothold/artifact-store/bucket",
        "/foothold/artifact-stores/eu-west-1/key-arn",
    ],
)
@pytest.mark.parametrize("operation", ["Create", "Update", "Delete"])
def test_a_change_of_every_parameter_of_ours_is_passed_on(name: str, operation: str) -> None:
    trigger = asks(saved("parameter_changed", name=name, operation=operation))
    assert trigger == ParameterChanged(name, operation, "eu-central-1")  # type: ignore[arg-type]  # parametrised


@pytest.mark.parametrize(
    ("event", "call"),
    [
        *(
            ("bucket_deleted", call)
            for call in (
                "DeleteBucket",
                "DeleteBucketEncryption",
                "DeleteBucketLifecycle",
                "DeleteBucketPolicy",
                "DeleteBucketOwnershipControls",
                "DeleteBucketPublicAccessBlock",
                "DeleteBucketTagging",
                "DeletePublicAccessBlock",
                "PutBucketEncryption",
                "PutBucketLifecycle",
                "PutBucketLifecycleConfiguration",
                "PutBucketOwnershipControls",
                "PutBucketPolicy",
                "PutBucketPublicAccessBlock",
                "PutBucketTagging",
                "PutBucketVersioning",
                "PutPublicAccessBlock",
            )
        ),
        *(
            ("key_disabled", call)
            for call in (
                "DeleteAlias",
                "DisableKey",
                "DisableKeyRotation",
                "PutKeyPolicy",
                "ScheduleKeyDeletion",
                "UntagResource",
                "UpdateAlias",
            )
        ),
    ],
)
def test_every_call_that_breaks_a_store_has_its_region_looked_at(event: str, call: str) -> None:
    touched = saved(event, eventName=call, awsRegion="us-east-1")
    assert asks(touched) == StoreTouched("us-east-1", call)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"errorCode": "AccessDenied"}, "the call failed"),
        ({"recipientAccountId": "999999999999"}, "another account's call"),
        ({"eventName": "PutObject"}, "a call that breaks no store"),
        ({"eventName": "DisableKey"}, "a call that breaks no store"),
        ({"eventSource": "ec2.amazonaws.com"}, "a call that breaks no store"),
        ({"awsRegion": "europe"}, "malformed AWS API Call via CloudTrail"),
        ({"eventName": 7}, "malformed AWS API Call via CloudTrail"),
        ({"eventSource": ...}, "malformed AWS API Call via CloudTrail"),
    ],
)
def test_a_call_that_breaks_nothing_is_ignored_with_its_reason(
    change: dict[str, Any], reason: str
) -> None:
    assert asks(saved("bucket_deleted", **change)) == Ignored(reason)


def test_a_region_asked_for_twice_is_asked_for_once() -> None:
    event = saved("regions_requested", regions=["eu-west-1", "us-east-1", "eu-west-1"])
    assert asks(event) == RegionsRequested(("eu-west-1", "us-east-1"))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (None, "not an EventBridge event"),
        ([], "not an EventBridge event"),
        ("schedule", "not an EventBridge event"),
        ({}, "not an EventBridge event"),
        (saved("schedule") | {"region": "nowhere"}, "not an EventBridge event"),
        (saved("schedule") | {"source": 1}, "not an EventBridge event"),
        (saved("schedule") | {"source": "aws.s3"}, "not an event that Foothold answers"),
        (saved("schedule") | {"source": "foothold"}, "not an event that Foothold answers"),
        (
            saved("regions_requested") | {"source": "somebody.else"},
            "not an event that Foothold answers",
        ),
        (saved("regions_requested", regions=[]), "malformed Regions Requested"),
        (saved("regions_requested", regions=...), "malformed Regions Requested"),
        (saved("regions_requested", regions="eu-west-1"), "malformed Regions Requested"),
        (saved("regions_requested", regions=["eu-west-1", None]), "malformed Regions Requested"),
        (saved("regions_requested", regions=["EU"]), "malformed Regions Requested"),
        (saved("regions_requested", force=True), "malformed Regions Requested"),
        (
            saved("regions_requested", regions=["eu-west-1"] * (MOST_REGIONS + 1)),
            "malformed Regions Requested",
        ),
        (saved("regions_requested") | {"detail": "{}"}, "malformed Regions Requested"),
        (saved("region_opt_in", accountId="222222222222"), "another account's region"),
        (saved("region_opt_in", accountId=111111111111), "malformed Region Opt-In Status Change"),
        (saved("region_opt_in", status="ASKED"), "malformed Region Opt-In Status Change"),
        (saved("region_opt_in", regionName=...), "malformed Region Opt-In Status Change"),
        (saved("parameter_changed", operation="Move"), "malformed Parameter Store Change"),
        (saved("parameter_changed", name=None), "malformed Parameter Store Change"),
        (
            saved("parameter_changed", operation="LabelParameterVersion"),
            "a label changes no value",
        ),
        (
            saved("parameter_changed", exception="the image does not exist"),
            "the change of the parameter failed",
        ),
        *(
            (saved("parameter_changed", name=name), "not one of Foothold's parameters")
            for name in (
                "",
                "foothold/regions",
                "/other/regions",
                "/foothold/regions/more",
                "/foothold/regions2",
                "/foothold/claims/eu-west-1/a.b.c",
                "/foothold/artifact-stores",
                "/foothold/artifact-store-of-mine/bucket",
            )
        ),
    ],
)
def test_an_event_that_asks_for_nothing_is_ignored_with_its_reason(
    event: object, reason: str
) -> None:
    assert asks(event) == Ignored(reason)


def test_as_many_regions_as_any_partition_has_may_be_asked_for_at_once() -> None:
    event = saved("regions_requested", regions=[f"eu-west-{n}" for n in range(MOST_REGIONS)])
    trigger = asks(event)
    assert isinstance(trigger, RegionsRequested)
    assert len(trigger.regions) == MOST_REGIONS


def test_another_root_has_other_parameters() -> None:
    event = saved("parameter_changed", name="/acme/stores/regions")
    assert parse_event(event, account=ACCOUNT, parameter_root="/acme/stores") == (
        ParameterChanged("/acme/stores/regions", "Update", "eu-central-1")
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
DETAILS = st.fixed_dictionaries(
    {},
    optional={
        "regions": st.lists(st.sampled_from(["eu-west-1", "us-east-1", ""])) | JSON,
        "accountId": st.just(ACCOUNT) | JSON,
        "regionName": st.just("ap-east-1") | JSON,
        "status": st.just("ENABLED") | JSON,
        "name": st.just("/foothold/regions") | JSON,
        "operation": st.sampled_from(["Create", "LabelParameterVersion"]) | JSON,
        "exception": JSON,
    },
)


@given(
    st.fixed_dictionaries(
        {
            "source": st.sampled_from(["foothold", "aws.account", "aws.ssm", "aws.events"]) | JSON,
            "detail-type": st.sampled_from(
                [
                    "Regions Requested",
                    "Region Opt-In Status Change",
                    "Parameter Store Change",
                    "Scheduled Event",
                ]
            )
            | JSON,
        },
        optional={"region": st.just("eu-central-1") | JSON, "detail": DETAILS | JSON},
    )
    | JSON
)
def test_no_event_whatever_it_holds_is_an_error(event: object) -> None:
    trigger = asks(event)
    if isinstance(trigger, Ignored):
        assert trigger.reason
    if isinstance(trigger, RegionsRequested):
        assert 0 < len(trigger.regions) <= MOST_REGIONS
