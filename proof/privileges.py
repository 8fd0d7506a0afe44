"""Every action that permissions.yaml grants is needed, and together they are enough.

The flows run; every API call they make becomes the requests that IAM is asked about (Service
Authorization Reference). With all of a role's policies each request is allowed; and for every
action of every statement there is a request that nothing else allows.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # has no types

from foothold.stores.model import ControlPlane
from foothold.stores.policies import key_policy
from local.rehearsal.template import Given, resolve
from proof.cloud import ACCOUNT, HOME, STACK, STACK_TAG, Call, Cloud, Json, Perform
from proof.flows import (
    FLOWS,
    GLOBAL_NAMES_REGION,
    OLD_BUCKET,
    OLD_KEY,
    REGION,
    Flow,
    adopted,
    alarmed,
    built,
    changed,
    claimed,
    command,
    converged,
    deploying,
    event,
    job,
    look,
    look_again,
    looked_at,
    macro,
    of_a_release,
    order_signed_application,
    packaged,
    publishing,
    requested,
    retired,
    run,
    stack,
    store_of,
    unreserved,
    with_build,
    with_objects,
)
from proof.house import ENVIRONMENT, ROOT, house, saved
from proof.judge import Row, allowed
from proof.result import Result, Scale

# Granted to Lambda itself rather than to our code, so no flow makes these calls (AWS Lambda
# Developer Guide, "Defining Lambda function permissions with an execution role", "Visualize
# Lambda function invocations using AWS X-Ray", "Retaining records of asynchronous invocations").
BY_LAMBDA = frozenset(
    {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:SendMessage",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    }
)
# Statements for what no flow comes to.
WITHOUT_A_FLOW = {
    "RunTheMacroForThem": "CloudFormation asks; the evaluator's data know no transforms",
}
# Allowed on `*` without a condition, and why.
KNOW_NO_RESOURCE = {
    "tag:GetResources": "knows no resource and no condition but the caller's",
    "xray:PutTelemetryRecords": "knows no resource",
    "xray:PutTraceSegments": "knows no resource",
    "codepipeline:PutJobSuccessResult": "knows no resource: the job's own id and secret decide",
    "codepipeline:PutJobFailureResult": "knows no resource: the job's own id and secret decide",
    "codepipeline:ListPipelines": "knows no resource",
    "cloudformation:ListStacks": "knows no resource",
    "cloudformation:DescribeStacks": "knows no resource where no stack is named",
    "ec2:DescribeRegions": "knows no resource",
    "s3:ListAllMyBuckets": "knows no resource",
    "servicequotas:GetServiceQuota": "reads a number",
}

# IAM's name of an action where it is not the API's.
S3_ACTIONS = {
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
# What is run after a wave is marked as such.
AS_A_TRIAL: Mapping[str, str | list[str]] = {"aws:ResourceTag/foothold:trial": "true"}
OF_OBJECTS = frozenset({"GetObject", "HeadObject", "PutObject"})


@dataclass(frozen=True)
class Asked:
    """One question to IAM: may this function do this, under these condition keys?"""

    action: str
    resource: str
    context: Mapping[str, str | list[str]]
    function: str = ""


def requests(cloud: Cloud, call: Call) -> Iterator[Asked]:  # noqa: C901, PLR0912, PLR0915  one a service
    """What IAM is asked about this call, in the state that the cloud is in."""
    asked = call.params
    match call.service:
        case _ if call.borrowed:
            return
        case "s3" if call.operation == "ListBuckets":
            yield Asked("s3:ListAllMyBuckets", "*", {})
        case "s3":
            yield from _s3(cloud, call, asked)
        case "kms":
            yield from _kms(cloud, call, asked)
        case "ssm":
            one = asked.get("Name") or asked.get("Path") or asked.get("ResourceId")
            for name in asked.get("Names") or [one]:
                arn = f"arn:aws:ssm:{call.region}:{ACCOUNT}:parameter{name}"
                yield Asked(f"ssm:{call.operation}", arn, {})
                if call.operation == "PutParameter" and asked.get("Tags"):
                    # SSM API Reference, "PutParameter": Tags.
                    yield Asked("ssm:AddTagsToResource", arn, {})
        case "ec2":
            yield Asked(f"ec2:{call.operation}", "*", {})
        case "account":
            yield Asked(f"account:{call.operation}", f"arn:aws:account::{ACCOUNT}:account", {})
        case "resourcegroupstaggingapi":
            yield Asked(f"tag:{call.operation}", "*", {})
        case "events":
            arn = f"arn:aws:events:{call.region}:{ACCOUNT}:event-bus/default"
            for one in asked["Entries"]:
                sent: dict[str, str | list[str]] = {
                    "events:source": [one["Source"]],
                    "events:detail-type": one["DetailType"],
                }
                yield Asked(f"events:{call.operation}", arn, sent)
        case "codepipeline" if "Job" not in call.operation:
            arn = asked.get("resourceArn", "")
            name = asked.get("name") or asked.get("pipelineName") or arn.rpartition(":")[2] or "any"
            where = f"arn:aws:codepipeline:{call.region}:{ACCOUNT}:{name}"
            yield Asked(f"codepipeline:{call.operation}", where, {})
        case "cloudformation" if call.operation == "Answer":
            return
        case "sts" if call.operation == "GetCallerIdentity":
            return  # nobody needs a permission for it
        case "sts":
            owner = asked["RoleArn"].split(":")[4]
            of_it = {
                "aws:ResourceAccount": owner,
                "aws:ResourceOrgID": ENVIRONMENT["FOOTHOLD_ORGANIZATION_IDS"],
            }
            yield Asked(f"sts:{call.operation}", asked["RoleArn"], of_it)
        case "cloudformation":
            yield from _cloudformation(cloud, call, asked)
        case "service-quotas":
            what = f"{asked['ServiceCode']}/{asked['QuotaCode']}"
            where = f"arn:aws:servicequotas:{call.region}:{ACCOUNT}:{what}"
            yield Asked(f"servicequotas:{call.operation}", where, {})
        case "lambda":
            arn = f"arn:aws:lambda:{call.region}:{ACCOUNT}:function:{asked['FunctionName']}"
            yield Asked("lambda:InvokeFunction", arn, AS_A_TRIAL)
        case "iam":
            yield Asked(f"iam:{call.operation}", asked["PolicySourceArn"], {})
        case "signer":
            yield from _signer(cloud, call, asked)
        case "serverlessrepo":
            yield Asked(f"serverlessrepo:{call.operation}", asked["ApplicationId"], {})
        case "codebuild" if call.operation in ("StartBuild", "BatchGetBuilds"):
            name = asked.get("projectName") or asked["ids"][0].partition(":")[0]
            where = f"arn:aws:codebuild:{call.region}:{ACCOUNT}:project/{name}"
            yield Asked(f"codebuild:{call.operation}", where, AS_A_TRIAL)
        case "codebuild":
            for name in asked["names"]:
                where = f"arn:aws:codebuild:{call.region}:{ACCOUNT}:project/{name}"
                yield Asked(f"codebuild:{call.operation}", where, {})
        case service:
            yield Asked(f"{service}:{call.operation}", "*", {})


def _s3(cloud: Cloud, call: Call, asked: Mapping[str, Any]) -> Iterator[Asked]:
    bucket = f"arn:aws:s3:::{asked['Bucket']}"
    found = cloud.buckets.get(asked["Bucket"])
    owner = {"aws:ResourceAccount": found.owner if found else ACCOUNT}
    resource = f"{bucket}/{asked['Key']}" if call.operation in OF_OBJECTS else bucket
    if call.operation == "DeleteObjects":
        yield from _deletions(asked, bucket, owner)
        return
    action = S3_ACTIONS.get(call.operation, call.operation)
    yield Asked(f"s3:{action}", resource, owner)
    if call.operation == "CreateBucket":
        # Amazon S3 API Reference, "CreateBucket", "Permissions".
        if "ObjectOwnership" in asked:
            yield Asked("s3:PutBucketOwnershipControls", bucket, owner)
        if asked.get("CreateBucketConfiguration", {}).get("Tags"):
            yield Asked("s3:TagResource", bucket, owner)
    if call.operation == "PutObject" and asked.get("SSEKMSKeyId"):
        yield from _through_s3("kms:GenerateDataKey", cloud, call, asked["SSEKMSKeyId"], resource)
    if call.operation in ("GetObject", "HeadObject") and found:
        versions = found.objects.get(asked["Key"])
        if not versions:
            # Without it S3 does not say that nothing is there (API Reference, "HeadObject").
            yield Asked("s3:ListBucket", bucket, owner)
        elif versions[-1]["SSEKMSKeyId"]:
            key_arn = versions[-1]["SSEKMSKeyId"]
            yield from _through_s3("kms:Decrypt", cloud, call, key_arn, resource)


def _deletions(asked: Mapping[str, Any], bucket: str, owner: Mapping[str, str]) -> Iterator[Asked]:
    """Amazon S3 API Reference, "DeleteObjects", "Permissions": the first one always."""
    for one in asked["Delete"]["Objects"]:
        yield Asked("s3:DeleteObject", f"{bucket}/{one['Key']}", owner)
        if "VersionId" in one:
            yield Asked("s3:DeleteObjectVersion", f"{bucket}/{one['Key']}", owner)


def _through_s3(
    action: str, cloud: Cloud, call: Call, key_arn: str, object_arn: str
) -> Iterator[Asked]:
    tags = cloud.keys[key_arn].tags if key_arn in cloud.keys else {}
    context = {f"aws:ResourceTag/{name}": value for name, value in tags.items()}
    # With a bucket key the context of the encryption is the bucket, without one the object (Amazon
    # S3 User Guide, "Using server-side encryption with AWS KMS keys", "Encryption context").
    for arn in (object_arn.split("/", maxsplit=1)[0], object_arn):
        context |= {"kms:EncryptionContext:aws:s3:arn": arn}
        via = {"kms:ViaService": f"s3.{call.region}.amazonaws.com"}
        yield Asked(action, key_arn, {**context, **via})


def _kms(cloud: Cloud, call: Call, asked: Mapping[str, Any]) -> Iterator[Asked]:
    action = f"kms:{call.operation}"
    sent: dict[str, str | list[str]] = {
        f"aws:RequestTag/{tag['TagKey']}": tag["TagValue"] for tag in asked.get("Tags", [])
    }
    if sent:
        sent["aws:TagKeys"] = [tag["TagKey"] for tag in asked["Tags"]]
    if "TagKeys" in asked:
        sent["aws:TagKeys"] = list(asked["TagKeys"])
    if call.operation == "CreateKey":
        yield Asked(action, "*", sent)
        if sent:
            yield Asked("kms:TagResource", "*", sent)
        return
    if call.operation in ("ListKeys", "ListAliases"):
        yield Asked(action, "*", {})
        return
    if "AliasName" in asked:
        yield Asked(action, f"arn:aws:kms:{call.region}:{ACCOUNT}:{asked['AliasName']}", {})
    names = [asked[field] for field in ("KeyId", "TargetKeyId") if field in asked]
    if call.operation in ("UpdateAlias", "DeleteAlias"):
        names.append(asked["AliasName"])
    for name in names:
        arn = cloud.aliases.get((call.region, name), name)
        key = cloud.keys.get(arn)
        tags = {f"aws:ResourceTag/{k}": v for k, v in key.tags.items()} if key else {}
        if arn.startswith("alias/"):
            arn = f"arn:aws:kms:{call.region}:{ACCOUNT}:key/none"
        yield Asked(action, arn, {**tags, **sent})


def _signer(cloud: Cloud, call: Call, asked: Mapping[str, Any]) -> Iterator[Asked]:
    """A job also takes what Signer does with the bucket in our name (AWS Signer Developer Guide,
    "Define an IAM policy")."""
    place = f"arn:aws:signer:{call.region}:{ACCOUNT}:"
    if call.operation == "DescribeSigningJob":
        yield Asked(f"signer:{call.operation}", f"{place}/signing-jobs/{asked['jobId']}", {})
        return
    yield Asked(f"signer:{call.operation}", f"{place}/signing-profiles/{asked['profileName']}", {})
    source, target = asked["source"]["s3"], asked["destination"]["s3"]
    bucket, owner = f"arn:aws:s3:::{source['bucketName']}", {"aws:ResourceAccount": ACCOUNT}
    yield Asked("s3:GetObjectVersion", f"{bucket}/{source['key']}", owner)
    yield Asked("s3:ListBucket", bucket, owner)
    yield Asked("s3:PutObject", f"{bucket}/{target['prefix']}job.zip", owner)
    (version,) = cloud.buckets[source["bucketName"]].objects[source["key"]][-1:]
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        object_arn = f"{bucket}/{source['key']}"
        yield from _through_s3(action, cloud, call, version["SSEKMSKeyId"], object_arn)


def _cloudformation(cloud: Cloud, call: Call, asked: Mapping[str, Any]) -> Iterator[Asked]:
    """An update of a stack with a macro also takes what CloudFormation does in our name (AWS
    CloudFormation User Guide, "Control access with IAM")."""
    place = f"arn:aws:cloudformation:{call.region}:{ACCOUNT}"
    action = f"cloudformation:{call.operation}"
    if "StackName" not in asked:
        yield Asked(action, "*", {})
        return
    if str(asked["StackName"]).startswith("arn:"):
        yield Asked(action, asked["StackName"], {})
        return
    stack = cloud.stacks.get(asked["StackName"], {})
    tags = {f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in stack.get("Tags", ())}
    yield Asked(action, f"{place}:stack/{asked['StackName']}/1", tags)
    if call.operation == "UpdateStack":
        macro = f"arn:aws:lambda:{call.region}:{ACCOUNT}:function:{STACK}-pipeline-macro"
        yield Asked("lambda:InvokeFunction", macro, {})


# --- Flows that come to what seldom happens -------------------------------------------------------


def _tags_drifted(cloud: Cloud) -> None:
    bucket, key = store_of(cloud)
    bucket.tags["foothold:region"] = key.tags["foothold:region"] = "elsewhere"
    bucket.settings.pop("policy")


def _unfinished(cloud: Cloud) -> None:
    store_of(cloud)[0].tags.clear()
    store_of(cloud)[0].settings.pop("policy")


def _others_alias(call: Call, perform: Perform) -> Json:
    """Another run gets its alias in first, each time."""
    cloud = Cloud.current
    assert cloud is not None
    name = (call.region, str(call.params.get("AliasName")))
    if call.operation == "CreateAlias" and name not in cloud.aliases:
        other = cloud.add_key(call.region, {STACK_TAG: STACK}, {})
        cloud.aliases[name] = other.arn
    return perform()


def _in_use() -> Cloud:
    cloud = with_objects()
    cloud.pipelines["orders"] = f"foothold-{ACCOUNT}-{REGION}-an"
    cloud.add_stack(f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/orders/1")
    return cloud


def _claimed_long_ago() -> Cloud:
    cloud = claimed()
    cloud.clock += 2 * DAY
    return cloud


DAY = 86_400.0


def _packaged_before() -> Cloud:
    cloud = built()
    run(Flow("packages", packaged(job)), cloud)
    return cloud.copy()


def _adopted_beside_another() -> Cloud:
    cloud = adopted()
    assert run(Flow("another", requested("us-east-1")), cloud) is None
    return cloud.copy()


def _built_beside_an_adopted_store() -> Cloud:
    return with_build(_adopted_beside_another())


def _deploying_beside_an_adopted_store() -> Cloud:
    return publishing(_adopted_beside_another())


def _alarmed_beside() -> Cloud:
    return alarmed(_adopted_beside_another())


def _packaged_beside_an_adopted_store() -> Cloud:
    cloud = _built_beside_an_adopted_store()
    run(Flow("packages", packaged(job), function="package"), cloud)
    return cloud.copy()


Meet = Callable[[Call, Perform], Json]
SELDOM: tuple[tuple[Flow, Meet | None], ...] = (
    (Flow("tags drifted", requested(REGION), changed(_tags_drifted)), None),
    (Flow("a bucket cut short", requested(REGION), changed(_unfinished)), None),
    (Flow("a region is not enabled", requested("af-south-1")), None),
    (Flow("a race for the alias", requested(REGION)), _others_alias),
    (Flow("a stack loses the race", stack("cfn_create"), function="artifact_store"), _others_alias),
    (Flow("a stack comes back", stack("cfn_create"), claimed, function="artifact_store"), None),
    (Flow("nothing is reserved", unreserved(event("schedule"))), None),
    (Flow("a stack went long ago", event("schedule"), _claimed_long_ago), None),
    (Flow("a store in use stays", command(command="retire", region=REGION), _in_use), None),
    (
        Flow(
            "a stack calls a retirement off",
            stack("cfn_create"),
            retired,
            function="artifact_store",
        ),
        None,
    ),
    (
        Flow(
            "a build ends",
            packaged(lambda: saved("codebuild_succeeded")),
            built,
            function="package",
        ),
        None,
    ),
    (Flow("a job fails", packaged(job), partial(converged, HOME), function="package"), None),
    (Flow("packages again", packaged(job), _packaged_before, function="package"), None),
    (
        Flow("nothing was reviewed", of_a_release("guard", "review"), deploying, function="review"),
        None,
    ),
    (
        Flow(
            "a review knows an adopted store",
            of_a_release("review", "review"),
            _deploying_beside_an_adopted_store,
            function="review",
        ),
        None,
    ),
    (
        Flow(
            "a pipeline has an adopted store",
            macro,
            _adopted_beside_another,
            function="pipeline_macro",
        ),
        None,
    ),
    (
        Flow(
            "packages for an adopted store",
            packaged(order_signed_application),
            _built_beside_an_adopted_store,
            function="package",
        ),
        None,
    ),
    (
        Flow(
            "packages again for an adopted store",
            packaged(job),
            _packaged_beside_an_adopted_store,
            function="package",
        ),
        None,
    ),
    (Flow("a wave is watched on", look_again, looked_at, function="rollout"), None),
    (Flow("a wave goes back to an adopted store", look, _alarmed_beside, function="rollout"), None),
    (Flow("global names", requested(GLOBAL_NAMES_REGION), partial(converged, HOME)), None),
)


def recorded() -> list[Asked]:
    """Every request that any flow comes to, once for each function."""
    found: dict[str, Asked] = {}
    for flow, meet in (*((flow, None) for flow in FLOWS), *SELDOM):
        cloud = flow.begin()

        def watched(
            call: Call,
            perform: Perform,
            cloud: Cloud = cloud,
            meet: Meet | None = meet,
            function: str = flow.function,
        ) -> Json:
            for asked in requests(cloud, call):
                one = replace(asked, function=Cloud.invoked.get() or function)
                found[str(one)] = one
            return meet(call, perform) if meet else perform()

        cloud.meet = watched
        run(flow, cloud)
    return list(found.values())


# --- What permissions.yaml grants --------------------------------------------------------------


@dataclass(frozen=True)
class Grant:
    """One action of one statement of one policy, or one resource of several: `value`, which stands
    in `field`. `actions` are those that are granted with it."""

    policy: str
    statement: int
    sid: str
    field: str
    value: Any
    actions: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.policy} {self.sid} {self.value}"


class PartlyGiven(Given):
    """What is not given stands for itself: `<Name>`."""

    def value(self, name: str) -> Any:
        return self.values.get(name, f"<{name}>")

    def attribute(self, path: str) -> str:
        return self.attributes.get(path, f"<{path}>")


ATTRIBUTES = {
    "ReconcileRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/foothold-reconcile",
    "KeyMakerRole.Arn": ENVIRONMENT["FOOTHOLD_KEY_MAKER_ROLE_ARN"],
}
VALUES = {
    "AWS::Partition": "aws",
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": HOME,
    "AWS::StackName": STACK,
    "AWS::URLSuffix": "amazonaws.com",
    "ParameterRoot": "/foothold",
    "NamePrefix": "foothold",
}
LISTS = {
    "OrganizationIds": ENVIRONMENT["FOOTHOLD_ORGANIZATION_IDS"].split(","),
    "Tags": ENVIRONMENT["FOOTHOLD_TAGS"].split(","),
    "AdoptableBuckets": [f"arn:aws:s3:::{OLD_BUCKET}"],
    "AdoptableKeys": [OLD_KEY],
    "StackReaderRoleArns": ENVIRONMENT["FOOTHOLD_STACK_READER_ROLE_ARNS"].split(","),
}
# Everything is given that can be.
CONDITIONS = frozenset(
    {"HasAdoptableBuckets", "HasOrganizations", "HasStackReaders", "HasTags", "TakesTurns"}
)
OF_TEMPLATE = PartlyGiven({**VALUES, **LISTS}, ATTRIBUTES)


def resolved(value: Any, given: Given = OF_TEMPLATE) -> Any:
    """The template's value with its intrinsic functions worked out."""
    return resolve(value, given)


