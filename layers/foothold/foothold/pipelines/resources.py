"""The CloudFormation resources of a pipeline: one pure function."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foothold.pipelines.declaration import (
    BUILD_VARIABLES,
    SOURCE_VARIABLES,
    Approval,
    DeclarationError,
    Pipeline,
    ResolvedTarget,
    Variable,
    shell_name,
)
from foothold.pipelines.template import (
    Json,
    ResourceNames,
    allow,
    allow_to_find_buckets,
    arn,
    arn_here,
    event_rule,
    get_arn,
    role,
    role_arn,
    via,
)
from foothold.releases.model import (
    CLOUDFORMATION_ROLE,
    DEPLOY_ROLE,
    ReleaseTarget,
    ReleaseTargets,
    change_set_name,
    configuration_name,
)
from foothold.stores.register import ArtifactStore, Names

SOURCE_OUTPUT = "SourceOutput"
BUILD_OUTPUT = "BuildOutput"
PACKAGE_OUTPUT = "PackageOutput"
# CodePipeline keeps a pipeline's artifacts in a folder that has so many characters of its name (AWS
# re:Post, "CodePipeline truncates folder names in output artifact S3 bucket", answered by AWS).
ARTIFACT_FOLDER = 20

# AWS CodePipeline User Guide, "Quotas in AWS CodePipeline": 50 stages; 100 actions in a stage
# and 1,000 in a pipeline since October 2024 (awslabs/aws-deployment-framework, issue 792).
STAGES = 50
ACTIONS_OF_STAGE = 100
ACTIONS_OF_PIPELINE = 1000
# StageName and ActionName in botocore's codepipeline model.
NAME = 100
# AWS CodeBuild User Guide, "Create a build project": the time of a build where none is given.
BUILD_MINUTES = 60
# ActionConfigurationValue in botocore's codepipeline model; characters, whatever their bytes
# (Smithy, "length trait").
CONFIGURATION_VALUE = 1000
# IAM User Guide, "IAM and AWS STS quotas": all inline policies of a role, without white space.
ROLE_POLICY = 10_240
# AWS CloudFormation User Guide, "Understand CloudFormation quotas": a template in S3.
TEMPLATE_BYTES = 1_000_000
# Of 4,096 that a standard parameter has (AWS Systems Manager User Guide, "Managing parameter
# tiers").
PUBLISHED_PART = 4000

# CodePipeline puts the execution's id in its place (AWS CodePipeline User Guide, "Variables
# reference").
EXECUTION = "#{codepipeline.PipelineExecutionId}"


def expand(
    pipeline: Pipeline,
    parameter_root: str = "/foothold",
    logical_id: str = "Pipeline",
    *,
    boundary: str = "",
) -> dict[str, Json]:
    """The resources of a pipeline by logical id: the pipeline itself under `logical_id`, its
    build project, its roles, and what starts it.

    `boundary` is the ARN of the permissions boundary of roles whose declaration names none.
    Raises DeclarationError where the result would pass a limit of CodePipeline, IAM or
    CloudFormation.
    """
    names = ResourceNames(pipeline.name, logical_id)
    register = Names(parameter_root)
    targets = release_targets(pipeline)
    published = _published(targets, names, register)
    functions = _Functions(pipeline, register, targets.digest)
    resources: dict[str, Json] = {
        logical_id: {
            "Type": "AWS::CodePipeline::Pipeline",
            # A pipeline runs as soon as it is made.
            "DependsOn": list(published),
            "Properties": _pipeline(pipeline, names, functions),
        },
        names.build_project: _build_project(pipeline, names),
        names.build_log: {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {
                "LogGroupName": f"/aws/codebuild/{names.build_project_name}",
                "RetentionInDays": 30,
            },
        },
        names.build_role: role(
            names.build_role_name,
            "codebuild.amazonaws.com",
            list(_build_statements(pipeline, names)),
        ),
        names.pipeline_role: role(
            names.pipeline_role_name,
            "codepipeline.amazonaws.com",
            list(_pipeline_statements(pipeline, names, functions)),
        ),
        **published,
        **pipeline.declaration.source.start(names),
        **_notifications(pipeline, names),
    }
    boundary = pipeline.declaration.permissions_boundary or boundary
    for resource in resources.values():
        if boundary and resource["Type"] == "AWS::IAM::Role":
            resource["Properties"]["PermissionsBoundary"] = boundary
    problems = list(_over_limits(pipeline, resources, logical_id))
    if problems:
        raise DeclarationError(problems)
    return resources


# What its releases are made for


def release_targets(pipeline: Pipeline) -> ReleaseTargets:
    """What the pipeline's releases are made for: its targets, with the regions and the waves that
    it has now."""
    return ReleaseTargets(
        pipeline.name,
        pipeline.home_region,
        tuple(map(_release_target, pipeline.targets)),
        str(getattr(pipeline.declaration.source, "branch", "")),
    )


def _release_target(target: ResolvedTarget) -> ReleaseTarget:
    declared, lead = target.declared, target.lead
    return ReleaseTarget(
        name=target.name,
        account=target.account,
        stack=declared.stack,
        waves=target.waves,
        capabilities=declared.capabilities,
        parameters=declared.parameters,
        region_parameters={
            region: declared.region_parameters[region]
            for region in target.regions
            if region in declared.region_parameters
        },
        tags=declared.tags,
        stack_policy=declared.stack_policy,
        approval=lead.approval.when if lead.approval else None,
        bake=lead.bake,
        on_failure=lead.on_failure,
        trials=lead.trials,
        joins="" if target.is_lead else lead.name,
    )


def _published(targets: ReleaseTargets, names: ResourceNames, register: Names) -> dict[str, Json]:
    """The parameters that tell it to whoever packages, reviews and rolls out."""
    path = register.pipeline(targets.project)
    return {
        f"{names.targets}{number}": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {
                "Name": f"{path}/{number}",
                "Type": "String",
                "Tier": "Standard",
                "Description": f"What releases of {targets.project} are made for, part {number}",
                "Value": part,
            },
        }
        for number, part in enumerate(in_parts(targets.text), start=1)
    }


def in_parts(text: str) -> Iterator[str]:
    """The text in parts that a parameter holds, none of which begins or ends with a space: not
    everybody who hands a value on keeps those."""
    while text:
        end = min(PUBLISHED_PART, len(text))
        while end > 1 and (text[end - 1].isspace() or text[end : end + 1].isspace()):
            end -= 1
        yield text[:end]
        text = text[end:]


# The pipeline


@dataclass(frozen=True, slots=True)
class _Functions:
    """The functions that a pipeline's actions invoke, and what it tells them: `digest` proves what
    it published."""

    pipeline: Pipeline
    register: Names
    digest: str

    @property
    def package(self) -> str:
        return _resolved(self.register.package_function)

    @property
    def review(self) -> str:
        return _resolved(self.register.review_function)

    @property
    def rollout(self) -> str:
        return _resolved(self.register.rollout_function)

    def action(
        self, name: str, function: str, told: Mapping[str, Any] | None = None, **more: Any
    ) -> Json:
        """The action that invokes one of them, for a target's `told` or for packaging. Only what
        cannot break JSON is a variable in it: CodePipeline escapes nothing."""
        parameters = {
            **(told or {}),
            "project": self.pipeline.name,
            "execution": EXECUTION,
            "targets": self.digest,
        }
        configuration = {"FunctionName": function, "UserParameters": _json(parameters)}
        return _action(name, ("Invoke", "AWS", "Lambda"), configuration, **more)


def _resolved(parameter: str) -> str:
    return f"{{{{resolve:ssm:{parameter}}}}}"


def _pipeline(pipeline: Pipeline, names: ResourceNames, functions: _Functions) -> Json:
    stages = [
        {"Name": "Source", "Actions": [_source_action(pipeline)]},
        {"Name": "Build", "Actions": [_build_action(pipeline, names)]},
    ]
    if not pipeline.declaration.packages_itself:
        package = functions.action(
            "Package", functions.package, inputs=(BUILD_OUTPUT,), outputs=(PACKAGE_OUTPUT,)
        )
        stages.append({"Name": "Package", "Actions": [package]})
    for group in pipeline.groups:
        stages += _Rollout(group, functions).stages()
    return {
        "Name": pipeline.name,
        "PipelineType": "V2",
        "ExecutionMode": "QUEUED",
        "RoleArn": get_arn(names.pipeline_role),
        **_artifact_stores(pipeline),
        "Stages": stages,
    }


def _artifact_stores(pipeline: Pipeline) -> Json:
    """One store, or one a region, never both (AWS CodePipeline API Reference,
    "PipelineDeclaration")."""
    if len(pipeline.stores) == 1:
        return {"ArtifactStore": _artifact_store(pipeline.home_store)}
    return {
        "ArtifactStores": [
            {"Region": store.region, "ArtifactStore": _artifact_store(store)}
            for store in pipeline.stores.values()
        ]
    }


def _artifact_store(store: ArtifactStore) -> Json:
    return {
        "Type": "S3",
        "Location": store.bucket,
        "EncryptionKey": {"Id": store.key_arn, "Type": "KMS"},
    }


def _action(
    name: str,
    action_type: tuple[str, str, str],
    configuration: Json,
    *,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
    **more: Any,
) -> Json:
    category, owner, provider = action_type
    action: Json = {
        "Name": name,
        "ActionTypeId": {
            "Category": category,
            "Owner": owner,
            "Provider": provider,
            "Version": "1",
        },
        "Configuration": configuration,
        "RunOrder": 1,
    }
    if inputs:
        action["InputArtifacts"] = [{"Name": artifact} for artifact in inputs]
    if outputs:
        action["OutputArtifacts"] = [{"Name": artifact} for artifact in outputs]
    action |= more
    return action


def _given(properties: Mapping[str, Any]) -> Json:
    """The properties without those that are None."""
    return {name: value for name, value in properties.items() if value is not None}


def _source_action(pipeline: Pipeline) -> Json:
    source = pipeline.declaration.source
    return _action(
        "Source",
        ("Source", source.action_owner, source.provider),
        source.configuration(),
        outputs=(SOURCE_OUTPUT,),
        Namespace=SOURCE_VARIABLES,
    )


def _build_action(pipeline: Pipeline, names: ResourceNames) -> Json:
    """With the variables that only an execution knows: CodePipeline fills in what stands in an
    action, and nothing in a project (AWS CodePipeline User Guide, "Variables reference")."""
    variables = [
        {"name": variable.name, "value": variable.value, "type": variable.kind}
        for variable in pipeline.declaration.build.variables
        if variable.of_the_execution
    ]
    return _action(
        "Build",
        ("Build", "AWS", "CodeBuild"),
        _given(
            {
                "ProjectName": {"Ref": names.build_project},
                "EnvironmentVariables": _json(variables) if variables else None,
            }
        ),
        inputs=(SOURCE_OUTPUT,),
        outputs=(BUILD_OUTPUT,),
        Namespace=BUILD_VARIABLES,
    )


def _json(value: Any) -> str:
    """JSON as short as it can be, with letters as they are: AWS counts characters, and an escaped
    one is six."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


