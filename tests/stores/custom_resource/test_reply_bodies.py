"""The bodies of replies, byte for byte, and the ids in them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.errors import PermanentError
from foothold.stores.custom_resource.reply import (
    attributes,
    failure,
    physical_id,
    success,
)
from foothold.stores.register import ArtifactStore
from tests.stores.custom_resource.stack import saved, well_formed


def garbled(**changes: Any) -> dict[str, Any]:
    return saved("cfn_create") | changes


FIRST = ArtifactStore("eu-west-1", "b1", "arn:aws:kms:eu-west-1:111111111111:key/1")
SECOND = ArtifactStore("cn-north-1", "b2", "arn:aws-cn:kms:cn-north-1:111111111111:key/2")


def test_one_store_is_given_by_the_names_of_its_parts() -> None:
    assert attributes({"eu-west-1": FIRST}, singular=True) == {
        "Bucket": "b1",
        "BucketArn": "arn:aws:s3:::b1",
        "KeyArn": FIRST.key_arn,
        "Region": "eu-west-1",
    }


def test_several_stores_are_given_by_region() -> None:
    assert attributes({"eu-west-1": FIRST, "cn-north-1": SECOND}, singular=False) == {
        "Bucket.eu-west-1": "b1",
        "Bucket.cn-north-1": "b2",
        "KeyArn.eu-west-1": FIRST.key_arn,
        "KeyArn.cn-north-1": SECOND.key_arn,
    }


def test_a_success_echoes_the_request_and_carries_the_data() -> None:
    event = saved("cfn_create")
    assert json.loads(success(event, {"Bucket": "b"})) == {
        "Status": "SUCCESS",
        "PhysicalResourceId": physical_id(event["StackId"], event["LogicalResourceId"]),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": {"Bucket": "b"},
    }


def test_a_failure_of_a_request_without_anything_has_every_field() -> None:
    """CR-28."""
    assert json.loads(failure({"StackId": 7}, " \n")) == {
        "Status": "FAILED",
        "Reason": "unknown",
        "PhysicalResourceId": physical_id("", ""),
        "StackId": "",
        "RequestId": "",
        "LogicalResourceId": "",
    }


def test_a_reason_may_fill_the_answer_to_the_last_byte() -> None:
    """CR-18."""
    event = saved("cfn_create")
    room = 4096 - len(failure(event, "r")) + 1
    for length, kept in ((room, room), (room + 1, room), (4096, room)):
        assert json.loads(failure(event, "r" * length))["Reason"] == "r" * kept


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes"])
def test_what_is_no_json_is_no_answer(value: Any) -> None:
    """CR-19."""
    with pytest.raises((TypeError, ValueError)):
        success(saved("cfn_create"), {"Bucket": value})


def test_data_may_fill_the_answer_to_the_last_byte() -> None:
    """CR-17."""
    event = saved("cfn_create")
    room = 4096 - len(success(event, {"Bucket": ""}))
    assert len(success(event, {"Bucket": "b" * room})) == 4096
    with pytest.raises(PermanentError, match="would be 4097 bytes long"):
        success(event, {"Bucket": "b" * (room + 1)})


@pytest.mark.parametrize("letter", ["x", "é", "😀", '"', "\\", "\x07", "\ud800", "word "])
def test_a_reason_of_a_megabyte_is_cut_to_what_fits_and_stays_text(letter: str) -> None:
    """CR-18."""
    body = failure(saved("cfn_create"), letter * (1_000_000 // len(letter)))
    assert 4096 - 12 < len(body) <= 4096
    reply = well_formed(body)
    assert reply["Reason"] == (letter * len(reply["Reason"]))[: len(reply["Reason"])]
    assert reply["RequestId"] == saved("cfn_create")["RequestId"]


def test_a_physical_id_is_never_longer_than_a_kilobyte() -> None:
    """CR-20."""
    stack = saved("cfn_create")["StackId"]
    longest = stack.replace("consumer", "c" * 128).replace("5d1e8f60", "5" * 36)
    assert len(physical_id(longest, "L" * 255)) < 1024
    for body in (failure(garbled(PhysicalResourceId="é" * 513), "x"), success(garbled(
        PhysicalResourceId="é" * 513), {})):  # fmt: skip
        assert well_formed(body)["PhysicalResourceId"].startswith("foothold/111111111111/")
    letters = success(garbled(PhysicalResourceId="i" * 1025), {})
    assert well_formed(letters)["PhysicalResourceId"].startswith("foothold/111111111111/")
    kept = "é" * 512
    assert well_formed(success(garbled(PhysicalResourceId=kept), {}))["PhysicalResourceId"] == kept


@given(
    st.dictionaries(
        st.sampled_from(["StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId"]),
        st.one_of(
            st.none(),
            st.integers(),
            st.text(max_size=50),
            st.builds(lambda letter: letter * 3000, st.characters()),
        ),
    ),
    st.text(max_size=200).map(lambda text: text * 30),
)
def test_even_a_request_of_garbage_gets_a_failure_that_fits(
    event: dict[str, Any], reason: str
) -> None:
    """CR-18, CR-20."""
    well_formed(failure(event, reason))


def test_half_a_character_is_no_trouble() -> None:
    """CR-18: JSON can carry a lone surrogate, and UTF-8 cannot."""
    half = "\ud800"
    for name in ("StackId", "LogicalResourceId", "PhysicalResourceId"):
        reply = json.loads(failure(saved("cfn_create") | {name: half}, half))
        assert (reply[name], reply["Reason"]) == (half, half)
