"""One declaration becomes the pipeline, its build and its roles."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types
from cfnlint.api import lint  # type: ignore[import-untyped]  # it brings no types
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from moto.iam.access_control import IAMPolicy, PermissionResult

from foothold.pipelines.declaration import DeclarationError
from foothold.pipelines.resources import expand, in_parts, release_targets
from foothold.releases.model import ReleaseTargets
from tests.pipelines.declarations import (
    CONNECTION,
    HANDWRITTEN,
    HOME,
    KNOWN,
    REGIONS,
    TOPIC,
    declarations,
    declared,
    pipeline,
    stores,
    target,
)

Json = dict[str, Any]


def expanded(properties: Json, known: Any = None) -> dict[str, Json]:
    return expand(pipeline(properties, known))


def stages(resources: dict[str, Json]) -> dict[str, list[Json]]:
    found = resources["Pipeline"]["Properties"]["Stages"]
    return {stage["Name"]: stage["Actions"] for stage in found}


def variables(resources: dict[str, Json]) -> dict[str, Any]:
    environment = resources["PipelineBuildProject"]["Properties"]["Environment"]
    return {each["Name"]: each["Value"] for each in environment["EnvironmentVariables"]}


# A pipeline as it is written by hand, declared


@pytest.fixture
def handwritten() -> dict[str, Json]:
    return expanded(HANDWRITTEN)


def test_a_handwritten_pipelines_stages_are_all_there_in_order(
    handwritten: dict[str, Json],
) -> None:
    assert list(stages(handwritten)) == ["Source", "Build", "Package", "Test", "Production"]
    properties = handwritten["Pipeline"]["Properties"]
    assert (properties["PipelineType"], properties["ExecutionMode"]) == ("V2", "QUEUED")


def test_a_handwritten_pipelines_source_is_github_with_a_token_from_secrets_manager(
    handwritten: dict[str, Json],
) -> None:
    [action] = stages(handwritten)["Source"]
    assert action["ActionTypeId"] == {
        "Category": "Source",
        "Owner": "ThirdParty",
        "Provider": "GitHub",
        "Version": "1",
    }
    assert action["Configuration"] == {
        "Owner": "owner",
        "Repo": "project",
        "Branch": "main",
        "PollForSourceChanges": "false",
        "OAuthToken": "{{resolve:secretsmanager:GitHubOAuthToken:SecretString:GitHubOAuthToken}}",
    }


def test_a_handwritten_pipelines_build_keeps_its_image_cache_time_limit_and_variables(
    handwritten: dict[str, Json],
) -> None:
    project = handwritten["PipelineBuildProject"]["Properties"]
    assert project["Environment"]["Image"] == "aws/codebuild/amazonlinux2-x86_64-standard:5.0"
    assert project["Environment"]["ComputeType"] == "BUILD_GENERAL1_SMALL"
    assert project["Cache"] == {"Type": "LOCAL", "Modes": ["LOCAL_CUSTOM_CACHE"]}
    assert project["TimeoutInMinutes"] == 10
    assert project["Source"] == {"Type": "CODEPIPELINE", "BuildSpec": "buildspec.yaml"}
    assert {"Key": "Name", "Value": "project"} in project["Tags"]
    found = variables(handwritten)
    assert found["S3_BUCKET_region1"] == KNOWN["eu-west-1"].bucket
    assert found["KMS_KEY_region1"] == KNOWN["eu-west-1"].key_arn
    assert found["S3_BUCKET_region2"] == KNOWN["ap-southeast-1"].bucket
    assert found["KMS_KEY_region2"] == KNOWN["ap-southeast-1"].key_arn
    assert found["ACCOUNT_ID"] == {"Ref": "AWS::AccountId"}
    assert found["AWSREGION"] == {"Ref": "AWS::Region"}
    assert found["PROJECT_ID"] == "project"
    [build] = stages(handwritten)["Build"]
    assert build["InputArtifacts"] == stages(handwritten)["Source"][0]["OutputArtifacts"]


def test_the_builds_output_is_encrypted_with_the_pipelines_own_key(
    handwritten: dict[str, Json],
) -> None:
    assert handwritten["PipelineBuildProject"]["Properties"]["EncryptionKey"] == KNOWN[HOME].key_arn


def test_a_handwritten_pipelines_stores_are_there_and_the_home_regions_too(
    handwritten: dict[str, Json],
) -> None:
    assert handwritten["Pipeline"]["Properties"]["ArtifactStores"] == [
        {
            "Region": region,
            "ArtifactStore": {
                "Type": "S3",
                "Location": KNOWN[region].bucket,
                "EncryptionKey": {"Id": KNOWN[region].key_arn, "Type": "KMS"},
            },
        }
        for region in ("ap-southeast-1", "eu-central-1", "eu-west-1")
    ]


def test_a_pipeline_of_one_region_names_its_one_store() -> None:
    properties = expanded(declared(target(Regions=[HOME])))["Pipeline"]["Properties"]
    assert "ArtifactStores" not in properties
    assert properties["ArtifactStore"] == {
        "Type": "S3",
        "Location": KNOWN[HOME].bucket,
        "EncryptionKey": {"Id": KNOWN[HOME].key_arn, "Type": "KMS"},
    }


def test_the_change_set_that_is_created_is_the_one_that_is_executed(
    handwritten: dict[str, Json],
) -> None:
    for name in ("Test", "Production"):
        for region in ("eu-west-1", "ap-southeast-1"):
            actions = {action["Name"]: action for action in stages(handwritten)[name]}
            create = actions[f"CreateChangeSet-{region}"]
            execute = actions[f"ExecuteChangeSet-{region}"]
            assert create["Configuration"]["ActionMode"] == "CHANGE_SET_REPLACE"
            assert execute["Configuration"]["ActionMode"] == "CHANGE_SET_EXECUTE"
            for key in ("StackName", "ChangeSetName"):
                assert create["Configuration"][key] == execute["Configuration"][key]
            assert create["Region"] == execute["Region"] == region
            assert create["RoleArn"] == execute["RoleArn"]
            assert create["RunOrder"] < execute["RunOrder"]


def test_what_is_deployed_is_what_the_package_function_made_of_the_built_template(
    handwritten: dict[str, Json],
) -> None:
    [package] = stages(handwritten)["Package"]
    assert package["InputArtifacts"] == stages(handwritten)["Build"][0]["OutputArtifacts"]
    assert package["Configuration"]["FunctionName"] == (
        "{{resolve:ssm:/foothold/package-function}}"
    )
    assert json.loads(package["Configuration"]["UserParameters"]) == {
        "project": "project",
        "execution": "#{codepipeline.PipelineExecutionId}",
        "targets": release_targets(pipeline(HANDWRITTEN)).digest,
    }
    create = stages(handwritten)["Test"][0]
    assert create["InputArtifacts"] == package["OutputArtifacts"]
    assert create["Configuration"]["TemplatePath"] == (
        "PackageOutput::template-export-eu-west-1.yml"
    )
    assert create["Configuration"]["TemplateConfiguration"] == (
        "PackageOutput::configuration-Test-eu-west-1.json"
    )
    assert "ParameterOverrides" not in create["Configuration"]


def test_a_handwritten_pipelines_capabilities_and_roles_are_set(
    handwritten: dict[str, Json],
) -> None:
    create = stages(handwritten)["Production"][0]
    configuration = create["Configuration"]
    assert configuration["Capabilities"] == "CAPABILITY_NAMED_IAM,CAPABILITY_AUTO_EXPAND"
    arn = "arn:${AWS::Partition}:iam::333333333333:role/"
    assert create["RoleArn"] == {"Fn::Sub": f"{arn}foothold-deploy"}
    assert configuration["RoleArn"] == {"Fn::Sub": f"{arn}foothold-cloudformation"}


def test_a_handwritten_buildspec_may_go_on_packaging() -> None:
    resources = expanded({**HANDWRITTEN, "Package": "buildspec"})
    assert list(stages(resources)) == ["Source", "Build", "Test", "Production"]
    create = stages(resources)["Test"][0]
    assert create["Configuration"]["TemplatePath"] == "BuildOutput::template-export-region1.yml"
    assert "TemplateConfiguration" not in create["Configuration"]


# The order of things


def test_an_approval_stands_between_a_review_of_all_change_sets_and_their_execution() -> None:
    regions = ["eu-west-1", "us-east-1"]
    asked = {"Topic": TOPIC, "Note": "?", "TimeoutMinutes": 5}
    resources = expanded(declared(target(Regions=regions, Approval=asked)))
    assert orders(stages(resources)["Test"]) == [
        ["CreateChangeSet-eu-west-1", "CreateChangeSet-us-east-1"],
        ["Review"],
        ["Approve"],
        ["Guard"],
        ["ExecuteChangeSet-eu-west-1", "ExecuteChangeSet-us-east-1"],
    ]
    approve = stages(resources)["Test"][3]
    assert approve["Configuration"] == {
        "NotificationArn": TOPIC,
        "CustomData": "#{ReviewTest.summary} ?",
        "ExternalEntityLink": "#{ReviewTest.link}",
    }
    assert approve["TimeoutInMinutes"] == 5
    assert "Region" not in approve


def orders(actions: list[Json]) -> list[list[str]]:
    """The names of a stage's actions, those together that run at the same time."""
    found: dict[int, list[str]] = {}
    for action in actions:
        found.setdefault(action["RunOrder"], []).append(action["Name"])
    assert list(found) == list(range(1, len(found) + 1))
    return list(found.values())


