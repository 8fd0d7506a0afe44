"""Stacks and alarms in target accounts, and trials in our own, as AWS answers."""

import io
import json
from collections import defaultdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from foothold.errors import PermanentError, TemporaryError
from foothold.releases.gateways.alarms import TargetAlarms
from foothold.releases.gateways.stacks import DeployedStacks, object_url
from foothold.releases.gateways.trials import OwnTrials
from foothold.releases.model import Cell, Trial
from foothold.releases.ports import SetStanding, StackState, TrialRun
from foothold.stores.register import ArtifactStore

REGION = "eu-west-1"
CELL = Cell("222222222222", REGION, "shop")
SET = f"arn:aws:cloudformation:{REGION}:222222222222:changeSet/foothold-shop-1/2"
CONFIGURATION = {"Parameters": {"Size": "2"}, "Tags": {"foothold:release": "0123456789abcdef"}}


class Aws:
    """A client whose operations are answered here, the last answer again and again; what was
    asked is kept. A text is an error's code, with a message after a colon."""

    def __init__(self, service: str, **answers: Any) -> None:
        make: Any = boto3.Session("testing", "testing", region_name=REGION).client
        self.client = make(service)
        self.asked: defaultdict[str, list[Any]] = defaultdict(list)
        self._answers = {name: list(each) for name, each in answers.items()}
        self.client.meta.events.register("provide-client-params.*.*", self._note)
        self.client.meta.events.register("before-call.*.*", self._answer)

    def of(self, *_: str) -> Any:
        return self.client

    def _note(self, params: Any, model: Any, **_: Any) -> None:
        self.asked[model.name].append(params)

    def _answer(self, model: Any, **_: Any) -> tuple[AWSResponse, Any]:
        answers = self._answers[model.name]
        found: Any = answers.pop(0) if len(answers) > 1 else answers[0]
        if not isinstance(found, str):
            return response(200), found
        code, _colon, message = found.partition(": ")
        error = {"Error": {"Code": code, "Message": message}}
        return response(400), {**error, "ResponseMetadata": {"HTTPStatusCode": 400}}


def response(status: int) -> AWSResponse:
    return AWSResponse("", status, {}, None)  # type: ignore[arg-type]  # nobody reads it


def stack(status: str, **more: Any) -> dict[str, Any]:
    return {"Stacks": [{"StackName": "shop", "StackStatus": status, **more}]}


NO_STACK = "ValidationError: Stack with id shop does not exist"


def made(aws: Aws) -> str:
    return DeployedStacks(aws.of).create_change_set(
        CELL,
        "foothold-shop-1",
        template_url="https://there/template.yml",
        configuration=CONFIGURATION,
        capabilities=("CAPABILITY_IAM",),
    )


# --- stacks -------------------------------------------------------------------------------------


def test_a_stack_is_told_with_its_tags_and_outputs() -> None:
    tags = [{"Key": "foothold:release", "Value": "1"}]
    outputs = [{"OutputKey": "Url", "OutputValue": "https://shop"}]
    aws = Aws(
        "cloudformation", DescribeStacks=[stack("CREATE_COMPLETE", Tags=tags, Outputs=outputs)]
    )
    assert DeployedStacks(aws.of).state(CELL) == StackState(
        "CREATE_COMPLETE", "", {"foothold:release": "1"}, {"Url": "https://shop"}
    )


def test_a_stack_that_is_not_there_is_none_and_any_other_refusal_is_an_error() -> None:
    assert DeployedStacks(Aws("cloudformation", DescribeStacks=[NO_STACK]).of).state(CELL) is None
    for code, kind in (("AccessDenied", PermanentError), ("Throttling", TemporaryError)):
        stacks = DeployedStacks(Aws("cloudformation", DescribeStacks=[code]).of)
        with pytest.raises(kind, match="look at stack shop in eu-west-1 of 222222222222"):
            stacks.state(CELL)


