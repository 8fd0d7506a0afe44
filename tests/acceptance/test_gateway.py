"""The calls that a run makes: what is sent, how answers are read, and which rights they take."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # brings no types

from foothold.acceptance.gateway import OperatorsAccount, TargetAccount
from foothold.acceptance.table import Answer, Encryption, Reply, Run
from foothold.aws.clients import Clients
from foothold.errors import FootholdError, PermanentError, TemporaryError
from foothold.stores.gateways.account import AccountRegions
from foothold.stores.gateways.events import RegionRequests
from foothold.stores.gateways.functions import LambdaFunction
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.register import ArtifactStore
from local.aws.embedded import MODELS

ROOT = Path(__file__).parent.parent.parent
HOME, REGION = "eu-central-1", "eu-west-1"
TOOLS, TEST = "111111111111", "222222222222"
KEY = f"arn:aws:kms:{REGION}:{TOOLS}:key/1"
STORE = ArtifactStore(REGION, f"foothold-{TOOLS}-{REGION}-an", KEY)
RUN = Run("0a1b2c3d", REGION, fresh=True, started=0)
TAGS = [{"Key": "foothold:accept", "Value": RUN.id}]
RIGHT = Encryption("aws:kms", KEY)

Reply_ = Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Canned:
    """AWS, as far as it is told: what each operation answers, and what was sent to it."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply_] = {
            "GetCallerIdentity": {"Account": TOOLS, "Arn": f"arn:aws:iam::{TOOLS}:user/operator"}
        }
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.urls: list[str] = []

    def session(self, arn: str | None = None) -> boto3.Session:
        core = botocore.session.Session()
        core.register_component("data_loader", MODELS)
        session = boto3.Session("x", "y", region_name=HOME, botocore_session=core)

        def parameters(params: dict[str, Any], model: Any, **_: Any) -> None:
            self.sent.append((model.service_model.service_name, model.name, dict(params)))

        def call(model: Any, params: dict[str, Any], **_: Any) -> Any:
            self.urls.append(params["url"])
            reply = self.replies.get(model.name, {})
            if model.name == "GetCallerIdentity" and arn:
                reply = {"Account": arn.split(":")[4], "Arn": arn}
            found = dict(reply(self.sent[-1][2]) if callable(reply) else reply)
            status = found.pop("status", 403 if "Error" in found else 200)
            found["ResponseMetadata"] = {"HTTPStatusCode": status}
            return AWSResponse("", status, {}, None), found  # type: ignore[arg-type]  # no body

        session.events.register("provide-client-params", parameters)
        session.events.register("before-call", call)
        return session

    def named(self, operation: str) -> list[dict[str, Any]]:
        return [sent for _, name, sent in self.sent if name == operation]


def error(code: str, message: str = "") -> Mapping[str, Any]:
    return {"Error": {"Code": code, "Message": message}}


@pytest.fixture
def aws() -> Canned:
    return Canned()


@pytest.fixture
def live(aws: Canned) -> OperatorsAccount:
    return OperatorsAccount(aws.session())


