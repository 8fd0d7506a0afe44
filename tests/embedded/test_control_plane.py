"""The deployed control plane: real signatures, the roles of template.yaml, real processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError, WaiterError

from local.aws.embedded import (
    FOREIGN,
    HOME_REGION,
    PRODUCTION,
    ROOT,
    TEST,
    TOOLS,
    Embedded,
)

PATH = "/foothold/artifact-store"
SECONDS = 600  # after which a test gives up; nothing else hangs on it


def parameters(aws: Embedded, region: str, path: str) -> dict[str, str]:
    pages = aws.session(TOOLS, region).client("ssm").get_paginator("get_parameters_by_path")
    return {
        found["Name"]: found["Value"]
        for page in pages.paginate(Path=path, Recursive=True)
        for found in page["Parameters"]
    }


def bucket_of(region: str) -> str:
    return f"foothold-{TOOLS}-{region}-an"


def template(**resources: Any) -> str:
    token = {"ServiceToken": "{{resolve:ssm:/foothold/service-token}}", "ServiceTimeout": "300"}
    for resource in resources.values():
        resource["Properties"] = {**token, **resource["Properties"]}
    return json.dumps({"Resources": resources})


def one(region: str) -> dict[str, Any]:
    return {"Type": "Custom::ArtifactStore", "Properties": {"Region": region}}


class Stack:
    """A stack in the home region, made from template bodies."""

    def __init__(self, aws: Embedded) -> None:
        self.name = f"app-{uuid4().hex[:8]}"
        self.client = aws.session(TOOLS, HOME_REGION).client("cloudformation")

    def create(self, body: str) -> None:
        self.client.create_stack(StackName=self.name, TemplateBody=body)
        self._wait("stack_create_complete")

    def update(self, body: str) -> None:
        self.client.update_stack(StackName=self.name, TemplateBody=body)
        self._wait("stack_update_complete")

    def delete(self) -> None:
        self.client.delete_stack(StackName=self.name)
        self._wait("stack_delete_complete")

    def outputs(self) -> dict[str, str]:
        (stack,) = self.client.describe_stacks(StackName=self.name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def reasons(self) -> str:
        events = self.client.describe_stack_events(StackName=self.name)["StackEvents"]
        return " ".join(event.get("ResourceStatusReason", "") for event in events)

    def _wait(self, waiter: Any) -> None:
        self.client.get_waiter(waiter).wait(
            StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": SECONDS}
        )


@pytest.fixture
def stack(deployed: Embedded) -> Iterator[Stack]:
    stack = Stack(deployed)
    yield stack
    stack.delete()


def eventually(found: Callable[[], bool], what: str) -> None:
    for _ in range(SECONDS * 2):
        if found():
            return
        time.sleep(0.5)
    pytest.fail(f"{what}: not after {SECONDS} s")


def foothold(
    aws: Embedded, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "foothold", *arguments],
        env={**os.environ, **aws.environment(), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_deployment_makes_the_home_regions_store(deployed: Embedded) -> None:
    found = parameters(deployed, HOME_REGION, PATH)
    assert found[f"{PATH}/bucket"] == bucket_of(HOME_REGION)
    assert found[f"{PATH}/key-arn"].startswith(f"arn:aws:kms:{HOME_REGION}:{TOOLS}:key/")


def test_a_stack_gets_a_store_and_its_attributes(deployed: Embedded, stack: Stack) -> None:
    body = json.loads(template(Store=one("eu-west-1")))
    body["Outputs"] = {
        name: {"Value": {"Fn::GetAtt": ["Store", name]}}
        for name in ("Bucket", "BucketArn", "KeyArn", "Region")
    }
    stack.create(json.dumps(body))
    found = parameters(deployed, "eu-west-1", PATH)
    assert stack.outputs() == {
        "Bucket": bucket_of("eu-west-1"),
        "BucketArn": f"arn:aws:s3:::{bucket_of('eu-west-1')}",
        "KeyArn": found[f"{PATH}/key-arn"],
        "Region": "eu-west-1",
    }


def test_the_plural_gives_bucket_and_key_of_every_region(stack: Stack) -> None:
    regions = ["eu-west-2", "eu-west-3"]
    body = json.loads(
        template(Stores={"Type": "Custom::ArtifactStores", "Properties": {"Regions": regions}})
    )
    body["Outputs"] = {
        name.replace("-", "").replace(".", ""): {"Value": {"Fn::GetAtt": ["Stores", name]}}
        for name in ("Bucket.eu-west-2", "KeyArn.eu-west-3")
    }
    stack.create(json.dumps(body))
    outputs = stack.outputs()
    assert outputs["Bucketeuwest2"] == bucket_of("eu-west-2")
    assert outputs["KeyArneuwest3"].startswith("arn:aws:kms:eu-west-3:")


def test_a_claim_follows_the_stack_and_the_store_outlives_it(deployed: Embedded) -> None:
    def claims() -> set[str]:
        below = parameters(deployed, HOME_REGION, "/foothold/claims")
        return {name.split("/")[3] for name, value in below.items() if stack.name in value}

    stack = Stack(deployed)
    stack.create(template(Store=one("us-west-1")))
    assert claims() == {"us-west-1"}
    stack.update(template(Store=one("us-west-2")))
    assert claims() == {"us-west-2"}
    stack.delete()
    assert claims() == set()
    for region in ("us-west-1", "us-west-2"):
        assert parameters(deployed, region, PATH)[f"{PATH}/bucket"] == bucket_of(region)
        deployed.session(TOOLS, region).client("s3").head_bucket(Bucket=bucket_of(region))


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"Region": "eu-nowhere-1"}, "eu-nowhere-1 is not a region that account"),
        ({"Region": "europe"}, "is not the name of an AWS region"),
        ({}, "Region is missing"),
        ({"Region": "eu-west-1", "Prefix": "x"}, "there is no property Prefix"),
    ],
)
def test_a_wrong_property_fails_the_stack_with_one_clear_reason(
    deployed: Embedded, properties: dict[str, str], words: str
) -> None:
    before = parameters(deployed, HOME_REGION, "/foothold")
    stack = Stack(deployed)
    with pytest.raises(WaiterError):
        stack.create(template(Store={"Type": "Custom::ArtifactStore", "Properties": properties}))
    assert words in stack.reasons()
    stack.delete()
    assert parameters(deployed, HOME_REGION, "/foothold") == before


def test_a_bucket_that_another_account_holds_is_refused_and_left_alone(
    deployed: Embedded,
) -> None:
    region: Any = "ap-northeast-3"
    squatter = deployed.session(FOREIGN, region).client("s3")
    squatter.create_bucket(
        Bucket=bucket_of(region), CreateBucketConfiguration={"LocationConstraint": region}
    )
    stack = Stack(deployed)
    with pytest.raises(WaiterError):
        stack.create(template(Store=one(region)))
    assert "another account" in stack.reasons()
    stack.delete()
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        squatter.get_bucket_policy(Bucket=bucket_of(region))
    assert parameters(deployed, region, PATH) == {}


def test_an_event_makes_a_store(deployed: Embedded) -> None:
    deployed.session(TOOLS, HOME_REGION).client("events").put_events(
        Entries=[
            {
                "Source": "foothold",
                "DetailType": "Regions Requested",
                "Detail": json.dumps({"regions": ["ca-central-1"]}),
            }
        ]
    )
    eventually(lambda: len(parameters(deployed, "ca-central-1", PATH)) == 2, "the store")


def reconcile(aws: Embedded, event: dict[str, Any]) -> Any:
    """Invoke the reconcile function as EventBridge would, and return its report."""
    client = aws.session(TOOLS, HOME_REGION).client("lambda")
    names = [function["FunctionName"] for function in client.list_functions()["Functions"]]
    (name,) = [name for name in names if "ReconcileFunction" in name]
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return payload


def saved(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


def test_the_schedule_keeps_every_store_and_repairs_a_removed_policy(deployed: Embedded) -> None:
    s3 = deployed.session(TOOLS, HOME_REGION).client("s3")
    bucket = bucket_of(HOME_REGION)
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    s3.delete_bucket_policy(Bucket=bucket)
    report = reconcile(deployed, saved("schedule"))
    assert report[HOME_REGION]["steps"] == ["set the bucket policy: it is not set"]
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
    assert reconcile(deployed, saved("schedule"))[HOME_REGION]["steps"] == []


def test_a_disabled_key_is_enabled_on_the_next_schedule(deployed: Embedded) -> None:
    kms = deployed.session(TOOLS, HOME_REGION).client("kms")
    key = parameters(deployed, HOME_REGION, PATH)[f"{PATH}/key-arn"]
    kms.disable_key(KeyId=key)
    (step,) = reconcile(deployed, saved("schedule"))[HOME_REGION]["steps"]
    assert step.startswith("enable the key")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


def test_a_deleted_parameter_is_published_again(deployed: Embedded) -> None:
    ssm = deployed.session(TOOLS, HOME_REGION).client("ssm")
    name = f"/foothold/artifact-stores/{HOME_REGION}/bucket"
    ssm.delete_parameter(Name=name)
    event = saved("parameter_changed")
    event["detail"] |= {"name": name, "operation": "Delete"}
    reconcile(deployed, event)
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == bucket_of(HOME_REGION)


def test_a_store_that_was_made_again_is_announced(deployed: Embedded) -> None:
    region = "eu-south-1"
    foothold(deployed, "regions", "add", region)
    sqs = deployed.session(TOOLS, HOME_REGION).client("sqs")
    queue = sqs.create_queue(QueueName="told")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    events = deployed.session(TOOLS, HOME_REGION).client("events")
    pattern = {"source": ["foothold"], "detail-type": ["Artifact Store Replaced"]}
    events.put_rule(Name="told", EventPattern=json.dumps(pattern))
    target: Any = {"Id": "told", "Arn": asked["Attributes"]["QueueArn"]}
    events.put_targets(Rule="told", Targets=[target])

    deployed.session(TOOLS, region).client("s3").delete_bucket(Bucket=bucket_of(region))
    assert reconcile(deployed, saved("schedule"))[region]["error"] is None
    (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    assert json.loads(message["Body"])["detail"]["bucket"] == bucket_of(region)


@contextmanager
def without_its_permissions(aws: Embedded, role: str) -> Iterator[None]:
    """The role of the template without what it may do with stores, for a while."""
    iam = aws.session(TOOLS, HOME_REGION).client("iam")
    (name,) = [one["RoleName"] for one in iam.list_roles()["Roles"] if role in one["RoleName"]]
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    (arn,) = [one["PolicyArn"] for one in attached if "StoreKeeping" in one["PolicyArn"]]
    iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    try:
        yield
    finally:
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)


def test_a_schedule_without_its_permissions_is_refused(deployed: Embedded) -> None:
    client = deployed.session(TOOLS, HOME_REGION).client("lambda")
    ssm = deployed.session(TOOLS, HOME_REGION).client("ssm")
    name = ssm.get_parameter(Name="/foothold/reconcile-function")["Parameter"]["Value"]
    with without_its_permissions(deployed, "ReconcileRole"):
        answer = client.invoke(FunctionName=name, Payload=json.dumps(saved("schedule")))
    assert "AccessDenied" in answer["Payload"].read().decode()


def test_a_stack_whose_function_is_without_its_permissions_fails(deployed: Embedded) -> None:
    stack = Stack(deployed)
    with without_its_permissions(deployed, "ArtifactStoreRole"), pytest.raises(WaiterError):
        stack.create(template(Store=one("sa-east-1")))
    assert "AccessDenied" in stack.reasons()
    stack.delete()


@pytest.mark.parametrize("name", ["region_opt_in", "parameter_changed", "regions_requested"])
def test_every_saved_event_is_answered(deployed: Embedded, name: str) -> None:
    assert isinstance(reconcile(deployed, saved(name)), dict)


def test_a_malformed_event_is_ignored_and_raises_nothing(deployed: Embedded) -> None:
    assert reconcile(deployed, {"detail-type": "Regions Requested", "source": 7}) == {}


def deploy_role(aws: Embedded, account: str, name: str) -> str:
    """The ARN of a role whose own policies allow everything: what keeps it out is ours."""
    iam = aws.session(account, HOME_REGION).client("iam")
    allow = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
             "Action": "sts:AssumeRole"}  # fmt: skip
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document: dict[str, Any] = {"Version": "2012-10-17", "Statement": [allow]}
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))
    except iam.exceptions.EntityAlreadyExistsException:  # pipelines/target-account.yaml's, perhaps
        trust: Any = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        document["Statement"] = [allow, *(one for one in trust["Statement"] if one != allow)]
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(document))
    document["Statement"] = everything
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(document))
    return f"arn:aws:iam::{account}:role/{name}"


@pytest.mark.parametrize(
    ("account", "role", "reads"),
    [
        (TEST, "foothold-deploy", True),
        (PRODUCTION, "foothold-cloudformation", True),
        (TEST, "somebody-else", False),
        (FOREIGN, "foothold-deploy", False),
    ],
)
def test_only_the_organisations_deploy_roles_read_artifacts(
    deployed: Embedded, account: str, role: str, reads: bool
) -> None:
    s3 = deployed.session(TOOLS, HOME_REGION).client("s3")
    s3.put_object(Bucket=bucket_of(HOME_REGION), Key="artifact", Body=b"x")
    other = deployed.role_session(deploy_role(deployed, account, role), HOME_REGION).client("s3")
    if reads:
        found = other.get_object(Bucket=bucket_of(HOME_REGION), Key="artifact")
        assert found["Body"].read() == b"x"
        assert found["ServerSideEncryption"] == "aws:kms"
    else:
        with pytest.raises(ClientError, match="AccessDenied"):
            other.get_object(Bucket=bucket_of(HOME_REGION), Key="artifact")
    with pytest.raises(ClientError, match="AccessDenied"):
        other.put_object(Bucket=bucket_of(HOME_REGION), Key="artifact", Body=b"y")


@pytest.mark.parametrize(
    "headers",
    [
        {"ServerSideEncryption": "AES256"},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": f"arn:aws:kms:eu-west-1:{TOOLS}:key/x"},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
    ],
)
def test_a_write_under_any_other_encryption_is_refused(
    deployed: Embedded, headers: dict[str, Any]
) -> None:
    role = deploy_role(deployed, TOOLS, "pipeline")
    s3 = deployed.role_session(role, HOME_REGION).client("s3")
    s3.put_object(Bucket=bucket_of(HOME_REGION), Key="artifact", Body=b"x")
    with pytest.raises(ClientError):
        s3.put_object(Bucket=bucket_of(HOME_REGION), Key="artifact", Body=b"x", **headers)


def test_the_command_line_adds_shows_and_removes_a_region(deployed: Embedded) -> None:
    added = foothold(deployed, "regions", "add", "eu-north-1")
    assert (added.returncode, added.stderr.strip()) == (0, "")
    assert "eu-north-1" in added.stdout
    shown = json.loads(foothold(deployed, "status", "--json").stdout)
    (region,) = [region for region in shown if region["region"] == "eu-north-1"]
    assert (region["ready"], region["listed"]) == (True, True)
    assert region["bucket"] == bucket_of("eu-north-1")
    assert "eu-north-1" in foothold(deployed, "regions", "list").stdout.split()
    assert foothold(deployed, "status").returncode == 0
    removed = foothold(deployed, "regions", "remove", "eu-north-1")
    assert removed.returncode == 0
    (kept,) = [
        region
        for region in json.loads(foothold(deployed, "status", "--json").stdout)
        if region["region"] == "eu-north-1"
    ]
    assert (kept["ready"], kept["listed"]) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "words"),
    [
        (["regions", "add", "eu-nowhere-1"], {}, 1, "not a region that this account knows"),
        (["regions", "add", "europe"], {}, 2, "not the name of an AWS region"),
        (["regions", "remove", "eu-south-2"], {}, 1, "eu-south-2 is not on the list"),
        (["regions", "add"], {}, 2, "Missing argument"),
        (["status"], {"AWS_REGION": "us-east-2", "AWS_DEFAULT_REGION": "us-east-2"}, 1,
         "not deployed in us-east-2"),
        (["status"], {"AWS_PROFILE": "nobody"}, 1, "profile (nobody) could not be found"),
        (["status"], {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
                      "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nowhere"}, 1,
         "no AWS credentials found"),
        (["local", "sideways"], {}, 2, "No such command"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_clear_line_and_no_traceback(
    deployed: Embedded, arguments: list[str], environment: dict[str, str], code: int, words: str
) -> None:
    done = foothold(deployed, *arguments, **environment)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    if code == 1:
        assert len(done.stderr.strip().splitlines()) == 1


def test_no_log_line_holds_the_response_url(deployed: Embedded) -> None:
    logs = deployed.session(TOOLS, HOME_REGION).client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    lines = [line for group in groups for line in deployed.logs(group)]
    assert any("request fulfilled" in line for line in lines)
    assert not [line for line in lines if "cfn-response" in line]
