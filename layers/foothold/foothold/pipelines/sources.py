"""Where a pipeline's code comes from: one class a type of source, with all that is about it.

A new type of source is a class here, a member of the union `Source`, and its form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, get_args

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
    secret_value,
    via,
)


class SourceType(Protocol):
    """What every type of source has to say: without one of these it cannot be made, says mypy.

    `name` is its field in a declaration; `action_owner` and `provider` are its action's, and
    `variables` what that action gives (AWS CodePipeline User Guide, "Action structure reference",
    of each action the "Output variables").
    """

    name: ClassVar[str]
    action_owner: ClassVar[str]
    provider: ClassVar[str]
    variables: ClassVar[tuple[str, ...]]
    # What the pipeline's role does with artifacts, beside what it does for every source.
    artifact_actions: ClassVar[tuple[str, ...]] = ()

    def configuration(self) -> Json:
        """The configuration of the source action. None polls: an event, a webhook or the
        connection starts the pipeline."""
        ...

    def statements(self) -> Iterator[Json]:
        """What the pipeline's role may do to read the source."""
        ...

    def start(self, names: ResourceNames) -> dict[str, Json]:
        """The resources that start the pipeline when the source changes, by logical id."""
        ...

    def problems(self, _home_region: str) -> Iterator[str]:
        """A line for each field that does not fit a pipeline in this region."""
        yield from ()

    @staticmethod
    def shown(configuration: Mapping[str, Any]) -> str:
        """How a picture names the source that an action with this configuration reads."""
        ...


@dataclass(frozen=True, slots=True)
class CodeConnections(SourceType):
    """A repository reached through an AWS CodeConnections connection."""

    connection_arn: str
    repository: str
    branch: str

    name = "CodeConnections"
    action_owner = "AWS"
    provider = "CodeStarSourceConnection"
    variables = (
        *("AuthorDate", "AuthorDisplayName", "AuthorEmail", "AuthorId", "BranchName"),
        *("CommitId", "CommitMessage", "ConnectionArn", "FullRepositoryName", "ProviderType"),
    )

    def configuration(self) -> Json:
        return {
            "ConnectionArn": self.connection_arn,
            "FullRepositoryId": self.repository,
            "BranchName": self.branch,
            "OutputArtifactFormat": "CODE_ZIP",
            "DetectChanges": "true",
        }

    def statements(self) -> Iterator[Json]:
        """The service was renamed, and a connection may be asked for by either name, whichever its
        ARN says (awslabs/landing-zone-accelerator-on-aws, issues 828 and 1083)."""
        services = ("codeconnections", "codestar-connections")
        partition, _, rest = self.connection_arn.split(":", 3)[1:]
        yield allow(
            "ReadSource",
            [f"{service}:UseConnection" for service in services],
            [f"arn:{partition}:{service}:{rest}" for service in services],
        )

    def start(self, _names: ResourceNames) -> dict[str, Json]:
        return {}  # the connection does, by DetectChanges

    @staticmethod
    def shown(configuration: Mapping[str, Any]) -> str:
        return str(configuration["FullRepositoryId"])


@dataclass(frozen=True, slots=True)
class GitHub(SourceType):
    """A GitHub repository with an OAuth token, kept as one key of a Secrets Manager secret.

    `webhook_secret` is the name or ARN of the secret that signs GitHub's calls, which may go on
    with `:key`; None has one made.
    """

    owner: str
    repository: str
    branch: str
    secret: str
    secret_key: str
    webhook_secret: str | None = None

    name = "GitHub"
    action_owner = "ThirdParty"
    provider = "GitHub"
    variables = (
        *("AuthorDate", "BranchName", "CommitId", "CommitMessage", "CommitUrl"),
        *("CommitterDate", "RepositoryName"),
    )

    def configuration(self) -> Json:
        return {
            "Owner": self.owner,
            "Repo": self.repository,
            "Branch": self.branch,
            "PollForSourceChanges": "false",
            "OAuthToken": secret_value(self.secret, self.secret_key),
        }

    def statements(self) -> Iterator[Json]:
        yield from ()  # read with the token that the action carries

    def start(self, names: ResourceNames) -> dict[str, Json]:
        """The webhook, and the secret that GitHub signs its calls with where none is given. It is
        never the token: the secret can start the pipeline, the token can do what its owner can."""
        made: dict[str, Json] = {}
        if self.webhook_secret is None:
            token: Any = {"Fn::Sub": secret_value(f"${{{names.webhook_secret}}}")}
            made[names.webhook_secret] = {
                "Type": "AWS::SecretsManager::Secret",
                "Properties": {
                    "Name": names.webhook_secret_name,
                    "Description": "What GitHub signs its calls to the pipeline's webhook with",
                    "GenerateSecretString": {"ExcludePunctuation": True, "PasswordLength": 64},
                },
            }
        else:
            parts = self.webhook_secret.split(":")
            length = 7 if parts[0] == "arn" else 1
            token = secret_value(":".join(parts[:length]), "".join(parts[length : length + 1]))
        made[names.webhook] = {
            "Type": "AWS::CodePipeline::Webhook",
            "Properties": {
                "Authentication": "GITHUB_HMAC",
                "AuthenticationConfiguration": {"SecretToken": token},
                "Filters": [{"JsonPath": "$.ref", "MatchEquals": f"refs/heads/{self.branch}"}],
                "RegisterWithThirdParty": True,
                "TargetAction": "Source",
                "TargetPipeline": {"Ref": names.logical_id},
                "TargetPipelineVersion": {"Fn::GetAtt": [names.logical_id, "Version"]},
            },
        }
        return made

    @staticmethod
    def shown(configuration: Mapping[str, Any]) -> str:
        return f"{configuration['Owner']}/{configuration['Repo']}"


