"""The proof of the pipelines' roles can fail: each of these breaks one thing, and is told of."""

from collections.abc import Callable
from typing import Any

import pytest

from foothold.partitions import everywhere
from foothold.pipelines.sources import SOURCES
from proof import roles
from proof.result import Scale

Json = dict[str, Any]

TARGET, TOOLS = "target-account.yaml", "tools-account.yaml"


def statements(template: Json, role: str) -> list[Json]:
    """Those of a role's first policy."""
    policy = template["Resources"][role]["Properties"]["Policies"][0]
    found: list[Json] = policy["PolicyDocument"]["Statement"]
    return found


def statement(template: Json, role: str, sid: str) -> Json:
    return next(each for each in statements(template, role) if each.get("Sid") == sid)


def trust(template: Json, role: str) -> Json:
    document = template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]
    found: Json = document["Statement"][0]
    return found


def an_action_too_many(found: dict[str, Json]) -> None:
    statement(found[TARGET], "DeployRole", "WorkOnChangeSets")["Action"].append(
        "cloudformation:DeleteStack"
    )


def an_action_too_many_in_an_expansion(found: dict[str, Json]) -> None:
    build = statement(found[roles.EXPANDED], "CommitsRole", "Build")
    build["Action"].append("codebuild:RetryBuild")


def a_resource_too_many(found: dict[str, Json]) -> None:
    statement(found[roles.EXPANDED], "OlderNameOfConnectionsBuildRole", "PackageForRegions")[
        "Resource"
    ].append({"Fn::Sub": "arn:${AWS::Partition}:s3:::elsewhere/*"})


def a_build_that_reads_what_others_built(found: dict[str, Json]) -> None:
    artifacts = statement(found[roles.EXPANDED], "ShelfBuildRole", "PassArtifactsOn")
    artifacts["Resource"] = {"Fn::Sub": "arn:${AWS::Partition}:s3:::foothold-*"}


def an_action_that_a_rehearsal_misses(found: dict[str, Json]) -> None:
    changes = statement(found[TARGET], "DeployRole", "WorkOnChangeSets")
    changes["Action"].remove("cloudformation:DescribeStackEvents")


def an_action_that_a_handler_misses(found: dict[str, Json]) -> None:
    statement(found[TOOLS], "PipelinesRole", "KeepStartRules")["Action"].remove(
        "events:TagResource"
    )


def a_condition_removed(found: dict[str, Json]) -> None:
    del statement(found[TARGET], "ExecutionRole", "DecryptArtifactsThroughS3")["Condition"]


def a_condition_that_nobody_notices(found: dict[str, Json]) -> None:
    send = statement(found["organization-events.yaml"], "SendRole", "SendToFoothold")
    send["Condition"] = {"Bool": {"aws:SecureTransport": "true"}}


def a_trust_policy_that_lets_everybody_in(found: dict[str, Json]) -> None:
    trust(found[roles.EXPANDED], "ShelfRole")["Principal"] = "*"


def a_trust_policy_without_its_condition(found: dict[str, Json]) -> None:
    del trust(found["region-events.yaml"], "Sender")["Condition"]


def an_allow_on_everything(found: dict[str, Json]) -> None:
    statement(found[TOOLS], "PipelinesRole", "KeepWebhooks")["Resource"] = "*"


def a_source_that_may_send_no_acl(found: dict[str, Json]) -> None:
    statement(found[roles.EXPANDED], "HubRole", "PassArtifactsOn")["Action"].remove(
        "s3:PutObjectAcl"
    )


def a_connection_by_one_name_only(found: dict[str, Json]) -> None:
    source = statement(found[roles.EXPANDED], "ConnectedRole", "ReadSource")
    source["Action"].remove("codestar-connections:UseConnection")


def a_service_that_acts_for_anybody(found: dict[str, Json]) -> None:
    del trust(found[roles.EXPANDED], "CommitsBuildRole")["Condition"]


