"""What the package function is asked, as typed values: a pipeline's job, the event of a finished
build, a direct call.

What comes in is never shown or logged: a job of CodePipeline carries credentials, an event of
CodeBuild its environment variables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from foothold.errors import PermanentError
from foothold.jobs.messages import (
    AWS,
    InvalidRequestError,
    Job,
    JobData,
    ObjectLocation,
    checked,
)
from foothold.packaging.manifest import builds_prefix
from foothold.packaging.options import Options, SigningProfile, parse_signing_profiles
from foothold.reading import CLOSED, Ignored, RegionName


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
Digest = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Execution = Annotated[str, Field(pattern="^[A-Za-z0-9-]{1,64}$")]
RelativePath = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_relative)]


class Order(BaseModel):
    """What to package, as a person writes it: the UserParameters of a pipeline's action.

    `targets` is the digest of what a pipeline publishes its releases to be made for: their regions
    are packaged for, and no others. `execution` is the pipeline's, which knows the source.
    """

    model_config = CLOSED

    project: Project
    regions: list[RegionName] = []
    template: RelativePath | None = None
    targets: Digest | None = None
    execution: Execution | None = None
    metadata: dict[str, str] = {}
    signing_profiles: Annotated[dict[str, SigningProfile], BeforeValidator(_signing_profiles)] = {}

    @model_validator(mode="after")
    def _regions_of_one_kind(self) -> Self:
        if self.targets and self.regions:
            raise ValueError('give "regions" or "targets", which have regions of their own')
        return self

    def options(self) -> Options:
        """What `sam package` is told beside them."""
        return Options(metadata=self.metadata, signing_profiles=self.signing_profiles)


class DirectCall(Order):
    """A direct invocation: what to package, and the zip that holds it."""

    source: ObjectLocation


# --- CodePipeline ----------------------------------------------------------------------------


def order_of(data: JobData) -> Order:
    """What a job's UserParameters order. Raises InvalidRequestError for what cannot be
    understood."""
    return checked(Order, data.user_parameters(ORDER_HELP), f"UserParameters; {ORDER_HELP}")


def places_of(data: JobData) -> tuple[ObjectLocation, ObjectLocation]:
    """Where a job's input and output lie. Raises InvalidRequestError unless there is one of
    each."""
    if len(data.input_artifacts) != 1 or len(data.output_artifacts) != 1:
        raise InvalidRequestError(
            "give the action one input artifact, what `sam build` wrote, and one output "
            f"artifact, for the templates; it has {len(data.input_artifacts)} and "
            f"{len(data.output_artifacts)}"
        )
    return data.input_artifacts[0].place, data.output_artifacts[0].place


ORDER_HELP = 'write {"project": "orders"}, and, if not all, "regions": ["eu-west-1"]'


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
        return Job.of(event["CodePipeline.job"])
    if event.get("source") == "aws.codebuild":
        try:
            return _build(checked(_BuildEvent, event, "the event of CodeBuild").detail)
        except InvalidRequestError as error:  # nobody waits for an answer
            return Ignored(str(error))
    return checked(DirectCall, event, f'the request; {ORDER_HELP}, and its "source"')


def _build(detail: _Detail) -> FinishedBuild | Ignored:
    if detail.build_status != "SUCCEEDED":
        return Ignored(f"the build ended as {detail.build_status}")
    _, _, path = detail.additional_information.artifact.location.rpartition(":::")
    bucket, _, key = path.partition("/")
    if not bucket or not key:
        return FinishedBuild(detail.project_name, None)
    place = checked(ObjectLocation, {"bucket": bucket, "key": key}, "the artifact of CodeBuild")
    return FinishedBuild(detail.project_name, place)
