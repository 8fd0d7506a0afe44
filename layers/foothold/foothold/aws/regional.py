"""The stores of all regions, through one S3 client.

A client for each region would be the obvious way, and takes 7 ms and 0.3 MB for each. botocore
asks for the region of every request (the event `before-endpoint-resolution.s3`, with which its
own S3RegionRedirectorv2 follows buckets), so one client, with one pool of connections, serves
all regions of a partition.
"""

from typing import TYPE_CHECKING, Any, Protocol

import boto3
from botocore.config import Config
from botocore.handlers import add_expect_header

from foothold.aws.clients import CONFIG

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Placed(Protocol):
    """A bucket, and where it is."""

    @property
    def bucket(self) -> str: ...

    @property
    def region(self) -> str: ...


class RegionalClient:
    """One S3 client for the stores of all regions. Any thread may use it.

    `home_region` is any region of the partition; `connections` how many may be open to one
    region at a time.
    """

    def __init__(self, session: boto3.Session, home_region: str, connections: int) -> None:
        self._regions: dict[str, str] = {}
        config = CONFIG.merge(
            Config(
                max_pool_connections=connections,
                # The body's own SHA-256 is a header, and the headers are signed.
                s3={"us_east_1_regional_endpoint": "regional", "payload_signing_enabled": False},
            )
        )
        make: Any = session.client
        self.s3: S3Client = make("s3", region_name=home_region, config=config)
        self.s3.meta.events.register("before-endpoint-resolution.s3", self._aim)
        # 100-continue would cost each file a round trip, to save a body that is hardly ever
        # refused.
        self.s3.meta.events.unregister("before-call.s3", add_expect_header)

    def _aim(self, builtins: dict[str, Any], params: dict[str, Any], **_: Any) -> None:
        builtins["AWS::Region"] = self._regions[params["Bucket"]]

    def of(self, store: Placed) -> "S3Client":
        """The client, which from now on looks for this store's bucket in its region."""
        self._regions[store.bucket] = store.region
        return self.s3
