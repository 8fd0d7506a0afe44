"""Each setting has one row, and whatever else speaks of settings is held to the rows."""

from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # has no types

from foothold.stores.aspects import (
    ALWAYS_LOOKED_AT,
    BREAKING,
    BUCKET_SETTINGS,
    KEY_SETTINGS,
    SETTINGS,
    BucketAspect,
    KeyAspect,
)
from local.aws.embedded import ROOT


def actions(*sids: str) -> set[str]:
    """What these statements of the policy that makes and keeps stores allow; of all where none is
    named."""
    templates = [yaml_parse(path.read_text())["Resources"] for path in ROOT.glob("*.yaml")]
    (policy,) = [found["StoreKeeping"] for found in templates if "StoreKeeping" in found]
    statements: list[dict[str, Any]] = [
        statement
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "Sid" in statement and (not sids or statement["Sid"] in sids)
    ]
    assert len(statements) >= len(sids)
    lists = [each["Action"] for each in statements]
    return {name for each in lists for name in ([each] if isinstance(each, str) else each)}


def test_every_setting_has_a_row() -> None:
    assert set(SETTINGS) == {*KeyAspect, *BucketAspect}


def test_a_buckets_settings_are_all_that_may_be_read_and_written_of_it() -> None:
    listing = {"s3:ListBucket", "s3:ListBucketVersions"}
    read = {row.read_by for row in BUCKET_SETTINGS.values()}
    assert actions("ReadItsBuckets") == read | listing
    assert actions("ConfigureItsBuckets") == {row.written_by for row in BUCKET_SETTINGS.values()}


def test_a_keys_settings_may_be_read_and_written() -> None:
    rows = KEY_SETTINGS.values()
    assert {row.read_by for row in rows} | {"kms:DescribeKey"} == actions("ReadKeys")
    assert {row.written_by for row in rows} <= actions()


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