def test_every_target_is_reviewed_and_only_an_approval_is_guarded() -> None:
    assert orders(stages(expanded(declared()))["Test"]) == [
        ["CreateChangeSet-eu-west-1"],
        ["Review"],
        ["ExecuteChangeSet-eu-west-1"],
    ]


@pytest.mark.parametrize("when", ["changes", "risk"])
def test_who_is_asked_only_where_the_review_says_so_is_asked_in_a_stage_that_is_skipped(
    when: str,
) -> None:
    resources = expanded(declared(target("My-1", Approval={"Topic": TOPIC, "When": when})))
    found = stages(resources)
    assert [*found][3:] == ["My-1", "My-1-Approve", "My-1-Deploy"]
    assert orders(found["My-1"]) == [["CreateChangeSet-eu-west-1"], ["Review"]]
    assert found["My-1"][1]["Namespace"] == "ReviewMy1"
    assert orders(found["My-1-Approve"]) == [["Approve"]]
    assert orders(found["My-1-Deploy"]) == [["Guard"], ["ExecuteChangeSet-eu-west-1"]]
    entries = {
        stage["Name"]: stage["BeforeEntry"]
        for stage in resources["Pipeline"]["Properties"]["Stages"]
        if "BeforeEntry" in stage
    }
    [condition] = entries.pop("My-1-Approve")["Conditions"]
    assert entries == {}
    assert condition["Result"] == "SKIP"
    [rule] = condition["Rules"]
    assert rule["RuleTypeId"] == {
        "Category": "Rule",
        "Owner": "AWS",
        "Provider": "VariableCheck",
        "Version": "1",
    }
    assert rule["Configuration"] == {
        "Variable": "#{ReviewMy1.ask}",
        "Operator": "EQ",
        "Value": "yes",
    }


def told(action: Json) -> Json:
    """What an action tells its function."""
    found: Json = json.loads(action["Configuration"]["UserParameters"])
    return found


def test_waves_are_stages_of_which_each_is_watched_and_the_first_is_guarded() -> None:
    watched: Json = {"Bake": {"Minutes": 5}, "Approval": {"Topic": TOPIC, "When": "changes"}}
    properties = declared(target(Regions="follow", Waves=[1, 2], **watched))
    found = stages(expanded(properties))
    assert [*found][3:] == ["Test", "Test-Approve", "Test-1", "Test-2", "Test-3"]
    assert orders(found["Test-1"]) == [["Guard"], ["ExecuteChangeSet-ap-southeast-1"], ["Bake"]]
    assert orders(found["Test-2"]) == [
        ["ExecuteChangeSet-eu-central-1", "ExecuteChangeSet-eu-west-1"],
        ["Bake"],
    ]
    assert orders(found["Test-3"]) == [["ExecuteChangeSet-us-east-1"], ["Bake"]]
    same = {
        "project": "orders",
        "target": "Test",
        "execution": "#{codepipeline.PipelineExecutionId}",
        "targets": release_targets(pipeline(properties)).digest,
    }
    assert told(found["Test"][-1]) == {"do": "review", **same}
    assert told(found["Test-1"][0]) == {"do": "guard", **same}
    assert [told(found[f"Test-{wave}"][-1]) for wave in (1, 2, 3)] == [
        {"do": "bake", **same, "wave": wave} for wave in (1, 2, 3)
    ]
    functions = [found[f"Test{end}"][-1]["Configuration"]["FunctionName"] for end in ("", "-1")]
    assert functions == [
        "{{resolve:ssm:/foothold/review-function}}",
        "{{resolve:ssm:/foothold/rollout-function}}",
    ]


