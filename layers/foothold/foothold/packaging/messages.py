"""What the package function is asked, as typed values: a pipeline's job, the event of a finished
build, a direct call.

What comes in is never shown or logged: a job of CodePipeline carries credentials, an event of
CodeBuild its environment variables.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from foothold.errors import PermanentError
from foothold.packaging.manifest import builds_prefix
from foothold.packaging.options import Options, SigningProfile, parse_signing_profiles
from foothold.reading import CLOSED, STRICT, Ignored, RegionName, complaints


class InvalidRequestError(PermanentError):
    """Whoever asks has to ask differently."""


def _project(name: str) -> str:
    try:
        builds_prefix(name)
    except PermanentError as error:
        raise ValueError(str(error)) from None
    return name


def _relative(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("the template is named by its path in the artifact")
    return path


def _signing_profiles(value: object) -> object:
    """Profiles by resource, `Profile` or `Profile:Owner`, as `--signing-profiles` has them."""
    if not isinstance(value, Mapping):
        return value
    try:
        return parse_signing_profiles([f"{name}={profile}" for name, profile in value.items()])
    except PermanentError as error:
        raise ValueError(str(error)) from None


Project = Annotated[str, AfterValidator(_project)]
RelativePath = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_relative)]
Bucket = Annotated[str, Field(min_length=3, max_length=63)]
Key = Annotated[str, Field(min_length=1, max_length=1024)]
AWS = STRICT | ConfigDict(alias_generator=to_camel, validate_by_name=True)


class Order(BaseModel):
    """What to package, as a person writes it: the UserParameters of a pipeline's action."""

    model_config = CLOSED

    project: Project
    regions: list[RegionName] = []
    template: RelativePath | None = None
    metadata: dict[str, str] = {}
    signing_profiles: Annotated[dict[str, SigningProfile], BeforeValidator(_signing_profiles)] = {}

    def options(self) -> Options:
        """What `sam package` is told beside them."""
        return Options(metadata=self.metadata, signing_profiles=self.signing_profiles)


class ObjectLocation(BaseModel):
    model_config = CLOSED

    bucket: Bucket
    key: Key


class DirectCall(Order):
    """A direct invocation: what to package, and the zip that holds it."""

    source: ObjectLocation


# --- CodePipeline (AWS CodePipeline User Guide, "AWS Lambda invoke action reference") --------


class _S3Location(BaseModel):
    model_config = AWS

    bucket_name: Bucket
    object_key: Key


class _Location(BaseModel):
    model_config = AWS

    s3_location: Annotated[_S3Location, Field(alias="s3Location")]


class JobArtifact(BaseModel):
    model_config = AWS

    name: str
    location: _Location

    @property
    def place(self) -> ObjectLocation:
        at = self.location.s3_location
        return ObjectLocation(bucket=at.bucket_name, key=at.object_key)


class _Configuration(BaseModel):
    model_config = AWS

    user_parameters: Annotated[str, Field(alias="UserParameters")] = ""


class _ActionConfiguration(BaseModel):
    model_config = AWS

    configuration: _Configuration


class JobCredentials(BaseModel):
    """The credentials that a job lends; they appear in no text made of them."""

    model_config = AWS

    access_key_id: Annotated[str, Field(repr=False)]
    secret_access_key: Annotated[str, Field(repr=False)]
    session_token: Annotated[str, Field(repr=False)]


class _EncryptionKey(BaseModel):
    model_config = AWS

    id: str


