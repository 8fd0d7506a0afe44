"""The functions that a pipeline calls between its stages, with their own roles, on a stack of a
target account."""

import json
import urllib.request
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foothold.aws.regional import RegionalClient
from foothold.releases.gateways.records import RegionalRecords
from foothold.releases.model import (
    RELEASE_TAG,
    Bake,
    OnFailure,
    Release,
    ReleaseRegion,
    ReleaseTarget,
    ReleaseTargets,
    When,
    change_set_name,
    configuration_name,
)
from foothold.stores.register import ArtifactStore
from local.aws.embedded import HOME_REGION, TEST, TOOLS, Embedded
from local.rehearsal.actions import JOBS_PATH
from local.rehearsal.run import deploy_target_account
from tests.embedded.shims.world import wait_for_stack
from tests.embedded.test_control_plane import PATH, bucket_of, parameters

EVENTS = Path(__file__).parents[2] / "events"
STACK = "walk"
ALARM = "walk-errors"
TARGETS = ReleaseTargets(
    STACK,
    HOME_REGION,
    (
        ReleaseTarget(
            "Test",
            TEST,
            STACK,
            ((HOME_REGION,),),
            approval=When.CHANGES,
            bake=Bake(0, (ALARM,)),
            on_failure=OnFailure.ROLLBACK,
        ),
    ),
)
(TARGET,) = TARGETS.targets


def template(title: str) -> str:
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": title}}
    return json.dumps({"Resources": {"Topic": topic}})


class Walk:
    """A stack that runs the release `old`, and a pipeline that goes from there to `new`."""

    def __init__(self, aws: Embedded) -> None:
        self.aws = aws
        self.stacks: Any = aws.session(TEST, HOME_REGION).client("cloudformation")
        self.alarms: Any = aws.session(TEST, HOME_REGION).client("cloudwatch")
        key_arn = parameters(aws, HOME_REGION, PATH)[f"{PATH}/key-arn"]
        self.home = ArtifactStore(HOME_REGION, bucket_of(HOME_REGION), key_arn)
        session = aws.session()
        client = RegionalClient(session, HOME_REGION, 4)
        self.records = RegionalRecords(client, lambda: TOOLS)
        self.old, self.new = self.kept("old"), self.kept("new")
        deploy_target_account(aws, TEST, f"arn:aws:iam::{TOOLS}:role/foothold-walk-pipeline")
        aws.session().client("ssm").put_parameter(
            Name=f"/foothold/pipelines/{STACK}/1", Value=TARGETS.text, Type="String"
        )
        self.alarms.put_metric_alarm(
            AlarmName=ALARM,
            Namespace="walk",
            MetricName="errors",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
        )
        self.stacks.create_stack(
            StackName=STACK, TemplateBody=template("old"), Tags=self.tags(self.old)
        )
        assert wait_for_stack(self.stacks, STACK) == "CREATE_COMPLETE"

    def kept(self, title: str) -> Release:
        share = ReleaseRegion(HOME_REGION, self.home.bucket, self.home.key_arn, "0", title)
        made = Release(STACK, {HOME_REGION: share}, TARGETS.targets)
        configuration = TARGET.configuration(HOME_REGION, STACK, made.id)
        for name, body in (
            (f"template-export-{HOME_REGION}.yml", template(title).encode()),
            (configuration_name("Test", HOME_REGION), json.dumps(configuration).encode()),
            ("release.json", made.render()),
        ):
            assert self.records.create(self.home, made.prefix + name, body)
        return made

    @staticmethod
    def tags(release: Release) -> Any:
        tags = TARGET.configuration(HOME_REGION, STACK, release.id)["Tags"]
        return [{"Key": name, "Value": value} for name, value in tags.items()]

    def make_change_set(self, execution: str) -> str:
        """The pipeline's own action; one of this name is replaced."""
        name = change_set_name(STACK, execution)
        self.stacks.delete_change_set(StackName=STACK, ChangeSetName=name)
        self.stacks.create_change_set(
            StackName=STACK,
            ChangeSetName=name,
            TemplateBody=template("new"),
            Tags=self.tags(self.new),
        )
        return name

    def act(self, do: str, execution: str, token: str | None = None) -> Any:
        """CodePipeline calls the function with a job; how the job went."""
        event = json.loads((EVENTS / f"codepipeline_{do}.json").read_text())
        job = event["CodePipeline.job"]
        configuration = job["data"]["actionConfiguration"]["configuration"]
        given = json.loads(configuration["UserParameters"])
        given |= {"project": STACK, "execution": execution, "targets": TARGETS.digest}
        configuration["UserParameters"] = json.dumps(given)
        job["id"], job["data"]["continuationToken"] = str(uuid.uuid4()), token
        self._job(job["id"], "POST")
        function = "rollout" if do == "bake" else "review"
        name = parameters(self.aws, HOME_REGION, "/foothold")[f"/foothold/{function}-function"]
        answer = (
            self.aws.session()
            .client("lambda")
            .invoke(FunctionName=name, Payload=json.dumps(event).encode())
        )
        assert "FunctionError" not in answer, answer["Payload"].read()
        return self._job(job["id"])

    def _job(self, job: str, method: str = "GET") -> Any:
        url = f"{self.aws.endpoint}{JOBS_PATH}{job}"
        request = urllib.request.Request(url, method=method)  # noqa: S310  # 127.0.0.1
        with urllib.request.urlopen(request) as answer:  # noqa: S310  # likewise
            return json.load(answer)

    def runs(self) -> str:
        wait_for_stack(self.stacks, STACK)
        (stack,) = self.stacks.describe_stacks(StackName=STACK)["Stacks"]
        return str({tag["Key"]: tag["Value"] for tag in stack["Tags"]}[RELEASE_TAG])