def test_what_is_deployed_in_one_stage_is_watched_at_its_end() -> None:
    trials = [{"Name": "smoke", "Function": "smoke"}]
    found = stages(expanded(declared(target(Tests=trials))))
    assert orders(found["Test"])[2:] == [["ExecuteChangeSet-eu-west-1"], ["Bake"]]
    assert told(found["Test"][-1])["wave"] == 1


def test_targets_that_run_together_share_stages_review_approval_and_waves() -> None:
    first = target("One", Regions="follow", Waves=[1, 3], Approval={"Topic": TOPIC})
    second = target("Two", Account="333333333333", Regions=["us-east-1"], Parallel=True)
    found = stages(expanded(declared(first, second, target("Last", Account="444444444444"))))
    assert [*found][3:] == ["One", "One-1", "One-2", "Last"]
    assert orders(found["One"]) == [
        [
            "CreateChangeSet-One-ap-southeast-1",
            "CreateChangeSet-One-eu-central-1",
            "CreateChangeSet-One-eu-west-1",
            "CreateChangeSet-One-us-east-1",
            "CreateChangeSet-Two-us-east-1",
        ],
        ["Review"],
        ["Approve"],
    ]
    assert orders(found["One-2"])[0][-2:] == [
        "ExecuteChangeSet-One-us-east-1",
        "ExecuteChangeSet-Two-us-east-1",
    ]
    accounts = {action["Name"]: action.get("RoleArn") for action in found["One"]}
    assert "333333333333" in str(accounts["CreateChangeSet-Two-us-east-1"])


def test_regions_at_a_time_are_deployed_one_after_the_other_in_one_stage() -> None:
    regions = ["us-east-1", "eu-west-1", "ap-southeast-1"]
    actions = stages(expanded(declared(target(Regions=regions, WaveSize=2))))["Test"]
    assert orders(actions)[2:] == [
        ["ExecuteChangeSet-us-east-1", "ExecuteChangeSet-eu-west-1"],
        ["ExecuteChangeSet-ap-southeast-1"],
    ]


def test_a_change_set_has_the_name_of_its_execution() -> None:
    create, _, execute = stages(expanded(declared()))["Test"]
    name = "foothold-orders-#{codepipeline.PipelineExecutionId}"
    assert create["Configuration"]["ChangeSetName"] == name
    assert execute["Configuration"]["ChangeSetName"] == name


def test_no_name_changes_when_a_region_comes() -> None:
    following = declared(target(Regions="follow"))
    before = expanded(following, stores(HOME, "us-east-1"))
    after = expanded(following, stores("af-south-1", HOME, "us-east-1"))
    assert list(before) == list(after)

    def deployed(resources: dict[str, Json]) -> dict[str, Json]:
        actions = stages(resources)["Test"]
        return {action["Name"]: action["Configuration"] for action in actions if "Region" in action}

    kept, now = deployed(before), deployed(after)
    assert kept.items() <= now.items()
    assert now.keys() - kept.keys() == {
        "CreateChangeSet-af-south-1",
        "ExecuteChangeSet-af-south-1",
    }


# What is published


def published(resources: dict[str, Json]) -> dict[str, str]:
    """The values of the parameters by their names."""
    return {
        resource["Properties"]["Name"]: resource["Properties"]["Value"]
        for resource in resources.values()
        if resource["Type"] == "AWS::SSM::Parameter"
    }


@given(declarations())
@settings(max_examples=20)
def test_what_is_published_is_what_the_actions_carry_the_digest_of(properties: Json) -> None:
    resources = expanded(properties)
    found = published(resources)
    path = f"/foothold/pipelines/{properties['Name']}"
    assert list(found) == [f"{path}/{number}" for number in range(1, len(found) + 1)]
    digests = {
        told(action)["targets"]
        for actions in stages(resources).values()
        for action in actions
        if "UserParameters" in action["Configuration"]
    }
    [digest] = digests
    targets = ReleaseTargets.parse("".join(found.values()), digest)
    assert targets == ReleaseTargets.parse(release_targets(pipeline(properties)).text, digest)


def test_a_long_text_is_published_in_parts_before_the_pipeline_runs() -> None:
    parameters = {f"P{number}": f"{{{{resolve:x}}}} {'x' * 2000} " for number in range(4)}
    resources = expanded(declared(target(Parameters=parameters)))
    found = published(resources)
    assert [*found] == [f"/foothold/pipelines/orders/{number}" for number in (1, 2, 3)]
    assert resources["Pipeline"]["DependsOn"] == [f"PipelineTargets{n}" for n in (1, 2, 3)]
    assert "{{" not in "".join(found.values())


@given(st.text(" xy", max_size=20_000))
@settings(max_examples=30)
def test_a_part_is_short_enough_and_has_no_space_at_its_ends(text: str) -> None:
    text = f"{{{text}}}"
    parts = list(in_parts(text))
    assert "".join(parts) == text
    assert all(0 < len(part) <= 4000 for part in parts)
    if max(map(len, text.split("x"))) < 2000:
        assert all(part == part.strip() for part in parts)


def test_regions_in_variables_are_spelled_as_a_shell_can_read_them() -> None:
    assert variables(expanded(declared()))["S3_BUCKET_eu_west_1"] == KNOWN["eu-west-1"].bucket


def test_a_declared_variable_wins_over_a_known_one() -> None:
    resources = expanded(declared(Build={"Environment": {"PROJECT_ID": "another"}}))
    environment = resources["PipelineBuildProject"]["Properties"]["Environment"]
    found = [each for each in environment["EnvironmentVariables"] if each["Name"] == "PROJECT_ID"]
    assert found == [{"Name": "PROJECT_ID", "Value": "another", "Type": "PLAINTEXT"}]


@pytest.mark.parametrize(
    ("source", "starts"),
    [
        ({"S3": {"Bucket": "sources", "Key": "a.zip"}}, {"PipelineStartRule", "PipelineStartRole"}),
        ({"CodeCommit": {"Repository": "a"}}, {"PipelineStartRule", "PipelineStartRole"}),
        (
            {"GitHub": {"Owner": "a", "Repository": "b"}},
            {"PipelineWebhook", "PipelineWebhookSecret"},
        ),
    ],
)
def test_a_source_that_does_not_start_the_pipeline_itself_gets_what_does(
    source: Json, starts: set[str]
) -> None:
    resources = expanded(declared(Source=source))
    assert resources.keys() - expanded(declared()).keys() == starts


# Roles


PSEUDO = {"${AWS::Partition}": "aws", "${AWS::Region}": HOME, "${AWS::AccountId}": "111111111111"}