@pytest.mark.parametrize(
    ("there", "kind"),
    [
        (NO_STACK, "CREATE"),
        (stack("REVIEW_IN_PROGRESS"), "CREATE"),
        (stack("UPDATE_ROLLBACK_COMPLETE"), "UPDATE"),
    ],
)
def test_a_change_set_is_made_with_configuration_and_the_accounts_own_role(
    there: Any, kind: str
) -> None:
    aws = Aws("cloudformation", DescribeStacks=[there], CreateChangeSet=[{"Id": SET}])
    assert made(aws) == SET
    assert aws.asked["CreateChangeSet"] == [
        {
            "StackName": "shop",
            "ChangeSetName": "foothold-shop-1",
            "ChangeSetType": kind,
            "TemplateURL": "https://there/template.yml",
            "RoleARN": "arn:aws:iam::222222222222:role/foothold-cloudformation",
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [{"ParameterKey": "Size", "ParameterValue": "2"}],
            "Tags": [{"Key": "foothold:release", "Value": "0123456789abcdef"}],
        }
    ]


def test_a_change_set_that_is_there_already_is_left_as_it_is() -> None:
    aws = Aws(
        "cloudformation",
        DescribeStacks=[stack("UPDATE_COMPLETE")],
        CreateChangeSet=["AlreadyExistsException"],
        DescribeChangeSet=[{"ChangeSetId": SET}],
    )
    assert made(aws) == SET
    with pytest.raises(PermanentError, match="make the change set foothold-shop-1 of shop"):
        made(Aws("cloudformation", DescribeStacks=[NO_STACK], CreateChangeSet=["AccessDenied"]))


@pytest.mark.parametrize(
    ("found", "standing"),
    [
        ({"Status": "CREATE_PENDING"}, SetStanding.MAKING),
        ({"Status": "CREATE_IN_PROGRESS", "ExecutionStatus": "UNAVAILABLE"}, SetStanding.MAKING),
        ({"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE"}, SetStanding.READY),
        (
            {"Status": "CREATE_COMPLETE", "ExecutionStatus": "EXECUTE_IN_PROGRESS"},
            SetStanding.EXECUTING,
        ),
        (
            {"Status": "CREATE_COMPLETE", "ExecutionStatus": "EXECUTE_COMPLETE"},
            SetStanding.EXECUTED,
        ),
        ({"Status": "CREATE_COMPLETE", "ExecutionStatus": "OBSOLETE"}, SetStanding.FAILED),
        ({"Status": "CREATE_COMPLETE", "ExecutionStatus": "EXECUTE_FAILED"}, SetStanding.FAILED),
        ({"Status": "DELETE_COMPLETE"}, SetStanding.GONE),
        ("ChangeSetNotFound", SetStanding.GONE),
        (NO_STACK, SetStanding.GONE),
        ({"Status": "FAILED", "StatusReason": "Template error"}, SetStanding.FAILED),
        (
            {"Status": "FAILED", "StatusReason": "No updates are to be performed."},
            SetStanding.EMPTY,
        ),
    ],
)
def test_how_a_change_set_stands(found: Any, standing: SetStanding) -> None:
    stacks = DeployedStacks(Aws("cloudformation", DescribeChangeSet=[found]).of)
    assert stacks.standing(CELL, SET) is standing


def test_exactly_this_change_set_is_executed_and_a_second_time_is_no_error() -> None:
    executing = {"Status": "CREATE_COMPLETE", "ExecutionStatus": "EXECUTE_IN_PROGRESS"}
    aws = Aws(
        "cloudformation",
        ExecuteChangeSet=[{}, {}, "InvalidChangeSetStatus"],
        DescribeChangeSet=[executing],
    )
    for _ in range(3):
        DeployedStacks(aws.of).execute(CELL, SET)
    first, second, _ = aws.asked["ExecuteChangeSet"]
    assert first == second  # the token, too
    assert first["ChangeSetName"] == SET
    obsolete = {"Status": "CREATE_COMPLETE", "ExecutionStatus": "OBSOLETE"}
    aws = Aws(
        "cloudformation",
        ExecuteChangeSet=["InvalidChangeSetStatus"],
        DescribeChangeSet=[obsolete],
    )
    with pytest.raises(PermanentError, match="InvalidChangeSetStatus"):
        DeployedStacks(aws.of).execute(CELL, SET)


