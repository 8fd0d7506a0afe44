"""What a stack gets: real requests, through the function, to stores kept in memory."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from foothold.errors import PermanentError
from foothold.stores.custom_resource.claims import Claims
from foothold.stores.custom_resource.reply import physical_id
from foothold.stores.custom_resource.request import Claim
from functions.artifact_store import app
from tests.stores.custom_resource.stack import Context, Endpoint, saved, serving
from tests.stores.worlds import HOME, InMemory, in_memory
from tests.stores.worlds import PLANE as ANY

# The account and region that the saved events come from.
PLANE = replace(ANY, account="111111111111")
FIRST = PLANE.spec("eu-west-1")
SECOND = PLANE.spec("us-east-1")
CREATE, DELETE = saved("cfn_create"), saved("cfn_delete")
ID = physical_id(CREATE["StackId"], CREATE["LogicalResourceId"])
CLAIM = Claim.of(CREATE["StackId"], CREATE["LogicalResourceId"])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> InMemory:
    """An account without a store, behind the function."""
    world = in_memory(PLANE)
    claims = Claims(PLANE, world.reconciler, world.parameters, time.time)
    monkeypatch.setattr(app.app, "claims", lambda: claims)
    return world


def ask(event: dict[str, Any]) -> None:
    app.lambda_handler(event, Context())


def claimed(world: InMemory) -> list[str]:
    """The regions that the resource of the saved events has a claim on."""
    below = world.parameters.below(HOME, PLANE.names.claims)
    return [name.split("/")[3] for name, value in below.items() if value == CLAIM.value]


def made(world: InMemory) -> tuple[int, int]:
    return len(world.cloud.keys), len(world.cloud.buckets)


def test_a_created_resource_gives_its_store_to_the_template(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-01."""
    event = saved("cfn_create", endpoint)
    ask(event)
    answer = endpoint.answer
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == ID
    assert ID == ("foothold/111111111111/5d1e8f60-7a3c-11f1-9b57-0a1b2c3d4e5f/ArtifactStore")
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        assert answer[name] == event[name]
    assert answer["Data"] == {
        "Bucket": FIRST.bucket,
        "BucketArn": f"arn:aws:s3:::{FIRST.bucket}",
        "KeyArn": world.cloud.aliases["eu-west-1", FIRST.key_alias],
        "Region": "eu-west-1",
    }
    assert claimed(world) == ["eu-west-1"]


def test_the_plural_gives_a_store_for_each_region_once(world: InMemory, endpoint: Endpoint) -> None:
    event = saved("cfn_create_stores", endpoint)
    event["ResourceProperties"]["Regions"] = ["eu-west-1", "us-east-1", "eu-west-1"]
    ask(event)
    assert endpoint.answer["Data"] == {
        "Bucket.eu-west-1": FIRST.bucket,
        "Bucket.us-east-1": SECOND.bucket,
        "KeyArn.eu-west-1": world.cloud.aliases["eu-west-1", FIRST.key_alias],
        "KeyArn.us-east-1": world.cloud.aliases["us-east-1", SECOND.key_alias],
    }


