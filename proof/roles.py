"""Every action that the roles of pipelines have is needed, and together they are enough.

The roles are those of pipelines/*.yaml and of declarations, expanded. What they are asked for comes
from elsewhere: from the calls of a rehearsal, from AWS's pages on what CodePipeline, CodeBuild and
EventBridge do in a role, and from what the handlers of CloudFormation's resource types say that
they call. With all of a role's policies every such request is allowed, and what strangers ask is
refused; without any one action or condition, some request is judged otherwise.
"""

import copy
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import chain, product
from pathlib import Path
from typing import Any

import boto3
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # has no types

from foothold.aws.clients import Clients
from foothold.pipelines.declaration import resolve
from foothold.pipelines.form import read_declaration
from foothold.pipelines.resources import ARTIFACT_FOLDER, expand
from foothold.stores.gateways.account import PipelineRegions
from foothold.stores.model import ControlPlane
from foothold.stores.policies import bucket_policy, key_policy
from foothold.stores.register import ArtifactStore
from proof.cloud import HOME
from proof.decisions import ANOTHER_ORGANIZATION, ORGANIZATION, OTHER, READERS, TOOLS, key_arn
from proof.decisions import MEMBER as TEST
from proof.house import ROOT
from proof.judge import Row, allowed
from proof.privileges import (
    PartlyGiven,
    attached,
    grants,
    listed,
    policies,
    resolved,
    stars,
    template,
    without,
)
from proof.rehearsed import RoleCall, rehearsed
from proof.result import Result, Scale

Json = dict[str, Any]

PRODUCTION, MANAGEMENT = "333333333333", "888888888888"
REGIONS = (HOME, "eu-west-1", "us-east-1")
EXPANDED = "expanded declarations"
FUNCTION = r"\{\{resolve:ssm:/foothold/([a-z]+-function)\}\}"
MACRO = f"arn:aws:lambda:{HOME}:{TOOLS}:function:foothold-macro"
CONNECTION = f"arn:aws:codeconnections:{HOME}:{TOOLS}:connection/1"
OLDER_CONNECTION = f"arn:aws:codestar-connections:{HOME}:{TOOLS}:connection/2"
TOKEN = f"arn:aws:secretsmanager:{HOME}:{TOOLS}:secret:token-AbCdEf"
BOUNDARY = f"arn:aws:iam::{TOOLS}:policy/boundary"
TOPIC = f"arn:aws:sns:{HOME}:{TOOLS}:releases"
OWN_KEY = f"arn:aws:kms:{HOME}:{TOOLS}:key/own"
OWN_SECRET = f"arn:aws:secretsmanager:{HOME}:{TOOLS}:secret:own-AbCdEf"
OWN_IMAGE = f"{TOOLS}.dkr.ecr.{HOME}.amazonaws.com/build:1"
ADOPTED_BUCKETS = ("old-artifacts", "another-old-bucket")
ADOPTED = ADOPTED_BUCKETS[0]
HOME_BUS = f"arn:aws:events:{HOME}:{TOOLS}:event-bus/default"


# --- What grants ----------------------------------------------------------------------------------

# Every kind of source, both names of a connection, and a build that packages by itself: of this one
# CodePipeline cuts the name short for its artifacts, and packages have the whole name.
SOURCES: dict[str, Json] = {
    "Connected": {"CodeConnections": {"ConnectionArn": CONNECTION, "Repository": "example/orders"}},
    "OlderNameOfConnections": {
        "CodeConnections": {"ConnectionArn": OLDER_CONNECTION, "Repository": "example/old"}
    },
    "Hub": {"GitHub": {"Owner": "example", "Repository": "orders", "Secret": "token"}},
    "Shelf": {"S3": {"Bucket": "sources", "Key": "orders.zip", "KmsKeyArn": OWN_KEY}},
    "Commits": {"CodeCommit": {"Repository": "orders"}},
}
PACKAGES_ITSELF = "OlderNameOfConnections"
# The source, a parameter, a secret and the image are somebody's own, with a key of their own.
KEEPS_ITS_OWN = "Shelf"
STARTED_BY_A_RULE = ("Shelf", "Commits")
TEMPLATES = " ".join(f"template-export-{region}.yml" for region in REGIONS)
BUILDSPEC = (
    f"version: 0.2\nphases: {{build: {{commands: [touch {TEMPLATES}]}}}}\n"
    "artifacts: {files: ['**/*']}\n"
)


def declaration(name: str) -> Json:
    places = {"Stack": "orders", "Regions": "follow", "Approval": True, "Bake": {"Minutes": 1}}
    own: Json = {
        "C": {"Parameter": "/build/own", "Key": OWN_KEY},
        "D": {"Secret": OWN_SECRET, "Key": OWN_KEY},
    }
    keeps_its_own = name == KEEPS_ITS_OWN
    return {
        "Name": name.lower(),
        "Source": SOURCES[name],
        "Build": {
            "Buildspec": BUILDSPEC,
            "Environment": {
                "A": {"Parameter": "/build/user"},
                "B": {"Secret": "build:key"},
                **(own if keeps_its_own else {}),
            },
            **({"Image": OWN_IMAGE} if keeps_its_own else {}),
        },
        "Package": "buildspec" if name == PACKAGES_ITSELF else "function",
        "Targets": [
            {"Name": "Test", "Account": TEST, **places},
            {"Name": "Production", "Account": PRODUCTION, **places},
        ],
        "Notifications": {"Topic": TOPIC},
    }


PLANE = ControlPlane(
    account=TOOLS,
    home_region=HOME,
    stack="foothold",
    organization_ids=(ORGANIZATION,),
    reader_roles=READERS,
)
STORES = {
    region: ArtifactStore(region, PLANE.spec(region).bucket, key_arn(PLANE.spec(region)))
    for region in REGIONS
}


def templates() -> dict[str, Json]:
    """The templates by their files' names, and one with the declarations, expanded."""
    found = {file.name: yaml_parse(file.read_text()) for file in (ROOT / "pipelines").iterdir()}
    expanded: Json = {}
    for name in SOURCES:
        pipeline = resolve(read_declaration(declaration(name)), STORES, HOME)
        expanded |= expand(pipeline, logical_id=name, boundary=BOUNDARY)
    return found | {EXPANDED: {"Resources": expanded}}


@dataclass(frozen=True)
class Deployed:
    """A template, where it is deployed, with which parameters, and which conditions then hold."""

    file: str
    account: str = TOOLS
    region: str = HOME
    parameters: Mapping[str, Any] = field(default_factory=dict)
    conditions: tuple[str, ...] = ()


TARGET = {
    "ToolsAccountId": TOOLS,
    "PipelineRoleArns": [
        f"arn:aws:iam::{TOOLS}:role/foothold-{name.lower()}-pipeline" for name in SOURCES
    ],
    "OrganizationId": ORGANIZATION,
    "NamePrefix": "foothold",
    "StackNames": "*",
    "AdoptedBucketArns": [f"arn:aws:s3:::{bucket}" for bucket in ADOPTED_BUCKETS],
}
# Somebody else lets every pipeline of the Tools account in, by one pattern, and adopted nothing.
EVERY_PIPELINE = {
    **TARGET,
    "PipelineRoleArns": [f"arn:aws:iam::{TOOLS}:role/foothold-*-pipeline"],
    "AdoptedBucketArns": [],
}
PIPELINES = {
    "ParameterRoot": "/foothold",
    "MacroFunctionArn": MACRO,
    "PermissionsBoundaryArn": BOUNDARY,
    "ConnectionArns": [CONNECTION, OLDER_CONNECTION],
    "SecretArns": [TOKEN],
}
EVENTS = {"ToolsAccountId": TOOLS, "ManagementAccountId": MANAGEMENT, "HomeRegion": HOME}
DEPLOYED = (
    Deployed("target-account.yaml", TEST, "eu-west-1", TARGET, ("HasAdoptedBuckets",)),
    Deployed("target-account.yaml", PRODUCTION, "eu-west-1", EVERY_PIPELINE),
    Deployed(
        "tools-account.yaml",
        parameters=PIPELINES,
        conditions=("HasConnections", "HasSecrets", "HasPermissionsBoundary"),
    ),
    Deployed("organization-events.yaml", TOOLS, HOME, EVENTS, ("InTools",)),
    Deployed("organization-events.yaml", MANAGEMENT, "us-east-1", EVENTS, ("InManagement",)),
    Deployed("region-events.yaml", TOOLS, "eu-west-1", EVENTS),
    Deployed(EXPANDED),
)