CREATE = ("Create", "CHANGE_SET_REPLACE")
EXECUTE = ("Execute", "CHANGE_SET_EXECUTE")

Group = Sequence[ResolvedTarget]
Step = list[Json]


@dataclass(frozen=True, slots=True)
class _Rollout:
    """The stages of targets that run together, the first of which says how."""

    group: Group
    functions: _Functions

    @property
    def _lead(self) -> ResolvedTarget:
        return self.group[0]

    def stages(self) -> Iterator[Json]:
        """All change sets and their review first, so that an approval sees all of them; then wave
        by wave."""
        declared = self._lead.declared
        approval = declared.approval
        review = self._invoke("review", "Review", Namespace=self._lead.review_namespace)
        steps = [[self._create(*place) for place in self._places()], [review]]
        names = iter(self._lead.stages)
        if approval and approval.is_certain:
            steps.append([self._approve(approval)])
        elif approval:
            yield _stage(next(names), steps)
            entry = _only_if_asked(self._lead.review_namespace)
            yield _stage(next(names), [[self._approve(approval)]], BeforeEntry=entry)
            steps = []
        guard = [[self._invoke("guard", "Guard")]] if approval else []
        waves = [self._wave(number) for number in range(len(self._lead.waves))]
        if not declared.waves:
            # Several only where WaveSize deploys them one after the other, and watches none.
            yield _stage(next(names), [*steps, *guard, *(step for wave in waves for step in wave)])
            return
        if steps:
            yield _stage(next(names), steps)
        for wave in waves:
            yield _stage(next(names), [*guard, *wave])
            guard = []

    def _places(self) -> Iterator[tuple[ResolvedTarget, str]]:
        return ((target, region) for target in self.group for region in target.regions)

    def _wave(self, number: int) -> list[Step]:
        """Everything in it is executed, then watched where that is declared."""
        executed = [
            self._change_set(EXECUTE, target, region, {})
            for target in self.group
            for region in target.waves[number]
        ]
        if not self._lead.declared.is_watched:
            return [executed]
        return [executed, [self._invoke("bake", "Bake", wave=number + 1)]]

    def _create(self, target: ResolvedTarget, region: str) -> Json:
        """The template's configuration file holds parameters, tags and stack policy, where the
        package function writes one."""
        declaration = self.functions.pipeline.declaration
        itself = declaration.packages_itself
        templates = BUILD_OUTPUT if itself else PACKAGE_OUTPUT
        template = declaration.region_names.get(region, region) if itself else region
        parameters = target.declared.parameters_in(region)
        configuration = {
            "TemplatePath": f"{templates}::template-export-{template}.yml",
            "TemplateConfiguration": (
                None if itself else f"{templates}::{configuration_name(target.name, region)}"
            ),
            "RoleArn": role_arn(target.account, CLOUDFORMATION_ROLE),
            "Capabilities": ",".join(target.declared.capabilities) or None,
            "ParameterOverrides": _json(parameters) if itself and parameters else None,
        }
        return self._change_set(CREATE, target, region, configuration, inputs=(templates,))

    def _change_set(
        self,
        action_type: tuple[str, str],
        target: ResolvedTarget,
        region: str,
        configuration: Json,
        *,
        inputs: tuple[str, ...] = (),
    ) -> Json:
        verb, mode = action_type
        where = region if len(self.group) == 1 else f"{target.name}-{region}"
        return _action(
            f"{verb}ChangeSet-{where}",
            ("Deploy", "AWS", "CloudFormation"),
            {
                "ActionMode": mode,
                "StackName": target.declared.stack,
                "ChangeSetName": change_set_name(self.functions.pipeline.name, EXECUTION),
                **_given(configuration),
            },
            inputs=inputs,
            Region=region,
            RoleArn=role_arn(target.account, DEPLOY_ROLE),
        )

    def _invoke(self, do: str, name: str, *, wave: int | None = None, **more: Any) -> Json:
        """An action of the review function, or of the one that watches a rollout, on all of the
        targets."""
        function = self.functions.rollout if do == "bake" else self.functions.review
        told = _given({"do": do, "target": self._lead.name, "wave": wave})
        return self.functions.action(name, function, told, **more)

    def _approve(self, approval: Approval) -> Json:
        """Without Region: a manual approval can only be in the pipeline's own (AWS CodePipeline
        User Guide, "Add a cross-Region action")."""
        review = self._lead.review_namespace
        return _action(
            "Approve",
            ("Approval", "AWS", "Manual"),
            {
                "NotificationArn": approval.topic,
                "CustomData": f"#{{{review}.summary}} {approval.note}".strip(),
                "ExternalEntityLink": f"#{{{review}.link}}",
            },
            **_given({"TimeoutInMinutes": approval.timeout_minutes}),
        )