def test_why_a_stack_failed_names_each_resource_and_not_those_that_were_only_stopped() -> None:
    def event(resource: str, status: str, reason: str = "") -> dict[str, Any]:
        more = {"ResourceStatusReason": reason} if reason else {}
        return {"LogicalResourceId": resource, "ResourceStatus": status, "StackId": "s", **more}

    own = {"PhysicalResourceId": "s"}
    events = [
        event("Queue", "UPDATE_FAILED", "Resource update cancelled"),
        event("Function", "UPDATE_FAILED", "no such runtime"),
        {**event("shop", "UPDATE_IN_PROGRESS"), **own},
        event("Old", "UPDATE_FAILED", "of the operation before"),
    ]
    aws = Aws("cloudformation", DescribeStackEvents=[{"StackEvents": events}])
    assert DeployedStacks(aws.of).why_failed(CELL) == "Function: no such runtime"


def test_why_a_change_set_failed_is_told_with_what_its_validation_says() -> None:
    event = {"ValidationPath": "/Resources/T", "ValidationStatusReason": "it is there already"}
    aws = Aws(
        "cloudformation",
        DescribeChangeSet=[{"StatusReason": "call DescribeEvents"}],
        DescribeEvents=[{"OperationEvents": [event]}],
    )
    assert (
        DeployedStacks(aws.of).why_failed(CELL, SET)
        == "call DescribeEvents; /Resources/T: it is there already"
    )


@pytest.mark.parametrize(
    ("endpoint", "region", "url"),
    [
        ("https://s3.eu-central-1.amazonaws.com", REGION, f"https://b.s3.{REGION}.amazonaws.com/k"),
        (
            "https://s3.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
            "https://b.s3.cn-north-1.amazonaws.com.cn/k",
        ),
        ("http://127.0.0.1:4566", REGION, "http://127.0.0.1:4566/b/k"),
        ("https://amazonaws.com.example", REGION, "https://amazonaws.com.example/b/k"),
    ],
)
def test_a_template_is_named_by_its_regions_own_endpoint(
    endpoint: str, region: str, url: str
) -> None:
    assert object_url(endpoint, ArtifactStore(region, "b", "key"), "k") == url


# --- alarms -------------------------------------------------------------------------------------

SINCE = 1_000_000.0


def alarm(name: str, state: str, updated: float = 0.0) -> dict[str, Any]:
    at = datetime.fromtimestamp(updated, UTC)
    return {"AlarmName": name, "StateValue": state, "StateUpdatedTimestamp": at}


def change(old: str, new: str) -> dict[str, Any]:
    data = {"oldState": {"stateValue": old}, "newState": {"stateValue": new}}
    return {"Timestamp": datetime.fromtimestamp(SINCE + 60, UTC), "HistoryData": json.dumps(data)}


def raised(found: list[Any], *history: Any, names: tuple[str, ...] = ("a",)) -> str | None:
    aws = Aws(
        "cloudwatch",
        DescribeAlarms=[{"MetricAlarms": found[:1], "CompositeAlarms": found[1:]}],
        DescribeAlarmHistory=list(history) or ["AccessDenied"],
    )
    return TargetAlarms(aws.of).raised("222222222222", REGION, names, SINCE)