def resources(
    found: Mapping[str, Json], deployed: Iterable[Deployed] = DEPLOYED
) -> dict[str, Json]:
    """Every resource, resolved, by its logical id and account: `DeployRole of 222222222222`."""
    whole: dict[str, Json] = {}
    for place in deployed:
        declared = found[place.file]["Resources"]
        pseudo = {
            "AWS::Partition": "aws",
            "AWS::AccountId": place.account,
            "AWS::Region": place.region,
            "AWS::URLSuffix": "amazonaws.com",
        }
        given = PartlyGiven(
            {**pseudo, **place.parameters},
            {f"{name}.Arn": arn_of(name, each, place) for name, each in declared.items()},
            frozenset(place.conditions),
        )
        whole |= {
            f"{name} of {place.account}": resolved(resource, given)
            for name, resource in declared.items()
            if resource.get("Condition") in (None, *place.conditions)
        }
    text = re.sub(FUNCTION, r"foothold-\1", json.dumps(whole))
    known: dict[str, Json] = json.loads(text)
    return known


def arn_of(name: str, resource: Json, place: Deployed) -> str:
    """What Fn::GetAtt gives for a resource's Arn."""
    properties, here = resource.get("Properties", {}), f"{place.region}:{place.account}"
    match resource["Type"]:
        case "AWS::IAM::Role":
            return f"arn:aws:iam::{place.account}:role/{properties.get('RoleName', name)}"
        case "AWS::CodeBuild::Project":
            return f"arn:aws:codebuild:{here}:project/{properties['Name']}"
        case "AWS::Logs::LogGroup":
            return f"arn:aws:logs:{here}:log-group:{properties['LogGroupName']}:*"
        case "AWS::Events::Rule":
            return f"arn:aws:events:{here}:rule/{name}"
        case _:
            return f"arn:aws:sqs:{here}:{name}"


# Around the roles: stores, what strangers may in their own account, and what lets everybody in.
SURROUNDING: Json = {
    "anything": {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    },
    "open": {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
    },
    f"key {OWN_KEY}": {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{TOOLS}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    },
    **{f"bucket {store.bucket}": bucket_policy(PLANE.spec(region), store.key_arn)
       for region, store in STORES.items()},
    **{f"key {store.key_arn}": key_policy(PLANE.spec(region)) for region, store in STORES.items()},
}  # fmt: skip


@dataclass(frozen=True)
class Roles:
    """The roles by ARN, each with the names of its policies; `documents` are all the policies
    there are, those of trust, of the bus and of the queue among them."""

    resources: Mapping[str, Json]
    identities: Mapping[str, tuple[str, ...]]
    documents: Mapping[str, Any]


def roles_of(whole: Mapping[str, Json]) -> Roles:
    documents, identities = policies(whole), {}
    for name, resource in whole.items():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::IAM::Role":
                logical_id, _, account = name.partition(" of ")
                arn = arn_of(logical_id, resource, Deployed("", account))
                identities[arn] = tuple(attached(whole, name))
                documents[f"trust {arn}"] = properties["AssumeRolePolicyDocument"]
            case "AWS::Events::EventBusPolicy":
                documents["bus"] = {"Version": "2012-10-17", "Statement": [properties["Statement"]]}
            case "AWS::SQS::QueuePolicy":
                documents["queue"] = properties["PolicyDocument"]
            case _:
                pass
    return Roles(whole, identities, {name: judgeable(each) for name, each in documents.items()})


def judgeable(document: Any) -> Any:
    """The evaluator's data know no transforms: a stack of that name stands for each."""
    return json.loads(json.dumps(document).replace(":transform/", ":stack/transform/"))


# Allowed on `*` without a condition, or by a pattern, and why.
KNOWN_WIDE = {
    "logs:DescribeLogGroups": "knows no resource",
    "logs:DescribeIndexPolicies": "knows no resource",
    "logs:DescribeResourcePolicies": "knows no resource",
    "secretsmanager:GetRandomPassword": "knows no resource",
    "ecr:GetAuthorizationToken": "knows no resource",
    "cloudwatch:DescribeAlarms": "names composite alarms for every resource only",
    "cloudwatch:DescribeAlarmHistory": "like it",
    "cloudformation:ListStacks": "knows no resource",
    "cloudformation:DescribeStacks": "finds stacks without their names for every resource only",
    "lambda:ListFunctions": "knows no resource",
    "kms:GenerateDataKey*": "both of its kind, of named keys, as CodePipeline's page has it",
    "kms:ReEncrypt*": "both of its kind, of named keys, as CodePipeline's page has it",
}


# --- What is asked --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """A request, whether it is to be allowed, and who says so."""

    row: Row
    why: str
    allowed: bool = True

    def __str__(self) -> str:
        return f"{self.row.principal} {self.row.action} {self.row.resource} ({self.why})"


def ask(who: str, action: str, resource: str, why: str, **context: str) -> Ask:
    """A request by `who`: a role's ARN, or an AWS service. Of `context`, whose names have `_` for
    `:`, `owner` is the resource's account, `policy` the name of the resource's policy where that
    is not its own, and `organization` where the caller is."""
    account = who.split(":")[4] if ":" in who else ""
    owner = context.pop("owner", resource.split(":")[4] or TOOLS)
    policy = context.pop("policy", None) or policy_of(action, resource)
    keys: dict[str, str | list[str]] = {
        "aws:ResourceAccount": owner,
        "aws:SecureTransport": "true",
        "aws:PrincipalIsAWSService": str(not account).lower(),
    }
    organization = context.pop("organization", ORGANIZATION)
    if account:
        keys |= {
            "aws:PrincipalArn": who,
            "aws:PrincipalAccount": account,
            "aws:PrincipalOrgID": organization,
        }
    if action.startswith("s3:"):
        keys["s3:TlsVersion"] = "1.3"
    for name, value in context.items():
        key = name.replace("_", ":", 1)
        keys[key] = [value] if key == "events:source" else value  # a request holds several events
    return Ask(Row(who, action, resource, owner, keys, (), policy), why)


def policy_of(action: str, resource: str) -> str | None:
    """The name of the policy that the resource itself has, if any."""
    name = {
        "s3": f"bucket {resource.removeprefix('arn:aws:s3:::').partition('/')[0]}",
        "kms": f"key {resource}",
        "sts": f"trust {resource}",
        "sqs": "queue",
        "events": "bus" if resource == HOME_BUS else "",
    }.get(action.partition(":")[0], "")
    return name if name in SURROUNDING or name.startswith(("trust", "queue", "bus")) else None


def through_s3(who: str, action: str, store: ArtifactStore, why: str) -> Ask:
    via = f"s3.{store.region}.amazonaws.com"
    return ask(who, action, store.key_arn, why, kms_ViaService=via)


