"""What differs between AWS partitions and regions, in one place.

Sources: the partition, DNS suffix and region name pattern of each partition are those of
botocore's `partitions.json`; the regions without an account-regional bucket namespace are
listed in the Amazon S3 User Guide, "Namespaces for general purpose buckets".
"""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass

from foothold.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Partition:
    """One AWS partition: `name` as it stands in an ARN, `dns_suffix` as in an endpoint; `console`
    is the console's host, empty where no AWS page names it."""

    name: str
    dns_suffix: str
    region_pattern: str
    console: str = ""


PARTITIONS = (
    Partition("aws-cn", "amazonaws.com.cn", r"cn-\w+-\d+", "console.amazonaws.cn"),
    Partition("aws-us-gov", "amazonaws.com", r"us-gov-\w+-\d+", "console.amazonaws-us-gov.com"),
    Partition("aws-eusc", "amazonaws.eu", r"eusc-\w+-\w+-\d+"),
    Partition("aws-iso", "c2s.ic.gov", r"us-iso-\w+-\d+"),
    Partition("aws-iso-b", "sc2s.sgov.gov", r"us-isob-\w+-\d+"),
    Partition("aws-iso-e", "cloud.adc-e.uk", r"eu-isoe-\w+-\d+"),
    Partition("aws-iso-f", "csp.hci.ic.gov", r"us-isof-\w+-\d+"),
    Partition(
        "aws",
        "amazonaws.com",
        r"(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d+",
        "console.aws.amazon.com",
    ),
)

# The regions that botocore's `partitions.json` names; a test compares them. A region may be younger
# than the list: it finds what is misspelt, and refuses nothing that has a store.
REGIONS = frozenset(
    {
        *("af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2"),
        *("ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2"),
        *("ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6"),
        *("ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2"),
        *("eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3"),
        *("il-central-1", "me-central-1", "me-south-1", "me-west-1", "mx-central-1"),
        *("sa-east-1", "sa-west-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"),
        *("cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-gov-west-1", "eusc-de-east-1"),
        *("us-iso-east-1", "us-iso-west-1", "us-isob-east-1", "us-isob-west-1"),
        *("eu-isoe-west-1", "us-isof-east-1", "us-isof-south-1"),
    }
)
# Two letters swapped or one left out stay above it; the name of a city does not.
_ALIKE = 0.85

WITHOUT_ACCOUNT_REGIONAL_NAMESPACE = frozenset({"me-south-1", "me-central-1"})


def partition_of(region: str) -> Partition:
    """The partition that a region's name belongs to.

    Raises PermanentError for a name that no partition's regions look like.
    """
    for partition in PARTITIONS:
        if re.fullmatch(partition.region_pattern, region, re.ASCII):
            return partition
    raise PermanentError(f"{region!r} is not the name of an AWS region")


def meant_region(written: str, known: Collection[str] = ()) -> str | None:
    """The region that was probably meant by a name that is none, None where there is no telling.

    `known` are regions that are certainly there, beside those of `REGIONS`.
    """
    name = re.sub(r"[^a-z0-9]+", "-", written.strip().lower())
    regions = REGIONS | set(known)
    if written in regions:
        return None
    swapped = [region for region in regions if sorted(region) == sorted(name)]
    near = swapped or difflib.get_close_matches(name, sorted(regions), 1, _ALIKE)
    return near[0] if near else None


def has_account_regional_namespace(region: str) -> bool:
    """Whether S3 in this region keeps bucket names of the form `<prefix>-<account>-<region>-an`
    for the account alone."""
    return region not in WITHOUT_ACCOUNT_REGIONAL_NAMESPACE


def everywhere(_region: str) -> bool:
    """Whether CodePipeline is in a region, where nobody knows better."""
    return True
