"""Stacks that follow the stores are updated when the set of stores changes, and only then."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from foothold.errors import PermanentError, TemporaryError
from foothold.pipelines.declaration import stores_digest as digest_of
from foothold.pipelines.follow import (
    BODY_BYTES,
    FollowingStack,
    FollowOutcome,
    FollowState,
    StackBusyError,
    follow_report,
    update_following,
)
from foothold.pipelines.gateways.cloudformation import CloudFormationStacks
from foothold.stores.published import Published
from foothold.stores.register import ArtifactStore
from tests.pipelines.declarations import HOME, REGIONS, stores

BEFORE, NOW = stores(HOME), stores(HOME, "eu-west-1")
TEMPLATE = "Transform: [FootholdPipeline]"


def stack(name: str = "orders", **more: Any) -> FollowingStack:
    known = FollowingStack(name, "CREATE_COMPLETE", digest_of(BEFORE), has_role=True)
    return replace(known, **more)


class Ready:
    """The stores that are ready; every reading of them is counted."""

    def __init__(
        self, known: Mapping[str, ArtifactStore] = NOW, refused: Mapping[str, str] | None = None
    ) -> None:
        self.known = known
        self.refused = refused or {}
        self.proven = 0

    def ready(self) -> Published:
        self.proven += 1
        usable = {name: store for name, store in self.known.items() if name not in self.refused}
        return Published(usable, self.refused)

    def named(self) -> Mapping[str, ArtifactStore]:
        return self.known


class World:
    """CloudFormation as far as following stacks see it; an update ends when it is told to."""

    def __init__(self, *stacks: FollowingStack, template: str = TEMPLATE) -> None:
        self.stacks = {each.name: each for each in stacks}
        self.template = template
        self.updates: list[str] = []
        self.refusals: dict[str, Exception] = {}

    def following(self) -> Iterable[FollowingStack]:
        return tuple(self.stacks.values())

    def original_template(self, name: str) -> str:
        assert name in self.stacks
        return self.template

    def update(self, stack: FollowingStack, template: str) -> bool:
        assert template == self.template
        if refusal := self.refusals.get(stack.name):
            raise refusal
        self.updates.append(stack.name)
        self.stacks[stack.name] = replace(stack, status="UPDATE_IN_PROGRESS")
        return True

    def finish(self, known: Mapping[str, ArtifactStore]) -> None:
        for name, each in self.stacks.items():
            self.stacks[name] = replace(each, status="UPDATE_COMPLETE", digest=digest_of(known))


def follow(
    world: World, known: Mapping[str, ArtifactStore] = NOW, seconds: float = 240
) -> tuple[FollowOutcome, ...]:
    return update_following(
        world, Ready(known), sleep=lambda _seconds: None, seconds_left=lambda: seconds
    )


def test_while_a_store_may_not_be_used_no_following_stack_is_updated() -> None:
    world = World(stack("a"))
    outcomes = update_following(
        world,
        Ready(NOW, {"eu-west-1": "its parameter names another bucket"}),
        sleep=lambda _seconds: None,
        seconds_left=lambda: 240,
    )
    (outcome,) = outcomes
    assert (outcome.state, outcome.reason) == (
        FollowState.REFUSED,
        "its parameter names another bucket",
    )
    assert world.updates == []


def test_a_run_that_has_nothing_to_update_looks_at_no_bucket() -> None:
    world, ready = World(stack("a", digest=digest_of(NOW))), Ready(NOW)
    (outcome,) = update_following(
        world, ready, sleep=lambda _seconds: None, seconds_left=lambda: 240
    )
    assert outcome.state is FollowState.CURRENT
    assert ready.proven == 0


def test_a_new_region_updates_every_following_stack_once() -> None:
    world = World(stack("a"), stack("b"))
    assert [outcome.state for outcome in follow(world)] == [
        FollowState.UPDATING,
        FollowState.UPDATING,
    ]
    assert world.updates == ["a", "b"]


def test_a_stack_that_is_being_updated_is_left_alone() -> None:
    world = World(stack())
    follow(world)
    [outcome] = follow(world)
    assert outcome == FollowOutcome("orders", FollowState.BUSY, "it is in UPDATE_IN_PROGRESS")
    assert world.updates == ["orders"]


def test_a_doubled_event_updates_nothing_twice() -> None:
    world = World(stack())
    follow(world)
    world.finish(NOW)
    assert follow(world) == (FollowOutcome("orders", FollowState.CURRENT),)
    assert world.updates == ["orders"]


def test_a_change_during_an_update_is_made_good_by_the_next_run() -> None:
    world = World(stack())
    follow(world)
    world.finish(NOW)
    later = stores(HOME, "eu-west-1", "us-east-1")
    assert [outcome.state for outcome in follow(world, later)] == [FollowState.UPDATING]


def test_a_region_that_goes_and_a_key_that_is_replaced_are_changes_too() -> None:
    for other in ({}, {HOME: replace(BEFORE[HOME], key_arn="arn:aws:kms:another")}):
        world = World(stack())
        follow(world, other)
        assert world.updates == ["orders"]


def test_a_store_where_codepipeline_is_not_updates_nothing_until_it_is() -> None:
    for there, updated in (([HOME], []), ([HOME, "eu-west-1"], ["orders"])):
        world = World(stack())
        update_following(
            world,
            Ready(NOW),
            sleep=lambda _seconds: None,
            seconds_left=lambda: 240,
            has_codepipeline=there.__contains__,
        )
        assert world.updates == updated


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"has_role": False}, "it has no role of its own: deploy it with --role-arn"),
        ({"status": "ROLLBACK_COMPLETE"}, "ROLLBACK_COMPLETE cannot be updated"),
        ({"digest": None}, "it has no output FootholdStores: it holds no declared pipeline"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_named_with_the_way_out(
    more: dict[str, Any], reason: str
) -> None:
    world = World(stack(**more))
    assert follow(world) == (FollowOutcome("orders", FollowState.REFUSED, reason),)
    assert world.updates == []


def test_a_rendered_template_is_not_submitted_again_and_again() -> None:
    world = World(stack(), template="Resources: {}")
    [outcome] = follow(world)
    assert outcome.state is FollowState.REFUSED
    assert "render and deploy it again" in outcome.reason


def test_a_template_too_large_for_an_update_is_refused() -> None:
    world = World(stack(), template=TEMPLATE + "#" * BODY_BYTES)
    [outcome] = follow(world)
    assert outcome.state is FollowState.REFUSED
    assert "an update takes 51,200" in outcome.reason


def test_one_stack_that_fails_stops_no_other() -> None:
    world = World(stack("a"), stack("b"), stack("c"))
    world.refusals = {
        "a": PermanentError("cannot update stack a: AccessDenied"),
        "b": StackBusyError("stack b is being worked on"),
    }
    assert follow_report(follow(world)) == {
        "refused": ["a: cannot update stack a: AccessDenied"],
        "busy": ["b: stack b is being worked on"],
        "updating": ["c"],
    }


def test_what_there_is_no_time_for_is_left_to_the_next_run() -> None:
    world = World(stack())
    [outcome] = follow(world, seconds=0.9)
    assert outcome.state is FollowState.LEFT
    assert world.updates == []


def test_200_pipelines_stay_within_the_accounts_rates() -> None:
    """Each update makes the macro read the parameters of all stores: ten a call, 40 calls a
    second for the whole account (AWS Systems Manager endpoints and quotas)."""
    known = stores(*REGIONS)
    world = World(*(stack(f"s{number}") for number in range(200)))
    clock = [0.0]
    reads: Counter[int] = Counter()
    calls_a_reading = -(-2 * len(known) // 10)
    update = world.update

    def counted(each: FollowingStack, template: str) -> bool:
        reads[int(clock[0])] += calls_a_reading
        return update(each, template)

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    world.update = counted  # type: ignore[method-assign,assignment]  # the same, with a tally
    outcomes = update_following(
        world, Ready(known), sleep=sleep, seconds_left=lambda: 240 - clock[0]
    )
    assert [outcome.state for outcome in outcomes] == [FollowState.UPDATING] * 200
    assert max(reads.values()) <= 40
    assert clock[0] <= 120


# On CloudFormation, as moto plays it


@pytest.fixture
def cloudformation() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("cloudformation", region_name=HOME)


def deployed(cloudformation: Any, name: str, follow: str = "true", **more: Any) -> str:
    """A stack with the output and the tag of a following one; its template as submitted."""
    body = json.dumps(
        {
            "Parameters": {"Size": {"Type": "String"}},
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {"FootholdStores": {"Value": digest_of(BEFORE)}},
        }
    )
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=body,
        Parameters=[{"ParameterKey": "Size", "ParameterValue": "3"}],
        Tags=[{"Key": "foothold:follow", "Value": follow}],
        Capabilities=["CAPABILITY_NAMED_IAM"],
        **more,
    )
    return body


def test_only_stacks_with_the_tag_follow(cloudformation: Any) -> None:
    role = "arn:aws:iam::123456789012:role/foothold-pipelines"
    deployed(cloudformation, "orders", RoleARN=role)
    deployed(cloudformation, "other", follow="false")
    assert list(CloudFormationStacks(cloudformation).following()) == [
        FollowingStack(
            "orders",
            "CREATE_COMPLETE",
            digest_of(BEFORE),
            has_role=True,
            parameters=("Size",),
        )
    ]


def test_a_stacks_original_template_is_read_back(cloudformation: Any) -> None:
    body = deployed(cloudformation, "orders")
    asked = sent(cloudformation, "GetTemplate")
    found = CloudFormationStacks(cloudformation).original_template("orders")
    assert json.loads(found) == json.loads(body)
    assert asked == {"StackName": "orders", "TemplateStage": "Original"}


def sent(cloudformation: Any, operation: str) -> dict[str, Any]:
    """The parameters of the operation, once it is called."""
    parameters: dict[str, Any] = {}
    cloudformation.meta.events.register(
        f"provide-client-params.cloudformation.{operation}",
        lambda params, **_: parameters.update(params),
    )
    return parameters


def test_an_update_keeps_parameters_and_capabilities_and_lets_macros_run(
    cloudformation: Any,
) -> None:
    deployed(cloudformation, "orders")
    asked = sent(cloudformation, "UpdateStack")
    stacks = CloudFormationStacks(cloudformation)
    [orders] = stacks.following()
    assert stacks.update(orders, deployed_again()) is True
    assert asked["Parameters"] == [{"ParameterKey": "Size", "UsePreviousValue": True}]
    assert asked["Capabilities"] == ["CAPABILITY_AUTO_EXPAND", "CAPABILITY_NAMED_IAM"]
    assert "RoleARN" not in asked
    assert "Tags" not in asked


def deployed_again() -> str:
    return json.dumps(
        {
            "Parameters": {"Size": {"Type": "String"}},
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {"FootholdStores": {"Value": digest_of(NOW)}},
        }
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("No updates are to be performed.", False),
        ("Stack:arn:x is in UPDATE_IN_PROGRESS state and can not be updated.", StackBusyError),
        ("Parameter Size must have a value", PermanentError),
    ],
)
def test_cloudformations_refusals_are_told_apart(
    cloudformation: Any, message: str, expected: Any
) -> None:
    answer = {"Error": {"Code": "ValidationError", "Message": message}, "ResponseMetadata": {}}

    def refuse(**_: Any) -> Any:
        raise cloudformation.exceptions.ClientError(answer, "UpdateStack")

    cloudformation.meta.events.register("before-call.cloudformation.UpdateStack", refuse)
    stacks = CloudFormationStacks(cloudformation)
    if expected is False:
        assert stacks.update(stack(), TEMPLATE) is False
        return
    with pytest.raises(expected) as caught:
        stacks.update(stack(), TEMPLATE)
    assert isinstance(caught.value, TemporaryError) is (expected is StackBusyError)
