"""What custom resource requests ask for, as values."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from foothold.errors import PermanentError
from foothold.reading import STRICT
from foothold.stores.custom_resource.reply import physical_id, success
from foothold.stores.custom_resource.request import (
    Claim,
    ClaimDropped,
    NothingClaimed,
    StoresWanted,
    parse_request,
)

EVENTS = Path(__file__).parents[3] / "events"
STACK = "arn:aws:cloudformation:eu-central-1:111111111111:stack/consumer/5d1e8f60-7a3c-11f1"


def saved(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def refused(event: dict[str, Any], properties: object = ...) -> str:
    """Why this request is refused, with these properties if any are given."""
    with pytest.raises(PermanentError) as refusal:
        parse_request(event if properties is ... else event | {"ResourceProperties": properties})
    return str(refusal.value)


def claim(event: dict[str, Any]) -> Claim:
    return Claim.of(event["StackId"], event["LogicalResourceId"])


@pytest.mark.parametrize(
    ("name", "regions", "singular"),
    [
        ("cfn_create", ("eu-west-1",), True),
        ("cfn_update", ("us-east-1",), True),
        ("cfn_create_stores", ("eu-west-1", "us-east-1"), False),
    ],
)
def test_create_and_update_ask_for_stores(
    name: str, regions: tuple[str, ...], singular: bool
) -> None:
    event = saved(name)
    assert parse_request(event) == StoresWanted(regions, claim(event), singular)


def test_a_region_named_twice_is_wanted_once() -> None:
    event = saved("cfn_create_stores")
    event["ResourceProperties"]["Regions"] = ["us-east-1", "eu-west-1", "us-east-1"]
    wanted = parse_request(event)
    assert isinstance(wanted, StoresWanted)
    assert wanted.regions == ("us-east-1", "eu-west-1")


def test_a_list_is_as_long_as_the_longest_names_allow_and_no_longer() -> None:
    """CR-17: a bucket's name has up to 63 characters, the id of a key 36."""
    event = saved("cfn_create_stores")

    def fits(regions: list[str]) -> bool:
        longest = {
            f"{attribute}.{region}": value
            for region in regions
            for attribute, value in (
                ("Bucket", f"{region}-".ljust(63, "x")),
                ("KeyArn", f"arn:aws:kms:{region}:111111111111:key/mrk-{'0' * 32}"),
            )
        }
        try:
            return bool(success(event, longest))
        except PermanentError:
            return False

    def accepted(regions: list[str]) -> bool:
        event["ResourceProperties"]["Regions"] = regions
        try:
            return bool(parse_request(event))
        except PermanentError:
            return False

    lists = [[f"ap-southeast-{number}" for number in range(1, n)] for n in range(2, 30)]
    assert [accepted(regions) for regions in lists] == [fits(regions) for regions in lists]
    assert {fits(regions) for regions in lists} == {True, False}


def test_a_list_is_accepted_exactly_if_the_answer_with_the_longest_names_fits() -> None:
    """CR-17."""
    regions = [f"eu-west-{number}" for number in range(1, 16)]
    event = saved("cfn_create_stores")
    event["ResourceProperties"]["Regions"] = regions
    key = f"arn:aws:kms:eu-west-1:111111111111:key/mrk-{'0' * 32}"
    buckets = {f"Bucket.{region}": "b" * 63 for region in regions}
    keys = {f"KeyArn.{region}": key.replace("eu-west-1", region) for region in regions}
    room = 4096 - len(success(event, buckets | keys))
    event["RequestId"] += "r" * room
    assert parse_request(event)
    event["RequestId"] += "r"
    assert refused(event) == (
        "Regions names 15 regions: the answer would be 4097 bytes long, and CloudFormation takes "
        "4096. Ask for each region by itself: Fn::ForEach over Custom::ArtifactStore"
    )


