"""The published stores' buckets, asked whose they are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.exceptions import ClientError

from foothold.aws.clients import aws_call, error_code
from foothold.aws.regional import RegionalClient
from foothold.errors import PermanentError
from foothold.stores.register import ArtifactStore

FORBIDDEN = 403


class RegionalBuckets:
    """`stores.ports.StoreBuckets` on S3."""

    def __init__(self, client: RegionalClient) -> None:
        self._client = client

    def default_key(self, store: ArtifactStore, owner: str) -> str | None:
        with _proving(store, owner, "default encryption", "s3:GetEncryptionConfiguration"):
            found = self._client.of(store).get_bucket_encryption(
                Bucket=store.bucket, ExpectedBucketOwner=owner
            )
        rule = found["ServerSideEncryptionConfiguration"]["Rules"][0]
        return rule["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID")

    def tags(self, store: ArtifactStore, owner: str) -> Mapping[str, str]:
        with _proving(store, owner, "tags", "s3:GetBucketTagging"):
            try:
                found = self._client.of(store).get_bucket_tagging(
                    Bucket=store.bucket, ExpectedBucketOwner=owner
                )
            except ClientError as error:
                if error_code(error) != "NoSuchTagSet":
                    raise
                return {}
        return {tag["Key"]: tag["Value"] for tag in found["TagSet"]}


@contextmanager
def _proving(store: ArtifactStore, owner: str, what: str, permission: str) -> Iterator[None]:
    with aws_call(f"read the {what} of bucket {store.bucket}"):
        try:
            yield
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != FORBIDDEN:
                raise
            raise PermanentError(
                f"bucket {store.bucket}, which its parameter names, is not open to account "
                f"{owner}: it belongs to another account, or the caller lacks {permission}"
            ) from error
