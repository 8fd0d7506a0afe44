"""The form in which a pipeline is declared.

The properties of a `Foothold::Pipeline` resource have it, and the file that `foothold pipeline`
reads. Every error names the field and the way out.
"""

import difflib
import json
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from annotated_types import GroupedMetadata
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_pascal

from foothold.partitions import meant_region
from foothold.pipelines.build_environment import BuildEnvironment
from foothold.pipelines.declaration import (
    Approval,
    Build,
    Declaration,
    DeclarationError,
    Notifications,
    Target,
    Variable,
)
from foothold.pipelines.sources import (
    SOURCES,
    CodeCommit,
    CodeConnections,
    GitHub,
    S3Object,
    Source,
)
from foothold.pipelines.waves import Waves
from foothold.releases.model import Bake, OnFailure, Trial, When

# The successor of the image amazonlinux2-x86_64-standard; it brings sam (AWS CodeBuild User
# Guide, "Docker images provided by CodeBuild").
IMAGE = "aws/codebuild/amazonlinux-x86_64-standard:5.0"
# The image has several versions of every language and runs one, which for python is 3.11; `sam
# build` asks for the version that a function runs with (the same guide, "Runtime versions").
RUNTIMES = {"python": "3.13"}
# The whole project goes on, not only what `sam build` left in .aws-sam/build: its template still
# names definitions, nested templates and the like where they lie in the project.
BUILDSPEC = """\
version: 0.2
phases:
  install:
    runtime-versions: {runtimes}
  build:
    commands:
      - {command}
artifacts:
  files:
    - '**/*'
    - '.aws-sam/build/**/*'
  exclude-paths:
    - '.aws-sam/cache/**/*'
    - '.aws-sam/deps/**/*'
"""

# The name of a secret and of its key, not a secret.
TOKEN = "GitHubOAuthToken"  # noqa: S105  # nosec B105

# An approval that is waited for, and the states of an execution, in capital letters in the events
# themselves (AWS CodePipeline User Guide, "Monitoring CodePipeline events").
APPROVAL = "Approval"
Event = Literal["Approval", "Canceled", "Failed", "Resumed", "Started", "Succeeded", "Superseded"]


@dataclass(frozen=True)
class Written(GroupedMetadata):
    """A text of this pattern; whatever else is given is answered with the hint.

    Numbers and booleans, which CloudFormation makes of unquoted text before a macro sees it, are
    read as the text that it makes of them. `meant` finds what a wrong text was to be.
    """

    pattern: str
    hint: str
    types: tuple[str, ...] = ("string",)
    meant: Callable[[str], str | None] | None = None

    def __iter__(self) -> Iterator[object]:
        yield BeforeValidator(self._text)
        kind = self.types[0] if len(self.types) == 1 else list(self.types)
        yield WithJsonSchema(
            {"type": kind, "pattern": f"^(?:{self.pattern})$", "description": self.hint}
        )

    def _text(self, value: object) -> str:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        known = isinstance(value, str | int | float)
        if not known or not re.fullmatch(self.pattern, text, re.DOTALL):
            meant = self.meant(text) if self.meant and isinstance(value, str) else None
            raise ValueError(f"{self.hint}; did you mean {meant}?" if meant else self.hint)
        return text


def _regions(value: object) -> object:
    if value == "follow":
        return {"Follow": True}
    if isinstance(value, str) and difflib.get_close_matches(value.lower(), ["follow"], 1):
        raise ValueError("list regions, or write follow; did you mean follow?")
    if isinstance(value, str):  # a CommaDelimitedList parameter
        return _listed(value)
    if isinstance(value, list | tuple | dict):
        return value
    raise ValueError("list regions, or write follow")


def _listed(value: object) -> object:
    if isinstance(value, str):
        return [region.strip() for region in value.split(",") if region.strip()]
    return value


def _no_decimal(value: object) -> object:
    """Without quotes, 3.10 is the number 3.1."""
    return None if isinstance(value, float) else value


