"""Which of the published stores may be used.

A parameter is a hint, never a proof: whoever may write one could point everybody's code at a
bucket and a key of their own. What names alone can tell is decided here, without a call.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from foothold.errors import PermanentError
from foothold.partitions import partition_of
from foothold.stores.model import (
    BUCKET_NAME,
    HOME_TAG,
    REGION_TAG,
    STACK_TAG,
    StoreSpec,
)
from foothold.stores.register import ArtifactStore

KEY_ID = re.compile(r"[A-Za-z0-9-]+")
# A name in S3's account-regional namespace says whose bucket it is, and where (Amazon S3 User
# Guide, "Namespaces for general purpose buckets").
ACCOUNT_REGIONAL = re.compile(r".+-(\d{12})-((?:[a-z]+-)+\d+)-an")


@dataclass(frozen=True, slots=True)
class Published:
    """The stores that the parameters name, by region: those that may be used, and of each other
    one line that says why it may not, and the way out."""

    stores: Mapping[str, ArtifactStore]
    refused: Mapping[str, str] = field(default_factory=dict)

    def usable(self, region: str, otherwise: str) -> ArtifactStore:
        """The region's store. Raises PermanentError with the reason why it may not be used, or
        with `otherwise` where the region has none."""
        if region not in self.stores:
            raise PermanentError(self.refused.get(region, otherwise))
        return self.stores[region]


class Stores(Protocol):
    """The artifact stores that are ready, as the home region's parameters name them."""

    def ready(self) -> Published:
        """Every ready store by region, and why each other published one may not be used. Raises
        TemporaryError or PermanentError."""
        ...


def check_names(store: ArtifactStore, account: str, wished: StoreSpec | None = None) -> None:
    """Raise PermanentError for a store whose names show that it is not the region's own.

    `account` is the caller's own; `wished` is what the control plane would publish for the
    region, None where the caller does not know its control plane.
    """
    partition = partition_of(store.region).name
    ours = f"arn:{partition}:kms:{store.region}:{account}:key/"
    key_id = store.key_arn.removeprefix(ours)
    if key_id == store.key_arn or not KEY_ID.fullmatch(key_id):
        raise PermanentError(
            f"its parameter key-arn names {store.key_arn}, which is no key of account {account} "
            f"in {store.region}"
        )
    told = ACCOUNT_REGIONAL.fullmatch(store.bucket)
    elsewhere = told and told.groups() != (account, store.region)
    if elsewhere or not BUCKET_NAME.fullmatch(store.bucket):
        raise PermanentError(
            f"its parameter bucket names {store.bucket}, which is no bucket of account {account} "
            f"in {store.region}"
        )
    if wished and store.bucket != wished.bucket:
        raise PermanentError(
            f"its parameter bucket names {store.bucket}, and the region's own is {wished.bucket}"
        )


def check_key(store: ArtifactStore, found: str | None) -> None:
    """Raise PermanentError unless `found`, what the bucket encrypts with by default, is the key
    that the parameter names."""
    if found != store.key_arn:
        raise PermanentError(
            f"its parameter key-arn names {store.key_arn}, and its bucket {store.bucket} encrypts "
            f"with {found or 'no key of KMS'}"
        )


def check_tags(
    store: ArtifactStore, tags: Mapping[str, str], home_region: str, wished: StoreSpec | None = None
) -> None:
    """Raise PermanentError unless the bucket's tags say that it is this region's store, and that of
    the control plane whose home is in `home_region`."""
    wanted = wished.tags if wished else {REGION_TAG: store.region, HOME_TAG: home_region}
    if STACK_TAG not in tags or not wanted.items() <= tags.items():
        raise PermanentError(
            f"its parameter bucket names {store.bucket}, which is not tagged as Foothold's for "
            f"{store.region}"
        )


def refusal(region: str, error: Exception) -> str:
    """The one line for a store that may not be used."""
    return (
        f"the artifact store of {region} is not used: {error}; `foothold plan {region}` shows what "
        "is wrong, and the next schedule writes the parameters again"
    )