def written_out(value: Any) -> Any:
    """The value with its functions resolved; another resource's ARN is `arn:` and its name."""
    if isinstance(value, dict):
        if "Fn::GetAtt" in value:
            return f"arn:{value['Fn::GetAtt'][0]}"
        if "Ref" in value:
            return PSEUDO.get(f"${{{value['Ref']}}}", value["Ref"])
        if "Fn::Sub" in value:
            text = value["Fn::Sub"]
            for name, known in PSEUDO.items():
                text = text.replace(name, known)
            return text
        return {name: written_out(item) for name, item in value.items()}
    return [written_out(item) for item in value] if isinstance(value, list) else value


def may(resources: dict[str, Json], role: str, action: str, resource: str) -> bool:
    """Whether the role's own policy allows this, as moto judges it."""
    [policy] = resources[role]["Properties"]["Policies"]
    document = json.dumps(written_out(policy["PolicyDocument"]))
    judged = IAMPolicy(document).is_action_permitted(action, resource)
    return bool(judged == PermissionResult.PERMITTED)


ORDERS = declared(
    target(Regions=["eu-west-1"], Approval={"Topic": TOPIC}),
    target("Production", Account="333333333333", Regions=["us-east-1"]),
    Build={"Environment": {"USER": {"Parameter": "/git/user"}, "PASS": {"Secret": "git:pass"}}},
)
HERE = f"{HOME}:111111111111"
FUNCTION = f"arn:aws:lambda:{HERE}:function:{{{{resolve:ssm:/foothold/package-function}}}}"
BUCKET = "arn:aws:s3:::foothold-111111111111-{}-an"


@pytest.mark.parametrize(
    ("role", "action", "resource", "allowed"),
    [
        ("PipelineRole", "s3:PutObject", BUCKET.format("us-east-1") + "/orders/a", True),
        ("PipelineRole", "s3:PutObjectAcl", BUCKET.format(HOME) + "/orders/a", True),
        ("PipelineRole", "s3:GetObject", BUCKET.format("ap-southeast-1") + "/orders/a", False),
        ("PipelineRole", "s3:DeleteObject", BUCKET.format(HOME) + "/orders/a", False),
        ("PipelineRole", "s3:GetBucketVersioning", BUCKET.format("eu-west-1"), True),
        ("PipelineRole", "kms:GenerateDataKey", KNOWN["us-east-1"].key_arn, True),
        ("PipelineRole", "kms:Decrypt", KNOWN["ap-southeast-1"].key_arn, False),
        ("PipelineRole", "kms:ScheduleKeyDeletion", KNOWN[HOME].key_arn, False),
        ("PipelineRole", "codebuild:StartBuild", "arn:PipelineBuildProject", True),
        ("PipelineRole", "codebuild:StartBuild", f"arn:aws:codebuild:{HERE}:project/else", False),
        ("PipelineRole", "lambda:InvokeFunction", FUNCTION, True),
        ("PipelineRole", "lambda:InvokeFunction", f"arn:aws:lambda:{HERE}:function:else", False),
        ("PipelineRole", "sts:AssumeRole", "arn:aws:iam::222222222222:role/foothold-deploy", True),
        ("PipelineRole", "sts:AssumeRole", "arn:aws:iam::333333333333:role/foothold-deploy", True),
        ("PipelineRole", "sts:AssumeRole", "arn:aws:iam::444444444444:role/foothold-deploy", False),
        ("PipelineRole", "sts:AssumeRole", "arn:aws:iam::222222222222:role/admin", False),
        ("PipelineRole", "iam:PassRole", "arn:aws:iam::222222222222:role/foothold-deploy", False),
        ("PipelineRole", "cloudformation:CreateStack", "*", False),
        ("PipelineRole", "sns:Publish", TOPIC, True),
        ("PipelineRole", "sns:Publish", f"{TOPIC}-else", False),
        ("PipelineBuildRole", "s3:PutObject", BUCKET.format(HOME) + "/orders/a", True),
        ("PipelineBuildRole", "s3:GetObject", BUCKET.format(HOME) + "/orders-2/a", False),
        (
            "PipelineBuildRole",
            "s3:PutObject",
            BUCKET.format("us-east-1") + "/orders/builds/a",
            False,
        ),
        ("PipelineBuildRole", "kms:Decrypt", KNOWN["us-east-1"].key_arn, False),
        ("PipelineBuildRole", "ssm:GetParameters", f"arn:aws:ssm:{HERE}:parameter/git/user", True),
        ("PipelineBuildRole", "ssm:GetParameters", f"arn:aws:ssm:{HERE}:parameter/git/pass", False),
        ("PipelineBuildRole", "sts:AssumeRole", "*", False),
        ("PipelineBuildRole", "logs:PutLogEvents", "arn:PipelineBuildLog", True),
    ],
)
def test_a_role_may_do_its_work_and_nothing_else(
    role: str,
    action: str,
    resource: str,
    allowed: bool,
) -> None:
    assert may(expanded(ORDERS), role, action, resource) is allowed


def test_a_build_has_the_folder_that_codepipeline_names_after_twenty_characters() -> None:
    resources = expanded({**ORDERS, "Name": "orders-of-every-department"})
    folder = BUCKET.format(HOME) + "/orders-of-every-depa"
    assert may(resources, "PipelineBuildRole", "s3:PutObject", f"{folder}/BuildOutpu/a")
    assert not may(resources, "PipelineBuildRole", "s3:PutObject", f"{folder}rtment/BuildOutpu/a")


def test_a_build_that_packages_itself_may_write_its_own_prefix_in_every_region() -> None:
    resources = expanded({**ORDERS, "Package": "buildspec"})
    packages = BUCKET.format("us-east-1") + "/orders/builds/a"
    assert may(resources, "PipelineBuildRole", "s3:PutObject", packages)
    assert may(resources, "PipelineBuildRole", "kms:GenerateDataKey", KNOWN["us-east-1"].key_arn)
    others = BUCKET.format("us-east-1") + "/another/builds/a"
    assert not may(resources, "PipelineBuildRole", "s3:PutObject", others)
    assert not may(resources, "PipelineRole", "lambda:InvokeFunction", FUNCTION)


def test_a_secret_is_read_whatever_secrets_manager_added_to_its_name() -> None:
    [policy] = expanded(ORDERS)["PipelineBuildRole"]["Properties"]["Policies"]
    [statement] = [
        each for each in policy["PolicyDocument"]["Statement"] if "Secrets" in each["Sid"]
    ]
    assert written_out(statement["Resource"]) == [
        f"arn:aws:secretsmanager:{HERE}:secret:git-??????"
    ]


