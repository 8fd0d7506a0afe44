"""A job of CodePipeline as a typed value (AWS CodePipeline User Guide, "AWS Lambda invoke action
reference").

What comes in is never shown or logged: a job carries credentials.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from foothold.errors import PermanentError
from foothold.reading import CLOSED, STRICT, complaints


class InvalidRequestError(PermanentError):
    """Whoever asks has to ask differently."""


Bucket = Annotated[str, Field(min_length=3, max_length=63)]
Key = Annotated[str, Field(min_length=1, max_length=1024)]
AWS = STRICT | ConfigDict(alias_generator=to_camel, validate_by_name=True)


class ObjectLocation(BaseModel):
    model_config = CLOSED

    bucket: Bucket
    key: Key


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
    """A CodePipeline job's data. `continuation_token` is what the answer before this one gave,
    None for the first call of an action."""

    model_config = AWS

    action_configuration: _ActionConfiguration
    input_artifacts: list[JobArtifact]
    output_artifacts: list[JobArtifact]
    artifact_credentials: JobCredentials
    continuation_token: str | None = None
    encryption_key: _EncryptionKey | None = None

    def user_parameters(self, help_: str) -> Any:
        """The action's UserParameters, which are JSON; `help_` says how they are written. Raises
        InvalidRequestError for what is none."""
        try:
            return json.loads(self.action_configuration.configuration.user_parameters or "{}")
        except ValueError:
            raise InvalidRequestError(f"UserParameters are not JSON; {help_}") from None


@dataclass(frozen=True, slots=True)
class Job:
    """A CodePipeline job. Its data are read only when somebody is ready to answer the job."""

    id: str
    account: str
    raw: object = field(repr=False)

    def data(self) -> JobData:
        """Raises InvalidRequestError for data that CodePipeline would not send."""
        return checked(JobData, self.raw, "the job")

    @classmethod
    def of(cls, job: object) -> "Job":
        """All that is needed to answer a job; the rest is read by whoever can answer it. Raises
        InvalidRequestError for what has no id."""
        if not isinstance(job, Mapping) or not isinstance(job.get("id"), str):
            raise InvalidRequestError("this is no job of CodePipeline: it has no id to answer to")
        return cls(job["id"], str(job.get("accountId", "")), job.get("data"))


Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], value: object, what: str) -> Model:
    """Raises InvalidRequestError with the name of each wrong field, and no value."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequestError(f"{complaints(error)} ({what})") from None