@pytest.mark.parametrize(
    ("event", "properties", "reason"),
    [
        (
            "cfn_create",
            {"Region": "EU"},
            "Custom::ArtifactStore: Region: 'EU' is not the name of an AWS region",
        ),
        ("cfn_create", {}, "Custom::ArtifactStore: Region is missing"),
        (
            "cfn_create",
            {"Region": "eu-west-1", "Keep": "true"},
            "Custom::ArtifactStore: there is no property Keep; remove it",
        ),
        (
            "cfn_create_stores",
            {"Regions": "a,b"},
            (
                "Custom::ArtifactStores: Regions: 'a,b' is one text, not a list; give a list, "
                "such as !Split [',', 'a,b']"
            ),
        ),
        (
            "cfn_create_stores",
            {"Regions": ["eu-west-1", "0"], "Region": "eu-west-1"},
            (
                "Custom::ArtifactStores: Regions.1: '0' is not the name of an AWS region; there "
                "is no property Region; remove it"
            ),
        ),
    ],
)
def test_every_wrong_property_is_named_with_the_way_out(
    event: str, properties: object, reason: str
) -> None:
    """CR-14, CR-15, CR-16."""
    assert refused(saved(event), properties) == reason


def test_a_wrong_request_is_named_as_one() -> None:
    """CR-28."""
    event = saved("cfn_create")
    del event["StackId"]
    assert refused(event) == "the request: StackId is missing"


def test_the_longest_name_of_a_region_has_32_letters() -> None:
    event = saved("cfn_create")
    longest = f"eu-{'a' * 27}-1"
    wanted = parse_request(event | {"ResourceProperties": {"Region": longest}})
    assert isinstance(wanted, StoresWanted)
    assert wanted.regions == (longest,)
    assert "is not the name" in refused(event, {"Region": f"eu-{'a' * 28}-1"})


def test_a_list_names_a_hundred_regions_at_most() -> None:
    event = saved("cfn_create_stores")
    hundred = ["eu-west-1", "us-east-1"] * 50
    wanted = parse_request(event | {"ResourceProperties": {"Regions": hundred}})
    assert isinstance(wanted, StoresWanted)
    assert wanted.regions == ("eu-west-1", "us-east-1")
    assert "at most 100 items" in refused(event, {"Regions": [*hundred, "us-east-1"]})


def test_a_message_is_what_it_is_unchangeable_and_never_repeated() -> None:
    class Message(BaseModel):
        model_config = STRICT
        text: str

    message = Message(text="a")
    with pytest.raises(ValidationError):
        message.text = "b"
    with pytest.raises(ValidationError) as refusal:
        Message.model_validate({"text": b"canary"})
    assert "canary" not in str(refusal.value)


def test_delete_drops_the_claim() -> None:
    event = saved("cfn_delete")
    assert parse_request(event) == ClaimDropped(claim(event))


def test_delete_of_another_resources_id_asks_for_nothing() -> None:
    assert parse_request(saved("cfn_delete") | {"PhysicalResourceId": "x"}) == NothingClaimed()


@pytest.mark.parametrize(
    ("stack_id", "logical_id"), [("consumer", "Store"), (STACK, "not a name"), ("", "")]
)
def test_delete_of_what_no_stack_can_hold_asks_for_nothing(stack_id: str, logical_id: str) -> None:
    """CR-28."""
    event = saved("cfn_delete") | {
        "StackId": stack_id,
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": physical_id(stack_id, logical_id),
    }
    assert parse_request(event) == NothingClaimed()


@pytest.mark.parametrize("field", ["StackId", "LogicalResourceId"])
def test_delete_without_the_name_of_a_resource_asks_for_nothing(field: str) -> None:
    assert parse_request(saved("cfn_delete") | {field: None}) == NothingClaimed()


def test_a_claim_knows_where_its_stack_is() -> None:
    wanted = parse_request(saved("cfn_create"))
    assert isinstance(wanted, StoresWanted)
    assert wanted.claim.place == tuple(STACK.split(":")[n] for n in (1, 3, 4))


def test_a_request_that_does_not_say_what_it_wants_is_refused() -> None:
    event = saved("cfn_create")
    del event["RequestType"]
    with pytest.raises(PermanentError, match="RequestType"):
        parse_request(event)


def test_what_cloudformation_may_add_to_a_request_some_day_is_no_concern_of_ours() -> None:
    event = saved("cfn_create")
    assert parse_request(event | {"StackTags": {}}) == parse_request(event)