@pytest.fixture(scope="module")
def walk(deployed: Embedded) -> Walk:
    return Walk(deployed)


def test_what_is_reviewed_may_be_executed_and_nothing_else(walk: Walk) -> None:
    execution = str(uuid.uuid4())
    walk.make_change_set(execution)
    assert "there is no review of this execution" in walk.act("guard", execution)["message"]

    told = walk.act("review", execution)
    variables = told["outputVariables"]
    assert (variables["ask"], variables["release"]) == ("yes", walk.new.id), told
    prefix = f"{STACK}/reviews/Test/{execution}/"
    assert f"prefix={prefix}review.html" in variables["link"]
    found = walk.records.read(walk.home, f"{prefix}review.json")
    assert found is not None
    assert '"before": "old"' in found[0].decode()
    assert walk.act("guard", execution) == {"status": "Succeeded"}

    walk.make_change_set(execution)
    refused = walk.act("guard", execution)
    assert refused["type"] == "JobFailed"
    assert "its change set is another one than was reviewed" in refused["message"]


def test_a_wave_whose_alarm_is_raised_goes_back_to_the_release_before(walk: Walk) -> None:
    execution = str(uuid.uuid4())
    name = walk.make_change_set(execution)
    walk.act("review", execution)
    walk.stacks.execute_change_set(StackName=STACK, ChangeSetName=name)
    assert walk.runs() == walk.new.id

    walk.alarms.set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="too many")
    token, message = None, ""
    while not message:
        told = walk.act("bake", execution, token)
        assert told["status"] == "Failed" or told["continuationToken"], told
        token, message = told.get("continuationToken"), told.get("message", "")
    assert f"alarm {ALARM} in {HOME_REGION} of {TEST} is raised" in message
    assert f"taken back: {STACK} in {HOME_REGION} of {TEST}" in message
    assert walk.runs() == walk.old.id


def test_what_another_deployment_published_is_refused(walk: Walk) -> None:
    other = replace(TARGETS, branch="another")
    ssm = walk.aws.session().client("ssm")
    name = f"/foothold/pipelines/{STACK}/1"
    ssm.put_parameter(Name=name, Value=other.text, Overwrite=True)
    try:
        refused = walk.act("review", str(uuid.uuid4()))
    finally:
        ssm.put_parameter(Name=name, Value=TARGETS.text, Overwrite=True)
    assert "not those that this pipeline was deployed with" in refused["message"]
