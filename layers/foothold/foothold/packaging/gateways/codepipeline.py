"""The artifacts that come with a job of CodePipeline, and what its execution has found out."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from foothold.aws.clients import CONFIG, Clients, aws_call, error_code
from foothold.jobs.ports import ArtifactMissingError, ArtifactRefusedError
from foothold.packaging.gateways.archive import save
from foothold.packaging.ports import ExecutionFacts
from foothold.releases.model import SourceFacts

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SOURCE = "Source"  # a category of actions
CHUNK = 1 << 20  # bytes
REFUSED = frozenset({"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
MISSING = frozenset({"NoSuchBucket", "NoSuchKey", "404"})


class PipelineExecutions:
    """The executions of pipelines. `facts` is a `packaging.ports.FactsOf`."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients = clients
        self._region = region

    def facts(self, pipeline: str, execution: str) -> ExecutionFacts:
        """Of an action that ran again, what it gave last: CodePipeline lists the latest first
        (AWS CodePipeline API Reference, "ListActionExecutions")."""
        variables: dict[str, str] = {}
        source: dict[str, str] = {}
        with aws_call(f"read what the execution {execution} of {pipeline} has found out"):
            client = self._clients.get("codepipeline", self._region)
            pages = client.get_paginator("list_action_executions").paginate(
                pipelineName=pipeline, filter={"pipelineExecutionId": execution}
            )
            details = [each for page in pages for each in page["actionExecutionDetails"]]
        for each in reversed(details):
            given, asked = each.get("output", {}).get("outputVariables", {}), each.get("input", {})
            if namespace := asked.get("namespace"):
                variables |= {f"{namespace}.{name}": value for name, value in given.items()}
            if asked.get("actionTypeId", {}).get("category") == SOURCE:
                source |= given
        return ExecutionFacts(
            variables,
            SourceFacts(
                source.get("CommitId", ""),
                source.get("BranchName", ""),
                source.get("CommitMessage", ""),
                source.get("CommitUrl", ""),
            ),
        )


class JobArtifacts:
    """`packaging.ports.Artifacts` with a session of the credentials that a job lends.

    `owner` is the account of the pipeline, whose artifact store this is.
    """

    def __init__(self, session: boto3.Session, owner: str) -> None:
        make: Any = session.client
        self._s3: S3Client = make("s3", config=CONFIG)
        self._owner = owner

    def fetch(self, bucket: str, key: str, target: Path) -> None:
        with _artifact_call("read", bucket, key):
            found = self._s3.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=self._owner)
            with closing(found["Body"]) as body:
                save(body.iter_chunks(CHUNK), found["ContentLength"], target)

    def store(self, bucket: str, key: str, source: Path, key_arn: str | None) -> None:
        encryption: Any = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_arn} if key_arn else {}
        )
        with _artifact_call("write", bucket, key), source.open("rb") as body:
            self._s3.put_object(
                Bucket=bucket,
                Key=key,
                ExpectedBucketOwner=self._owner,
                Body=body,
                **encryption,
            )


@contextmanager
def _artifact_call(doing: str, bucket: str, key: str) -> Iterator[None]:
    what = f"{doing} the artifact {key} in {bucket}"
    with aws_call(what):
        try:
            yield
        except ClientError as error:
            if error_code(error) in REFUSED:
                raise ArtifactRefusedError(
                    f"cannot {what}: the job's credentials may not; look at the pipeline's role, "
                    "and at the key of its artifact store"
                ) from error
            if error_code(error) in MISSING:
                raise ArtifactMissingError(f"cannot {what}: it is not there") from error
            raise
