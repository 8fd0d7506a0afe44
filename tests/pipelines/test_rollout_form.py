"""What a declaration says of releases: tags, waves, what is watched after them, who is asked."""

from typing import Any

import pytest

from foothold.pipelines.resources import release_targets
from foothold.pipelines.waves import Waves
from foothold.releases.model import Bake, OnFailure, ReleaseTarget, Trial, When
from tests.pipelines.declarations import KNOWN, TOPIC, declared, pipeline, target
from tests.pipelines.test_declaration import refused

FOLLOW = {"Regions": "follow"}
ASKED = {"When": "risk", "Topic": TOPIC}
STATEMENT = {"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "*"}


def published(*targets: dict[str, Any]) -> tuple[ReleaseTarget, ...]:
    return release_targets(pipeline(declared(*targets))).targets


def test_all_that_is_declared_of_a_release_is_published() -> None:
    statement = {**STATEMENT, "Resource": ["LogicalResourceId/Table", "*"]}
    [found] = published(
        target(
            Regions="follow",
            Tags={"team": "orders", "commit": "#{SourceVariables.CommitId}", "cost": 7},
            StackPolicy={"Statement": [statement]},
            Waves=[1, 2],
            Bake={"Minutes": "10", "Alarms": ["errors", "Errors"]},
            OnFailure="rollback",
            Tests=[
                {"Name": "smoke", "Project": "orders-smoke"},
                {"Name": "probe", "Function": "probe", "EachRegion": True},
            ],
            Approval=ASKED,
        )
    )
    assert found.tags == {"team": "orders", "commit": "#{SourceVariables.CommitId}", "cost": "7"}
    assert found.stack_policy == {"Statement": [{**statement, "Action": ["Update:*"]}]}
    assert [len(wave) for wave in found.waves] == [1, 2, 1]
    assert found.bake == Bake(10, ("errors", "Errors"))
    assert (found.on_failure, found.approval) == (OnFailure.ROLLBACK, When.RISK)
    assert found.trials == (
        Trial("smoke", project="orders-smoke"),
        Trial("probe", function="probe", each_region=True),
    )


@pytest.mark.parametrize(
    ("written", "waves"),
    [
        ([1, 3, 12], Waves(sizes=(1, 3, 12))),
        (["1", "3"], Waves(sizes=(1, 3))),
        ("1, 3", Waves(sizes=(1, 3))),
        ([["us-east-1"], ["eu-west-1"]], Waves(lists=(("us-east-1",), ("eu-west-1",)))),
        ({"First": "us-east-1"}, Waves(lists=(("us-east-1",),))),
    ],
)
def test_waves_are_sizes_or_lists_of_regions_or_a_region_that_comes_first(
    written: Any, waves: Waves
) -> None:
    [found] = published(target(**FOLLOW, Waves=written))
    assert found.waves == waves.over(sorted(KNOWN))


def test_a_target_that_is_parallel_takes_waves_and_approval_from_the_one_before_it() -> None:
    first, second, third, after = published(
        target("One", **FOLLOW, Waves=[1, 3], Approval=ASKED, Bake={"Minutes": 5}),
        target("Two", Account="333333333333", **FOLLOW, Parallel=True),
        target("Three", Account="444444444444", Regions=["us-east-1"], Parallel=True),
        target("After", Account="555555555555"),
    )
    assert (second.waves, second.approval, second.bake) == (first.waves, When.RISK, Bake(5))
    assert third.waves == ((), ("us-east-1",))
    assert [each.joins for each in (first, second, third, after)] == ["", "One", "One", ""]
    assert (after.approval, after.bake) == (None, None)


WAVES_HINT = (
    "Targets[Test].Waves: write how many regions each wave has, such as [1, 3, 12], or a list of "
    "regions for each, or {First: REGION}"
)
TAG_KEY = (
    "write 1 to 128 letters, digits, spaces and any of + - = . _ : / @; what begins with aws: or "
    "foothold: is not yours"
)
TAG_VALUE = "write 1 to 256 letters, digits, spaces and any of + - = . _ : / @"
ALARM = "write an alarm's name: 1 to 255 characters, more than colons, without variables"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"Waves": []}, WAVES_HINT),
        ({"Waves": [0]}, WAVES_HINT),
        ({"Waves": [1, -3]}, WAVES_HINT),
        ({"Waves": [True]}, WAVES_HINT),
        ({"Waves": [1.5]}, WAVES_HINT),
        ({"Waves": [1, ["us-east-1"]]}, WAVES_HINT),
        ({"Waves": [[]]}, WAVES_HINT),
        ({"Waves": {"Last": "us-east-1"}}, WAVES_HINT),
        (
            {"Waves": {"First": "us-east-2"}},
            (
                "Targets[Test].Waves: us-east-2 is not among the target's regions; add it to "
                "Regions, or remove it here"
            ),
        ),
        (
            {"Waves": [["us-east-1"], ["us-east-1"]]},
            "Targets[Test].Waves: us-east-1 stands there 2 times; once is enough",
        ),
        (
            {"Waves": [1], "WaveSize": 2},
            "Targets[Test].WaveSize: Waves says it already; remove one of them",
        ),
        (
            {"WaveSize": 2, "Bake": {"Minutes": 1}},
            (
                "Targets[Test].Bake: WaveSize deploys in one stage, in which nothing is watched; "
                "write Waves: [2] for it"
            ),
        ),
        (
            {"Bake": {"Minutes": 0}},
            (
                "Targets[Test].Bake: it waits for nothing and watches nothing; give it Minutes or "
                "Alarms"
            ),
        ),
        (
            {"Bake": {"Minutes": 1381}},
            "Targets[Test].Bake.Minutes: should be less than or equal to 1380",
        ),
        ({"Bake": {"Alarms": ["::"]}}, f"Targets[Test].Bake.Alarms[0]: {ALARM}"),
        ({"Bake": {"Alarms": ["a\tb"]}}, f"Targets[Test].Bake.Alarms[0]: {ALARM}"),
        ({"Bake": {"Alarms": ["x" * 256]}}, f"Targets[Test].Bake.Alarms[0]: {ALARM}"),
        (
            {"Bake": {"Alarms": ["#{SourceVariables.CommitId}"]}},
            f"Targets[Test].Bake.Alarms[0]: {ALARM}",
        ),
        (
            {"Bake": {"Alarms": ["a", "a"]}},
            "Targets[Test].Bake.Alarms: a stands there 2 times; once is enough",
        ),
        (
            {"Bake": {"Alarms": [str(number) for number in range(101)]}},
            (
                "Targets[Test].Bake: it names 101 alarms and CloudWatch tells of 100 at a time; "
                "name a composite alarm for them"
            ),
        ),
        ({"OnFailure": "retry"}, "Targets[Test].OnFailure: should be 'stop' or 'rollback'"),
        (
            {"Approval": {"When": "never", "Topic": TOPIC}},
            "Targets[Test].Approval.When: should be 'always', 'changes' or 'risk'",
        ),
        ({"Tags": {"aws:x": "y"}}, f"Targets[Test].Tags.aws:x: {TAG_KEY}"),
        ({"Tags": {"AWS:x": "y"}}, f"Targets[Test].Tags.AWS:x: {TAG_KEY}"),
        ({"Tags": {"foothold:x": "y"}}, f"Targets[Test].Tags.foothold:x: {TAG_KEY}"),
        ({"Tags": {"k" * 129: "y"}}, f"Targets[Test].Tags.{'k' * 129}: {TAG_KEY}"),
        ({"Tags": {"team": ""}}, f"Targets[Test].Tags.team: {TAG_VALUE}"),
        ({"Tags": {"team": "v" * 257}}, f"Targets[Test].Tags.team: {TAG_VALUE}"),
        ({"Tags": {"team": "a|b"}}, f"Targets[Test].Tags.team: {TAG_VALUE}"),
        (
            {"Tags": {f"k{number}": "v" for number in range(49)}},
            "Targets[Test].Tags: CloudFormation takes 50, two are Foothold's; give at most 48",
        ),
        (
            {"Tags": {"Team": "a", "team": "b"}},
            "Targets[Test].Tags: Team and team differ in capitals only; rename one",
        ),
        (
            {"Tags": {"commit": "#{SourceVariables.Nothing}"}},
            (
                "Targets[Test].Tags.commit: #{SourceVariables.Nothing}: SourceVariables has no "
                "Nothing; it has AuthorDate, AuthorDisplayName, AuthorEmail, AuthorId, "
                "BranchName, CommitId, CommitMessage, ConnectionArn, FullRepositoryName or "
                "ProviderType"
            ),
        ),
        (
            {"StackPolicy": {"Statement": [{**STATEMENT, "Condition": {"a": ["#{x}"]}}]}},
            (
                "Targets[Test].StackPolicy: #{x} has no namespace that is known here; write "
                "#{Namespace.Variable} with codepipeline, SourceVariables or BuildVariables"
            ),
        ),
        ({"StackPolicy": {}}, "Targets[Test].StackPolicy.Statement: missing; add it"),
        (
            {"StackPolicy": {"Statement": []}},
            "Targets[Test].StackPolicy: its Statement is empty; give at least one",
        ),
        (
            {"StackPolicy": {"Statement": [{**STATEMENT, "Action": "s3:*"}]}},
            (
                "Targets[Test].StackPolicy.Statement[0].Action[0]: write Update:Modify, "
                "Update:Replace, Update:Delete or Update:*"
            ),
        ),
        (
            {"StackPolicy": {"Statement": [{**STATEMENT, "NotResource": "*"}]}},
            (
                "Targets[Test].StackPolicy.Statement[0]: give exactly one of Resource and "
                "NotResource"
            ),
        ),
        (
            {"StackPolicy": {"Statement": [{**STATEMENT, "Condition": {"a": "x" * 20_000}}]}},
            (
                "Targets[Test].StackPolicy: it has 20,120 bytes and CloudFormation takes 16,384; "
                "name several resources with *"
            ),
        ),
        (
            {"Parameters": {"P": "ü" * 2049}},
            (
                "Targets[Test].Parameters.P: it has 4,098 bytes and CloudFormation takes 4,096; "
                "read it from Parameter Store"
            ),
        ),
        (
            {"Tests": [{"Name": "smoke"}]},
            "Targets[Test].Tests[smoke]: give exactly one of Project and Function",
        ),
        (
            {"Tests": [{"Name": "smoke", "Project": "p1", "Function": "f"}]},
            "Targets[Test].Tests[smoke]: give exactly one of Project and Function",
        ),
        (
            {"Tests": [{"Name": "a", "Function": "f"}, {"Name": "a", "Function": "g"}]},
            "Targets[Test].Tests: a stands there 2 times; once is enough",
        ),
        (
            {"Parallel": True},
            (
                "Targets[Test].Parallel: there is no target before it; remove it, or let it "
                "follow another"
            ),
        ),
    ],
)
def test_what_aws_would_refuse_later_is_refused_now(more: dict[str, Any], line: str) -> None:
    assert refused(declared(target(**{**FOLLOW, **more}))) == [line]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Approval", ASKED),
        ("WaveSize", 2),
        ("Waves", [1]),
        ("Bake", {"Minutes": 1}),
        ("OnFailure", "rollback"),
        ("Tests", [{"Name": "smoke", "Function": "f"}]),
    ],
)
def test_a_target_that_is_parallel_declares_none_of_its_own(name: str, value: Any) -> None:
    second = target("Two", Account="333333333333", Parallel=True, **{name: value})
    assert refused(declared(target("One"), second)) == [
        (
            f"Targets[Two].{name}: it runs in the stages of One, whose {name} holds for both; "
            "remove it here, or remove Parallel"
        )
    ]