READ_TAGS = ("s3:GetObjectTagging", "s3:GetObjectVersionTagging")


@dataclass(frozen=True, slots=True)
class S3Object(SourceType):
    """A zip in a versioned bucket whose events go to EventBridge. `kms_key_arn` is the ARN of the
    customer managed key that the bucket encrypts it with, if any."""

    bucket: str
    key: str
    kms_key_arn: str | None = None

    name = "S3"
    action_owner = "AWS"
    provider = "S3"
    variables = ("BucketName", "ETag", "ObjectKey", "VersionId")
    # An artifact has the tags of the object that it is made from.
    artifact_actions = (*READ_TAGS, "s3:PutObjectTagging")

    def configuration(self) -> Json:
        return {
            "S3Bucket": self.bucket,
            "S3ObjectKey": self.key,
            "PollForSourceChanges": "false",
        }

    def statements(self) -> Iterator[Json]:
        if self.kms_key_arn:
            through_s3 = via("s3", [self.kms_key_arn])
            yield allow("DecryptSource", ["kms:Decrypt"], self.kms_key_arn, StringEquals=through_s3)
        yield allow(
            "ReadSource",
            ["s3:GetObject", "s3:GetObjectVersion", *READ_TAGS],
            arn(f"s3:::{self.bucket}/{self.key}"),
        )
        yield allow_to_find_buckets("WatchSource", arn(f"s3:::{self.bucket}"))

    def start(self, names: ResourceNames) -> dict[str, Json]:
        """The bucket must send its events to EventBridge."""
        return _start_by_event(
            names,
            {
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {"bucket": {"name": [self.bucket]}, "object": {"key": [self.key]}},
            },
        )

    def problems(self, home_region: str) -> Iterator[str]:
        region = self.kms_key_arn.split(":")[3] if self.kms_key_arn else home_region
        if region != home_region:
            yield (
                f"Source.S3.KmsKeyArn: the key is in {region}, and a source is in the pipeline's "
                f"own region; write the ARN of the bucket's key in {home_region}"
            )

    @staticmethod
    def shown(configuration: Mapping[str, Any]) -> str:
        return f"s3://{configuration['S3Bucket']}/{configuration['S3ObjectKey']}"


@dataclass(frozen=True, slots=True)
class CodeCommit(SourceType):
    """A CodeCommit repository of the pipeline's account and region."""

    repository: str
    branch: str

    name = "CodeCommit"
    action_owner = "AWS"
    provider = "CodeCommit"
    variables = (
        *("AuthorDate", "BranchName", "CommitId", "CommitMessage", "CommitterDate"),
        "RepositoryName",
    )

    def configuration(self) -> Json:
        return {
            "RepositoryName": self.repository,
            "BranchName": self.branch,
            "OutputArtifactFormat": "CODE_ZIP",
            "PollForSourceChanges": "false",
        }

    def statements(self) -> Iterator[Json]:
        yield allow(
            "ReadSource",
            [
                "codecommit:CancelUploadArchive",
                "codecommit:GetBranch",
                "codecommit:GetCommit",
                "codecommit:GetRepository",
                "codecommit:GetUploadArchiveStatus",
                "codecommit:UploadArchive",
            ],
            arn_here("codecommit", self.repository),
        )

    def start(self, names: ResourceNames) -> dict[str, Json]:
        return _start_by_event(
            names,
            {
                "source": ["aws.codecommit"],
                "detail-type": ["CodeCommit Repository State Change"],
                "resources": [arn_here("codecommit", self.repository)],
                "detail": {
                    "event": ["referenceCreated", "referenceUpdated"],
                    "referenceType": ["branch"],
                    "referenceName": [self.branch],
                },
            },
        )

    @staticmethod
    def shown(configuration: Mapping[str, Any]) -> str:
        return str(configuration["RepositoryName"])


Source = CodeConnections | GitHub | S3Object | CodeCommit
SOURCES: tuple[type[Source], ...] = get_args(Source)


def _start_by_event(names: ResourceNames, pattern: Json) -> dict[str, Json]:
    """A rule that starts the pipeline at each such event, and the role in which it may."""
    start = allow("Start", ["codepipeline:StartPipelineExecution"], names.pipeline_arn)
    return {
        names.start_role: role(names.start_role_name, "events.amazonaws.com", [start]),
        names.start_rule: event_rule(
            f"Starts {names.pipeline} when its source changes",
            pattern,
            {
                "Id": "pipeline",
                "Arn": names.pipeline_arn,
                "RoleArn": get_arn(names.start_role),
            },
        ),
    }