def test_an_alarm_counts_that_is_raised_or_was_since_then_and_on_any_page() -> None:
    line = raised([alarm("a", "ALARM")])
    assert line
    assert line.startswith("alarm a in eu-west-1 of 222222222222 is raised")
    pages = (
        {"AlarmHistoryItems": [change("INSUFFICIENT_DATA", "OK")], "NextToken": "2"},
        {"AlarmHistoryItems": [change("ALARM", "OK")]},
    )
    line = raised([alarm("a", "OK", SINCE + 60)], *pages)
    assert line == "alarm a in eu-west-1 of 222222222222 was raised at 1970-01-12T13:47:40Z"


def test_an_alarm_without_data_and_one_that_was_raised_before_are_none() -> None:
    assert raised([alarm("a", "OK", SINCE - 1)]) is None  # its history is not read
    found = {"AlarmHistoryItems": [change("OK", "INSUFFICIENT_DATA")]}
    assert raised([alarm("a", "INSUFFICIENT_DATA", SINCE)], found) is None


def test_composite_alarms_are_alarms_and_what_is_missing_is_named() -> None:
    both = [alarm("a", "OK"), alarm("b", "ALARM")]
    line = raised(both, names=("a", "b"))
    assert line
    assert "alarm b" in line
    with pytest.raises(PermanentError, match="there is no alarm c, d in eu-west-1 of 2222"):
        raised(both, names=("a", "c", "d"))


def test_names_are_asked_for_a_hundred_at_a_time() -> None:
    names = [f"alarm-{number}" for number in range(150)]
    answers = [
        {"MetricAlarms": [alarm(name, "OK") for name in part]}
        for part in (names[:100], names[100:])
    ]
    aws = Aws("cloudwatch", DescribeAlarms=answers)
    assert TargetAlarms(aws.of).raised("222222222222", REGION, names, SINCE) is None
    assert [len(asked["AlarmNames"]) for asked in aws.asked["DescribeAlarms"]] == [100, 50]


# --- trials -------------------------------------------------------------------------------------

BUILD = Trial("smoke", project="smoke")
FUNCTION = Trial("ping", function="ping")


def test_a_build_is_started_once_with_the_outputs_and_looked_at_until_it_ends() -> None:
    statuses = ["IN_PROGRESS", "SUCCEEDED", "FAILED"]
    aws = Aws(
        "codebuild",
        StartBuild=[{"build": {"id": "smoke:1"}}],
        BatchGetBuilds=[{"builds": [{"buildStatus": each}]} for each in statuses],
    )
    trials = OwnTrials(aws.of)
    for _ in range(2):
        assert trials.start(BUILD, REGION, {"Url": "u"}, "run-smoke") == TrialRun("smoke:1")
    first, second = aws.asked["StartBuild"]
    assert first == second  # the token, too
    variables = first["environmentVariablesOverride"]
    assert variables == [{"name": "Url", "value": "u", "type": "PLAINTEXT"}]
    looks = partial(trials.look, BUILD, REGION, "smoke:1")
    assert [looks().passed, looks().passed] == [None, True]
    assert looks() == TrialRun("smoke:1", passed=False, line="build smoke:1 is FAILED")


def test_a_function_is_given_the_outputs_and_fails_where_it_raises() -> None:
    said = {"Payload": io.BytesIO(b'"fine"')}
    raising = {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "no"}')}
    aws = Aws("lambda", Invoke=[said, raising])
    trials = OwnTrials(aws.of)
    passed = trials.start(FUNCTION, REGION, {"Url": "u"}, "run")
    assert passed.passed
    assert trials.look(FUNCTION, REGION, passed.id).passed
    assert json.loads(aws.asked["Invoke"][0]["Payload"]) == {"Url": "u"}
    failed = trials.start(FUNCTION, REGION, {}, "run")
    assert failed == TrialRun("invoked", passed=False, line='{"errorMessage": "no"}')


def test_a_trial_that_is_not_there_is_named() -> None:
    trials = OwnTrials(Aws("codebuild", StartBuild=["ResourceNotFoundException"]).of)
    with pytest.raises(PermanentError, match="cannot start smoke in eu-west-1"):
        trials.start(BUILD, REGION, {}, "run")
