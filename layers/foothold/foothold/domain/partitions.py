"""What differs between AWS partitions and regions, in one place.

Sources: the partition, DNS suffix and region name pattern of each partition are those of
botocore's `partitions.json`; the regions without an account-regional bucket namespace are
listed in the Amazon S3 User Guide, "Namespaces for general purpose buckets".
"""

import re
from dataclasses import dataclass

from foothold.domain.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Partition:
    """One AWS partition: `name` as it stands in an ARN, `dns_suffix` as in an endpoint."""

    name: str
    dns_suffix: str
    region_pattern: str


PARTITIONS = (
    Partition("aws-cn", "amazonaws.com.cn", r"cn-\w+-\d+"),
    Partition("aws-us-gov", "amazonaws.com", r"us-gov-\w+-\d+"),
    Partition("aws-eusc", "amazonaws.eu", r"eusc-\w+-\w+-\d+"),
    Partition("aws-iso", "c2s.ic.gov", r"us-iso-\w+-\d+"),
    Partition("aws-iso-b", "sc2s.sgov.gov", r"us-isob-\w+-\d+"),
    Partition("aws-iso-e", "cloud.adc-e.uk", r"eu-isoe-\w+-\d+"),
    Partition("aws-iso-f", "csp.hci.ic.gov", r"us-isof-\w+-\d+"),
    Partition("aws", "amazonaws.com", r"(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d+"),
)

WITHOUT_ACCOUNT_REGIONAL_NAMESPACE = frozenset({"me-south-1", "me-central-1"})


def partition_of(region: str) -> Partition:
    """The partition that a region's name belongs to.

    Raises PermanentError for a name that no partition's regions look like.
    """
    for partition in PARTITIONS:
        if re.fullmatch(partition.region_pattern, region, re.ASCII):
            return partition
    raise PermanentError(f"{region!r} is not the name of an AWS region")


def has_account_regional_namespace(region: str) -> bool:
    """Whether S3 in this region keeps bucket names of the form `<prefix>-<account>-<region>-an`
    for the account alone."""
    return region not in WITHOUT_ACCOUNT_REGIONAL_NAMESPACE