@pytest.mark.parametrize(
    ("first", "second", "line"),
    [
        (
            {"Waves": [1], "Regions": "follow"},
            "Test-1",
            "Targets[Test-1].Name: Test has a stage Test-1 already; choose another",
        ),
        (
            {"Approval": ASKED},
            "test-approve",
            "Targets[test-approve].Name: Test has a stage test-approve already; choose another",
        ),
        (
            {"Approval": ASKED},
            "Test-Deploy",
            "Targets[Test-Deploy].Name: Test has a stage Test-Deploy already; choose another",
        ),
        (
            {},
            "Te-st",
            (
                "Targets[Te-st].Name: only marks tell it from Test, and the variables of a review "
                "are named without marks; choose another"
            ),
        ),
    ],
)
def test_no_two_stages_and_no_two_reviews_have_one_name(
    first: dict[str, Any], second: str, line: str
) -> None:
    assert refused(declared(target(**first), target(second, Account="333333333333"))) == [line]


def test_a_buildspec_that_packages_writes_no_tags_and_no_stack_policy() -> None:
    properties = declared(
        target(Tags={"team": "a"}, StackPolicy={"Statement": [STATEMENT]}), Package="buildspec"
    )
    said = (
        "with Package: buildspec nobody writes the file that holds it; drop Package, or remove it"
    )
    assert refused(properties) == [
        f"Targets[Test].Tags: {said}",
        f"Targets[Test].StackPolicy: {said}",
    ]