def of_bucket(bucket: str) -> ArtifactStore:
    return next(store for store in STORES.values() if store.bucket == bucket)


def of_call(call: RoleCall) -> Iterator[Ask]:
    """What IAM is asked about a call of the rehearsal (Service Authorization Reference)."""
    asked, why, account = call.params, "a rehearsal", call.role.split(":")[4]
    action = f"{call.service}:{call.operation}"
    here = f"{call.region}:{account}"
    match call.service:
        case "s3" if "Key" in asked:
            store = of_bucket(asked["Bucket"])
            put = call.operation == "PutObject"
            name = "s3:GetObjectVersion" if "VersionId" in asked else action
            folder, _, _ = asked["Key"].rpartition("/")  # what follows is made up
            yield ask(call.role, name, f"arn:aws:s3:::{store.bucket}/{folder}/1", why)
            yield through_s3(call.role, "kms:GenerateDataKey" if put else "kms:Decrypt", store, why)
        case "s3":
            yield ask(call.role, action, f"arn:aws:s3:::{asked['Bucket']}", why)
        case "sts":
            yield ask(call.role, action, asked["RoleArn"], why)
        case "lambda":
            function = f"arn:aws:lambda:{here}:function:{asked['FunctionName']}"
            yield ask(call.role, "lambda:InvokeFunction", function, why)
        case "cloudformation":
            yield from on_stack(call, f"arn:aws:cloudformation:{here}:stack/{asked['StackName']}/1")
        case "ssm":
            for name in asked["Names"]:
                yield ask(call.role, action, f"arn:aws:ssm:{here}:parameter{name}", why)
        case service:
            named = asked["SecretId"]
            secret = f"arn:aws:secretsmanager:{here}:secret:{named}-AbCdEf"
            whole = named if named.startswith("arn:") else secret
            yield ask(call.role, f"{service}:{call.operation}", whole, why)


def on_stack(call: RoleCall, stack: str) -> Iterator[Ask]:
    yield ask(call.role, f"{call.service}:{call.operation}", stack, "a rehearsal")
    if "RoleARN" in call.params:
        yield hand_over(call.role, call.params["RoleARN"], "cloudformation", "a rehearsal")
    if call.params.get("Tags"):
        # Actions without an operation of their own: a stack's tags come and go (Service
        # Authorization Reference, "Permission-only actions for AWS CloudFormation").
        for name in ("TagResource", "UntagResource"):
            yield ask(call.role, f"{call.service}:{name}", stack, "a stack's tags")


def hand_over(who: str, role: str, service: str, why: str) -> Ask:
    to = f"{service}.amazonaws.com"
    return ask(who, "iam:PassRole", role, why, iam_PassedToService=to)


def of_rehearsals(roles: Roles) -> Iterator[Ask]:
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        source = Path(folder) / "source"
        source.mkdir()
        (source / "template.yml").write_text("{}")
        for name in SOURCES:
            definition = roles.resources[f"{name} of {TOOLS}"]["Properties"]
            project = roles.resources[f"{name}BuildProject of {TOOLS}"]["Properties"]
            for call in rehearsed(definition, project, source, Path(folder) / name):
                yield from of_call(call)


# What CodePipeline does in its role for a source (AWS CodePipeline User Guide, "Action structure
# reference"; Developer Tools console User Guide, "AWS CodeConnections permissions reference").
COMMITS = (
    "CancelUploadArchive", "GetBranch", "GetCommit", "GetRepository", "GetUploadArchiveStatus",
    "UploadArchive",
)  # fmt: skip
SOURCE_OBJECT = ("GetObject", "GetObjectTagging", "GetObjectVersion", "GetObjectVersionTagging")
BUCKET = ("GetBucketAcl", "GetBucketLocation", "GetBucketVersioning")
# For stores, the same guide, "Manage the CodePipeline service role"; an object that is a source may
# have tags, which its artifact then has, too. For a build's role, AWS CodeBuild User Guide, "Allow
# CodeBuild to interact with other AWS services".
STORE_OBJECT = ("GetObject", "GetObjectVersion", "PutObject")
MINIMUM = (*STORE_OBJECT, "PutObjectAcl")
LOOKS = ("GetBucketLocation", "GetBucketVersioning")
TAGS = ("GetObjectTagging", "GetObjectVersionTagging", "PutObjectTagging")
# AWS CodePipeline User Guide, "Create a pipeline that uses resources from another AWS account".
KEY = (
    "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom", "ReEncryptTo",
)  # fmt: skip
# The same guide, "AWS CodeBuild build and test action reference"; StopBuild, for an execution that
# is stopped, is what a pipeline of AWS CDK has besides (aws-codepipeline-actions, CodeBuildAction).
BUILDS = ("BatchGetBuilds", "StartBuild", "StopBuild")
IMAGE = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
# AWS's pages have these besides, and no pipeline of ours comes to them:
# - codebuild:BatchGetBuildBatches and StartBuildBatch: no build is a batch;
# - lambda:ListFunctions: a console's choice, one function is invoked by its name, and the answer
#   holds the environment of every other;
# - s3:GetBucketAcl and GetBucketLocation of a build's role: CodeBuild looks at a bucket's owner
#   where it may, and builds where it may not (AWS CodeBuild User Guide, "Troubleshooting").


def of_pages(roles: Roles) -> Iterator[Ask]:
    """What no rehearsal does, and AWS's services do in these roles."""
    for name in SOURCES:
        definition = roles.resources[f"{name} of {TOOLS}"]["Properties"]
        project = roles.resources[f"{name}BuildProject of {TOOLS}"]["Properties"]
        yield from by_codepipeline(definition, project["Name"])
        yield from by_codebuild(definition, project)
        if name in STARTED_BY_A_RULE:
            pipeline = f"arn:aws:codepipeline:{HOME}:{TOOLS}:{definition['Name']}"
            role = f"arn:aws:iam::{TOOLS}:role/foothold-{definition['Name']}-start"
            yield ask(role, "codepipeline:StartPipelineExecution", pipeline, "a rule's target")
    for account in (TEST, PRODUCTION):
        yield from by_cloudformation(account)
        yield from by_releases(account)


def each(who: str, service: str, names: Iterable[str], resource: str, why: str) -> Iterator[Ask]:
    for name in names:
        yield ask(who, f"{service}:{name}", resource, why)


def by_codepipeline(definition: Json, project: str) -> Iterator[Ask]:
    who, why = definition["RoleArn"], "AWS CodePipeline User Guide"
    (source,) = definition["Stages"][0]["Actions"]
    configuration = source["Configuration"]
    provider = source["ActionTypeId"]["Provider"]
    for store in STORES.values():
        bucket = f"arn:aws:s3:::{store.bucket}"
        artifact = f"{bucket}/{definition['Name'][:ARTIFACT_FOLDER]}/SourceOutp/1"
        yield from each(who, "s3", BUCKET, bucket, why)
        yield from each(who, "s3", MINIMUM, artifact, why)
        yield from (through_s3(who, f"kms:{action}", store, why) for action in KEY)
        if provider == "S3":
            yield from each(who, "s3", TAGS, artifact, why)
    match provider:
        case "CodeStarSourceConnection":
            connection = configuration["ConnectionArn"]
            # By either name of the service (awslabs/landing-zone-accelerator-on-aws, issues 828 and
            # 1083).
            for service in ("codeconnections", "codestar-connections"):
                called = connection.replace(connection.split(":")[2], service)
                yield ask(who, f"{service}:UseConnection", called, why)
        case "S3":
            bucket = f"arn:aws:s3:::{configuration['S3Bucket']}"
            key = f"{bucket}/{configuration['S3ObjectKey']}"
            yield from each(who, "s3", BUCKET, bucket, why)
            yield from each(who, "s3", SOURCE_OBJECT, key, why)
            yield from with_own_key(who, "s3")
        case "CodeCommit":
            repository = f"arn:aws:codecommit:{HOME}:{TOOLS}:{configuration['RepositoryName']}"
            yield from each(who, "codecommit", COMMITS, repository, why)
        case _:
            pass
    build = f"arn:aws:codebuild:{HOME}:{TOOLS}:project/{project}"
    yield from each(who, "codebuild", BUILDS, build, why)
    yield ask(who, "sns:Publish", TOPIC, why)