def _approval(value: object) -> object:
    if value is None or isinstance(value, dict):
        return value
    text = str(value).lower()
    if text in {"true", "yes", "on"}:  # as YAML 1.1 has them, which is CloudFormation's
        return {}
    if text in {"false", "no", "off"}:
        return None
    raise ValueError("write true or false, or give it When, Topic, Note and TimeoutMinutes")


Scalar = ("string", "number", "boolean")
# No control characters but tab and newline: AWS takes none.
CHARACTER = r"[^\x00-\x08\x0b-\x1f\x7f]"
Branch = Annotated[str, Written(r"\S{1,255}", "write a branch's name")]
PolicyArn = Annotated[
    str,
    Written(
        r"arn:[a-z-]+:iam::(\d{12}|aws):policy/[\w+=,.@/-]{1,512}",
        "write a managed policy's ARN, arn:aws:iam::ACCOUNT:policy/NAME",
    ),
]
PipelineName = Annotated[
    str,
    Written(
        "[A-Za-z][A-Za-z0-9-]{0,39}",
        "write 1 to 40 letters, digits and hyphens, beginning with a letter",
    ),
]
TargetName = Annotated[
    str,
    Written("[A-Za-z0-9.@_-]{1,100}", "write a stage's name: letters, digits and any of . @ _ -"),
]
StackName = Annotated[
    str,
    Written(
        "[A-Za-z][A-Za-z0-9-]{0,127}",
        "write a stack's name: letters, digits and hyphens, beginning with a letter",
    ),
]
Account = Annotated[
    str, Written(r"\d{12}", 'write the account\'s 12 digits in quotes, such as "222222222222"')
]
Region = Annotated[
    str,
    Written(
        r"[a-z]+(-[a-z]+)+-\d+",
        "write the name of a region, such as eu-central-1",
        meant=meant_region,
    ),
]
RegionAlias = Annotated[
    str, Written("[A-Za-z0-9_]{1,40}", "write 1 to 40 letters, digits and underscores")
]
VariableName = Annotated[
    str, Written("[A-Za-z_][A-Za-z0-9_]*", "write letters, digits and underscores, no digit first")
]
RuntimeName = Annotated[
    str, Written("[a-z]{1,20}", "write a language as CodeBuild names it, such as python or nodejs")
]
RuntimeVersion = Annotated[
    str,
    Written("[a-z0-9.]{1,20}", 'write a version in quotes, such as "3.13"'),
    BeforeValidator(_no_decimal),
]
# What stands in a command line as it is.
BuildParameter = Annotated[
    str,
    Written(
        "[A-Za-z0-9_.,:/@+-]{1,255}", "write letters, digits and any of _ . , : / @ + -", Scalar
    ),
]
ParameterName = Annotated[
    str, Written("[A-Za-z0-9]{1,255}", "write the name of a template's parameter")
]
ParameterValue = Annotated[
    str, Written(f"{CHARACTER}{{0,1000}}", "write a text, a number, or true or false", Scalar)
]
StackParameterValue = Annotated[
    str,
    Written(
        f"{CHARACTER}{{0,4096}}",
        "write a text of at most 4096 characters, a number, or true or false",
        Scalar,
    ),
]
# What tags are made of, whatever they are put on (AWS General Reference, "Tag naming limits and
# requirements"): letters, digits, spaces and + - = . _ : / @.
TAG_CHARACTER = r"[^\x00-\x1f!-*,;<>?\[-^`{-\x7f]"
TAG_HINT = "letters, digits, spaces and any of + - = . _ : / @"
TagKey = Annotated[
    str,
    Written(
        rf"(?!([Aa][Ww][Ss]|[Ff]oothold):){TAG_CHARACTER}{{1,128}}",
        f"write 1 to 128 {TAG_HINT}; what begins with aws: or foothold: is not yours",
    ),
]
TagValue = Annotated[
    str,
    Written(rf"({TAG_CHARACTER}|#\{{[^{{}}]*\}}){{1,256}}", f"write 1 to 256 {TAG_HINT}", Scalar),
]
# AWS CloudFormation User Guide, "Understand CloudFormation quotas": 50 tags a stack, of which
# Foothold has two.
TAGS = 48
# Amazon CloudWatch API Reference, "PutMetricAlarm" and "DescribeAlarms": 1 to 255 characters, none
# of them ASCII's control characters; 100 names in one question.
AlarmName = Annotated[
    str,
    Written(
        r"(?=.*[^:\s])(?!.*#\{)[^\x00-\x1f\x7f]{1,255}",
        "write an alarm's name: 1 to 255 characters, more than colons, without variables",
    ),
]
ALARMS = 100
# A Lambda action of CodePipeline ends after 24 hours (AWS CodePipeline User Guide, "Quotas in AWS
# CodePipeline"): what is watched must be over before.
BAKE_MINUTES = 1380
TrialName = Annotated[str, Written("[A-Za-z0-9_-]{1,64}", "write 1 to 64 letters, digits, - and _")]
ProjectName = Annotated[
    str, Written("[A-Za-z0-9][A-Za-z0-9_-]{1,149}", "write the name of a CodeBuild project")
]
FunctionName = Annotated[
    str, Written("[A-Za-z0-9_-]{1,64}", "write the name of a function in the pipeline's account")
]
# AWS Secrets Manager User Guide, "What's in a Secrets Manager secret"; AWS CodeBuild User Guide,
# "Build specification reference": secret-id:json-key:version-stage:version-id.
SECRET_NAME = "[A-Za-z0-9/_+=.@-]{1,512}"  # noqa: S105  # nosec B105  # a pattern
SECRET_ARN = rf"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{{12}}:secret:{SECRET_NAME}"  # nosec B105
SECRET_PARTS = r"(:[^:\s]*){0,3}"  # noqa: S105  # nosec B105  # a pattern
KeyArn = Annotated[
    str,
    Written(
        r"arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+",
        "write the ARN of a KMS key, such as "
        "arn:aws:kms:eu-central-1:111111111111:key/11111111-2222-3333-4444-555555555555",
    ),
]
TopicArn = Annotated[
    str,
    Written(
        r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+",
        "write the ARN of an SNS topic, such as arn:aws:sns:eu-central-1:111111111111:releases",
    ),
]