SECRET = f"arn:aws:secretsmanager:{HERE}:secret:"
OWN_KEY = f"arn:aws:kms:{HERE}:key/own"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("db", f"{SECRET}db-??????"),
        ("db:password", f"{SECRET}db-??????"),
        ("a/b:password:AWSPREVIOUS", f"{SECRET}a/b-??????"),
        ("db::AWSPENDING", f"{SECRET}db-??????"),
        (f"{SECRET}db-AbCdEf", f"{SECRET}db-AbCdEf"),
        (f"{SECRET}db-AbCdEf:password", f"{SECRET}db-AbCdEf"),
        (f"{SECRET}db-AbCdEf:password::0f3e4c", f"{SECRET}db-AbCdEf"),
        (f"{SECRET}db", f"{SECRET}db-??????"),
        (
            "arn:aws:secretsmanager:us-east-1:111111111111:secret:db-AbCdEf",
            "arn:aws:secretsmanager:us-east-1:111111111111:secret:db-AbCdEf",
        ),
    ],
)
def test_a_build_reads_the_secret_that_it_names_and_no_other(written: str, read: str) -> None:
    resources = expanded(declared(Build={"Environment": {"DB": {"Secret": written}}}))
    [statement] = with_sid(resources, "PipelineBuildRole", "ReadSecrets")
    assert written_out(statement["Resource"]) == [read]
    assert variables(resources)["DB"] == written


def with_sid(resources: dict[str, Json], role: str, sid: str) -> list[Json]:
    [policy] = resources[role]["Properties"]["Policies"]
    return [each for each in policy["PolicyDocument"]["Statement"] if each["Sid"] == sid]


def test_a_secret_of_another_account_needs_its_key() -> None:
    elsewhere = f"{SECRET}db-AbCdEf".replace("111111111111", "999999999999")
    build = {"Environment": {"DB": {"Secret": elsewhere}}}
    assert over_limit(declared(Build=build)) == [
        (
            "Build.Environment.DB.Secret: it is in account 999999999999, which encrypts it with a "
            "key of its own; give the key's ARN as Key"
        )
    ]
    build["Environment"]["DB"]["Key"] = OWN_KEY.replace("111111111111", "999999999999")
    assert with_sid(expanded(declared(Build=build)), "PipelineBuildRole", "DecryptSecrets")


def test_a_key_of_ones_own_is_used_through_the_service_that_it_is_given_for() -> None:
    environment = {
        "A": {"Secret": "a", "Key": OWN_KEY},
        "B": {"Parameter": "/b", "Key": OWN_KEY},
    }
    resources = expanded(declared(Build={"Environment": environment}))
    for sid, service in (("DecryptSecrets", "secretsmanager"), ("DecryptParameters", "ssm")):
        [statement] = with_sid(resources, "PipelineBuildRole", sid)
        assert statement["Action"] == ["kms:Decrypt"]
        assert statement["Resource"] == [OWN_KEY]
        via = {"Fn::Sub": f"{service}.{HOME}.${{AWS::URLSuffix}}"}
        assert statement["Condition"] == {"StringEquals": {"kms:ViaService": via}}


def test_a_source_under_ones_own_key_is_decrypted_through_s3() -> None:
    source = {"S3": {"Bucket": "sources", "Key": "a.zip", "KmsKeyArn": OWN_KEY}}
    [statement] = with_sid(expanded(declared(Source=source)), "PipelineRole", "DecryptSource")
    assert (statement["Action"], statement["Resource"]) == (["kms:Decrypt"], OWN_KEY)
    via = {"Fn::Sub": f"s3.{HOME}.${{AWS::URLSuffix}}"}
    assert statement["Condition"] == {"StringEquals": {"kms:ViaService": via}}


def test_a_sources_key_is_in_the_pipelines_region() -> None:
    key = OWN_KEY.replace(HOME, "us-east-1")
    source = {"S3": {"Bucket": "sources", "Key": "a.zip", "KmsKeyArn": key}}
    assert over_limit(declared(Source=source)) == [
        (
            "Source.S3.KmsKeyArn: the key is in us-east-1, and a source is in the pipeline's own "
            "region; write the ARN of the bucket's key in eu-central-1"
        )
    ]


# The webhook


GITHUB = {"Owner": "owner", "Repository": "project"}


def test_a_webhook_is_signed_with_a_secret_that_is_made_for_it_and_not_with_the_token() -> None:
    resources = expanded(declared(Source={"GitHub": GITHUB}))
    webhook = resources["PipelineWebhook"]["Properties"]
    assert webhook["AuthenticationConfiguration"]["SecretToken"] == {
        "Fn::Sub": "{{resolve:secretsmanager:${PipelineWebhookSecret}}}"
    }
    made = resources["PipelineWebhookSecret"]
    assert made["Type"] == "AWS::SecretsManager::Secret"
    assert made["Properties"]["Name"] == "foothold-orders-webhook"
    assert made["Properties"]["GenerateSecretString"]["PasswordLength"] >= 32


@pytest.mark.parametrize(
    ("written", "reference"),
    [
        ("hook", "hook"),
        ("hook:key", "hook:SecretString:key"),
        (f"{SECRET}hook-AbCdEf", f"{SECRET}hook-AbCdEf"),
        (f"{SECRET}hook-AbCdEf:key", f"{SECRET}hook-AbCdEf:SecretString:key"),
    ],
)
def test_a_webhooks_secret_may_be_ones_own(written: str, reference: str) -> None:
    resources = expanded(declared(Source={"GitHub": {**GITHUB, "WebhookSecret": written}}))
    webhook = resources["PipelineWebhook"]["Properties"]
    token = webhook["AuthenticationConfiguration"]["SecretToken"]
    assert token == f"{{{{resolve:secretsmanager:{reference}}}}}"
    assert "PipelineWebhookSecret" not in resources


def test_a_token_may_be_given_by_arn() -> None:
    source = {"GitHub": {**GITHUB, "Secret": f"{SECRET}token-AbCdEf", "SecretKey": "key"}}
    [action] = stages(expanded(declared(Source=source)))["Source"]
    token = f"{{{{resolve:secretsmanager:{SECRET}token-AbCdEf:SecretString:key}}}}"
    assert action["Configuration"]["OAuthToken"] == token


# The build's environment


ECR = "111111111111.dkr.ecr.eu-central-1.amazonaws.com/build"