def with_own_key(who: str, *services: str) -> Iterator[Ask]:
    """AWS KMS Developer Guide, "kms:ViaService": a service decrypts for whoever may read what it
    keeps. The key's policy leaves it to IAM."""
    for service in services:
        via = f"{service}.{HOME}.amazonaws.com"
        yield ask(who, "kms:Decrypt", OWN_KEY, "with a key of one's own", kms_ViaService=via)
    for more in ({}, {"kms_ViaService": f"lambda.{HOME}.amazonaws.com"}):
        other = ask(who, "kms:Decrypt", OWN_KEY, "decrypted, but not through it", **more)
        yield replace(other, allowed=False)


def by_codebuild(definition: Json, project: Json) -> Iterator[Ask]:
    who, why, name = project["ServiceRole"], "AWS CodeBuild User Guide", definition["Name"]
    group = f"/aws/codebuild/{project['Name']}"
    stream = f"arn:aws:logs:{HOME}:{TOOLS}:log-group:{group}:log-stream:1"
    yield from each(who, "logs", ("CreateLogStream", "PutLogEvents"), stream, why)
    artifact = f"arn:aws:s3:::{STORES[HOME].bucket}/{name[:ARTIFACT_FOLDER]}/BuildOutpu/1"
    yield from each(who, "s3", STORE_OBJECT, artifact, why)
    if name == KEEPS_ITS_OWN.lower():
        yield from with_own_key(who, "ssm", "secretsmanager")
        # AWS CodeBuild User Guide, "Amazon ECR sample".
        repository = f"arn:aws:ecr:{HOME}:{TOOLS}:repository/build"
        yield ask(who, "ecr:GetAuthorizationToken", repository, why)
        yield from each(who, "ecr", IMAGE, repository, why)
    itself = name == PACKAGES_ITSELF.lower()
    for store in STORES.values() if itself else [STORES[HOME]]:
        yield from (through_s3(who, f"kms:{action}", store, why) for action in KEY)
        if itself:
            # `sam package` looks whether a file is there, and uploads it where it is not;
            # `foothold package` keeps a release beside it.
            for folder, why in (("builds", "sam package"), ("releases", "foothold package")):
                kept = f"arn:aws:s3:::{store.bucket}/{name}/{folder}/1"
                yield from each(who, "s3", ("GetObject", "PutObject"), kept, why)


def by_cloudformation(account: str) -> Iterator[Ask]:
    """What the deploy action and CloudFormation do besides in a target account. A rehearsal makes
    every call of the action that AWS CDK grants one (aws-codepipeline-actions) and that AWS
    CodePipeline User Guide has ("AWS CloudFormation deploy action reference"); but it reads no
    version, and its templates have no transform (AWS CloudFormation User Guide, "AWS::Serverless
    transform"). CloudFormation fetches code and nested templates (the same guide,
    "AWS::Lambda::Function Code", "AWS::CloudFormation::Stack")."""
    deploy, execution = (f"arn:aws:iam::{account}:role/{name}" for name in READERS)
    why = "AWS CloudFormation User Guide"
    # The same guide, "Manage the CodePipeline service role", has it; a change set holds no policy.
    stack = f"arn:aws:cloudformation:{HOME}:{account}:stack/orders/1"
    yield ask(deploy, "cloudformation:SetStackPolicy", stack, "a template configuration's policy")
    for store in STORES.values():
        artifact = f"arn:aws:s3:::{store.bucket}/orders/builds/1"
        yield ask(deploy, "s3:GetObjectVersion", artifact, "AWS CodePipeline User Guide")
        for who, action in product((deploy, execution), LOOKS):
            yield ask(who, f"s3:{action}", f"arn:aws:s3:::{store.bucket}", "a reader's look")
        yield ask(execution, "s3:GetObject", artifact, why)
        yield ask(execution, "s3:GetObjectVersion", artifact, why)
        yield through_s3(execution, "kms:Decrypt", store, why)
        if account == TEST:
            adopted = f"arn:aws:s3:::{ADOPTED}/orders/builds/1"
            for who, action in product((deploy, execution), ("GetObject", "GetObjectVersion")):
                yield ask(who, f"s3:{action}", adopted, "an adopted bucket", policy="open")
            for who, bucket, action in product((deploy, execution), ADOPTED_BUCKETS, LOOKS):
                arn = f"arn:aws:s3:::{bucket}"
                yield ask(who, f"s3:{action}", arn, "an adopted bucket", policy="open")
            another = adopted.replace(ADOPTED, ADOPTED_BUCKETS[1])
            yield ask(deploy, "s3:GetObject", another, "an adopted bucket", policy="open")
            yield ask(execution, "s3:GetObject", another, "an adopted bucket", policy="open")
        aws = f"arn:aws:cloudformation:{store.region}:aws"
        serverless = f"{aws}:stack/transform/Serverless-2016-10-31"  # see `judgeable`
        yield ask(deploy, "cloudformation:CreateChangeSet", serverless, why, owner=account)


def by_releases(account: str) -> Iterator[Ask]:
    """What a review reads, and a rollout watches and does, in a target account. CloudFormation has
    a permission of its own for the tags of a stack, which a change set brings (Service
    Authorization Reference, "AWS CloudFormation": TagResource, cloudformation:CreateAction)."""
    deploy, reader = (f"arn:aws:iam::{account}:role/{name}" for name in (READERS[0], REVIEWER))
    stack = f"arn:aws:cloudformation:eu-west-1:{account}:stack/orders/1"
    yield from each(reader, "cloudformation", READS, stack, "a review, a board")
    function = f"arn:aws:lambda:eu-west-1:{account}:function:orders"
    yield ask(reader, "lambda:ListFunctions", function, "a board compares code")
    alarm = f"arn:aws:cloudwatch:eu-west-1:{account}:alarm:orders"
    for name in ("DescribeAlarmHistory", "DescribeAlarms"):
        yield ask(reader, f"cloudwatch:{name}", alarm, "a wave is watched")
    for name in ("TagResource", "UntagResource"):
        yield ask(deploy, f"cloudformation:{name}", stack, "a release's tags")


REVIEWER = "foothold-reader"
READS = (
    *("DescribeChangeSet", "DescribeStackResources", "DescribeStacks", "GetTemplate"),
    *("ListStackResources", "ListStacks"),
)


