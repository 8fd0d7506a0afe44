"""The parts of a rehearsal that need no AWS: the buildspec, the reasons, the summary."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from foothold.pipelines.resources import expand, release_targets
from foothold.releases.gateways.stacks import why_failed
from foothold.releases.model import Bake, ReleaseTargets
from local.rehearsal.actions import Player
from local.rehearsal.board import DONE, FAILED, Board
from local.rehearsal.buildspec import buildspec, missing_arguments, run_phases
from local.rehearsal.execution import ActionFailedError, Execution
from local.rehearsal.run import resources_of, without_waiting
from local.rehearsal.stacks import deletion
from proof.rehearsed import Nowhere
from tests.pipelines.declarations import HOME, TOPIC, declared, pipeline, target

Json = dict[str, Any]


def ran(folder: Path, phases: Mapping[str, Any]) -> tuple[list[str], str]:
    """The words that a build wrote into the file `said`, and why it failed."""
    environment = {"PATH": "/usr/bin:/bin"}
    try:
        run_phases({"phases": phases}, folder, environment, folder / "build.log", 600)
    except ActionFailedError as error:
        return (folder / "said").read_text().split(), str(error)
    return (folder / "said").read_text().split(), ""


def say(word: str) -> str:
    return f"echo {word} >> said"


# The buildspec


def test_finally_runs_whatever_the_commands_did(tmp_path: Path) -> None:
    said, why = ran(
        tmp_path, {"build": {"commands": [say("a"), "false", say("b")], "finally": [say("f")]}}
    )
    assert said == ["a", "f"]
    assert why.startswith("phase build ended with 1: ")


def test_a_finally_that_fails_fails_the_phase(tmp_path: Path) -> None:
    said, why = ran(tmp_path, {"build": {"commands": [say("a")], "finally": ["exit_with 3"]}})
    assert said == ["a"]
    assert why.startswith("phase build ended with 127: ")


def test_after_a_failed_build_post_build_still_runs_and_knows_of_it(tmp_path: Path) -> None:
    said, why = ran(
        tmp_path,
        {
            "pre_build": {"commands": [say("$CODEBUILD_BUILD_SUCCEEDING")]},
            "build": {"commands": ["false"]},
            "post_build": {"commands": [say("$CODEBUILD_BUILD_SUCCEEDING")]},
        },
    )
    assert said == ["1", "0"]
    assert "phase build ended with 1" in why


def test_after_a_failed_pre_build_nothing_runs(tmp_path: Path) -> None:
    said, why = ran(
        tmp_path,
        {"pre_build": {"commands": [say("a"), "false"]}, "build": {"commands": [say("b")]}},
    )
    assert said == ["a"]
    assert "phase pre_build ended with 1" in why


def test_on_failure_continue_goes_on_and_the_build_succeeds(tmp_path: Path) -> None:
    said, why = ran(
        tmp_path,
        {
            "pre_build": {"on-failure": "CONTINUE", "commands": ["false", say("a")]},
            "build": {"commands": [say("b")]},
        },
    )
    assert (said, why) == (["b"], "")


def test_on_failure_abort_skips_post_build(tmp_path: Path) -> None:
    said, why = ran(
        tmp_path,
        {
            "build": {"on-failure": "ABORT", "commands": [say("a"), "false"]},
            "post_build": {"commands": [say("b")]},
        },
    )
    assert said == ["a"]
    assert "phase build ended with 1" in why


@pytest.mark.parametrize(
    ("policy", "tries"),
    [("RETRY", 4), ("RETRY-1", 2), ("RETRY-2-no.*luck", 3), ("RETRY-other words", 1)],
)
def test_on_failure_retry_tries_again_as_often_as_it_says(
    tmp_path: Path, policy: str, tries: int
) -> None:
    commands = [say("a"), "echo no such luck", "false"]
    said, why = ran(tmp_path, {"build": {"on-failure": policy, "commands": commands}})
    assert said == ["a"] * tries
    assert "no such luck" in why


def test_a_retry_that_succeeds_is_a_success(tmp_path: Path) -> None:
    commands = [say("a"), "[ $(wc -l < said) -gt 1 ]"]
    said, why = ran(tmp_path, {"build": {"on-failure": "RETRY", "commands": commands}})
    assert (said, why) == (["a", "a"], "")


def test_an_on_failure_that_codebuild_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(ActionFailedError, match=r"on-failure is 'IGNORE'"):
        run_phases(
            {"phases": {"build": {"on-failure": "IGNORE"}}}, tmp_path, {}, tmp_path / "log", 600
        )


SPEC = {"version": 0.2, "phases": {"build": {"commands": ["sam build"]}}}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(SPEC),
        "{version: 0.2, phases: {build: {commands: [sam build]}}}",
        "version: 0.2\nphases:\n  build:\n    commands: [sam build]\n",
    ],
)
def test_a_buildspec_may_be_text_of_one_line_or_of_several(tmp_path: Path, text: str) -> None:
    assert buildspec(text, tmp_path) == SPEC
    (tmp_path / "spec.yml").write_text(text)
    assert buildspec("spec.yml", tmp_path) == SPEC


@pytest.mark.parametrize(
    "given", ["nowhere.yml", "arn:aws:s3:::bucket/spec.yml", '{"a": ', '{"version": 0.2}']
)
def test_a_buildspec_that_cannot_be_used_is_named_in_one_line(tmp_path: Path, given: str) -> None:
    with pytest.raises(ActionFailedError, match=r"^buildspec "):
        buildspec(given, tmp_path)


PACKAGE = 'sam package --s3-bucket "$S3_BUCKET_region1" --region eu-west-1'


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (PACKAGE, ['--kms-key-id "$KMS_KEY_region1"', '--s3-prefix "$PROJECT_ID/builds"']),
        (f'{PACKAGE} --s3-prefix "$PROJECT_ID/builds"', ['--kms-key-id "$KMS_KEY_region1"']),
        (f'{PACKAGE} --kms-key-id "$KMSKey_region1"', ['--s3-prefix "$PROJECT_ID/builds"']),
        ("aws cloudformation package --s3-bucket $S3_BUCKET_eu_west_1", ["$KMS_KEY_eu_west_1"]),
        ("aws s3 cp out s3://$S3_BUCKET_eu_west_1/x", ['--sse-kms-key-id "$KMS_KEY_eu_west_1"']),
        ("make test", []),
    ],
)
def test_a_refused_upload_names_the_missing_argument(command: str, named: list[str]) -> None:
    line = missing_arguments(command)
    assert bool(line) == bool(named)
    assert all(each in line for each in named)


def test_a_build_that_a_store_refuses_says_what_to_add(tmp_path: Path) -> None:
    (tmp_path / "said").touch()
    command = f"sam() {{ echo AccessDenied; return 1; }}; {PACKAGE}"
    _, why = ran(tmp_path, {"build": {"commands": [command]}})
    assert 'add --kms-key-id "$KMS_KEY_region1" --s3-prefix "$PROJECT_ID/builds"' in why


# A stack that fails says why


class FailedStack:
    """CloudFormation's answers about one stack."""

    def __init__(self, *events: Json, told: list[Json] | None = None) -> None:
        self.events, self.told = list(events), told

    def describe_stack_events(self, **_: str) -> Json:
        return {"StackEvents": self.events}

    def describe_events(self, **asked: Any) -> Json:
        if self.told is None:
            raise ClientError({"Error": {"Code": "UnknownOperation"}}, "DescribeEvents")
        assert asked["Filters"] == {"FailedEvents": True}
        return {"OperationEvents": self.told}