class Form(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_pascal, use_attribute_docstrings=True
    )


class SourceTypeForm(Form):
    @abstractmethod
    def source(self) -> Source: ...


class CodeConnectionsForm(SourceTypeForm):
    """A repository reached through an AWS CodeConnections connection."""

    connection_arn: Annotated[
        str,
        Written(
            r"arn:[a-z-]+:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}"
            r":connection/[a-z0-9-]+",
            "write the ARN of a CodeConnections connection",
        ),
    ]
    repository: Annotated[
        str, Written(r"[^/\s]+/\S+", "write owner/name, as the repository's host spells it")
    ]
    branch: Branch = "main"

    def source(self) -> Source:
        return CodeConnections(self.connection_arn, self.repository, self.branch)


class GitHubForm(SourceTypeForm):
    """A GitHub repository with an OAuth token in Secrets Manager. A connection needs no token."""

    owner: Annotated[str, Written(r"[A-Za-z0-9-]{1,39}", "write the repository's owner")]
    repository: Annotated[str, Written(r"[A-Za-z0-9._-]{1,100}", "write the repository's name")]
    branch: Branch = "main"
    secret: Annotated[
        str,
        Written(f"{SECRET_NAME}|{SECRET_ARN}", "write the secret's name or ARN in Secrets Manager"),
    ] = TOKEN
    secret_key: Annotated[str, Written(SECRET_NAME, "write the key of the secret's JSON")] = TOKEN
    webhook_secret: (
        Annotated[
            str,
            Written(
                f"({SECRET_NAME}|{SECRET_ARN})(:[^:\\s]+)?",
                "write the name or ARN of the webhook's own secret, or name:key",
            ),
        ]
        | None
    ) = None
    """What signs GitHub's calls, never the token: a secret's name or ARN, which may go on with
    `:key`. One is made where nothing is said."""

    def source(self) -> Source:
        return GitHub(
            self.owner,
            self.repository,
            self.branch,
            self.secret,
            self.secret_key,
            self.webhook_secret,
        )