def written(file: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml_parse((ROOT / file).read_text())
    return parsed


def template() -> dict[str, Any]:
    """template.yaml, with the resources of permissions.yaml among its own."""
    ours = written("template.yaml")
    return {**ours, "Resources": {**ours["Resources"], **written("permissions.yaml")["Resources"]}}


def _of_permissions() -> Given:
    """What template.yaml deploys permissions.yaml with. There AWS::StackName is the nested stack's,
    by which nothing is known."""
    nested = written("template.yaml")["Resources"]["Permissions"]["Properties"]
    declared = written("permissions.yaml")["Parameters"]
    handed_on = {
        name: value.split(",") if declared[name]["Type"] == "CommaDelimitedList" else value
        for name, value in resolved(nested["Parameters"]).items()
    }
    pseudo = {name: value for name, value in VALUES.items() if name.startswith("AWS::")}
    values = {**pseudo, "AWS::StackName": "<nested>", **handed_on}
    return PartlyGiven(values, ATTRIBUTES, CONDITIONS)


OF_PERMISSIONS = _of_permissions()


def policies(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Every policy document of the template's roles and managed policies, by name."""
    found = {}
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy"):
            found[name] = resolved(properties["PolicyDocument"], OF_PERMISSIONS)
        for inline in properties.get("Policies", ()):
            if resource["Type"] == "AWS::IAM::Role":
                document = resolved(inline["PolicyDocument"], OF_PERMISSIONS)
                found[f"{name}/{inline['PolicyName']}"] = document
    return found


def attached(resources: Mapping[str, Any], role: str) -> list[str]:
    """The names of the policies that a role has."""
    properties = resources[role]["Properties"]
    inline = [f"{role}/{one['PolicyName']}" for one in properties.get("Policies", ())]
    inline += [
        name
        for name, one in resources.items()
        if one["Type"] == "AWS::IAM::Policy" and {"Ref": role} in one["Properties"]["Roles"]
    ]
    return inline + [one["Ref"] for one in properties.get("ManagedPolicyArns", ()) if "Ref" in one]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def grants(documents: Mapping[str, Any]) -> Iterator[Grant]:
    for policy, document in documents.items():
        for number, statement in enumerate(document["Statement"]):
            sid, actions = statement.get("Sid", "?"), tuple(listed(statement["Action"]))
            for action in actions:
                yield Grant(policy, number, sid, "Action", action, (action,))
            resources = listed(statement.get("Resource"))
            for resource in resources if len(resources) > 1 else ():
                yield Grant(policy, number, sid, "Resource", resource, actions)


def without(documents: Mapping[str, Any], grant: Grant) -> dict[str, Any]:
    less = copy.deepcopy(dict(documents))
    statement = less[grant.policy]["Statement"][grant.statement]
    left = [one for one in listed(statement[grant.field]) if one != grant.value]
    statement[grant.field] = left or ["none:none"]
    return less


# A key's own policy lets the account's policies decide; IAM is not asked otherwise (AWS KMS
# Developer Guide, "Default key policy").
KEY_POLICY = {"of keys": key_policy(ControlPlane(ACCOUNT, HOME, STACK).spec(HOME))}


def role_of(resources: Mapping[str, Any], function: str) -> str:
    """The role of the function of this name, or whose code is in functions/<function>/."""
    for resource in resources.values():
        properties = resource.get("Properties", {})
        called = resolved(properties.get("FunctionName"))
        if called == function or properties.get("CodeUri") == f"functions/{function}/":
            _, output = properties["Role"]["Fn::GetAtt"]
            given = written("permissions.yaml")["Outputs"][output.removeprefix("Outputs.")]
            return str(given["Value"]["Fn::GetAtt"][0])
    raise LookupError(f"template.yaml has no function {function}, nor functions/{function}/")


def row_of(asked: Asked, identity: tuple[str, ...]) -> Row:
    role = f"arn:aws:iam::{ACCOUNT}:role/foothold-{asked.function}"
    policy = "of keys" if ":key/" in asked.resource else None
    return Row(role, asked.action, asked.resource, ACCOUNT, asked.context, identity, policy)


def least_privilege(_scale: Scale, documents: Mapping[str, Any] | None = None) -> Result:
    """Every granted action and resource is needed by some flow, and every flow has what it
    needs."""
    resources = template()["Resources"]
    documents = documents or policies(resources)
    with house():
        asked = recorded()
    roles = {name: role_of(resources, name) for name in {one.function for one in asked}}
    granted = [grant for grant in grants(documents) if not BY_LAMBDA.issuperset(grant.actions)]
    rows = [row_of(one, tuple(attached(resources, roles[one.function]))) for one in asked]
    verdicts = allowed({**documents, **KEY_POLICY}, rows)
    failures = [
        f"not granted to {row.principal}: {row.action} on {row.resource} {dict(row.context)}"
        for row, verdict in zip(rows, verdicts, strict=True)
        if not verdict
    ]
    # Each grant's policy alone is asked about the requests for it, with the grant and without:
    # two policies may each have their own reason to allow the same.
    variants = dict(documents)
    questions: list[tuple[Grant, Row, Row]] = []
    for number, grant in enumerate(granted):
        less = f"{number} {grant.policy}"
        variants[less] = without(documents, grant)[grant.policy]
        questions += [
            (grant, replace(row, identity=(grant.policy,)), replace(row, identity=(less,)))
            for row in rows
            if row.action.lower() in [action.lower() for action in grant.actions]
            and grant.policy in row.identity
        ]
    asked_of = [row for _, *both in questions for row in both]
    alone = allowed({**variants, **KEY_POLICY}, asked_of)
    needed = {
        grant
        for (grant, *_), with_it, without_it in zip(questions, alone[::2], alone[1::2], strict=True)
        if with_it and not without_it
    }
    in_use = {name for role in roles.values() for name in attached(resources, role)}
    failures += [
        f"granted and never needed: {grant}"
        for grant in granted
        if grant.policy in in_use and grant not in needed and grant.sid not in WITHOUT_A_FLOW
    ]
    failures += list(stars(documents))
    idle = sorted(set(documents) - in_use)
    note = f"{len(rows)} different requests, {len(granted)} granted actions and resources"
    note += f"; no flow for {', '.join(idle)}" if idle else ""
    return Result(len(rows) + len(granted), tuple(failures), (note,))


def stars(
    documents: Mapping[str, Any], known: Mapping[str, str] = KNOW_NO_RESOURCE
) -> Iterator[str]:
    """Actions allowed on everything without a condition, but for those that are known to be."""
    for name, document in documents.items():
        for statement in document["Statement"]:
            for action in listed(statement["Action"]):
                everywhere = statement.get("Resource") == "*" and "Condition" not in statement
                wide = everywhere or "*" in action
                if statement["Effect"] == "Allow" and wide and action not in known:
                    yield f"{name}: {action} on {statement.get('Resource')} without a condition"


# --- Two calls in a row -----------------------------------------------------------------------

IDENTITY = {STACK_TAG: STACK, "foothold:home": HOME}
MARK = {"foothold:retiring": "1800000000"}
VICTIM = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0000-of-somebody-else"
# Keys of this account that are not this control plane's.
SOMEBODYS: Mapping[str, Mapping[str, str]] = {
    "a key without tags": {},
    "a key with tags of its own": {"team": "payroll"},
    "a key of another stack": {STACK_TAG: "another", "foothold:home": HOME},
    "a key of another home region": {STACK_TAG: STACK, "foothold:home": "us-east-1"},
}
TAG_SETS = (IDENTITY, {**IDENTITY, "foothold:region": REGION, "foothold:state": "in-use"},
            {STACK_TAG: STACK}, {"foothold:home": HOME}, MARK, {**IDENTITY, **MARK})  # fmt: skip
# What is power over a key. CreateAlias and EnableKeyRotation give none, and reads take none.
POWERS = (
    "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:EnableKey",
    "kms:DisableKey", "kms:DeleteAlias", "kms:UntagResource", "kms:Decrypt", "kms:GenerateDataKey",
    "kms:CreateGrant",
)  # fmt: skip


def _on_key(
    action: str, tags: Mapping[str, str], sent: Mapping[str, str] | None = None, key: str = VICTIM
) -> Asked:
    context: dict[str, str | list[str]] = {f"aws:ResourceTag/{k}": v for k, v in tags.items()}
    context |= {f"aws:RequestTag/{name}": value for name, value in (sent or {}).items()}
    if sent:
        context["aws:TagKeys"] = list(sent)
    if action == "kms:UntagResource":
        context["aws:TagKeys"] = list(MARK)
    if action in ("kms:Decrypt", "kms:GenerateDataKey"):
        context["kms:ViaService"] = f"s3.{REGION}.amazonaws.com"
    return Asked(action, key, context)


def two_in_a_row(_scale: Scale, documents: Mapping[str, Any] | None = None) -> Result:
    """No role gives somebody's key a tag, and has power over it by that tag; and none but the one
    that retires marks a key of its own as retiring."""
    resources = template()["Resources"]
    documents = documents or policies(resources)
    roles = [name for name, one in resources.items() if one["Type"] == "AWS::IAM::Role"]
    cases: list[tuple[str, list[Asked]]] = []
    for role in roles:
        for name, tags in SOMEBODYS.items():
            cases += [
                (
                    f"{role}: {name} is tagged {dict(sent)}, then {power}",
                    [
                        replace(one, function=role)
                        for one in (
                            _on_key("kms:TagResource", tags, sent),
                            _on_key(power, {**tags, **sent}),
                        )
                    ],
                )
                for sent in TAG_SETS
                for power in POWERS
            ]
        marked = [replace(_on_key("kms:TagResource", IDENTITY, MARK), function=role)]
        cases.append((f"{role}: its own key is marked as retiring", marked))
    rows = [
        row_of(one, tuple(attached(resources, one.function))) for _, calls in cases for one in calls
    ]
    verdicts = iter(allowed({**documents, **KEY_POLICY}, rows))
    judged = [(title, [next(verdicts) for _ in calls]) for title, calls in cases]
    reached = [title for title, each in judged if all(each)]
    expected = ["ReconcileRole: its own key is marked as retiring"]
    failures = [f"reached: {title}" for title in reached if title not in expected]
    failures += [f"not allowed: {title}" for title in expected if title not in reached]
    note = f"{len(roles)} roles, {len(SOMEBODYS)} kinds of keys, {len(TAG_SETS)} sets of tags"
    return Result(len(cases), tuple(failures), (note,))