@pytest.mark.parametrize(
    ("build", "environment"),
    [
        ({}, ("LINUX_CONTAINER", "BUILD_GENERAL1_SMALL")),
        ({"Image": "aws/codebuild/standard:7.0"}, ("LINUX_CONTAINER", "BUILD_GENERAL1_SMALL")),
        (
            {"Image": "aws/codebuild/amazonlinux-aarch64-standard:3.0"},
            ("ARM_CONTAINER", "BUILD_GENERAL1_SMALL"),
        ),
        (
            {
                "Image": "aws/codebuild/amazonlinux2-aarch64-standard:3.0",
                "Compute": "BUILD_GENERAL1_2XLARGE",
            },
            ("ARM_CONTAINER", "BUILD_GENERAL1_2XLARGE"),
        ),
        (
            {"Image": "aws/codebuild/windows-base:2019-3.0"},
            ("WINDOWS_SERVER_2019_CONTAINER", "BUILD_GENERAL1_MEDIUM"),
        ),
        (
            {"Image": "aws/codebuild/windows-base:2022-1.0", "Compute": "BUILD_GENERAL1_LARGE"},
            ("WINDOWS_SERVER_2022_CONTAINER", "BUILD_GENERAL1_LARGE"),
        ),
        (
            {"Image": "aws/codebuild/amazonlinux-x86_64-lambda-standard:python3.13"},
            ("LINUX_LAMBDA_CONTAINER", "BUILD_LAMBDA_1GB"),
        ),
        (
            {
                "Image": "aws/codebuild/amazonlinux-aarch64-lambda-standard:nodejs22",
                "Compute": "BUILD_LAMBDA_10GB",
            },
            ("ARM_LAMBDA_CONTAINER", "BUILD_LAMBDA_10GB"),
        ),
        (
            {"Image": "aws/codebuild/standard:7.0", "Type": "LINUX_GPU_CONTAINER"},
            ("LINUX_GPU_CONTAINER", "BUILD_GENERAL1_SMALL"),
        ),
        ({"Image": f"{ECR}:arm64"}, ("ARM_CONTAINER", "BUILD_GENERAL1_SMALL")),
        ({"Image": f"{ECR}:1.0"}, ("LINUX_CONTAINER", "BUILD_GENERAL1_SMALL")),
        (
            {"Image": f"{ECR}:1.0", "Type": "ARM_CONTAINER"},
            ("ARM_CONTAINER", "BUILD_GENERAL1_SMALL"),
        ),
        (
            {"Image": f"{ECR}@sha256:{'ab' * 32}", "Compute": "BUILD_LAMBDA_2GB"},
            ("LINUX_LAMBDA_CONTAINER", "BUILD_LAMBDA_2GB"),
        ),
        (
            {"Image": "mcr.microsoft.com/windows/servercore:ltsc2019"},
            ("WINDOWS_SERVER_2019_CONTAINER", "BUILD_GENERAL1_MEDIUM"),
        ),
        ({"Image": "charmed/build"}, ("LINUX_CONTAINER", "BUILD_GENERAL1_SMALL")),
    ],
)
def test_the_image_decides_what_it_is_built_with(build: Json, environment: tuple[str, str]) -> None:
    made = expanded(declared(Build=build))["PipelineBuildProject"]["Properties"]["Environment"]
    assert (made["Type"], made["ComputeType"]) == environment


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (
            {"Image": "aws/codebuild/windows-base:2022-1.0", "Compute": "BUILD_GENERAL1_SMALL"},
            (
                "Build.Compute: aws/codebuild/windows-base:2022-1.0 runs in "
                "WINDOWS_SERVER_2022_CONTAINER, for which CodeBuild has no BUILD_GENERAL1_SMALL; "
                "choose BUILD_GENERAL1_MEDIUM, BUILD_GENERAL1_LARGE, or another Image"
            ),
        ),
        (
            {"Image": "aws/codebuild/standard:7.0", "Compute": "BUILD_LAMBDA_1GB"},
            (
                "Build.Compute: aws/codebuild/standard:7.0 runs in LINUX_CONTAINER, for which "
                "CodeBuild has no BUILD_LAMBDA_1GB; choose BUILD_GENERAL1_SMALL, "
                "BUILD_GENERAL1_MEDIUM, BUILD_GENERAL1_LARGE, BUILD_GENERAL1_XLARGE, "
                "BUILD_GENERAL1_2XLARGE, or another Image"
            ),
        ),
        (
            {
                "Image": "aws/codebuild/amazonlinux-aarch64-lambda-standard:python3.13",
                "Compute": "BUILD_GENERAL1_SMALL",
            },
            (
                "Build.Compute: aws/codebuild/amazonlinux-aarch64-lambda-standard:python3.13 runs "
                "in ARM_LAMBDA_CONTAINER, for which CodeBuild has no BUILD_GENERAL1_SMALL; choose "
                "BUILD_LAMBDA_1GB, BUILD_LAMBDA_2GB, BUILD_LAMBDA_4GB, "
                "BUILD_LAMBDA_8GB, BUILD_LAMBDA_10GB, or another Image"
            ),
        ),
        (
            {
                "Image": f"{ECR}:1",
                "Type": "LINUX_GPU_CONTAINER",
                "Compute": "BUILD_GENERAL1_MEDIUM",
            },
            (
                f"Build.Compute: {ECR}:1 runs in LINUX_GPU_CONTAINER, for which CodeBuild has "
                "no BUILD_GENERAL1_MEDIUM; choose BUILD_GENERAL1_SMALL, "
                "BUILD_GENERAL1_LARGE, or another Image"
            ),
        ),
        (
            {"Image": "aws/codebuild/amazonlinux-aarch64-standard:3.0", "Type": "LINUX_CONTAINER"},
            (
                "Build.Type: aws/codebuild/amazonlinux-aarch64-standard:3.0 is an image for "
                "ARM_CONTAINER, not for LINUX_CONTAINER; remove Type, or choose another Image"
            ),
        ),
        (
            {"Image": "aws/codebuild/amazonlinux-x86-standard:5.0"},
            (
                "Build.Image: CodeBuild provides no aws/codebuild/amazonlinux-x86-standard:5.0; "
                "did you mean aws/codebuild/amazonlinux-x86_64-standard:?"
            ),
        ),
        (
            {"Compute": "BUILD_GENERAL_SMALL"},
            (
                "Build.Compute: CodeBuild has no BUILD_GENERAL_SMALL; did you mean "
                "BUILD_GENERAL1_SMALL?"
            ),
        ),
        (
            {"Type": "ARM_CONTAINR"},
            "Build.Type: CodeBuild has no ARM_CONTAINR; did you mean ARM_CONTAINER?",
        ),
        (
            {"Type": "MAC_ARM", "Image": "aws/codebuild/macos-arm-base:14"},
            (
                "Build.Type: MAC_ARM needs a fleet, and a build that is declared has none; choose "
                "LINUX_CONTAINER, ARM_CONTAINER, LINUX_GPU_CONTAINER, "
                "WINDOWS_SERVER_2019_CONTAINER, WINDOWS_SERVER_2022_CONTAINER, "
                "LINUX_LAMBDA_CONTAINER, ARM_LAMBDA_CONTAINER"
            ),
        ),
        (
            {
                "Image": "aws/codebuild/amazonlinux-x86_64-lambda-standard:python3.13",
                "TimeoutMinutes": 30,
            },
            (
                "Build.TimeoutMinutes: a build on Lambda ends after 15 minutes and takes no other "
                "time; remove it"
            ),
        ),
    ],
)
def test_a_build_environment_that_codebuild_does_not_have_is_refused(
    build: Json, line: str
) -> None:
    assert over_limit(declared(Build=build)) == [line]