class S3Form(SourceTypeForm):
    """A zip in a versioned bucket that sends its events to EventBridge."""

    bucket: Annotated[str, Written(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "write a bucket's name")]
    key: Annotated[str, Written(r"[^*?$]{1,1000}", "write the object's key, without wildcards")]
    kms_key_arn: KeyArn | None = None
    """The key that the bucket encrypts with, where it is a key of your own."""

    def source(self) -> Source:
        return S3Object(self.bucket, self.key, self.kms_key_arn)


class CodeCommitForm(SourceTypeForm):
    """A CodeCommit repository of the pipeline's account and region."""

    repository: Annotated[str, Written(r"[A-Za-z0-9._-]{1,100}", "write the repository's name")]
    branch: Branch = "main"

    def source(self) -> Source:
        return CodeCommit(self.repository, self.branch)


class SourceForm(Form):
    """Where the code comes from: exactly one of the four."""

    code_connections: CodeConnectionsForm | None = None
    git_hub: GitHubForm | None = None
    s3: S3Form | None = None
    code_commit: CodeCommitForm | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self._given) != 1:
            names = ", ".join(source.name for source in SOURCES)
            raise ValueError(f"give exactly one of {names}")
        return self

    @property
    def _given(self) -> list[SourceTypeForm]:
        return [form for _, form in self if form]

    def source(self) -> Source:
        return self._given[0].source()


class VariableForm(Form):
    """A text; or `Parameter`, a name in Parameter Store; or `Secret`, a name or ARN in Secrets
    Manager, which may go on with `:key:stage:id`. `Key` is the KMS key of the latter two."""

    model_config = ConfigDict(json_schema_extra={"type": ["object", *Scalar]})

    value: ParameterValue | None = None
    parameter: (
        Annotated[str, Written(r"[A-Za-z0-9_./-]{1,1011}", "write a parameter's name")] | None
    ) = None
    secret: (
        Annotated[
            str,
            Written(
                f"({SECRET_NAME}|{SECRET_ARN}){SECRET_PARTS}",
                "write a secret's name or ARN, which may go on with :key:stage:id",
            ),
        ]
        | None
    ) = None
    key: KeyArn | None = None
    """The key that encrypts the parameter or the secret, where it is a key of your own."""

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_value(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"Value": value}

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(each is not None for each in (self.value, self.parameter, self.secret)) != 1:
            raise ValueError("give a text, or exactly one of Parameter and Secret")
        if self.key is not None and self.value is not None:
            raise ValueError("a text has no Key; give it with Parameter or Secret")
        return self

    def variable(self, name: str) -> Variable:
        if self.parameter is not None:
            return Variable(name, self.parameter, "PARAMETER_STORE", self.key)
        if self.secret is not None:
            return Variable(name, self.secret, "SECRETS_MANAGER", self.key)
        return Variable(name, self.value or "")