# What the handlers of each resource type call, as their schemas in the CloudFormation registry have
# it: `handlers.*.permissions` (pulumi/pulumi-aws-native, aws-cloudformation-schema, August 2026).
# The schema of a build project names none: AWS CodeBuild User Guide, "AWS CodeBuild permissions
# reference". A stack's tags, such as foothold:follow, become tags of whatever can have some.
HANDLERS: dict[str, dict[str, str]] = {
    "AWS::CodePipeline::Pipeline": {
        "create": "iam:GetRole iam:PassRole codepipeline:GetPipeline codepipeline:CreatePipeline "
        "codepipeline:DisableStageTransition codepipeline:GetPipelineState "
        "codepipeline:TagResource codestar-connections:PassConnection",
        "read": "codepipeline:GetPipeline codepipeline:ListTagsForResource "
        "codepipeline:GetPipelineState",
        "update": "iam:GetRole iam:PassRole codepipeline:EnableStageTransition "
        "codepipeline:StartPipelineExecution codepipeline:GetPipeline codepipeline:UpdatePipeline "
        "codepipeline:GetPipelineState codepipeline:DisableStageTransition "
        "codepipeline:TagResource codepipeline:UntagResource codestar-connections:PassConnection",
        "delete": "codepipeline:GetPipeline codepipeline:DeletePipeline",
    },
    "AWS::CodePipeline::Webhook": {
        "create": "codepipeline:ListWebhooks codepipeline:RegisterWebhookWithThirdParty "
        "codepipeline:PutWebhook codepipeline:TagResource",
        "read": "codepipeline:ListWebhooks",
        "update": "codepipeline:ListWebhooks codepipeline:RegisterWebhookWithThirdParty "
        "codepipeline:PutWebhook codepipeline:DeregisterWebhookWithThirdParty "
        "codepipeline:TagResource codepipeline:UntagResource",
        "delete": "codepipeline:ListWebhooks codepipeline:DeleteWebhook "
        "codepipeline:DeregisterWebhookWithThirdParty codepipeline:UntagResource",
    },
    "AWS::SecretsManager::Secret": {
        "create": "secretsmanager:DescribeSecret secretsmanager:GetRandomPassword "
        "secretsmanager:CreateSecret secretsmanager:TagResource "
        "secretsmanager:ReplicateSecretToRegions",
        "read": "secretsmanager:DescribeSecret secretsmanager:GetSecretValue",
        "update": "secretsmanager:UpdateSecret secretsmanager:TagResource "
        "secretsmanager:UntagResource secretsmanager:GetRandomPassword "
        "secretsmanager:GetSecretValue secretsmanager:ReplicateSecretToRegions "
        "secretsmanager:RemoveRegionsFromReplication",
        "delete": "secretsmanager:DeleteSecret secretsmanager:DescribeSecret "
        "secretsmanager:RemoveRegionsFromReplication",
    },
    "AWS::CodeBuild::Project": {
        "create": "codebuild:CreateProject iam:PassRole",
        "read": "codebuild:BatchGetProjects",
        "update": "codebuild:UpdateProject iam:PassRole",
        "delete": "codebuild:DeleteProject",
    },
    "AWS::Logs::LogGroup": {
        "create": "logs:DescribeLogGroups logs:CreateLogGroup logs:PutRetentionPolicy "
        "logs:TagResource logs:GetDataProtectionPolicy logs:PutDataProtectionPolicy "
        "logs:CreateLogDelivery s3:REST.PUT.OBJECT firehose:TagDeliveryStream "
        "logs:PutResourcePolicy logs:DescribeResourcePolicies logs:PutIndexPolicy "
        "logs:DescribeIndexPolicies logs:PutBearerTokenAuthentication",
        "read": "logs:DescribeLogGroups logs:ListTagsForResource logs:GetDataProtectionPolicy "
        "logs:DescribeIndexPolicies logs:DescribeResourcePolicies",
        "update": "logs:DescribeLogGroups logs:AssociateKmsKey logs:DisassociateKmsKey "
        "logs:PutRetentionPolicy logs:DeleteRetentionPolicy logs:TagResource logs:UntagResource "
        "logs:ListTagsForResource logs:GetDataProtectionPolicy logs:PutDataProtectionPolicy "
        "logs:CreateLogDelivery s3:REST.PUT.OBJECT firehose:TagDeliveryStream logs:PutIndexPolicy "
        "logs:DeleteIndexPolicy logs:PutResourcePolicy logs:DescribeResourcePolicies "
        "logs:DeleteResourcePolicy logs:PutLogGroupDeletionProtection "
        "logs:PutBearerTokenAuthentication",
        "delete": "logs:DescribeLogGroups logs:DeleteLogGroup logs:DeleteDataProtectionPolicy",
    },
    "AWS::IAM::Role": {
        "create": "iam:CreateRole iam:PutRolePolicy iam:AttachRolePolicy iam:GetRolePolicy "
        "iam:TagRole iam:UntagRole iam:GetRole",
        "read": "iam:GetRole iam:ListAttachedRolePolicies iam:ListRolePolicies iam:GetRolePolicy",
        "update": "iam:UpdateRole iam:UpdateRoleDescription iam:UpdateAssumeRolePolicy "
        "iam:DetachRolePolicy iam:AttachRolePolicy iam:DeleteRolePermissionsBoundary "
        "iam:PutRolePermissionsBoundary iam:DeleteRolePolicy iam:PutRolePolicy iam:TagRole "
        "iam:UntagRole",
        "delete": "iam:DeleteRole iam:DetachRolePolicy iam:DeleteRolePolicy iam:GetRole "
        "iam:ListAttachedRolePolicies iam:ListRolePolicies iam:TagRole iam:UntagRole",
    },
    "AWS::SSM::Parameter": {
        "create": "ssm:PutParameter ssm:AddTagsToResource ssm:GetParameters",
        "read": "ssm:GetParameters",
        "update": "ssm:PutParameter ssm:AddTagsToResource ssm:RemoveTagsFromResource "
        "ssm:GetParameters",
        "delete": "ssm:DeleteParameter",
    },
    "AWS::Events::Rule": {
        "create": "iam:PassRole events:DescribeRule events:PutRule events:PutTargets "
        "events:TagResource",
        "read": "iam:PassRole events:DescribeRule events:ListTargetsByRule "
        "events:ListTagsForResource",
        "update": "iam:PassRole events:DescribeRule events:PutRule events:RemoveTargets "
        "events:PutTargets events:UntagResource events:TagResource",
        "delete": "iam:PassRole events:DescribeRule events:DeleteRule events:RemoveTargets "
        "events:ListTargetsByRule",
    },
}
# What handlers call for properties that no expansion sets, and so never call here.
NEVER_SET = {
    "DisableInboundStageTransitions": (
        "codepipeline:DisableStageTransition codepipeline:EnableStageTransition"
    ),
    "RestartExecutionOnUpdate": "codepipeline:StartPipelineExecution",
    "DataProtectionPolicy": (
        "logs:PutDataProtectionPolicy logs:DeleteDataProtectionPolicy logs:CreateLogDelivery "
        "s3:REST.PUT.OBJECT firehose:TagDeliveryStream"
    ),
    "ResourcePolicyDocument": "logs:PutResourcePolicy logs:DeleteResourcePolicy",
    "FieldIndexPolicies": "logs:PutIndexPolicy logs:DeleteIndexPolicy",
    "BearerTokenAuthenticationEnabled": "logs:PutBearerTokenAuthentication",
    "DeletionProtectionEnabled": "logs:PutLogGroupDeletionProtection",
    "KmsKeyId": "logs:AssociateKmsKey logs:DisassociateKmsKey",
    "ManagedPolicyArns": "iam:AttachRolePolicy iam:DetachRolePolicy",
    "PermissionsBoundary": "iam:DeleteRolePermissionsBoundary iam:PutRolePermissionsBoundary",
    "Description": "iam:UpdateRoleDescription",
    "ReplicaRegions": (
        "secretsmanager:ReplicateSecretToRegions secretsmanager:RemoveRegionsFromReplication"
    ),
}
# What handlers call for a property that goes, which every expansion sets.
ALWAYS_SET = {"RetentionInDays": "logs:DeleteRetentionPolicy"}


