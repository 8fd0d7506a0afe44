"""Objects in the artifact stores of many regions, through one client."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import BinaryIO, TypedDict

from botocore.exceptions import ClientError

from foothold.aws.clients import aws_call
from foothold.aws.regional import RegionalClient
from foothold.errors import PermanentError
from foothold.packaging.gateways.archive import save
from foothold.packaging.manifest import Body, Stored
from foothold.stores.register import ArtifactStore

CHUNK = 1 << 18  # bytes
NONE: Mapping[str, str] = {}
REFUSED = range(400, 429)
REGIONAL = re.compile(r"(https://s3(?:-fips)?(?:\.dualstack)?\.)([a-z0-9-]+)(\.[a-z0-9.-]+)")


class _Object(TypedDict):
    """What every call says: which object, and whose bucket it has to be."""

    Bucket: str
    Key: str
    ExpectedBucketOwner: str


class RegionalObjects:
    """`packaging.ports.Objects` on S3. Any thread may use it.

    `account` tells the caller's own account: every bucket has to be that account's.
    """

    def __init__(self, client: RegionalClient, account: Callable[[], str]) -> None:
        self._client = client
        self._account = account
        self._s3 = client.s3

    def _of(self, store: ArtifactStore, key: str) -> _Object:
        self._client.of(store)
        return {"Bucket": store.bucket, "Key": key, "ExpectedBucketOwner": self._account()}

    def endpoint_of(self, region: str) -> str:
        """The endpoint as the region's own client would name it; one that somebody configured
        (AWS_ENDPOINT_URL) is the same for all regions."""
        endpoint = self._s3.meta.endpoint_url
        known = REGIONAL.fullmatch(endpoint)
        if known is None or known[2] != self._s3.meta.region_name:
            return endpoint
        return f"{known[1]}{region}{known[3]}"

    def describe(self, store: ArtifactStore, key: str) -> Stored | None:
        """None also where S3 refuses to tell: whether it is there shows when it is written.

        To be told the checksum takes kms:Decrypt (S3 API Reference, "HeadObject").
        """
        with aws_call(f"look for {key} in {store.bucket}"):
            try:
                found = self._s3.head_object(**self._of(store, key), ChecksumMode="ENABLED")
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] in REFUSED:
                    return None
                raise
        return Stored(
            found["ContentLength"],
            found.get("SSEKMSKeyId"),
            _hexadecimal(found.get("ChecksumSHA256")),
        )

    def put(
        self, store: ArtifactStore, key: str, body: Body, metadata: Mapping[str, str] = NONE
    ) -> None:
        """Raises PermanentError where a file cannot be read any more."""
        what = f"write {key} to {store.bucket}, the artifact store of {store.region}"
        with _opened(body.content) as content, aws_call(what):
            self._s3.put_object(
                **self._of(store, key),
                Body=content,
                ChecksumSHA256=base64.b64encode(binascii.unhexlify(body.sha256)).decode(),
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=store.key_arn,
                Metadata=metadata,
            )

    def version(self, store: ArtifactStore, key: str) -> str:
        """The version of the object; a store's bucket has versions."""
        with aws_call(f"look for {key} in {store.bucket}"):
            return self._s3.head_object(**self._of(store, key)).get("VersionId", "null")

    def fetch(self, store: ArtifactStore, key: str, target: Path) -> None:
        """Save the object as a file. Raises PermanentError where the disk has no room for it."""
        with aws_call(f"read {key} in {store.bucket}"):
            found = self._s3.get_object(**self._of(store, key))
            with closing(found["Body"]) as body:
                save(body.iter_chunks(CHUNK), found["ContentLength"], target)

    def measured(self, store: ArtifactStore, key: str) -> tuple[int, str]:
        """Size in bytes and SHA-256, hexadecimal, of the object as it is read now."""
        sha256, size = hashlib.sha256(), 0
        with (
            aws_call(f"read {key} in {store.bucket}"),
            closing(self._s3.get_object(**self._of(store, key))["Body"]) as body,
        ):
            for chunk in body.iter_chunks(CHUNK):
                sha256.update(chunk)
                size += len(chunk)
        return size, sha256.hexdigest()


def _opened(content: bytes | Path) -> AbstractContextManager[bytes | BinaryIO]:
    if isinstance(content, bytes):
        return nullcontext(content)
    try:
        return content.open("rb")
    except OSError as error:
        raise PermanentError(f"cannot read {content}: {error.strerror}") from error


def _hexadecimal(checksum: str | None) -> str | None:
    return base64.b64decode(checksum).hex() if checksum else None