def test_a_create_that_fails_is_told_once_with_the_id_that_its_delete_will_bring(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-02."""

    def out_of_order(call: str) -> None:
        raise RuntimeError(call)

    world.watch(out_of_order)
    ask(saved("cfn_create", endpoint))
    answer = endpoint.answer
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", ID)
    assert answer["Reason"] == (
        "unexpected RuntimeError in Foothold; the function's log says more under request "
        "the-invocation"
    )


@pytest.mark.parametrize(
    "given",
    [
        "foothold/never-made",
        "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED",
        "consumer-ArtifactStore-1ABCDEFGHIJKL",
        ID.replace("5d1e8f60", "00000000"),
        ID + "Two",
        "",
        None,
        7,
    ],
)
def test_deleting_what_foothold_never_made_succeeds_without_a_call_to_aws(
    world: InMemory, endpoint: Endpoint, given: object
) -> None:
    """CR-03: markers. CR-04: ids never seen."""
    ask(saved("cfn_delete", endpoint, PhysicalResourceId=given))
    assert endpoint.answer["Status"] == "SUCCESS"
    assert world.calls == []


def test_deleting_such_a_thing_succeeds_even_while_the_control_plane_is_broken(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CR-03."""

    def broken() -> Claims:
        raise PermanentError("the environment variables AWS_REGION are missing or wrong")

    monkeypatch.setattr(app.app, "claims", broken)
    ask(saved("cfn_delete", endpoint, PhysicalResourceId="foothold/never-made"))
    assert endpoint.answer["Status"] == "SUCCESS"


def test_deleting_succeeds_when_everything_is_gone_already(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-05."""
    ask(saved("cfn_delete", endpoint))
    assert (endpoint.answer["Status"], endpoint.answer["Data"]) == ("SUCCESS", {})
    assert made(world) == (0, 0)


def test_deleting_drops_the_claim_and_keeps_the_store(world: InMemory, endpoint: Endpoint) -> None:
    ask(saved("cfn_create", endpoint))
    ask(saved("cfn_delete", endpoint))
    assert [answer["Status"] for answer in endpoint.answers] == ["SUCCESS", "SUCCESS"]
    assert claimed(world) == []
    assert made(world) == (1, 1)
    assert world.parameters.below("eu-west-1", FIRST.regional_path) != {}


def test_deleting_leaves_another_stacks_claim_on_the_same_region(
    world: InMemory, endpoint: Endpoint
) -> None:
    ask(saved("cfn_create", endpoint))
    other = saved("cfn_create", endpoint, StackId=CREATE["StackId"].replace("5d1e", "5d1f"))
    ask(other)
    ask(saved("cfn_delete", endpoint))
    (left,) = world.parameters.below(HOME, PLANE.names.claims).values()
    assert left == f"{other['StackId']} ArtifactStore"


def test_the_same_delete_twice_is_answered_twice_alike(world: InMemory, endpoint: Endpoint) -> None:
    """CR-06."""
    ask(saved("cfn_create", endpoint))
    endpoint.taken.clear()
    for _ in range(2):
        ask(saved("cfn_delete", endpoint))
    first, second = endpoint.answers
    assert first == second
    assert first["Status"] == "SUCCESS"
    assert claimed(world) == []


@pytest.mark.parametrize("times", [2, 3])
def test_the_same_create_again_makes_nothing_again(
    world: InMemory, endpoint: Endpoint, times: int
) -> None:
    """CR-07: the request doubled. CR-30: Lambda's first, second and third attempt."""
    for _ in range(times):
        ask(saved("cfn_create", endpoint))
    assert len(endpoint.answers) == times
    assert all(answer == endpoint.answers[0] for answer in endpoint.answers)
    assert endpoint.answers[0]["Status"] == "SUCCESS"
    assert made(world) == (1, 1)


def test_the_same_create_at_the_same_time_ends_in_one_store(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-08: both runs find nothing, both create; the alias decides."""
    both = threading.Barrier(2)

    def meet(call: str) -> None:
        if call == "CreateKey":
            both.wait()

    world.watch(meet)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask, [saved("cfn_create", endpoint) for _ in range(2)]))
    first, second = endpoint.answers
    assert first == second
    assert first["Status"] == "SUCCESS"
    enabled = [key for key in world.cloud.keys.values() if key.state == "Enabled"]
    assert [key.arn for key in enabled] == [first["Data"]["KeyArn"]]
    assert len(world.cloud.buckets) == 1


def test_an_update_that_changes_nothing_changes_nothing(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-09."""
    ask(saved("cfn_create", endpoint))
    before = dict(world.cloud.parameters)
    event = saved("cfn_update", endpoint, ResourceProperties=CREATE["ResourceProperties"])
    ask(event)
    created, updated = endpoint.answers
    assert updated["Data"] == created["Data"]
    assert updated["PhysicalResourceId"] == created["PhysicalResourceId"]
    assert world.cloud.parameters == before
    assert made(world) == (1, 1)


def test_an_update_to_another_region_keeps_the_id_and_moves_the_claim(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-10, and CR-11: the region that is left keeps its store."""
    ask(saved("cfn_create", endpoint))
    ask(saved("cfn_update", endpoint))
    created, updated = endpoint.answers
    assert updated["PhysicalResourceId"] == created["PhysicalResourceId"]
    assert updated["Data"]["Region"] == "us-east-1"
    assert claimed(world) == ["us-east-1"]
    assert made(world) == (2, 2)
    assert world.parameters.below("eu-west-1", FIRST.regional_path) != {}


def test_a_region_taken_off_the_list_keeps_its_store_and_loses_the_claim(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-11."""
    event = saved("cfn_create_stores", endpoint)
    ask(event)
    event["RequestType"] = "Update"
    event["ResourceProperties"] = event["ResourceProperties"] | {"Regions": ["us-east-1"]}
    ask(event)
    assert set(endpoint.answers[1]["Data"]) == {"Bucket.us-east-1", "KeyArn.us-east-1"}
    (name,) = world.parameters.below(HOME, PLANE.names.claims)
    assert name.startswith(f"{PLANE.names.claims}/us-east-1/")
    assert made(world) == (2, 2)


def test_an_update_rolled_back_brings_the_claim_back(world: InMemory, endpoint: Endpoint) -> None:
    """CR-12: the rollback is an Update with new and old properties exchanged."""
    ask(saved("cfn_create", endpoint))
    forth = saved("cfn_update", endpoint)
    back = forth | {
        "ResourceProperties": forth["OldResourceProperties"],
        "OldResourceProperties": forth["ResourceProperties"],
    }
    ask(forth)
    ask(back)
    created, _, restored = endpoint.answers
    assert restored["Data"] == created["Data"]
    assert claimed(world) == ["eu-west-1"]


def test_an_update_that_fails_leaves_the_claim_where_it_was(
    world: InMemory, endpoint: Endpoint
) -> None:
    ask(saved("cfn_create", endpoint))
    event = saved("cfn_update", endpoint)
    event["ResourceProperties"]["Region"] = "af-south-1"
    ask(event)
    failed = endpoint.answers[1]
    assert failed["Status"] == "FAILED"
    assert failed["PhysicalResourceId"] == ID
    assert "enable-region --region-name af-south-1" in failed["Reason"]
    assert claimed(world) == ["eu-west-1"]


def test_cleaning_up_a_replaced_id_leaves_the_claim_of_the_new_one(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-13: after a replacement, CloudFormation deletes the old id."""
    ask(saved("cfn_create", endpoint))
    ask(saved("cfn_delete", endpoint, PhysicalResourceId="the-id-of-another-provider"))
    assert endpoint.answers[1]["Status"] == "SUCCESS"
    assert endpoint.answers[1]["PhysicalResourceId"] == "the-id-of-another-provider"
    assert claimed(world) == ["eu-west-1"]


@pytest.mark.parametrize("properties", [None, "garbage", {}, {"Region": ["x"]}, {"Nonsense": 1}])
def test_a_delete_succeeds_whatever_its_properties_are(
    world: InMemory, endpoint: Endpoint, properties: object
) -> None:
    """CR-15: they may be the mistake that the stack is rolled back for."""
    ask(saved("cfn_create", endpoint))
    ask(saved("cfn_delete", endpoint, ResourceProperties=properties))
    assert endpoint.answers[1]["Status"] == "SUCCESS"
    assert claimed(world) == []


@pytest.mark.parametrize(
    ("event", "properties", "reason"),
    [
        ("cfn_create", {"Region": "TRUE"}, "Region: 'TRUE' is not the name of an AWS region"),
        ("cfn_create", {"Region": "007"}, "Region: '007' is not the name of an AWS region"),
        ("cfn_create", {"Region": ""}, "Region: '' is not the name of an AWS region"),
        ("cfn_create", {}, "Custom::ArtifactStore: Region is missing"),
        ("cfn_create", {"Region": None}, "Region: Input should be a valid string"),
        ("cfn_create", {"Region": ["eu-west-1"]}, "Region: Input should be a valid string"),
        (
            "cfn_create",
            {"Region": "eu-west-1", "Regoin": "eu-west-1", "Keep": "true"},
            "there is no property Regoin; remove it; there is no property Keep; remove it",
        ),
        (
            "cfn_create_stores",
            {"Regions": "eu-west-1,us-east-1"},
            "is one text, not a list; give a list, such as !Split [',', 'eu-west-1,us-east-1']",
        ),
        ("cfn_create_stores", {"Regions": []}, "Regions: List should have at least 1 item"),
        ("cfn_create_stores", {"Regions": ["eu-west-1", "0"]}, "Regions.1: '0' is not the name"),
        ("cfn_create_stores", {"Region": "eu-west-1"}, "Regions is missing"),
    ],
)
def test_properties_that_are_wrong_are_refused_by_name_and_nothing_is_made(
    world: InMemory, endpoint: Endpoint, event: str, properties: dict[str, Any], reason: str
) -> None:
    """CR-14: texts for other things. CR-15: missing, null, unknown. CR-16: a comma string."""
    ask(saved(event, endpoint, ResourceProperties=properties))
    assert endpoint.answer["Status"] == "FAILED"
    assert reason in endpoint.answer["Reason"]
    assert world.calls == []


def test_the_time_that_cloudformation_waits_is_its_own_affair(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-14: ServiceTimeout arrives as a text."""
    event = saved("cfn_create", endpoint)
    event["ResourceProperties"]["ServiceTimeout"] = "007"
    ask(event)
    assert endpoint.answer["Status"] == "SUCCESS"
    assert claimed(world) == ["eu-west-1"]


def test_a_list_whose_answer_would_be_too_long_is_refused_before_anything_is_made(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-17."""
    regions = [f"ap-southeast-{number}" for number in range(1, 31)]
    event = saved("cfn_create_stores", endpoint)
    event["ResourceProperties"]["Regions"] = regions
    ask(event)
    reason = endpoint.answer["Reason"]
    assert reason.startswith("Regions names 30 regions: the answer would be ")
    assert "CloudFormation takes 4096" in reason
    assert reason.endswith("Fn::ForEach over Custom::ArtifactStore")
    assert world.calls == []


def test_as_many_regions_as_are_accepted_also_fit_into_the_answer(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-17: the longest list that is accepted, with the names that it really gets."""
    for count in itertools.count(1):
        regions = [f"ap-southeast-{number}" for number in range(1, count + 1)]
        world.cloud.statuses.update(dict.fromkeys(regions, "ENABLED"))
        event = saved("cfn_create_stores", endpoint)
        event["ResourceProperties"]["Regions"] = regions
        ask(event)
        if endpoint.answers[-1]["Status"] == "FAILED":
            break
    assert "CloudFormation takes 4096" in endpoint.answers[-1]["Reason"]
    assert len(endpoint.answers[-2]["Data"]) == 2 * (count - 1)
    assert count - 1 >= 17  # the regions that are enabled by default


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"RequestType": "Repair"}, "RequestType: Input should be 'Create', 'Update' or 'Delete'"),
        ({"RequestType": None}, "RequestType: Input should be"),
        ({"ResourceType": "Custom::Store"}, "ResourceType: Input should be 'Custom::Artifact"),
        ({"StackId": "consumer"}, "StackId is not the ARN of a stack"),
        ({"StackId": None}, "StackId: Input should be a valid string"),
        ({"LogicalResourceId": "not a name"}, "LogicalResourceId is not the name of a stack's"),
        ({"ResourceProperties": None}, "ResourceProperties: Input should be a valid dictionary"),
    ],
)
def test_a_request_that_is_not_understood_is_answered_and_nothing_is_made(
    world: InMemory, endpoint: Endpoint, changes: dict[str, Any], reason: str
) -> None:
    """CR-28: an unknown RequestType, and other things CloudFormation does not send."""
    ask(saved("cfn_create", endpoint, **changes))
    assert endpoint.answer["Status"] == "FAILED"
    assert reason in endpoint.answer["Reason"]
    assert world.calls == []


def test_a_delete_with_ids_that_are_not_a_stacks_has_nothing_to_do(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-28."""
    for changes in ({"StackId": "s"}, {"StackId": 1}, {"LogicalResourceId": None}):
        event = saved("cfn_delete", endpoint, **changes)
        event["PhysicalResourceId"] = physical_id(
            str(event["StackId"]), str(event["LogicalResourceId"])
        )
        ask(event)
    assert [answer["Status"] for answer in endpoint.answers] == ["SUCCESS"] * 3
    assert world.calls == []


def test_a_request_wrapped_by_a_topic_is_ignored(world: InMemory, endpoint: Endpoint) -> None:
    """CR-28."""
    ask({"Records": [{"Sns": {"Message": saved("cfn_create", endpoint)}}]})
    assert endpoint.puts == []
    assert world.calls == []


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ("eu-south-1", "eu-south-1 is still being enabled for account 111111111111"),
        ("eu-west-9", "eu-west-9 is not a region that account 111111111111 knows"),
    ],
)
def test_a_region_that_cannot_be_used_yet_is_refused_with_what_to_do(
    world: InMemory, endpoint: Endpoint, region: str, reason: str
) -> None:
    """CR-31."""
    event = saved("cfn_create", endpoint)
    event["ResourceProperties"]["Region"] = region
    ask(event)
    assert endpoint.answer["Status"] == "FAILED"
    assert endpoint.answer["Reason"].startswith(reason)
    assert made(world) == (0, 0)


def test_a_delete_that_overtakes_its_create_is_answered_and_so_is_the_create(
    world: InMemory, endpoint: Endpoint
) -> None:
    """CR-32: the stack is deleted while its create still runs."""
    at_work, go_on = threading.Event(), threading.Event()

    def pause(call: str) -> None:
        if call == "CreateBucket":
            at_work.set()
            go_on.wait(10)

    world.watch(pause)
    with serving() as elsewhere, pytest.MonkeyPatch.context() as patch:
        create = threading.Thread(target=ask, args=(saved("cfn_create", endpoint),))
        create.start()
        at_work.wait(10)
        patch.setenv("FOOTHOLD_RESPONSE_ORIGIN", elsewhere.origin)
        ask(saved("cfn_delete", elsewhere))
        assert elsewhere.answer["Status"] == "SUCCESS"
        assert endpoint.puts == []
        go_on.set()
        create.join(10)
    assert endpoint.answer["Status"] == "SUCCESS"
    assert made(world) == (1, 1)


def test_the_claim_says_to_a_person_whose_it_is(world: InMemory, endpoint: Endpoint) -> None:
    ask(saved("cfn_create", endpoint))
    ((name, value),) = world.parameters.below(HOME, PLANE.names.claims).items()
    assert name == (
        "/foothold/claims/eu-west-1/consumer.5d1e8f60-7a3c-11f1-9b57-0a1b2c3d4e5f.ArtifactStore"
    )
    assert value == f"{CREATE['StackId']} ArtifactStore"


@pytest.mark.parametrize(
    "elsewhere",
    [
        ("arn:aws:", "arn:aws-cn:"),
        (":eu-central-1:", ":eu-west-1:"),
        (":111111111111:", ":999999999999:"),
    ],
)
def test_a_stack_of_another_partition_region_or_account_is_refused_and_nothing_is_made(
    world: InMemory, endpoint: Endpoint, elsewhere: tuple[str, str]
) -> None:
    stack_id = CREATE["StackId"].replace(*elsewhere)
    ask(saved("cfn_create", endpoint, StackId=stack_id))
    assert endpoint.answer["Status"] == "FAILED"
    assert "is not in eu-central-1 of account 111111111111" in endpoint.answer["Reason"]
    assert made(world) == (0, 0)
    assert world.calls == []


def test_a_delete_of_such_a_stack_drops_nobodys_claim(world: InMemory, endpoint: Endpoint) -> None:
    ask(saved("cfn_create", endpoint))
    stack_id = CREATE["StackId"].replace(":111111111111:", ":999999999999:")
    given = physical_id(stack_id, CREATE["LogicalResourceId"])
    ask(saved("cfn_delete", endpoint, StackId=stack_id, PhysicalResourceId=given))
    assert endpoint.answers[-1]["Status"] == "SUCCESS"
    assert claimed(world) == ["eu-west-1"]
