"""Each setting has one row, and whatever else speaks of settings is held to the rows."""

import re

import pytest
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # has no types

from foothold.stores.aspects import (
    ALWAYS_LOOKED_AT,
    BREAKING,
    BUCKET_SETTINGS,
    KEY_SETTINGS,
    SETTINGS,
    SPARE_KEYS,
    BucketAspect,
    KeyAspect,
)
from local.aws.embedded import ROOT


def allowed(service: str) -> set[str]:
    """The actions of a service that the policy which makes and keeps stores allows."""
    files = (ROOT / "template.yaml", ROOT / "permissions.yaml")
    templates = [yaml_parse(path.read_text())["Resources"] for path in files]
    (policy,) = [found["StoreKeeping"] for found in templates if "StoreKeeping" in found]
    return set(re.findall(rf"'({service}:\w+)'", str(policy)))


def test_every_setting_has_a_row() -> None:
    assert set(SETTINGS) == {*KeyAspect, *BucketAspect}


def test_a_setting_is_called_what_people_call_it() -> None:
    assert [str(aspect) for aspect in SETTINGS] == [
        *("key policy", "key rotation", "key tags", "public access block", "object ownership"),
        *("versioning", "default encryption", "lifecycle", "bucket tags", "bucket policy"),
    ]
    assert str(SPARE_KEYS) == "spare keys"


def test_of_a_bucket_its_settings_may_be_read_and_written_and_nothing_else() -> None:
    made_and_listed = {
        *("s3:CreateBucket", "s3:TagResource"),
        *("s3:ListAllMyBuckets", "s3:ListBucket", "s3:ListBucketVersions"),
    }
    rows = BUCKET_SETTINGS.values()
    settings = {action for row in rows for action in (row.read_by, row.written_by)}
    assert allowed("s3") == settings | made_and_listed


def test_of_a_key_its_settings_may_be_read_and_written() -> None:
    rows = KEY_SETTINGS.values()
    settings = {action for row in rows for action in (row.read_by, row.written_by)}
    assert allowed("kms") == settings | {
        *("kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DescribeKey", "kms:EnableKey"),
        *("kms:ScheduleKeyDeletion", "kms:UntagResource"),
    }


@pytest.mark.parametrize("aspect", SETTINGS)
def test_what_writes_a_setting_through_its_api_breaks_it_too(
    aspect: KeyAspect | BucketAspect,
) -> None:
    """All but turning rotation on, and adding tags to a key, which takes none away."""
    row = SETTINGS[aspect]
    calls = BREAKING["kms.amazonaws.com" if aspect in KEY_SETTINGS else "s3.amazonaws.com"]
    assert row.broken_by
    assert set(row.broken_by) <= calls
    if aspect not in (KeyAspect.ROTATION, KeyAspect.TAGS):
        assert any(call.startswith("Put") for call in row.broken_by)


def test_what_lets_somebody_in_is_looked_at_in_every_tick() -> None:
    assert ALWAYS_LOOKED_AT == (KeyAspect.POLICY, BucketAspect.POLICY)