def test_a_build_on_lambda_has_neither_cache_nor_a_time_of_its_own() -> None:
    build = {"Image": "aws/codebuild/amazonlinux-x86_64-lambda-standard:python3.13"}
    project = expanded(declared(Build=build))["PipelineBuildProject"]["Properties"]
    assert not project.keys() & {"Cache", "TimeoutInMinutes"}


def test_an_image_in_ecr_is_pulled_with_the_builds_role() -> None:
    resources = expanded(declared(Build={"Image": f"{ECR}/tools:1.0"}))
    environment = resources["PipelineBuildProject"]["Properties"]["Environment"]
    assert environment["ImagePullCredentialsType"] == "SERVICE_ROLE"
    repository = f"arn:aws:ecr:{HERE}:repository/build/tools"
    assert may(resources, "PipelineBuildRole", "ecr:BatchGetImage", repository)
    assert may(resources, "PipelineBuildRole", "ecr:GetAuthorizationToken", "*")
    assert not may(resources, "PipelineBuildRole", "ecr:BatchGetImage", f"{repository}-2")
    assert not may(resources, "PipelineBuildRole", "ecr:PutImage", repository)


# Pipeline variables


def test_the_source_and_the_build_have_namespaces() -> None:
    found = stages(expanded(declared()))
    assert found["Source"][0]["Namespace"] == "SourceVariables"
    assert found["Build"][0]["Namespace"] == "BuildVariables"


def test_a_variable_of_the_execution_reaches_the_build_through_its_action() -> None:
    environment = {"COMMIT": "#{SourceVariables.CommitId}", "PLAIN": "#1"}
    resources = expanded(declared(Build={"Environment": environment}))
    [build] = stages(resources)["Build"]
    assert json.loads(build["Configuration"]["EnvironmentVariables"]) == [
        {"name": "COMMIT", "value": "#{SourceVariables.CommitId}", "type": "PLAINTEXT"}
    ]
    found = variables(resources)
    assert "COMMIT" not in found
    assert found["PLAIN"] == "#1"


def test_characters_are_counted_as_characters() -> None:
    parameters = {"P": "ü😀" * 480}
    [create] = [
        action
        for action in stages(expanded(by_itself(Parameters=parameters)))["Test"]
        if "ParameterOverrides" in action["Configuration"]
    ]
    assert create["Configuration"]["ParameterOverrides"] == '{"P":"' + "ü😀" * 480 + '"}'
    assert over_limit(by_itself(Parameters={"P": "ü😀" * 500}))


def by_itself(**more: Any) -> Json:
    """A declaration whose buildspec packages, so that parameters are an action's."""
    return declared(target(**more), Package="buildspec")


def test_no_role_of_a_pipeline_is_allowed_everything_anywhere() -> None:
    for resources in (expanded(HANDWRITTEN), expanded(ORDERS)):
        for resource in resources.values():
            for policy in resource["Properties"].get("Policies", ()):
                for statement in policy["PolicyDocument"]["Statement"]:
                    assert statement["Resource"] != "*"
                    assert "*" not in statement["Action"]


def test_keys_are_named_by_arn_and_partitions_are_never_written_out() -> None:
    text = json.dumps(expanded(ORDERS))
    assert "alias/" not in text
    assert '"arn:aws:iam' not in text
    assert '"arn:aws:s3' not in text


def test_a_service_that_says_for_whom_it_acts_has_a_role_of_its_own_account_only() -> None:
    sources = ({"S3": {"Bucket": "sources", "Key": "a.zip"}}, {"CodeCommit": {"Repository": "a"}})
    for source in sources:
        roles = [
            resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            for resource in expanded(declared(Source=source)).values()
            if resource["Type"] == "AWS::IAM::Role"
        ]
        assert len(roles) == 3
        for [statement] in roles:
            assert statement["Condition"] == {
                "StringEqualsIfExists": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
            }


@pytest.mark.parametrize("service", ["codeconnections", "codestar-connections"])
def test_a_connection_of_either_name_may_be_used_under_either(service: str) -> None:
    arn = CONNECTION.replace("codeconnections", service)
    source = {"CodeConnections": {"ConnectionArn": arn, "Repository": "example/orders"}}
    for name in ("codeconnections", "codestar-connections"):
        resources = expanded(declared(Source=source))
        assert may(resources, "PipelineRole", f"{name}:UseConnection", arn)
        called = CONNECTION.replace("codeconnections", name)
        assert may(resources, "PipelineRole", f"{name}:UseConnection", called)
        assert not may(resources, "PipelineRole", f"{name}:UseConnection", f"{arn}-else")


# Who hears of it