def handlers_call(resource: Json) -> set[str]:
    """What the resource's handlers call, with the properties that it has. Raises LookupError for a
    type whose handlers are not known here."""
    kind, properties = resource["Type"], resource["Properties"]
    if kind not in HANDLERS:
        raise LookupError(f"what the handlers of {kind} call is not known: add it to HANDLERS")
    called = set(" ".join(HANDLERS[kind].values()).split())
    for name, only in NEVER_SET.items():
        called -= set(only.split()) if name not in properties else set()
    for name, only in ALWAYS_SET.items():
        called -= set(only.split()) if name in properties else set()
    return called


PIPELINES_ROLE = f"arn:aws:iam::{TOOLS}:role/foothold-pipelines"


def of_handlers(roles: Roles, found: Mapping[str, Json]) -> Iterator[Ask]:
    """What CloudFormation does in the role of stacks that hold pipelines."""
    declared = found[EXPANDED]["Resources"]
    for name in declared:
        resource = roles.resources[f"{name} of {TOOLS}"]
        for action in sorted(handlers_call(resource)):
            yield from of_handler(action, resource)
    # AWS CloudFormation User Guide, "Perform custom processing on CloudFormation templates with
    # template macros", "Get values stored in other services using dynamic references".
    who, why = PIPELINES_ROLE, "AWS CloudFormation User Guide"
    yield ask(who, "lambda:InvokeFunction", MACRO, why)
    for service, name in sorted(set(re.findall(r"{{resolve:(\w+):([^:}]+)", json.dumps(declared)))):
        if name.startswith("${"):
            continue  # a secret of the same template, whose handlers are asked above
        if service == "ssm":
            yield ask(who, "ssm:GetParameters", f"arn:aws:ssm:{HOME}:{TOOLS}:parameter{name}", why)
        else:
            secret = f"arn:aws:secretsmanager:{HOME}:{TOOLS}:secret:{name}-AbCdEf"
            yield ask(who, f"{service}:GetSecretValue", secret, why)


# What a resource's ARN is after `arn:aws:`, where CloudFormation or the service makes up a name
# with any.
ARNS = {
    "AWS::CodePipeline::Pipeline": "codepipeline:{here}:{Name}",
    "AWS::CodePipeline::Webhook": "codepipeline:{here}:webhook:any",
    "AWS::SecretsManager::Secret": "secretsmanager:{here}:secret:{Name}-AbCdEf",
    "AWS::CodeBuild::Project": "codebuild:{here}:project/{Name}",
    "AWS::Logs::LogGroup": "logs:{here}:log-group:{LogGroupName}",
    "AWS::IAM::Role": "iam::{account}:role/{RoleName}",
    "AWS::Events::Rule": "events:{here}:rule/any",
    "AWS::SSM::Parameter": "ssm:{here}:parameter{Name}",
}
HANDED_TO = {
    "AWS::CodePipeline::Pipeline": "codepipeline",
    "AWS::CodeBuild::Project": "codebuild",
    "AWS::Events::Rule": "events",
}


def of_handler(action: str, resource: Json) -> Iterator[Ask]:
    """The requests behind one permission of a resource's handlers."""
    kind, properties = resource["Type"], resource["Properties"]
    why, here = f"handlers of {kind}", f"{HOME}:{TOOLS}"
    itself = "arn:aws:" + ARNS[kind].format_map({**properties, "here": here, "account": TOOLS})
    if action == "iam:PassRole":
        for role in roles_in(properties):
            yield hand_over(PIPELINES_ROLE, role, HANDED_TO[kind], why)
    elif action == "iam:GetRole" and kind in HANDED_TO:
        for role in roles_in(properties):
            yield ask(PIPELINES_ROLE, action, role, why)
    elif action == "codestar-connections:PassConnection":
        (source,) = properties["Stages"][0]["Actions"]
        if connection := source["Configuration"].get("ConnectionArn"):
            prefix = connection.split(":")[2]
            yield ask(PIPELINES_ROLE, f"{prefix}:PassConnection", connection, why)
    elif action in ("iam:CreateRole", "iam:PutRolePermissionsBoundary"):
        bound = properties["PermissionsBoundary"]
        yield ask(PIPELINES_ROLE, action, itself, why, iam_PermissionsBoundary=bound)
    elif action == "iam:DeleteRolePermissionsBoundary":
        yield replace(ask(PIPELINES_ROLE, action, itself, "a bound role stays so"), allowed=False)
    else:
        yield ask(PIPELINES_ROLE, action, itself, why)
        if action == "codepipeline:PutWebhook":  # which needs the pipeline, too
            pipeline = itself.replace("webhook:any", "hub")
            yield ask(PIPELINES_ROLE, action, pipeline, why)


def roles_in(properties: Json) -> list[str]:
    """The roles that a resource hands over itself; a pipeline's actions name others."""
    own = {name: properties.get(name) for name in ("RoleArn", "ServiceRole", "Targets")}
    return re.findall(r"arn:aws:iam::\d+:role/[\w-]+", json.dumps(own))


SEND, SENDER = f"arn:aws:iam::{MANAGEMENT}:role/SendRole", f"arn:aws:iam::{TOOLS}:role/Sender"
RULE = f"arn:aws:events:us-east-1:{MANAGEMENT}:rule/OptInOfTheToolsAccount"
QUEUE = f"arn:aws:sqs:us-east-1:{MANAGEMENT}:Undelivered"


def of_events() -> Iterator[Ask]:
    """Who sends events to whom (Amazon EventBridge User Guide, "Sending and receiving events
    between AWS accounts", "Using dead-letter queues to process undelivered events")."""
    put, send, rules = "events:PutEvents", "sqs:SendMessage", "events.amazonaws.com"
    yield ask(SEND, put, HOME_BUS, "opt-in events reach Foothold", events_source="aws.account")
    for source in ("aws.s3", "aws.account"):
        yield ask(SENDER, put, HOME_BUS, "a region's events go home", events_source=source)
    yield ask(rules, send, QUEUE, "an event was not delivered", aws_SourceArn=RULE)
    other_rule, other_bus = RULE.replace("OptIn", "Any"), f"{HOME_BUS}-not"
    member = f"arn:aws:iam::{TEST}:role/admin"
    refused = (
        ask(rules, send, QUEUE, "another rule", aws_SourceArn=other_rule),
        ask("sns.amazonaws.com", send, QUEUE, "another service", aws_SourceArn=RULE),
        ask(SEND, put, HOME_BUS, "another kind of event", events_source="aws.ec2"),
        ask(SEND, put, HOME_BUS, "no kind of event"),
        ask(member, put, HOME_BUS, "another account", events_source="aws.account"),
        ask(SEND, put, other_bus, "another bus", policy="open", events_source="aws.account"),
        ask(SENDER, put, other_bus, "another bus", events_source="aws.s3"),
    )
    yield from (replace(one, allowed=False) for one in refused)