def _stage(name: str, steps: Iterable[Step], **more: Any) -> Json:
    """A stage whose steps run one after the other, the actions of a step at the same time."""
    actions = [
        {**action, "RunOrder": order}
        for order, step in enumerate(steps, start=1)
        for action in step
    ]
    return {"Name": name, "Actions": actions, **more}


def _only_if_asked(namespace: str) -> Json:
    """What skips a stage where the review asks for nobody's yes (AWS CodePipeline User Guide, "How
    do stage conditions work?", and of the rule reference "VariableCheck")."""
    rule = {
        "Name": "Ask",
        "RuleTypeId": {
            "Category": "Rule",
            "Owner": "AWS",
            "Provider": "VariableCheck",
            "Version": "1",
        },
        "Configuration": {"Variable": f"#{{{namespace}.ask}}", "Value": "yes", "Operator": "EQ"},
    }
    return {"Conditions": [{"Result": "SKIP", "Rules": [rule]}]}


# The build


def _build_project(pipeline: Pipeline, names: ResourceNames) -> Json:
    build = pipeline.declaration.build
    environment = build.environment
    # Lambda's time is its own, and it keeps no cache (AWS CodeBuild User Guide, "Running builds on
    # AWS Lambda compute").
    on_instances = {
        "Cache": {"Type": "LOCAL", "Modes": ["LOCAL_CUSTOM_CACHE"]},
        "TimeoutInMinutes": build.timeout_minutes or BUILD_MINUTES,
    }
    return {
        "Type": "AWS::CodeBuild::Project",
        "Properties": {
            "Name": names.build_project_name,
            "Description": f"Builds {pipeline.name} once for all its regions",
            "ServiceRole": get_arn(names.build_role),
            # Without it CodeBuild encrypts its output with the account's S3 key, which no other
            # account can use (aws-cdk issue 4033).
            "EncryptionKey": pipeline.home_store.key_arn,
            "Source": {"Type": "CODEPIPELINE", "BuildSpec": build.buildspec},
            "Artifacts": {"Type": "CODEPIPELINE"},
            **({} if environment.on_lambda else on_instances),
            "Environment": _given(
                {
                    "Type": environment.type,
                    "ComputeType": environment.compute,
                    "Image": environment.image,
                    # With its own credentials CodeBuild pulls no image but its own and those that
                    # let it (the same guide, "Amazon ECR sample").
                    "ImagePullCredentialsType": (
                        None if environment.is_codebuilds_own else "SERVICE_ROLE"
                    ),
                    "EnvironmentVariables": list(_variables(pipeline)),
                }
            ),
            "LogsConfig": {
                "CloudWatchLogs": {"Status": "ENABLED", "GroupName": {"Ref": names.build_log}}
            },
            "Tags": [{"Key": "Name", "Value": pipeline.name}],
        },
    }