class BuildForm(Form):
    """How the project is built: by default `sam build` on Amazon Linux."""

    image: Annotated[str, Written(r"\S{1,255}", "write a CodeBuild image")] = IMAGE
    type: Annotated[str, Written("[A-Z0-9_]+", "write a CodeBuild environment type")] | None = None
    """The environment type, such as ARM_CONTAINER; the image's own where nothing is said."""
    compute: Annotated[str, Written("[A-Z0-9_]+", "write a CodeBuild compute type")] | None = None
    """The compute type, such as BUILD_GENERAL1_MEDIUM; the smallest where nothing is said."""
    timeout_minutes: Annotated[int, Field(ge=5, le=2160)] | None = None
    """Minutes, 5 to 2160; 60 where nothing is said."""
    buildspec: (
        Annotated[str, Written(".{1,65536}", "write a path in the source, or the buildspec itself")]
        | None
    ) = None
    """A path in the source, or the buildspec itself; `sam build` where nothing is said."""
    runtimes: dict[RuntimeName, RuntimeVersion] | None = None
    """Language and version that the build runs with, such as python: "3.13"."""
    parameters: dict[ParameterName, BuildParameter] = {}
    """Parameters of the template that `sam build` needs to know."""
    environment: dict[VariableName, VariableForm] = {}

    @model_validator(mode="after")
    def _only_a_buildspec_of_ours(self) -> Self:
        if self.buildspec is not None and (self.runtimes is not None or self.parameters):
            raise ValueError(
                "a Buildspec of your own says itself what Runtimes (phases, install, "
                "runtime-versions) and Parameters (sam build --parameter-overrides) say; give "
                "one or the other"
            )
        return self

    def build(self) -> Build:
        return Build(
            BuildEnvironment(self.image, self.compute, self.type),
            self.buildspec or self._default_buildspec(),
            self.timeout_minutes,
            tuple(form.variable(name) for name, form in self.environment.items()),
        )

    def _default_buildspec(self) -> str:
        given = RUNTIMES if self.runtimes is None else self.runtimes
        # python3.13, as a function's Runtime has it, is version 3.13 of python.
        runtimes = {name: version.removeprefix(name) for name, version in given.items()}
        command = "sam build"
        if self.parameters:
            pairs = (f"{name}={value}" for name, value in self.parameters.items())
            command = f"{command} --parameter-overrides {' '.join(pairs)}"
        # YAML reads JSON, and takes nothing in it for a number.
        return BUILDSPEC.format(runtimes=json.dumps(runtimes), command=json.dumps(command))


class FollowForm(Form):
    """The regions that have an artifact store, but for some."""

    follow: Annotated[
        Literal[True], BeforeValidator(lambda value: str(value).lower() == "true" or value)
    ]
    """write true"""
    without: Annotated[tuple[Region, ...], BeforeValidator(_listed), Field(alias="Except")] = ()
    """Regions that this target's account has not enabled, or is not to have."""


# Alternatives by their tags, which no property is named like: they are left out of a field's name.
# What tells them apart in a schema.
FOLLOW, LISTED = "[follow]", "[listed]"
ALTERNATIVES = {FOLLOW: "$ref", LISTED: "items"}
Regions = Annotated[
    Annotated[FollowForm, Tag(FOLLOW)] | Annotated[tuple[Region, ...], Tag(LISTED)],
    Discriminator(lambda value: LISTED if isinstance(value, list | tuple) else FOLLOW),
    BeforeValidator(_regions),
    Field(
        description="list regions, or write follow: those that have an artifact store",
        json_schema_extra=lambda schema: schema["oneOf"].insert(0, {"const": "follow"}),
    ),
]


class ApprovalForm(Form):
    """A person's yes between the change sets and their execution."""

    when: When = When.ALWAYS
    """always; changes: where anything changes anywhere; risk: where something is replaced, removed
    or made more open."""
    topic: TopicArn | None = None
    note: Annotated[str, Written(f"{CHARACTER}{{0,700}}", "write at most 700 characters")] = ""
    timeout_minutes: Annotated[int, Field(ge=5, le=86_400)] | None = None
    """Minutes, 5 to 86400; seven days where nothing is said."""


def _waves(value: object) -> Waves | None:
    """Sizes, lists of regions, or a region that comes first."""
    if value is None:
        return None
    if isinstance(value, str):  # a CommaDelimitedList parameter
        value = _listed(value)
    if isinstance(value, Mapping) and set(value) == {"First"}:
        value = [[value["First"]]]
    if isinstance(value, list | tuple) and value:
        sizes = [str(size) for size in value if not isinstance(size, bool | list | tuple)]
        if len(sizes) == len(value) and all(re.fullmatch("[1-9][0-9]{0,3}", one) for one in sizes):
            return Waves(sizes=tuple(map(int, sizes)))
        if all(isinstance(wave, list | tuple) and wave for wave in value) and all(
            isinstance(region, str) for wave in value for region in wave
        ):
            return Waves(lists=tuple(tuple(wave) for wave in value))
    raise ValueError(
        "write how many regions each wave has, such as [1, 3, 12], or a list of regions for each, "
        "or {First: REGION}"
    )