def patterns(resources: dict[str, Json]) -> dict[str, Json]:
    return {
        name: resource["Properties"]["EventPattern"]["detail"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Events::Rule"
    }


def test_the_topic_hears_of_executions_and_of_approvals_through_rules_of_the_pipelines_own() -> (
    None
):
    resources = expanded(declared(Notifications={"Topic": TOPIC}))
    assert patterns(resources) == {
        "PipelineNotificationRule": {"pipeline": ["orders"], "state": ["FAILED", "SUCCEEDED"]},
        "PipelineApprovalRule": {
            "pipeline": ["orders"],
            "type": {"category": ["Approval"]},
            "state": ["STARTED"],
        },
    }
    for name in patterns(resources):
        properties = resources[name]["Properties"]
        assert properties["EventPattern"]["source"] == ["aws.codepipeline"]
        assert properties["Targets"] == [{"Id": "topic", "Arn": TOPIC}]


@pytest.mark.parametrize(
    ("events", "rules"),
    [
        (["Approval"], {"PipelineApprovalRule"}),
        (["Started", "Canceled", "Started"], {"PipelineNotificationRule"}),
        ([], set()),
    ],
)
def test_the_topic_hears_of_what_is_asked_for_only(events: list[str], rules: set[str]) -> None:
    resources = expanded(declared(Notifications={"Topic": TOPIC, "Events": events}))
    assert patterns(resources).keys() == rules


# The default build

# What `runtime-versions` finds in the image (aws/aws-codebuild-docker-images,
# al/x86_64/standard/5.0/runtimes.yml); without it, python is 3.11 (its Dockerfile, `pyenv global`).
IN_THE_IMAGE = {
    "python": {"3.9", "3.10", "3.11", "3.12", "3.13", "3.14"},
    "nodejs": {"18", "20", "22", "24"},
}


def built_by(**build: Any) -> Any:
    project = expanded(declared(Build=build))["PipelineBuildProject"]["Properties"]
    return yaml.safe_load(project["Source"]["BuildSpec"])["phases"]


def test_the_default_build_asks_for_a_python_that_its_image_has() -> None:
    asked = built_by()["install"]["runtime-versions"]
    assert asked == {"python": "3.13"}
    assert asked["python"] in IN_THE_IMAGE["python"]
    project = expanded(declared())["PipelineBuildProject"]["Properties"]
    assert project["Environment"]["Image"] == "aws/codebuild/amazonlinux-x86_64-standard:5.0"


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"python": "3.12"}, {"python": "3.12"}),
        ({"python": "python3.14"}, {"python": "3.14"}),
        ({"nodejs": 22}, {"nodejs": "22"}),
        ({"python": "3.10", "nodejs": "24"}, {"python": "3.10", "nodejs": "24"}),
    ],
)
def test_a_build_asks_for_the_runtimes_that_are_declared(given: Json, asked: Json) -> None:
    phases = built_by(Runtimes=given)
    assert phases["install"]["runtime-versions"] == asked
    for language, version in asked.items():
        assert version in IN_THE_IMAGE[language]


def test_sam_build_gets_the_parameters_that_are_declared() -> None:
    parameters = {"PythonRuntime": "python3.14", "Debug": True}
    assert built_by(Parameters=parameters)["build"]["commands"] == [
        "sam build --parameter-overrides PythonRuntime=python3.14 Debug=true"
    ]
    assert built_by()["build"]["commands"] == ["sam build"]


# Limits


def everywhere(count: int, **more: Any) -> Json:
    return declared(
        *(
            target(f"T{number}", Account=f"{number:012d}", Regions="follow", **more)
            for number in range(count)
        )
    )


def over_limit(properties: Json, known: Any = None) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        expanded(properties, known)
    return list(caught.value.lines)


def test_ten_targets_in_34_regions_fit_every_limit() -> None:
    resources = expanded(everywhere(10, Approval={"Topic": TOPIC}), stores(*REGIONS))
    assert sum(len(actions) for actions in stages(resources).values()) == 3 + 10 * (34 * 2 + 3)


def test_more_actions_than_a_pipeline_takes_are_refused() -> None:
    [line] = over_limit(everywhere(15), stores(*REGIONS))
    assert line == (
        "Targets: they make 1038 actions and CodePipeline takes 1000; declare two pipelines"
    )


def test_more_actions_than_a_stage_takes_are_refused() -> None:
    many = stores(HOME, *(f"eu-west-{number}" for number in range(1, 51)))
    assert (
        "Targets[T0].Regions: they make 103 actions and a stage takes 100; spread the regions "
        "over two targets"
    ) in over_limit(everywhere(1), many)


def test_more_stages_than_a_pipeline_takes_are_refused() -> None:
    assert (
        "Targets: they make 51 stages and CodePipeline takes 50; write larger Waves, or declare "
        "two pipelines"
    ) in over_limit(everywhere(48))


def test_a_role_policy_that_iam_does_not_take_is_refused() -> None:
    many = stores(HOME, *(f"ap-southeast-{number}" for number in range(10, 55)))
    refused = [line for line in over_limit(everywhere(1), many) if "foothold-orders" in line]
    assert refused == [
        (
            "Targets: role foothold-orders-pipeline would need a policy of 11,865 characters and "
            "IAM "
            "takes 10,240; declare two pipelines with fewer regions or accounts each"
        )
    ]


def test_more_parameters_than_codepipeline_passes_on_are_refused() -> None:
    parameters = {f"P{number}": "x" * 90 for number in range(12)}
    assert over_limit(by_itself(Parameters=parameters)) == [
        (
            "Targets[Test].Parameters: ParameterOverrides of CreateChangeSet-eu-west-1 has 1179 "
            "characters and "
            "CodePipeline takes 1000; give the template defaults, or read values from Parameter "
            "Store"
        )
    ]


# Every declaration that is accepted makes a template that is


# Without shrinking: every example takes a second.
@given(declarations())
@settings(max_examples=8, phases=[Phase.reuse, Phase.generate])
def test_cfn_lint_accepts_every_expansion(properties: Json) -> None:
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": expanded(properties)}
    assert [
        str(match) for match in lint(json.dumps(template, ensure_ascii=False), regions=[HOME])
    ] == []


@pytest.fixture(scope="module")
def codepipeline() -> Iterator[Any]:
    with mock_aws():
        trust = {"Statement": [{"Principal": {"Service": "codepipeline.amazonaws.com"}}]}
        boto3.client("iam", region_name=HOME).create_role(
            RoleName="pipeline", AssumeRolePolicyDocument=json.dumps(trust)
        )
        yield boto3.client("codepipeline", region_name=HOME)


@given(declarations())
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_codepipeline_accepts_every_expansion(codepipeline: Any, properties: Json) -> None:
    properties = written_out(expanded(properties)["Pipeline"]["Properties"])
    definition = as_api(properties) | {"roleArn": "arn:aws:iam::123456789012:role/pipeline"}
    if "artifactStores" in definition:
        definition["artifactStores"] = {
            store["region"]: store["artifactStore"] for store in definition["artifactStores"]
        }
    created = codepipeline.create_pipeline(pipeline=definition)["pipeline"]
    codepipeline.delete_pipeline(name=created["name"])
    assert [stage["name"] for stage in created["stages"]] == [
        stage["Name"] for stage in properties["Stages"]
    ]


def as_api(value: Any) -> Any:
    """CloudFormation's spelling of a pipeline in the API's; a configuration's keys stay."""
    if isinstance(value, dict):
        return {
            name[0].lower() + name[1:]: item if name == "Configuration" else as_api(item)
            for name, item in value.items()
        }
    return [as_api(item) for item in value] if isinstance(value, list) else value
