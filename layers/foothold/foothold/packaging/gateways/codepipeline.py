"""The artifacts that come with a job of CodePipeline."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from foothold.aws.clients import CONFIG, aws_call, error_code
from foothold.jobs.ports import ArtifactMissingError, ArtifactRefusedError
from foothold.packaging.gateways.archive import save

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK = 1 << 20  # bytes
REFUSED = frozenset({"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
MISSING = frozenset({"NoSuchBucket", "NoSuchKey", "404"})


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