class JobData(BaseModel):
    """A CodePipeline job's data."""

    model_config = AWS

    action_configuration: _ActionConfiguration
    input_artifacts: list[JobArtifact]
    output_artifacts: list[JobArtifact]
    artifact_credentials: JobCredentials
    encryption_key: _EncryptionKey | None = None

    def order(self) -> Order:
        """Raises InvalidRequestError for UserParameters that cannot be understood."""
        text = self.action_configuration.configuration.user_parameters
        try:
            parameters = json.loads(text or "{}")
        except ValueError:
            raise InvalidRequestError(f"UserParameters are not JSON; {ORDER_HELP}") from None
        return checked(Order, parameters, f"UserParameters; {ORDER_HELP}")

    def places(self) -> tuple[ObjectLocation, ObjectLocation]:
        """Where the input and the output lie. Raises InvalidRequestError unless there is one of
        each."""
        if len(self.input_artifacts) != 1 or len(self.output_artifacts) != 1:
            raise InvalidRequestError(
                "give the action one input artifact, what `sam build` wrote, and one output "
                f"artifact, for the templates; it has {len(self.input_artifacts)} and "
                f"{len(self.output_artifacts)}"
            )
        return self.input_artifacts[0].place, self.output_artifacts[0].place


ORDER_HELP = 'write {"project": "orders"}, and, if not all, "regions": ["eu-west-1"]'


@dataclass(frozen=True, slots=True)
class Job:
    """A CodePipeline job. Its data are read only when somebody is ready to answer the job."""

    id: str
    account: str
    raw: object = field(repr=False)

    def data(self) -> JobData:
        """Raises InvalidRequestError for data that CodePipeline would not send."""
        return checked(JobData, self.raw, "the job")


# --- CodeBuild (AWS CodeBuild User Guide, "Build notifications input format reference") ------


class _Artifact(BaseModel):
    model_config = AWS

    location: str = ""


class _Information(BaseModel):
    model_config = AWS

    artifact: _Artifact = _Artifact()


class _Detail(BaseModel):
    model_config = AWS

    build_status: Annotated[str, Field(alias="build-status")]
    project_name: Annotated[str, Field(alias="project-name")]
    additional_information: Annotated[_Information, Field(alias="additional-information")]


class _BuildEvent(BaseModel):
    model_config = AWS

    detail_type: Annotated[Literal["CodeBuild Build State Change"], Field(alias="detail-type")]
    detail: _Detail


@dataclass(frozen=True, slots=True)
class FinishedBuild:
    """A build that succeeded, and the zip that it left, if any."""

    build_project: str
    artifact: ObjectLocation | None


def parse(event: object) -> Job | FinishedBuild | DirectCall | Ignored:
    """What an event asks for, by its shape.

    Raises InvalidRequestError with one line that names each wrong field.
    """
    if not isinstance(event, Mapping):
        raise InvalidRequestError(f"the request is no JSON object; {ORDER_HELP}")
    if "CodePipeline.job" in event:
        return _job(event["CodePipeline.job"])
    if event.get("source") == "aws.codebuild":
        try:
            return _build(checked(_BuildEvent, event, "the event of CodeBuild").detail)
        except InvalidRequestError as error:  # nobody waits for an answer
            return Ignored(str(error))
    return checked(DirectCall, event, f'the request; {ORDER_HELP}, and its "source"')


def _job(job: object) -> Job:
    """All that is needed to answer a job; the rest is read by whoever can answer it."""
    if not isinstance(job, Mapping) or not isinstance(job.get("id"), str):
        raise InvalidRequestError("this is no job of CodePipeline: it has no id to answer to")
    return Job(job["id"], str(job.get("accountId", "")), job.get("data"))


def _build(detail: _Detail) -> FinishedBuild | Ignored:
    if detail.build_status != "SUCCEEDED":
        return Ignored(f"the build ended as {detail.build_status}")
    _, _, path = detail.additional_information.artifact.location.rpartition(":::")
    bucket, _, key = path.partition("/")
    if not bucket or not key:
        return FinishedBuild(detail.project_name, None)
    place = checked(ObjectLocation, {"bucket": bucket, "key": key}, "the artifact of CodeBuild")
    return FinishedBuild(detail.project_name, place)


Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], value: object, what: str) -> Model:
    """Raises InvalidRequestError with the name of each wrong field, and no value."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequestError(f"{complaints(error)} ({what})") from None
