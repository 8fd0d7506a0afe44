"""What permissions.yaml grants and template.yaml watches, where an emulator would not notice a
fault."""

import json
from fnmatch import fnmatchcase
from typing import Any

from local.aws.embedded import ROOT
from proof.cloud import ACCOUNT, HOME
from proof.privileges import OF_PERMISSIONS, resolved, template

RESOURCES = template()["Resources"]
LONG = "platform-engineering-artifact-stores-production"


def statement(policy: dict[str, Any], sid: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in policy["Statement"] if one.get("Sid") == sid)
    return found


def test_the_queue_takes_events_of_rules_whose_names_were_shortened() -> None:
    """A rule has 64 characters at most, so CloudFormation shortens a long stack's name."""
    policy = resolved(RESOURCES["UndeliveredEventsPolicy"]["Properties"]["PolicyDocument"])
    condition = statement(policy, "RulesOfThisAccountHandInEvents")["Condition"]
    rule = f"{LONG}-ReconcileFunctionRegionsRequested-1A2B3C4D5E6F7"[:20] + "-1A2B3C4D5E6F7"
    pattern = condition["ArnLike"]["aws:SourceArn"]
    assert fnmatchcase(f"arn:aws:events:{HOME}:{ACCOUNT}:rule/{rule}", pattern)
    assert not fnmatchcase(f"arn:aws:events:{HOME}:999999999999:rule/{rule}", pattern)
    assert condition["StringEquals"] == {"aws:SourceAccount": ACCOUNT}


def test_no_schedule_yet_is_no_alarm_and_one_that_stops_is() -> None:
    """Without data a new alarm is INSUFFICIENT_DATA, and only told of when it goes back to it
    (Amazon CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data")."""
    alarm = RESOURCES["ScheduleStoppedAlarm"]["Properties"]
    assert alarm["TreatMissingData"] == "missing"
    assert alarm["InsufficientDataActions"] == alarm["AlarmActions"]


def test_packages_of_a_new_region_wait_for_no_tag_of_its_key() -> None:
    role = RESOURCES["PackageRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    condition = statement(resolved(role, OF_PERMISSIONS), "UseTheStoresKeysThroughS3")["Condition"]
    assert not any("aws:ResourceTag" in str(one) for one in condition.values())
    patterns = condition["StringLike"]["kms:EncryptionContext:aws:s3:arn"]
    for bucket in (f"foothold-{ACCOUNT}-{HOME}-an", f"foothold-{ACCOUNT}-me-south-1-0123456789"):
        for context in (f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/orders/build.zip"):
            listed = patterns if isinstance(patterns, list) else [patterns]
            assert any(fnmatchcase(context, pattern) for pattern in listed)


def test_packages_of_an_adopted_bucket_use_its_key_through_that_bucket_only() -> None:
    document = RESOURCES["PackagingForAdoptedBuckets"]["Properties"]["PolicyDocument"]
    policy = resolved(document, OF_PERMISSIONS)
    condition = statement(policy, "UseAdoptedKeysThroughS3")["Condition"]["StringLike"]
    assert condition["kms:EncryptionContext:aws:s3:arn"] == [
        "arn:aws:s3:::old-artifacts",
        "arn:aws:s3:::old-artifacts/*",
    ]


def test_the_dashboard_shows_every_alarm_and_only_what_is_counted() -> None:
    """CloudWatch takes any name of a metric, and shows an empty widget."""
    body, _ = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(body)["widgets"]
    shown = {name for widget in widgets for name in widget["properties"].get("alarms", ())}
    alarms = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
    assert shown == {f"${{{name}.Arn}}" for name in alarms}
    of_ours = {
        metric[1]
        for widget in widgets
        for metric in widget["properties"].get("metrics", ())
        if metric[0] == "Foothold"
    }
    package = ROOT / "layers" / "foothold" / "foothold"
    code = "".join(path.read_text() for path in package.rglob("*.py"))
    assert len(of_ours) > 5
    assert [name for name in sorted(of_ours) if f'"{name}"' not in code] == []
    assert all(widget["width"] <= 24 for widget in widgets)