def _variables(pipeline: Pipeline) -> Iterator[Json]:
    given = {variable.name for variable in pipeline.declaration.build.variables}
    names = pipeline.declaration.region_names
    known: list[tuple[str, Any]] = []
    for region, store in pipeline.stores.items():
        for suffix in filter(None, (shell_name(region), names.get(region))):
            known += [(f"S3_BUCKET_{suffix}", store.bucket), (f"KMS_KEY_{suffix}", store.key_arn)]
        if region in names:  # the key's name in buildspecs that pipelines written by hand have
            known.append((f"KMSKey_{names[region]}", store.key_arn))
    known += [
        ("ACCOUNT_ID", {"Ref": "AWS::AccountId"}),
        ("AWSREGION", {"Ref": "AWS::Region"}),
        ("PROJECT_ID", pipeline.name),
    ]
    for name, value in known:
        if name not in given:
            yield {"Name": name, "Value": value}
    for variable in pipeline.declaration.build.variables:
        if not variable.of_the_execution:
            yield {"Name": variable.name, "Value": variable.value, "Type": variable.kind}


# The roles: one statement a purpose


def _pipeline_statements(
    pipeline: Pipeline, names: ResourceNames, functions: _Functions
) -> Iterator[Json]:
    """What CodePipeline does in the pipeline's account (AWS CodePipeline User Guide, "Manage
    the CodePipeline service role" and each action's reference). Deployments are not here: the
    pipeline assumes a role of the target account for them."""
    stores = pipeline.stores.values()
    # PutObjectAcl, because the sources send an ACL with what they store (aws-cdk, issue 13557);
    # a store's bucket has no ACLs that it could change.
    artifacts = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectAcl"]
    artifacts += pipeline.declaration.source.artifact_actions
    buckets = [arn(f"s3:::{store.bucket}") for store in stores]
    yield allow("PassArtifactsOn", artifacts, [arn(f"s3:::{store.bucket}/*") for store in stores])
    yield allow_to_find_buckets("FindArtifactStores", buckets)
    yield _use_keys("EncryptArtifacts", stores)
    yield from pipeline.declaration.source.statements()
    yield allow(
        "Build",
        ["codebuild:BatchGetBuilds", "codebuild:StartBuild", "codebuild:StopBuild"],
        get_arn(names.build_project),
    )
    invoked = {"Review": functions.review}
    if not pipeline.declaration.packages_itself:
        invoked["Package"] = functions.package
    if any(target.declared.is_watched for target in pipeline.targets):
        invoked["Bake"] = functions.rollout
    for sid, function in invoked.items():
        yield allow(sid, ["lambda:InvokeFunction"], arn_here("lambda", f"function:{function}"))
    yield allow(
        "DeployAsTheTargetAccount",
        ["sts:AssumeRole"],
        [role_arn(account, DEPLOY_ROLE) for account in pipeline.accounts],
    )
    topics = {
        target.declared.approval.topic for target in pipeline.targets if target.declared.approval
    }
    if topics:
        yield allow("AskForApproval", ["sns:Publish"], sorted(topics))