def test_a_refusal_does_not_repeat_what_it_was_given() -> None:
    event = saved("cfn_create") | {"RequestType": "canary", "LogicalResourceId": ["canary"]}
    with pytest.raises(PermanentError) as refusal:
        parse_request(event)
    assert "canary" not in str(refusal.value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("region", ["cn-é-1", "us-east-\u0661", "us-" + "a" * 99 + "-1", "x" * 999])
def test_a_name_that_only_looks_like_a_region_is_refused_in_a_short_line(region: str) -> None:
    event = saved("cfn_create")
    event["ResourceProperties"]["Region"] = region
    with pytest.raises(PermanentError, match="is not the name of an AWS region") as refusal:
        parse_request(event)
    assert len(str(refusal.value)) < 130


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1", "eusc-de-east-1"])
def test_regions_of_every_partition_are_names_of_regions(region: str) -> None:
    event = saved("cfn_create")
    event["ResourceProperties"]["Region"] = region
    wanted = parse_request(event)
    assert isinstance(wanted, StoresWanted)
    assert wanted.regions == (region,)


STACK_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,127}", fullmatch=True)
LOGICAL_IDS = st.from_regex(r"[A-Za-z0-9]{1,255}", fullmatch=True)
RESOURCES = st.tuples(
    st.builds(
        "arn:aws:cloudformation:eu-central-1:111111111111:stack/{}/{}".format,
        STACK_NAMES,
        st.uuids(),
    ),
    LOGICAL_IDS,
)


def test_a_claim_names_stack_and_resource() -> None:
    assert Claim.of(STACK, "Store") == Claim("consumer.5d1e8f60-7a3c-11f1.Store", f"{STACK} Store")


@pytest.mark.parametrize(
    ("stack_id", "logical_id", "reason"),
    [
        ("consumer", "Store", "StackId is not the ARN of a stack"),
        (f"{STACK}/more", "Store", "StackId is not the ARN of a stack"),
        (STACK, "not a name", "LogicalResourceId is not the name of a stack's resource"),
        (STACK, "S" * 256, "LogicalResourceId is not the name of a stack's resource"),
    ],
)
def test_what_cloudformation_does_not_send_is_nobodys_claim(
    stack_id: str, logical_id: str, reason: str
) -> None:
    """CR-28."""
    with pytest.raises(PermanentError, match=reason):
        Claim.of(stack_id, logical_id)


@given(RESOURCES, RESOURCES)
def test_claims_and_ids_differ_exactly_where_resources_do(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    same = one == other
    assert (Claim.of(*one).name == Claim.of(*other).name) == same
    # A stack's UUID alone tells stacks apart; the name before it is for people.
    if one[0].rpartition("/")[2] != other[0].rpartition("/")[2]:
        assert (physical_id(*one) == physical_id(*other)) == same


@given(RESOURCES)
def test_a_claims_name_may_stand_in_a_parameters_name(resource: tuple[str, str]) -> None:
    name = Claim.of(*resource).name
    assert all(letter.isascii() and (letter.isalnum() or letter in "-.") for letter in name)
    # AWS Systems Manager API Reference, "PutParameter": 1011 characters with the path.
    assert len(f"/{'r' * 400}/claims/ap-southeast-1/{name}") <= 1011


@given(st.text(), st.text())
def test_ids_of_garbage_are_stable_short_and_plain(stack_id: str, logical_id: str) -> None:
    made = physical_id(stack_id, logical_id)
    assert made == physical_id(stack_id, logical_id)
    assert made.isascii()
    assert len(made) <= 1024


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "RequestType": st.sampled_from(["Create", "Update", "Delete"]) | JSON,
            "ResourceType": st.sampled_from(["Custom::ArtifactStore", "Custom::ArtifactStores"])
            | JSON,
            "StackId": st.just(STACK) | JSON,
            "LogicalResourceId": st.just("Store") | JSON,
            "PhysicalResourceId": st.just(physical_id(STACK, "Store")) | JSON,
            "ResourceProperties": st.fixed_dictionaries(
                {},
                optional={
                    "Region": st.just("eu-west-1") | JSON,
                    "Regions": st.lists(st.sampled_from(["eu-west-1", "us-east-1"])) | JSON,
                    "Other": JSON,
                },
            )
            | JSON,
        },
    )
)
def test_any_request_is_understood_or_refused_with_a_reason(event: dict[str, Any]) -> None:
    """CR-28."""
    understood: object
    try:
        understood = parse_request(event)
    except PermanentError as refusal:
        understood = str(refusal)
    assert understood
    if event.get("RequestType") == "Delete":
        assert isinstance(understood, ClaimDropped | NothingClaimed)
    if isinstance(understood, StoresWanted):
        assert understood.regions
        assert understood.claim == claim(event)
