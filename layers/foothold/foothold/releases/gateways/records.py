"""Small objects in the artifact stores of many regions, written under a condition."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypedDict, Unpack

from botocore.exceptions import ClientError

from foothold.aws.clients import aws_call, error_code
from foothold.aws.regional import RegionalClient
from foothold.stores.register import ArtifactStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# What S3 answers to a write whose condition does not hold: another object is there; none is there
# to be written over (Amazon S3 User Guide, "How to prevent object overwrites with conditional
# writes").
CONDITION_FAILED = frozenset({"PreconditionFailed", "NoSuchKey"})


# What a browser takes an object for that somebody opens in the console.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".yml": "application/yaml",
}


class _Condition(TypedDict, total=False):
    IfNoneMatch: str
    IfMatch: str


class RegionalRecords:
    """`releases.ports.Records` on S3. Any thread may use it.

    `account` tells the caller's own account: every bucket has to be that account's. A write that
    met another one to the same object (409, ConditionalRequestConflict) raises TemporaryError.
    """

    def __init__(self, client: RegionalClient, account: Callable[[], str]) -> None:
        self._client = client
        self._account = account

    def read(self, store: ArtifactStore, key: str) -> tuple[bytes, str] | None:
        with aws_call(f"read {key} in {store.bucket}, the artifact store of {store.region}"):
            try:
                found = self._s3(store).get_object(
                    Bucket=store.bucket, Key=key, ExpectedBucketOwner=self._account()
                )
            except ClientError as error:
                if error_code(error) == "NoSuchKey":
                    return None
                raise
            with closing(found["Body"]) as body:
                return body.read(), found["ETag"]

    def has(self, store: ArtifactStore, key: str) -> bool:
        with aws_call(f"look for {key} in {store.bucket}, the artifact store of {store.region}"):
            try:
                self._s3(store).head_object(
                    Bucket=store.bucket, Key=key, ExpectedBucketOwner=self._account()
                )
            except ClientError as error:
                if error_code(error) == "404":
                    return False
                raise
        return True

    def create(self, store: ArtifactStore, key: str, body: bytes) -> bool:
        return self._put(store, key, body, IfNoneMatch="*")

    def replace(self, store: ArtifactStore, key: str, body: bytes, etag: str) -> bool:
        return self._put(store, key, body, IfMatch=etag)

    def _put(
        self, store: ArtifactStore, key: str, body: bytes, **condition: Unpack[_Condition]
    ) -> bool:
        with aws_call(f"write {key} to {store.bucket}, the artifact store of {store.region}"):
            try:
                self._s3(store).put_object(
                    Bucket=store.bucket,
                    Key=key,
                    ExpectedBucketOwner=self._account(),
                    Body=body,
                    ContentType=TYPES.get(PurePosixPath(key).suffix, "binary/octet-stream"),
                    ChecksumSHA256=base64.b64encode(hashlib.sha256(body).digest()).decode(),
                    ServerSideEncryption="aws:kms",
                    SSEKMSKeyId=store.key_arn,
                    **condition,
                )
            except ClientError as error:
                if error_code(error) in CONDITION_FAILED:
                    return False
                raise
        return True

    def newest(self, store: ArtifactStore, prefix: str, name: str) -> str | None:
        with aws_call(f"list {prefix} in {store.bucket}, the artifact store of {store.region}"):
            pages = self._s3(store).get_paginator("list_objects_v2")
            found = [
                (each["LastModified"], each["Key"])
                for page in pages.paginate(
                    Bucket=store.bucket, Prefix=prefix, ExpectedBucketOwner=self._account()
                )
                for each in page.get("Contents", [])
                if each["Key"].endswith(f"/{name}")
            ]
            return max(found)[1] if found else None

    def folders(self, store: ArtifactStore, prefix: str) -> Sequence[str]:
        with aws_call(f"list {prefix} in {store.bucket}, the artifact store of {store.region}"):
            pages = self._s3(store).get_paginator("list_objects_v2")
            return [
                found["Prefix"].removeprefix(prefix).rstrip("/")
                for page in pages.paginate(
                    Bucket=store.bucket,
                    Prefix=prefix,
                    Delimiter="/",
                    ExpectedBucketOwner=self._account(),
                )
                for found in page.get("CommonPrefixes", [])
            ]

    def _s3(self, store: ArtifactStore) -> "S3Client":
        return self._client.of(store)