def _build_statements(pipeline: Pipeline, names: ResourceNames) -> Iterator[Json]:
    """What the build does: its log, its pipeline's artifacts, what it reads; and only where the
    buildspec packages itself, `sam package` under the project's own prefix of every region."""
    home = pipeline.home_store
    yield allow(
        "WriteLog",
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        get_arn(names.build_log),
    )
    yield allow(
        "PassArtifactsOn",
        ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"],
        arn(f"s3:::{home.bucket}/{pipeline.name[:ARTIFACT_FOLDER]}/*"),
    )
    if pipeline.declaration.packages_itself:
        stores = pipeline.stores.values()
        prefixes = (f"{pipeline.name}/builds/*", f"{pipeline.name}/releases/*")
        yield allow(
            "PackageForRegions",
            ["s3:GetObject", "s3:PutObject"],
            [arn(f"s3:::{store.bucket}/{prefix}") for store in stores for prefix in prefixes],
        )
        yield _use_keys("EncryptArtifacts", stores)
    else:
        yield _use_keys("EncryptArtifacts", [home])
    variables = pipeline.declaration.build.variables
    parameters = [
        arn_here("ssm", f"parameter/{variable.value.lstrip('/')}")
        for variable in variables
        if variable.kind == "PARAMETER_STORE"
    ]
    if parameters:
        yield allow("ReadParameters", ["ssm:GetParameters"], parameters)
    secrets = {
        variable.secret_id: _secret_arn(variable.secret_id)
        for variable in variables
        if variable.kind == "SECRETS_MANAGER"
    }
    if secrets:
        yield allow("ReadSecrets", ["secretsmanager:GetSecretValue"], list(secrets.values()))
    yield from _decryption_statements(variables)
    repository = pipeline.declaration.build.environment.ecr_repository
    if repository:
        # AWS CodeBuild User Guide, "Amazon ECR sample"; a token is for no repository.
        yield allow("LogInToRegistry", ["ecr:GetAuthorizationToken"], "*")
        region, account, name = repository
        yield allow(
            "PullImage",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            arn(f"ecr:{region}:{account}:repository/{name}"),
        )