def of_strangers() -> Iterator[Ask]:
    """What the roles must not do, though nothing but their own policies refuses it."""
    store = STORES["eu-west-1"]
    artifact = f"arn:aws:s3:::{store.bucket}/orders/builds/1"
    via_lambda = "lambda.eu-west-1.amazonaws.com"
    for account in (TEST, PRODUCTION):
        deploy, execution = (f"arn:aws:iam::{account}:role/{name}" for name in READERS)
        admin = f"arn:aws:iam::{account}:role/admin"
        for who in (deploy, execution):
            for action in ("s3:GetObject", "s3:GetObjectVersion"):
                yield ask(who, action, artifact, "somebody else's", owner=OTHER, policy="open")
                yield ask(who, action, "arn:aws:s3:::payroll/1", "another bucket", policy="open")
                adopted, why = f"arn:aws:s3:::{ADOPTED}/1", "a bucket of that name, somebody else's"
                yield ask(who, action, adopted, why, owner=OTHER, policy="open")
            for bucket in (store.bucket, ADOPTED):
                arn, why = f"arn:aws:s3:::{bucket}", "a bucket of that name, somebody else's"
                yield ask(who, "s3:GetBucketLocation", arn, why, owner=OTHER, policy="open")
            for more in ({}, {"kms_ViaService": via_lambda}):
                why = "decrypted, but not through S3"
                yield ask(who, "kms:Decrypt", store.key_arn, why, policy="open", **more)
        yield hand_over(deploy, execution, "lambda", "handed to another service")
        yield hand_over(deploy, admin, "cloudformation", "another role handed over")
    who, role = PIPELINES_ROLE, f"arn:aws:iam::{TOOLS}:role"
    yield hand_over(who, f"{role}/foothold-orders-pipeline", "lambda", "handed to another service")
    yield hand_over(who, f"{role}/admin", "codebuild", "another role handed over")
    another, ours = f"{BOUNDARY}-not", f"{role}/foothold-orders-build"
    for action in ("iam:CreateRole", "iam:PutRolePermissionsBoundary"):
        yield ask(who, action, ours, "another boundary", iam_PermissionsBoundary=another)
    yield ask(who, "iam:CreateRole", ours, "no boundary")
    yield ask(who, "iam:CreateRole", f"{role}/admin", "another role")
    yield ask(who, "iam:PutRolePolicy", PIPELINES_ROLE, "more for itself")
    yield ask(who, "iam:PutRolePolicy", f"{role}/foothold-deploy", "more for another role")
    yield ask(who, "secretsmanager:GetSecretValue", f"{TOKEN[:-7]}s-AbCdEf", "another secret")
    of_webhook = f"arn:aws:secretsmanager:{HOME}:{TOOLS}:secret:foothold-hub"
    for secret in (f"{of_webhook}-AbCdEf", f"{of_webhook}-webhook-of-another-AbCdEf"):
        yield ask(who, "secretsmanager:UpdateSecret", secret, "another secret")
    yield ask(who, "codeconnections:PassConnection", f"{CONNECTION}1", "another connection")
    project = f"arn:aws:codebuild:{HOME}:{TOOLS}:project/payroll"
    yield ask(who, "codebuild:UpdateProject", project, "another project")
    for name in SOURCES:
        build = f"{role}/foothold-{name.lower()}-build"
        for path in ("payroll/BuildOutpu/1", "payroll/builds/1"):
            another = f"arn:aws:s3:::{STORES[HOME].bucket}/{path}"
            yield from each(build, "s3", STORE_OBJECT, another, "another pipeline's")


def of_trust() -> Iterator[Ask]:
    """Who may assume the roles, in plain words."""
    assume, tools = "sts:AssumeRole", f"arn:aws:iam::{TOOLS}:role"
    codepipeline, codebuild, cloudformation, events = (
        f"{name}.amazonaws.com"
        for name in ("codepipeline", "codebuild", "cloudformation", "events")
    )
    for account in (TEST, PRODUCTION):
        deploy, execution = (f"arn:aws:iam::{account}:role/{name}" for name in READERS)
        named = f"{tools}/foothold-hub-pipeline"
        yield ask(named, assume, deploy, "a pipeline that is named")
        yield from of_service(cloudformation, execution, account)
        unnamed = ask(f"{tools}/foothold-other-pipeline", assume, deploy, "a pipeline not named")
        yield replace(unnamed, allowed=account == PRODUCTION)
        lookalike = f"arn:aws:iam::{MANAGEMENT}:role/foothold-hub-pipeline"
        foreign = f"arn:aws:iam::{OTHER}:role/foothold-hub-pipeline"
        elsewhere = {"organization": ANOTHER_ORGANIZATION}
        refused = (
            ask(f"{tools}/foothold-hub-build", assume, deploy, "a build"),
            ask(f"{tools}/admin", assume, deploy, "another role of Tools"),
            ask(lookalike, assume, deploy, "that name in another account"),
            ask(foreign, assume, deploy, "another organisation", **elsewhere),
            ask(named, assume, deploy, "Tools has left the organisation", **elsewhere),
            ask(codepipeline, assume, deploy, "a service"),
            ask(deploy, assume, execution, "it is handed over, not assumed"),
            ask(f"{tools}/foothold-hub-pipeline", assume, execution, "a pipeline"),
            ask("lambda.amazonaws.com", assume, execution, "another service"),
        )
        yield from (replace(one, allowed=False) for one in refused)
        yield from of_readers(account)
    trusted = {PIPELINES_ROLE: (cloudformation, codebuild)}
    for name in SOURCES:
        prefix = f"{tools}/foothold-{name.lower()}"
        trusted[f"{prefix}-pipeline"] = (codepipeline, codebuild)
        trusted[f"{prefix}-build"] = (codebuild, codepipeline)
        if name in STARTED_BY_A_RULE:
            trusted[f"{prefix}-start"] = (events, codepipeline)
    for role, (service, another) in trusted.items():
        yield from of_service(service, role, TOOLS)
        yield replace(ask(another, assume, role, "another service"), allowed=False)
        yield replace(ask(f"{tools}/admin", assume, role, "another role"), allowed=False)
    for role, own in ((SEND, MANAGEMENT), (SENDER, TOOLS)):
        yield ask(events, assume, role, "a rule of its own account", aws_SourceAccount=own)
        foreign_rule = ask(events, assume, role, "another account's rule", aws_SourceAccount=OTHER)
        yield replace(foreign_rule, allowed=False)


def of_readers(account: str) -> Iterator[Ask]:
    """Who reads in a target account, and which function deploys there besides pipelines."""
    assume, tools = "sts:AssumeRole", f"arn:aws:iam::{TOOLS}:role"
    deploy, reader = (f"arn:aws:iam::{account}:role/{name}" for name in (READERS[0], REVIEWER))
    review, rollout = f"{tools}/foothold/review/R-1", f"{tools}/foothold/rollout/R-1"
    yield ask(review, assume, reader, "the review function")
    yield ask(rollout, assume, reader, "the rollout function")
    yield ask(rollout, assume, deploy, "the rollout function takes a wave back")
    yield ask(f"{tools}/foothold-hub-pipeline", assume, reader, "a pipeline that is named")
    unnamed = ask(f"{tools}/foothold-other-pipeline", assume, reader, "a pipeline not named")
    yield replace(unnamed, allowed=account == PRODUCTION)
    elsewhere = {"organization": ANOTHER_ORGANIZATION}
    of_another = review.replace(TOOLS, MANAGEMENT), rollout.replace(TOOLS, MANAGEMENT)
    refused = (
        ask(review, assume, deploy, "the review function changes nothing"),
        ask(review, assume, reader, "Tools has left the organisation", **elsewhere),
        ask(rollout, assume, deploy, "Tools has left the organisation", **elsewhere),
        ask(f"{tools}/admin", assume, reader, "another role of Tools"),
        ask(f"{tools}/foothold/review", assume, reader, "a role of that name, at the top"),
        ask(of_another[0], assume, reader, "that path in another account"),
        ask(of_another[1], assume, deploy, "that path in another account"),
        ask(deploy, assume, reader, "another role of the account"),
    )
    yield from (replace(one, allowed=False) for one in refused)