def event(logical_id: str, status: str, reason: str = "") -> Json:
    own = {"StackId": "s", "PhysicalResourceId": "s" if logical_id == "orders" else logical_id}
    more = {"ResourceStatusReason": reason} if reason else {}
    return {**own, "LogicalResourceId": logical_id, "ResourceStatus": status, **more}


def test_every_resource_that_failed_is_named_and_none_that_was_only_stopped() -> None:
    stack = FailedStack(
        event("orders", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed"),
        event("Table", "CREATE_FAILED", "Resource creation cancelled"),
        event("Queue", "CREATE_FAILED", "name taken"),
        event("Role", "CREATE_FAILED", "not allowed"),
        event("orders", "CREATE_IN_PROGRESS"),
        event("Old", "UPDATE_FAILED", "of an earlier operation"),
    )
    assert why_failed(stack, "orders") == "Role: not allowed; Queue: name taken"


def test_where_the_status_only_points_to_describe_events_those_are_asked() -> None:
    pointing = "validation failed; use the DescribeEvents API for more"
    told = [{"ValidationPath": "/Resources/Queue/Properties", "ValidationStatusReason": "no Delay"}]
    stack = FailedStack(event("orders", "CREATE_FAILED", pointing), told=told)
    assert why_failed(stack, "orders") == f"{pointing}; /Resources/Queue/Properties: no Delay"
    assert why_failed(FailedStack(told=told), "orders") == "/Resources/Queue/Properties: no Delay"
    assert why_failed(FailedStack(), "orders") == "no reason given"


def test_a_stack_that_can_only_be_deleted_comes_with_the_command() -> None:
    place = ("222222222222", "eu-west-1")
    assert deletion("orders", "ROLLBACK_COMPLETE", place) == (
        "AWS_ACCESS_KEY_ID=222222222222 sam delete --stack-name orders --region eu-west-1 "
        "--no-prompts"
    )
    assert not deletion("orders", "UPDATE_ROLLBACK_COMPLETE", place)


# Several pipelines in one template


def test_a_pipeline_whose_name_another_ones_begins_with_is_its_own() -> None:
    def pipeline(logical_id: str) -> Json:
        role = {"Type": "AWS::IAM::Role", "Properties": {}}
        rule = {"Type": "AWS::Events::Rule", "Properties": {"Targets": [{"Ref": logical_id}]}}
        properties = {"RoleArn": {"Fn::GetAtt": [f"{logical_id}Role", "Arn"]}}
        return {
            logical_id: {"Type": "AWS::CodePipeline::Pipeline", "Properties": properties},
            f"{logical_id}Role": role,
            f"{logical_id}Rule": rule,
        }

    others = {"OrdersTable": {"Type": "AWS::DynamoDB::Table"}}
    template = {"Resources": {**pipeline("Orders"), **pipeline("OrdersEu"), **others}}
    assert list(resources_of(template, "Orders")) == ["Orders", "OrdersRole", "OrdersRule"]
    assert list(resources_of(template, "OrdersEu")) == ["OrdersEu", "OrdersEuRole", "OrdersEuRule"]


# What a person sees at the end

REASON = "orders is ROLLBACK_COMPLETE: Queue: " + "a reason of many words " * 12


def action(name: str, region: str | None = None, order: int = 1) -> Json:
    if region is None:
        return {"Name": name, "RunOrder": order}
    role = "arn:aws:iam::222222222222:role/foothold-deploy"
    return {"Name": f"{name}-{region}", "RunOrder": order, "Region": region, "RoleArn": role}


def shown(targets: list[str], width: int, reason: str = REASON) -> str:
    regions = ("eu-central-1", "ap-southeast-1")
    deploying = [action("CreateChangeSet", region) for region in regions]
    deploying += [action("ExecuteChangeSet", region, 3) for region in regions]
    stages = [{"Name": "Source", "Actions": [action("Source")]}]
    stages += [
        {"Name": name, "Actions": [action("Approval", None, 2), *deploying]} for name in targets
    ]
    screen = io.StringIO()
    board = Board({"Name": "orders", "Stages": stages}, Console(file=screen, width=width))
    with board.live():
        board.stages[0].actions[0].result = DONE
        for state in board.stages[1].actions[:2]:
            state.result, state.note, state.command = FAILED, reason.strip(), "sam delete x"
    board.print_summary()
    return screen.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize(
    "targets", [["Test", "Production"], [f"Target-with-a-long-name-{i}" for i in range(30)]]
)
def test_at_any_width_no_name_is_cut_and_every_reason_is_whole(
    targets: list[str], width: int
) -> None:
    text = shown(targets, width)
    assert "…" not in text
    summary = text.partition("\n\n")[2]
    for word in (*targets, "eu-central-1", "ap-southeast-1", "222222222222"):
        assert word in summary
    for region in ("eu-central-1", "ap-southeast-1"):
        line = f"{targets[0]}: CreateChangeSet in {region} of 222222222222 failed: {REASON.strip()}"
        assert text.count(line) == 1
    assert text.count("next: sam delete x") == 1


def test_an_action_to_which_access_was_refused_names_the_command_that_tells_why() -> None:
    role = "arn:aws:sts::222222222222:assumed-role/foothold-deploy/1"
    reason = f"AccessDenied: User: {role} is not authorized to perform: kms:Decrypt"
    text = shown(["Test"], 80, reason)
    command = f"foothold explain --principal {role} --action kms:Decrypt --region ap-southeast-1"
    assert text.count(f"  `{command}` tells why") == 1
    assert "tells why" not in shown(["Test"], 80)


def test_the_summary_has_a_row_for_each_region_and_a_column_for_each_stage() -> None:
    lines = shown(["Test"], 80).partition("Rehearsal of orders")[2].splitlines()
    rows = {
        cells[1].strip(): [c.strip() for c in cells[2:-1]]
        for line in lines
        if len(cells := line.split("│")) == 5
    }
    assert rows == {
        "the pipeline": ["✓ 0.0 s", "-"],
        "eu-central-1": ["", "✗ 0.0 s"],
        "ap-southeast-1": ["", "✗ 0.0 s"],
    }


# What a rehearsal leaves out of what a pipeline publishes


def test_a_rehearsal_publishes_no_minutes_and_its_actions_carry_that_digest() -> None:
    watched: Json = {"Bake": {"Minutes": 1000, "Alarms": ["errors"]}, "Waves": [1, 3]}
    long = {f"P{number}": "x" * 1000 for number in range(5)}
    properties = declared(target(Regions="follow", Parameters=long, **watched), target("Next"))
    made = release_targets(pipeline(properties))
    hurried = without_waiting({"Resources": expand(pipeline(properties))})["Resources"]
    [digest] = {
        json.loads(action["Configuration"]["UserParameters"])["targets"]
        for stage in hurried["Pipeline"]["Properties"]["Stages"]
        for action in stage["Actions"]
        if "UserParameters" in action["Configuration"]
    }
    values = [hurried[f"PipelineTargets{number}"]["Properties"]["Value"] for number in (1, 2)]
    found = ReleaseTargets.parse("".join(values), digest)
    assert digest != made.digest
    assert found.targets[0].bake == Bake(0, ("errors",))
    assert [each.cells for each in found.targets] == [each.cells for each in made.targets]


# Conditions of a stage


def player(tmp_path: Path, **variables: str) -> Player:
    """A player of an execution in which a review gave these variables."""
    store = {"Location": "store", "EncryptionKey": {"Id": "key"}}
    definition = {"Name": "orders", "ArtifactStore": store, "RoleArn": "role"}
    run = Execution(definition, HOME, tmp_path, tmp_path, lambda *_: True)
    run.variables["ReviewTest"] = variables
    return Player(Nowhere(tmp_path), run, {})


def stage_that_asks() -> Json:
    asked = {"Topic": TOPIC, "When": "changes"}
    made = expand(pipeline(declared(target(Approval=asked))))
    [stage] = [
        stage
        for stage in made["Pipeline"]["Properties"]["Stages"]
        if stage["Name"] == "Test-Approve"
    ]
    return dict(stage)


@pytest.mark.parametrize(("ask", "enters"), [("yes", True), ("no", False)])
def test_a_stage_is_entered_where_its_condition_holds(
    tmp_path: Path, ask: str, enters: bool
) -> None:
    assert player(tmp_path, ask=ask).enters(stage_that_asks()) is enters


def test_a_stage_whose_review_never_ran_is_not_entered_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(ActionFailedError, match=r"no action has given #\{ReviewTest.ask\}"):
        player(tmp_path).enters(stage_that_asks())


def test_a_condition_that_no_rehearsal_plays_is_named(tmp_path: Path) -> None:
    stage = json.loads(json.dumps(stage_that_asks()).replace('"SKIP"', '"FAIL"'))
    with pytest.raises(ActionFailedError, match="plays the condition VariableCheck, EQ, FAIL"):
        player(tmp_path, ask="yes").enters(stage)