def _secret_arn(secret: str) -> Any:
    """The ARN of a secret that is given by name, by ARN, or by ARN without the six characters that
    Secrets Manager puts at its end (AWS Secrets Manager User Guide, "Resource ARNs": a name is not
    to end with a hyphen and six characters)."""
    if not secret.startswith("arn:"):
        return arn_here("secretsmanager", f"secret:{secret}-??????")
    return secret if re.search("-[A-Za-z0-9]{6}$", secret) else f"{secret}-??????"


def _decryption_statements(variables: tuple[Variable, ...]) -> Iterator[Json]:
    """The keys of parameters and secrets that are not encrypted with the account's own."""
    for kind, service, sid in (
        ("PARAMETER_STORE", "ssm", "DecryptParameters"),
        ("SECRETS_MANAGER", "secretsmanager", "DecryptSecrets"),
    ):
        keys = sorted(
            {each.kms_key_arn for each in variables if each.kind == kind and each.kms_key_arn}
        )
        if keys:
            yield allow(sid, ["kms:Decrypt"], keys, StringEquals=via(service, keys))


def _use_keys(sid: str, stores: Iterable[ArtifactStore]) -> Json:
    """The key permissions of a pipeline that crosses accounts (AWS CodePipeline User Guide,
    "Create a pipeline that uses resources from another AWS account")."""
    return allow(
        sid,
        ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
        [store.key_arn for store in stores],
    )


# Notifications


def _notifications(pipeline: Pipeline, names: ResourceNames) -> dict[str, Json]:
    """Rules that hand the pipeline's own events to the topic (AWS CodePipeline User Guide,
    "Monitoring CodePipeline events"). A notification rule would need a service-linked role that an
    account's first one finds missing, and is not to be had in every region with CodePipeline."""
    told = pipeline.declaration.notifications
    if not told:
        return {}
    rules: dict[str, Json] = {}
    if told.states:
        rules[names.notification_rule] = _notification_rule(
            f"Tells of executions of {pipeline.name}",
            "CodePipeline Pipeline Execution State Change",
            {"pipeline": [pipeline.name], "state": list(told.states)},
            told.topic,
        )
    if told.approvals:
        rules[names.approval_rule] = _notification_rule(
            f"Tells of approvals that {pipeline.name} waits for",
            "CodePipeline Action Execution State Change",
            {
                "pipeline": [pipeline.name],
                "type": {"category": ["Approval"]},
                "state": ["STARTED"],
            },
            told.topic,
        )
    return rules