def of_service(service: str, role: str, account: str) -> Iterator[Ask]:
    """A service that does not say for whom it assumes a role, and one that does."""
    assume = "sts:AssumeRole"
    yield ask(service, assume, role, "its service")
    yield ask(service, assume, role, "its service, for this account", aws_SourceAccount=account)
    foreign = ask(service, assume, role, "its service, for another", aws_SourceAccount=OTHER)
    yield replace(foreign, allowed=False)


# --- Where ----------------------------------------------------------------------------------------

# A store in every region that the SDK knows: a pipeline that follows them all may name those only
# where CodePipeline is (AWS CodePipeline User Guide, "Add a cross-Region action").
EVERYWHERE = {
    region: ArtifactStore(region, PLANE.spec(region).bucket, key_arn(PLANE.spec(region)))
    for region in boto3.Session().get_available_regions("s3")
}


def astray(has_codepipeline: Callable[[str], bool] | None = None) -> Iterator[str]:
    """The regions that a following pipeline names and that have no CodePipeline."""
    known = set(boto3.Session().get_available_regions("codepipeline"))
    declared = read_declaration(declaration("Connected"))
    pipeline = resolve(
        declared,
        EVERYWHERE,
        HOME,
        has_codepipeline=has_codepipeline or PipelineRegions(Clients(boto3.Session())),
    )
    for resource in expand(pipeline).values():
        if resource["Type"] == "AWS::CodePipeline::Pipeline":
            named = set(re.findall(r'"Region": "([^"]+)"', json.dumps(resource)))
            yield from (f"{region} has no CodePipeline" for region in sorted(named - known))


# --- How large ------------------------------------------------------------------------------------

# IAM User Guide, "IAM and AWS STS quotas", in characters without white space; a trust policy's is
# what an account has that asked for no more. AWS CloudFormation API Reference, "Parameter".
TRUST_POLICY, INLINE_POLICIES, MANAGED_POLICY = 2_048, 10_240, 6_144
PARAMETER_VALUE = 4_096
MANY = 200  # pipelines of one Tools account
NAMED = [
    f"arn:aws:iam::{TOOLS}:role/foothold-service{number:03d}-pipeline" for number in range(MANY)
]


def outsized(pipeline_role_arns: Sequence[str] | None = None) -> tuple[int, list[str]]:
    """How many documents of IAM there are around 200 pipelines, and those that IAM does not take.
    `pipeline_role_arns` is whom target accounts let in: by default as docs/pipeline.md has it for
    so many, by one pattern."""
    let_in = list(pipeline_role_arns or EVERY_PIPELINE["PipelineRoleArns"])
    sizes = {"PipelineRoleArns": (len(",".join(let_in)), PARAMETER_VALUE)}
    deployed = tuple(
        replace(place, parameters={**place.parameters, "PipelineRoleArns": let_in})
        for place in DEPLOYED
    )
    around = roles_of(resources(templates(), deployed))
    for arn, names in around.identities.items():
        trust, own = around.documents[f"trust {arn}"], [around.documents[name] for name in names]
        sizes[f"trust of {arn}"] = characters([trust]), TRUST_POLICY
        sizes[f"policies of {arn}"] = characters(own), INLINE_POLICIES
    ours = template()["Resources"]
    documents = policies(ours)
    for name, resource in ours.items():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            sizes[name] = characters([documents[name]]), MANAGED_POLICY
        if resource["Type"] == "AWS::IAM::Role":
            inline = [
                documents[policy]
                for policy in attached(ours, name)
                if ours.get(policy, {}).get("Type") != "AWS::IAM::ManagedPolicy"
            ]
            sizes[f"policies of {name}"] = characters(inline), INLINE_POLICIES
    too_large = [
        f"{name}: {size:,} characters, of {limit:,}"
        for name, (size, limit) in sizes.items()
        if size > limit
    ]
    return len(sizes), too_large


def characters(documents: Iterable[Any]) -> int:
    """As IAM counts them."""
    return sum(len("".join(json.dumps(one, separators=(",", ":")).split())) for one in documents)


# --- The proof ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """A document that lacks one thing, and which requests could notice."""

    failure: str
    policy: str
    actions: tuple[str, ...]
    less: Any

    def concerns(self, row: Row) -> bool:
        asked = self.policy in (*row.identity, row.policy)
        action = row.action.lower()
        return asked and any(fnmatchcase(action, known.lower()) for known in self.actions)

    def row(self, row: Row, name: str) -> Row:
        identity = tuple(name if each == self.policy else each for each in row.identity)
        return replace(
            row, identity=identity, policy=name if row.policy == self.policy else row.policy
        )


def cuts(documents: Mapping[str, Any]) -> Iterator[Cut]:
    """Each document without one action or resource of a statement, or without one condition."""
    for grant in grants(documents):
        less = without({grant.policy: documents[grant.policy]}, grant)[grant.policy]
        failure = f"granted and never needed: {grant}"
        yield Cut(failure, grant.policy, grant.actions, less)
    for policy, document in documents.items():
        for number, statement in enumerate(document["Statement"]):
            actions = tuple(listed(statement["Action"]))
            for operator, keys in statement.get("Condition", {}).items():
                for key in keys:
                    less = copy.deepcopy(document)
                    del less["Statement"][number]["Condition"][operator][key]
                    sid = statement.get("Sid", "?")
                    failure = f"no request notices: {policy} {sid} without {operator} {key}"
                    yield Cut(failure, policy, actions, less)


def role_privileges(_scale: Scale, found: Mapping[str, Json] | None = None) -> Result:
    """Every action, resource and condition of the roles of pipelines is needed, and all are
    enough."""
    found = found or templates()
    roles = roles_of(resources(found))
    asks = list({repr(one.row): one for one in asked(roles, found)}.values())
    rows = [one.row for one in asks]
    lacking = list(cuts(roles.documents))
    named = {f"less {number}": cut for number, cut in enumerate(lacking)}
    questions = [
        (name, number)
        for name, cut in named.items()
        for number, row in enumerate(rows)
        if cut.concerns(row)
    ]
    verdicts = allowed(
        {**SURROUNDING, **roles.documents, **{name: cut.less for name, cut in named.items()}},
        [*rows, *(named[name].row(rows[number], name) for name, number in questions)],
    )
    whole = verdicts[: len(rows)]
    failures = [
        f"{'refused' if one.allowed else 'allowed'}: {one}"
        for one, verdict in zip(asks, whole, strict=True)
        if verdict != one.allowed
    ]
    noticed = {
        name
        for (name, number), verdict in zip(questions, verdicts[len(rows) :], strict=True)
        if verdict != whole[number]
    }
    failures += [cut.failure for name, cut in named.items() if name not in noticed]
    failures += stars(roles.documents, KNOWN_WIDE)
    failures += astray()
    note = f"{len(rows)} different requests, {len(lacking)} actions, resources and conditions"
    return Result(len(rows) + len(lacking), tuple(failures), (note,))


def asked(roles: Roles, found: Mapping[str, Json]) -> Iterator[Ask]:
    """Every request, each by a role with its policies; where trust is the question, callers may do
    anything of their own."""
    of_roles = (of_rehearsals(roles), of_pages(roles), of_handlers(roles, found), of_events())
    refused = (replace(one, allowed=False) for one in of_strangers())
    for one in chain(*of_roles, refused):
        known = roles.identities.get(one.row.principal, ("anything",))
        yield replace(one, row=replace(one.row, identity=known if by_role(one) else ()))
    for one in of_trust():
        anything = ("anything",) if by_role(one) else ()
        yield replace(one, row=replace(one.row, identity=anything))


def by_role(one: Ask) -> bool:
    """Whether a role asks; a service has no policies."""
    return one.row.principal.startswith("arn:")