_REGION = {"type": "string", "pattern": "^[a-z]+(-[a-z]+)+-\\d+$"}
WAVES_SCHEMA = {
    "oneOf": [
        {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1}},
        {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "minItems": 1, "items": _REGION},
        },
        {
            "type": "object",
            "properties": {"First": _REGION},
            "required": ["First"],
            "additionalProperties": False,
        },
        {"type": "null"},
    ]
}


class BakeForm(Form):
    """How each wave is watched before the next one begins."""

    minutes: Annotated[int, Field(ge=0, le=BAKE_MINUTES)] = 0
    """Minutes, 0 to 1380: an action of CodePipeline ends after a day."""
    alarms: tuple[AlarmName, ...] = ()
    """Names of CloudWatch alarms, which each account and region of the wave has."""

    @model_validator(mode="after")
    def _something_is_watched(self) -> Self:
        if not self.minutes and not self.alarms:
            raise ValueError("it waits for nothing and watches nothing; give it Minutes or Alarms")
        if len(self.alarms) > ALARMS:
            raise ValueError(
                f"it names {len(self.alarms)} alarms and CloudWatch tells of {ALARMS} at a time; "
                "name a composite alarm for them"
            )
        return self


class TrialForm(Form):
    """What is run after a wave: a CodeBuild project or a function of the pipeline's account."""

    name: TrialName
    project: ProjectName | None = None
    function: FunctionName | None = None
    each_region: bool = False
    """Once for each region of the wave, and not once for all of them."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.project is None) == (self.function is None):
            raise ValueError("give exactly one of Project and Function")
        return self

    def trial(self) -> Trial:
        return Trial(self.name, self.project or "", self.function or "", self.each_region)


StackAction = Annotated[
    str,
    Written(
        r"Update:(Modify|Replace|Delete|\*)",
        "write Update:Modify, Update:Replace, Update:Delete or Update:*",
    ),
]
StackResource = Annotated[
    str, Written(r"\*|LogicalResourceId/[A-Za-z0-9*]+", "write * or LogicalResourceId/NAME")
]


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


Several = BeforeValidator(_several)
ONE_OR_MORE = {"type": ["array", "string"]}


class StackStatementForm(Form):
    """One statement of a stack policy, as CloudFormation has it."""

    effect: Literal["Allow", "Deny"]
    principal: Literal["*"]
    action: Annotated[
        tuple[StackAction, ...] | None, Several, Field(json_schema_extra=ONE_OR_MORE)
    ] = None
    not_action: Annotated[
        tuple[StackAction, ...] | None, Several, Field(json_schema_extra=ONE_OR_MORE)
    ] = None
    resource: Annotated[
        tuple[StackResource, ...] | None, Several, Field(json_schema_extra=ONE_OR_MORE)
    ] = None
    not_resource: Annotated[
        tuple[StackResource, ...] | None, Several, Field(json_schema_extra=ONE_OR_MORE)
    ] = None
    condition: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _what_and_where(self) -> Self:
        if (self.action is None) == (self.not_action is None):
            raise ValueError("give exactly one of Action and NotAction")
        if (self.resource is None) == (self.not_resource is None):
            raise ValueError("give exactly one of Resource and NotResource")
        return self


class StackPolicyForm(Form):
    """What an update may do to the stack's resources (AWS CloudFormation User Guide, "Prevent
    updates to stack resources")."""

    statement: tuple[StackStatementForm, ...]

    @model_validator(mode="after")
    def _something_is_said(self) -> Self:
        if not self.statement:
            raise ValueError("its Statement is empty; give at least one")
        return self

    def policy(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class TargetForm(Form):
    """One stack in one account and any number of regions: a stage of the pipeline, and one more
    for each of its waves."""

    name: TargetName
    account: Account
    regions: Regions
    stack: StackName
    parameters: dict[ParameterName, StackParameterValue] = {}
    region_parameters: dict[Region, dict[ParameterName, StackParameterValue]] = {}
    capabilities: tuple[
        Literal["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"], ...
    ] = ("CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=TAGS)] = {}
    """Tags of the stack, at most 48; foothold:release and foothold:project are beside them."""
    stack_policy: StackPolicyForm | None = None
    approval: Annotated[ApprovalForm | None, BeforeValidator(_approval)] = Field(
        default=None, json_schema_extra={"type": ["object", "boolean", "null"]}
    )
    """True, or when and who is asked, what is said and how long is waited."""
    wave_size: Annotated[int, Field(ge=1)] | None = None
    """How many regions are deployed at a time, in one stage; all of them where nothing is said."""
    waves: Annotated[Waves | None, PlainValidator(_waves), WithJsonSchema(WAVES_SCHEMA)] = None
    """How many regions each wave has, the last number for all that follow; or a list of regions
    for each; or First, a region. Each wave is a stage."""
    bake: BakeForm | None = None
    on_failure: OnFailure = OnFailure.STOP
    """stop, or rollback: the wave that fails goes back to what it was."""
    tests: tuple[TrialForm, ...] = ()
    parallel: bool = False
    """Deployed in the stages of the target before it, and as that one says."""

    def target(self, told: str | None) -> Target:
        """The target; `told` is the topic that hears of an approval without one of its own."""
        return Target(
            name=self.name,
            account=self.account,
            stack=self.stack,
            regions=None if isinstance(self.regions, FollowForm) else self.regions,
            without=self.regions.without if isinstance(self.regions, FollowForm) else (),
            parameters=self.parameters,
            region_parameters=self.region_parameters,
            capabilities=self.capabilities,
            approval=self._approval(told),
            wave=self.wave_size,
            tags=self.tags,
            stack_policy=self.stack_policy.policy() if self.stack_policy else None,
            waves=self.waves,
            bake=Bake(self.bake.minutes, self.bake.alarms) if self.bake else None,
            on_failure=self.on_failure,
            trials=tuple(form.trial() for form in self.tests),
            parallel=self.parallel,
        )

    def _approval(self, told: str | None) -> Approval | None:
        asked = self.approval
        if not asked:
            return None
        topic = asked.topic or told
        if not topic:
            line = "nobody would hear that it is waited for; give it a Topic, or Notifications"
            raise DeclarationError([f"Targets[{self.name}].Approval: {line}"])
        return Approval(topic, asked.note, asked.timeout_minutes, asked.when)


class NotificationsForm(Form):
    """Who hears of the pipeline."""

    topic: TopicArn
    events: tuple[Event, ...] = ("Approval", "Failed", "Succeeded")

    def notifications(self) -> Notifications:
        states = [event.upper() for event in dict.fromkeys(self.events) if event != APPROVAL]
        return Notifications(self.topic, APPROVAL in self.events, tuple(states))


class PipelineForm(Form):
    """A pipeline: one source, one build, and targets that are deployed one after the other."""

    name: PipelineName
    source: SourceForm
    build: BuildForm = BuildForm()
    package: Literal["function", "buildspec"] = "function"
    """function: the package function makes template-export-<region>.yml of what was built;
    buildspec: the project's own buildspec writes these files."""
    targets: tuple[TargetForm, ...]
    notifications: NotificationsForm | None = None
    region_names: dict[Region, RegionAlias] = {}
    """The project's own words for regions, as its buildspec uses them."""
    permissions_boundary: PolicyArn | None = None
    """The managed policy that bounds the pipeline's roles; the control plane's where it has one."""

    def declaration(self) -> Declaration:
        """Raises DeclarationError for an approval that nobody would hear of."""
        told = self.notifications.topic if self.notifications else None
        return Declaration(
            name=self.name,
            source=self.source.source(),
            build=self.build.build(),
            targets=tuple(form.target(told) for form in self.targets),
            notifications=self.notifications.notifications() if self.notifications else None,
            packages_itself=self.package == "buildspec",
            region_names=self.region_names,
            permissions_boundary=self.permissions_boundary or "",
        )


def read_declaration(properties: object) -> Declaration:
    """The declaration that these properties (a mapping, as YAML or JSON gives it) make.

    Raises DeclarationError with one line for each field to mend. No value is repeated in it:
    an environment may hold what is nobody's business.
    """
    if not isinstance(properties, Mapping):
        raise DeclarationError(["Properties: missing; give at least Name, Source and Targets"])
    try:
        return PipelineForm.model_validate(properties).declaration()
    except ValidationError as error:
        raise DeclarationError(_lines(error, properties)) from error


def declaration_schema() -> dict[str, Any]:
    """The JSON schema of a declaration, for editors."""
    schema = PipelineForm.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _lines(error: ValidationError, properties: Mapping[str, Any]) -> Iterator[str]:
    schema = declaration_schema()
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where, hint = _field(problem["loc"], properties, schema)
        match problem["type"]:
            case "extra_forbidden":
                said = _unknown(problem["loc"], schema)
            case "missing":
                said = f"missing; {hint}" if hint else "missing; add it"
            case "value_error":
                said = problem["msg"].removeprefix("Value error, ")
            case "dict_type" | "model_type" | "mapping_type":
                said = "write a mapping of properties"
            case "tuple_type":
                said = "write a list"
            case "too_long":
                said = f"CloudFormation takes {TAGS + 2}, two are Foothold's; give at most {TAGS}"
            case "recursion_loop":
                said = "contains itself; write it out"
            case _:
                said = problem["msg"].replace("Input should", "should")
        yield f"{where}: {said}"


def _unknown(location: tuple[int | str, ...], schema: dict[str, Any]) -> str:
    """What to say of a field that is none: the one of this place that it resembles, or all."""
    node: dict[str, Any] = _resolved(schema, schema)
    for step in location[:-1]:
        node = _resolved(_below(node, step), schema)
    known = {name.lower(): name for name in node.get("properties", {})}
    near = difflib.get_close_matches(str(location[-1]).lower(), known, 1)
    if near:
        return f"unknown; did you mean {known[near[0]]}?"
    return f"unknown; remove it, here are {', '.join(known.values())}"


def _field(location: tuple[int | str, ...], value: Any, schema: dict[str, Any]) -> tuple[str, str]:
    """How a person finds the field, a target by its name, and what its schema says of it."""
    where = ""
    node: dict[str, Any] = schema
    for step in location:
        node = _resolved(node, schema)
        if isinstance(step, int):
            value = value[step] if isinstance(value, list | tuple) and step < len(value) else None
            name = value.get("Name") if isinstance(value, Mapping) else None
            where += f"[{name if isinstance(name, str) else step}]"
            node = _below(node, step)
        elif step in ALTERNATIVES:
            node = _below(node, step)
        elif step != "[key]":
            value = value.get(step) if isinstance(value, Mapping) else None
            where += f".{step}" if where else step
            node = _below(node, step)
    return where or "Properties", _resolved(node, schema).get("description", "").split("\n")[0]


def _below(node: dict[str, Any], step: int | str) -> dict[str, Any]:
    """The schema of a list's item, of a property, of what a map holds under any name, or of an
    alternative."""
    if isinstance(step, int):
        found: dict[str, Any] = node.get("items", {})
        return found
    if step in ALTERNATIVES:
        return next(each for each in node["oneOf"] if ALTERNATIVES[step] in each)
    more = node.get("additionalProperties")
    names = [*node.get("patternProperties", {}).values(), *([more] if more else [])]
    of_map = next((each for each in names if isinstance(each, dict)), {})
    return dict(node.get("properties", {}).get(step, of_map))


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What a node of the schema refers to; of alternatives, the one that is not null."""
    for option in node.get("anyOf", ()):
        if option.get("type") != "null" and ("$ref" in option or "description" not in node):
            node = {
                **option,
                **({"description": node["description"]} if "description" in node else {}),
            }
            break
    if "$ref" in node:
        target = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        return {**target, **{k: v for k, v in node.items() if k != "$ref"}}
    return node