def _notification_rule(description: str, detail_type: str, detail: Json, topic: str) -> Json:
    return event_rule(
        description,
        {"source": ["aws.codepipeline"], "detail-type": [detail_type], "detail": detail},
        {"Id": "topic", "Arn": topic},
    )


# Limits


def _over_limits(
    pipeline: Pipeline, resources: Mapping[str, Json], logical_id: str
) -> Iterator[str]:
    stages = resources[logical_id]["Properties"]["Stages"]
    if len(stages) > STAGES:
        yield (
            f"Targets: they make {len(stages)} stages and CodePipeline takes {STAGES}; write "
            "larger Waves, or declare two pipelines"
        )
    groups = {name: group for group in pipeline.groups for name in group[0].stages}
    for stage in stages:
        yield from _over_stage_limits(stage, groups.get(stage["Name"], ()))
    actions = sum(len(stage["Actions"]) for stage in stages)
    if actions > ACTIONS_OF_PIPELINE:
        yield (
            f"Targets: they make {actions} actions and CodePipeline takes {ACTIONS_OF_PIPELINE}; "
            "declare two pipelines"
        )
    for resource in resources.values():
        if resource["Type"] == "AWS::IAM::Role":
            yield from _over_policy_limit(resource["Properties"])
    size = len(_json(resources).encode())
    if size > TEMPLATE_BYTES:
        yield (
            f"Targets: they make a template of {size:,} bytes and CloudFormation takes "
            f"{TEMPLATE_BYTES:,}; declare two pipelines"
        )


# The field of a declaration that becomes a value of an action, and how it gets shorter.
_TOO_LONG = {
    "ParameterOverrides": (
        ".Parameters",
        "give the template defaults, or read values from Parameter Store",
    ),
    "EnvironmentVariables": ("Build.Environment", "let fewer of them hold #{Namespace.Variable}"),
}


def _over_stage_limits(stage: Json, group: Group) -> Iterator[str]:
    """`group` are the targets whose stage it is, none for the stages before them."""
    where = f"Targets[{group[0].name}]" if group else "Targets"
    names = [stage["Name"], *(action["Name"] for action in stage["Actions"])]
    for name in names:
        if len(name) > NAME:
            yield (
                f"{where}.Name: {name} would have {len(name)} characters and CodePipeline takes "
                f"{NAME}; choose a shorter one"
            )
    if len(stage["Actions"]) > ACTIONS_OF_STAGE:
        if len(group) > 1:
            place, way_out = ".Parallel", "remove it from one of those that run together"
        elif group and stage["Name"] != group[0].name:
            place, way_out = ".Waves", "write smaller ones"
        else:
            place, way_out = ".Regions", "spread the regions over two targets"
        yield (
            f"{where}{place}: they make {len(stage['Actions'])} actions and a stage takes "
            f"{ACTIONS_OF_STAGE}; {way_out}"
        )
    for action in stage["Actions"]:
        for name, value in action["Configuration"].items():
            if isinstance(value, str) and len(value) > CONFIGURATION_VALUE:
                field, way_out = _TOO_LONG.get(name, ("", "shorten it"))
                place = field if not group and field else f"{where}{field}"
                yield (
                    f"{place}: {name} of {action['Name']} has {len(value)} characters and "
                    f"CodePipeline takes {CONFIGURATION_VALUE}; {way_out}"
                )


def _over_policy_limit(properties: Json) -> Iterator[str]:
    policies = [policy["PolicyDocument"] for policy in properties["Policies"]]
    size = len("".join(_json(_written_out(policies)).split()))
    if size > ROLE_POLICY:
        yield (
            f"Targets: role {properties['RoleName']} would need a policy of {size:,} characters "
            f"and IAM takes {ROLE_POLICY:,}; declare two pipelines with fewer regions or accounts "
            "each"
        )


def _written_out(value: Any) -> Any:
    """The value with its function calls as long as what CloudFormation makes of them, or a
    little longer."""
    if isinstance(value, dict):
        if set(value) == {"Fn::Sub"}:
            return value["Fn::Sub"]
        return {name: _written_out(item) for name, item in value.items()}
    return [_written_out(item) for item in value] if isinstance(value, list) else value