class Text:
    """A body that is read once."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def read(self) -> bytes:
        return self._text


# --- Answers

EXPLICIT = (
    'User: x is not authorized to perform: s3:PutObject on resource: "y" with an explicit deny in '
    "a resource-based policy"
)
NO_IDENTITY = (
    "User: x is not authorized to perform: s3:PutObject on resource: y because no identity-based "
    "policy allows the s3:PutObject action"
)
SCP = (
    "User: x is not authorized to perform: kms:GenerateDataKey on resource: y with an explicit "
    "deny in a service control policy"
)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Access Denied", Answer(Reply.REFUSED, "AccessDenied")),
        (EXPLICIT, Answer(Reply.REFUSED, "AccessDenied")),
        (NO_IDENTITY, Answer(Reply.NO_RIGHT, "s3:PutObject")),
        (SCP, Answer(Reply.NO_RIGHT, "kms:GenerateDataKey")),
    ],
)
def test_a_denial_is_the_stores_unless_it_names_the_callers_own_policies(
    aws: Canned, live: OperatorsAccount, message: str, expected: Answer
) -> None:
    aws.replies["PutObject"] = error("AccessDenied", message)
    assert live.put(STORE, "k", RIGHT) == expected


def test_a_write_says_its_encryption_and_whose_bucket_it_is(
    aws: Canned, live: OperatorsAccount
) -> None:
    aws.replies["PutObject"] = {"SSEKMSKeyId": KEY}
    for encryption in (RIGHT, Encryption(), Encryption("AES256"), Encryption(own_key=True)):
        assert live.put(STORE, "k", encryption) == Answer(Reply.DONE, key_arn=KEY)
    named, default, aes, own = aws.named("PutObject")
    place = {"Bucket": STORE.bucket, "Key": "k", "ExpectedBucketOwner": TOOLS, "Body": b"x"}
    assert named == place | {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY}
    assert default == place
    assert aes == place | {"ServerSideEncryption": "AES256"}
    assert own.items() >= (place | {"SSECustomerAlgorithm": "AES256"}).items()


def test_an_upload_whose_part_is_refused_is_aborted(aws: Canned, live: OperatorsAccount) -> None:
    aws.replies["CreateMultipartUpload"] = {"UploadId": "u"}
    aws.replies["UploadPart"] = error("AccessDenied", EXPLICIT)
    assert live.put_in_parts(STORE, "k", RIGHT).reply is Reply.REFUSED
    (aborted,) = aws.named("AbortMultipartUpload")
    assert aborted["UploadId"] == "u"


def test_an_error_that_is_no_denial_is_raised_in_one_line(
    aws: Canned, live: OperatorsAccount
) -> None:
    aws.replies["PutObject"] = error("KMS.NotFoundException", "no such key")
    with pytest.raises(PermanentError, match=r"cannot write k to .*KMS.NotFoundException"):
        live.put(STORE, "k", RIGHT)


def test_plain_http_is_asked_over_plain_http(aws: Canned) -> None:
    aws.replies["GetObject"] = error("AccessDenied")
    found = OperatorsAccount(aws.session()).read_over_plain_http(STORE, "k")
    assert found.reply is Reply.REFUSED
    assert aws.urls[-1].startswith("http://")


def test_plain_http_is_not_asked_where_every_call_is_plain(
    aws: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    found = OperatorsAccount(aws.session()).read_over_plain_http(STORE, "k")
    assert found.reply is Reply.NOT_ASKED
    assert aws.named("GetObject") == []


# --- Readers of a target account

ADMINISTRATOR = f"arn:aws:sts::{TEST}:assumed-role/administrator/me"


def reads(aws: Canned, caller: str) -> tuple[Answer, Answer]:
    tools = aws.session()
    live = OperatorsAccount(tools, TargetAccount(tools, aws.session(caller), "foothold-deploy"))
    aws.replies["GetObject"] = {"Body": Text(b"x")}
    return live.read_as_deploy_role(STORE, "k"), live.read_as_another_role(STORE, "k")


def test_a_deploy_role_that_lets_nobody_in_is_named_with_the_right_that_is_lacking(
    aws: Canned,
) -> None:
    aws.replies["AssumeRole"] = error("AccessDenied")
    role, other = reads(aws, ADMINISTRATOR)
    assert role == Answer(
        Reply.NO_RIGHT, f"sts:AssumeRole arn:aws:iam::{TEST}:role/foothold-deploy"
    )
    assert other.reply is Reply.DONE
    assert len(aws.named("AssumeRole")) == 2  # from both accounts


def test_a_profile_that_is_the_deploy_role_reads_as_it_and_shows_no_other(aws: Canned) -> None:
    role, other = reads(aws, f"arn:aws:sts::{TEST}:assumed-role/foothold-deploy/me")
    assert (role.reply, other.reply) == (Reply.DONE, Reply.NOT_ASKED)


def test_a_profile_of_the_tools_account_shows_nothing(aws: Canned) -> None:
    role, other = reads(aws, f"arn:aws:iam::{TOOLS}:user/operator")
    assert (role.reply, other.reply) == (Reply.NOT_ASKED, Reply.NOT_ASKED)


def test_without_a_target_profile_nobody_else_reads(live: OperatorsAccount) -> None:
    found = live.read_as_deploy_role(STORE, "k")
    assert found == Answer(Reply.NOT_ASKED, "no target account: --target-profile names one")


# --- Everything else


def test_a_run_that_is_remembered_already_is_not_written_over(
    aws: Canned, live: OperatorsAccount
) -> None:
    assert live.remember("/foothold/acceptance/run", RUN)
    aws.replies["PutParameter"] = error("ParameterAlreadyExists")
    assert not live.remember("/foothold/acceptance/run", RUN)
    assert all(
        "Overwrite" not in sent and sent["Tags"] == TAGS for sent in aws.named("PutParameter")
    )


def test_a_failed_stack_says_the_reason_of_its_first_failure(
    aws: Canned, live: OperatorsAccount
) -> None:
    aws.replies["DescribeStacks"] = {"Stacks": [{"StackStatus": "CREATE_FAILED"}]}
    failed = {"ResourceStatus": "CREATE_FAILED", "LogicalResourceId": "Store"}
    aws.replies["DescribeStackEvents"] = {
        "StackEvents": [
            {**failed, "ResourceStatusReason": "later"},
            {**failed, "ResourceStatusReason": "no right to kms:CreateKey"},
            {"ResourceStatus": "CREATE_IN_PROGRESS", "LogicalResourceId": "Store"},
        ]
    }
    assert str(live.stack("s")) == "CREATE_FAILED: Store: no right to kms:CreateKey"
    aws.replies["DescribeStacks"] = error("ValidationError", "Stack with id s does not exist")
    assert live.stack("s") is None


def test_what_is_not_there_any_more_is_deleted_without_an_error(
    aws: Canned, live: OperatorsAccount
) -> None:
    aws.replies["DeleteAlias"] = error("NotFoundException")
    live.delete_alias(REGION, "alias/x")
    aws.replies["DescribeKey"] = error("NotFoundException")
    assert live.aliased(REGION, "alias/x") is None
    assert live.another_key(REGION).startswith(f"arn:aws:kms:{REGION}:{TOOLS}:key/0000")


def test_an_object_that_cannot_be_deleted_is_an_error(aws: Canned, live: OperatorsAccount) -> None:
    aws.replies["ListObjectVersions"] = {"Versions": [{"Key": "a/b", "VersionId": "1"}]}
    aws.replies["DeleteObjects"] = {"Errors": [{"Key": "a/b", "Code": "AccessDenied"}]}
    with pytest.raises(PermanentError, match="cannot delete a/b"):
        live.delete_objects(REGION, STORE.bucket, "a/")


@pytest.mark.parametrize(
    ("kind", "expected"), [("TemporaryError", TemporaryError), ("KeyError", PermanentError)]
)
def test_a_function_that_failed_says_why(
    aws: Canned, live: OperatorsAccount, kind: str, expected: type[FootholdError]
) -> None:
    text = json.dumps({"errorType": kind, "errorMessage": "S3: AccessDenied"}).encode()
    aws.replies["Invoke"] = {"FunctionError": "Unhandled", "Payload": Text(text)}
    with pytest.raises(expected, match="S3: AccessDenied"):
        live.invoke("package", {})


# --- Rights

ACTIONS: dict[str, set[str]] = {
    "cloudformation:CreateStack": {
        # With tags, and with a role; and it calls the custom resource's function for its caller.
        "cloudformation:CreateStack", "cloudformation:TagResource", "iam:PassRole",
        "lambda:InvokeFunction",
    },
    "cloudformation:DeleteStack": {"cloudformation:DeleteStack"},
    "cloudformation:DescribeStackEvents": {"cloudformation:DescribeStackEvents"},
    "cloudformation:DescribeStacks": {"cloudformation:DescribeStacks"},
    "codepipeline:DisableStageTransition": {"codepipeline:DisableStageTransition"},
    "codepipeline:GetPipeline": {"codepipeline:GetPipeline"},
    "codepipeline:GetPipelineState": {"codepipeline:GetPipelineState"},
    "codepipeline:StartPipelineExecution": {"codepipeline:StartPipelineExecution"},
    "ec2:DescribeRegions": {"ec2:DescribeRegions"},
    "events:PutEvents": {"events:PutEvents"},
    "kms:CreateAlias": {"kms:CreateAlias"},
    "kms:DeleteAlias": {"kms:DeleteAlias"},
    "kms:DescribeKey": {"kms:DescribeKey"},
    "lambda:Invoke": {"lambda:InvokeFunction"},
    "resourcegroupstaggingapi:GetResources": {"tag:GetResources"},
    "s3:AbortMultipartUpload": {"s3:AbortMultipartUpload"},
    "s3:CompleteMultipartUpload": {"s3:PutObject", "kms:Decrypt"},
    "s3:CreateMultipartUpload": {"s3:PutObject", "kms:GenerateDataKey"},
    "s3:DeleteObjects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "s3:GetObject": {"s3:GetObject", "kms:Decrypt"},
    "s3:ListMultipartUploads": {"s3:ListBucketMultipartUploads"},
    "s3:ListObjectVersions": {"s3:ListBucketVersions"},
    "s3:PutObject": {"s3:PutObject", "kms:GenerateDataKey"},
    "s3:UploadPart": {"s3:PutObject", "kms:GenerateDataKey"},
    "ssm:DeleteParameters": {"ssm:DeleteParameters"},
    "ssm:GetParameters": {"ssm:GetParameters"},
    "ssm:GetParametersByPath": {"ssm:GetParametersByPath"},
    "ssm:PutParameter": {"ssm:PutParameter", "ssm:AddTagsToResource"},
    "sts:AssumeRole": {"sts:AssumeRole"},
    "sts:GetCallerIdentity": set(),  # nobody needs a right to it
}  # fmt: skip


def granted() -> set[str]:
    template: Any = yaml_parse((ROOT / "pipelines" / "acceptance.yaml").read_text())
    document = template["Resources"]["Acceptance"]["Properties"]["PolicyDocument"]
    actions: set[str] = set()
    for statement in document["Statement"]:
        action = statement["Action"]
        actions |= {action} if isinstance(action, str) else set(action)
    return actions


def make_every_call(aws: Canned) -> None:
    """Every method of every gateway that a run works through, each once or more."""
    tools = aws.session()
    live = OperatorsAccount(
        tools, TargetAccount(tools, aws.session(ADMINISTRATOR), "foothold-deploy")
    )
    aws.replies |= {
        "GetObject": {"Body": Text(b"x")},
        "DescribeStacks": {"Stacks": [{"StackStatus": "CREATE_FAILED"}]},
        "DescribeStackEvents": {"StackEvents": []},
        "DescribeKey": {"KeyMetadata": {"Arn": KEY}},
        "ListObjectVersions": {"Versions": [{"Key": "a/b", "VersionId": "1"}]},
        "ListMultipartUploads": {"Uploads": [{"Key": "a/b", "UploadId": "1"}]},
        "CreateMultipartUpload": {"UploadId": "u"},
        "UploadPart": {"ETag": "e"},
        "GetResources": {"ResourceTagMappingList": [{"ResourceARN": KEY}]},
        "Invoke": lambda _sent: {"Payload": Text(b"{}")},
        "GetPipeline": {"pipeline": {}},
        "GetPipelineState": {"stageStates": [{"stageName": "Source"}]},
        "GetParameters": {"Parameters": []},
        "GetParametersByPath": {"Parameters": []},
        "DescribeRegions": {"Regions": []},
        "PutEvents": {"FailedEntryCount": 0},
    }
    clients = Clients(tools)
    parameters = SsmParameters(clients)
    parameters.get(HOME, ("a",))
    parameters.below(HOME, "/a")
    parameters.put_list(HOME, "/a", ("b",))
    parameters.delete(HOME, ("a",))
    AccountRegions(clients).statuses()
    RegionRequests(clients, HOME).request([REGION])
    LambdaFunction(clients, "f").ask({})
    assert (live.account(), live.calls) == (TOOLS, 0)  # nothing leaves this machine
    live.remember("/a", RUN)
    live.create_stack("s", {}, RUN, "foothold-pipelines")
    live.stack("s")
    live.delete_stack("s")
    live.put(STORE, "k", RIGHT)
    live.put_in_parts(STORE, "k", RIGHT)
    live.read(STORE, "k")
    live.read_over_plain_http(STORE, "k")
    live.delete_objects(REGION, STORE.bucket, "a/")
    live.create_alias(REGION, "alias/a", KEY)
    assert live.aliased(REGION, "alias/a") == KEY
    live.delete_alias(REGION, "alias/a")
    assert live.another_key(REGION) == KEY
    assert live.tagged_keys(REGION) == [KEY]
    live.invoke("f", {})
    live.pipeline("p")
    live.start_pipeline("p", "Target")
    assert live.stages("p") == {"Source": "not begun"}


def test_the_policy_grants_what_the_calls_take_and_nothing_else(aws: Canned) -> None:
    make_every_call(aws)
    aws.replies["AssumeRole"] = error("AccessDenied")
    reads(aws, ADMINISTRATOR)
    made = {f"{service}:{operation}" for service, operation, _ in aws.sent}
    assert made == set(ACTIONS)
    needed: set[str] = set().union(*ACTIONS.values())
    assert needed == granted()


def test_what_the_calls_of_the_gateway_need_is_asked_of_every_method() -> None:
    public = {name for name in vars(OperatorsAccount) if not name.startswith("_")}
    source = Path(__file__).read_text()
    assert not [name for name in public if f"live.{name}" not in source]


def test_everything_that_can_carry_a_tag_carries_the_runs(
    aws: Canned, live: OperatorsAccount
) -> None:
    live.create_stack("s", {"Resources": {}}, RUN, "foothold-pipelines")
    (sent,) = aws.named("CreateStack")
    assert sent["Tags"] == TAGS
    assert sent["RoleARN"] == f"arn:aws:iam::{TOOLS}:role/foothold-pipelines"