def adopted_buckets_that_nobody_reads(found: dict[str, Json]) -> None:
    policies = found[TARGET]["Resources"]["DeployRole"]["Properties"]["Policies"]
    [adopted] = [each for each in policies if "Fn::If" in each]
    policies.remove(adopted)


NEEDLESS, UNNOTICED = "granted and never needed", "no request notices"
BROKEN: tuple[tuple[Callable[[dict[str, Json]], None], str, str], ...] = (
    (an_action_too_many, NEEDLESS, "WorkOnChangeSets cloudformation:DeleteStack"),
    (an_action_too_many_in_an_expansion, NEEDLESS, "Build codebuild:RetryBuild"),
    (a_resource_too_many, NEEDLESS, "PackageForRegions arn:aws:s3:::elsewhere/*"),
    (a_build_that_reads_what_others_built, "allowed", "payroll/builds/1 (another pipeline's)"),
    (an_action_that_a_rehearsal_misses, "refused", "cloudformation:DescribeStackEvents"),
    (an_action_that_a_handler_misses, "refused", "events:TagResource"),
    (a_condition_removed, "allowed", "role/foothold-cloudformation kms:Decrypt"),
    (a_condition_that_nobody_notices, UNNOTICED, "SendToFoothold without Bool"),
    (a_trust_policy_that_lets_everybody_in, "allowed", "role/foothold-shelf-pipeline"),
    (a_trust_policy_without_its_condition, "allowed", "role/Sender (another account's rule)"),
    (a_source_that_may_send_no_acl, "refused", "foothold-hub-pipeline s3:PutObjectAcl"),
    (a_connection_by_one_name_only, "refused", "codestar-connections:UseConnection"),
    (
        a_service_that_acts_for_anybody,
        "allowed",
        "foothold-commits-build (its service, for anoth",
    ),
    (adopted_buckets_that_nobody_reads, "refused", "old-artifacts/orders/builds/1 (an adopted"),
    (an_allow_on_everything, "PipelinesRole", "codepipeline:DeleteWebhook on *"),
)


@pytest.fixture(scope="module")
def failures() -> tuple[str, ...]:
    """What is told when all of it is broken: each in a place of its own, in one run."""
    found = roles.templates()
    for breaks, _, _ in BROKEN:
        breaks(found)
    return roles.role_privileges(Scale(), found).failures


@pytest.mark.parametrize(
    ("kind", "where"),
    [(kind, where) for _, kind, where in BROKEN],
    ids=[breaks.__name__ for breaks, _, _ in BROKEN],
)
def test_what_is_broken_is_told_of(kind: str, where: str, failures: tuple[str, ...]) -> None:
    assert [failure for failure in failures if failure.startswith(kind) and where in failure]


def test_a_pipeline_that_follows_into_regions_without_codepipeline_is_told_of() -> None:
    assert list(roles.astray()) == []
    assert "ca-west-1 has no CodePipeline" in roles.astray(everywhere)


def test_iam_takes_what_there_is_around_200_pipelines_and_not_200_names() -> None:
    counted, too_large = roles.outsized()
    assert (counted > 20, too_large) == (True, [])
    _, too_large = roles.outsized(roles.NAMED)
    told = [line.partition(":")[0] for line in too_large]
    assert told[0] == "PipelineRoleArns"
    assert [line for line in too_large if "trust of" in line and "foothold-deploy" in line]


def test_a_resource_whose_handlers_are_not_known_is_told_of() -> None:
    with pytest.raises(LookupError, match="AWS::SNS::Topic"):
        roles.handlers_call({"Type": "AWS::SNS::Topic", "Properties": {}})


def test_a_property_that_is_set_brings_what_its_handlers_call() -> None:
    role: Json = {"Type": "AWS::IAM::Role", "Properties": {"ManagedPolicyArns": ["any"]}}
    assert "iam:AttachRolePolicy" in roles.handlers_call(role)
    assert "iam:AttachRolePolicy" not in roles.handlers_call({**role, "Properties": {}})


def test_every_type_of_source_is_asked_about() -> None:
    asked = {name for source in roles.SOURCES.values() for name in source}
    assert asked == {source.name for source in SOURCES}
