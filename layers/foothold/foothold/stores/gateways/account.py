"""The account: its regions, and what it may still make in them."""

from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING

from foothold.aws.clients import Clients, aws_call
from foothold.errors import FootholdError
from foothold.partitions import partition_of
from foothold.stores.model import StoreSpec, Use

if TYPE_CHECKING:
    from mypy_boto3_iam.type_defs import ContextEntryTypeDef

# EC2 API Reference, "Region": opt-in status, in the words of the Account Management API. EC2 does
# not tell a region that is being enabled or disabled from one that is disabled.
OPT_IN_STATUSES = {
    "opt-in-not-required": "ENABLED_BY_DEFAULT",
    "opted-in": "ENABLED",
    "not-opted-in": "DISABLED",
}
# What a store, its packages and the stacks made of them need of a region.
SERVICES = ("s3", "kms", "ssm", "lambda", "cloudformation", "resourcegroupstaggingapi")
# Service Quotas: "General purpose buckets", counted for the whole account and kept in the
# partition's first region (Amazon S3 User Guide, "Bucket quotas, restrictions, and limitations").
BUCKET_QUOTA = ("s3", "L-DC2B2D3D")
QUOTA_REGION = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


class AccountRegions:
    """`stores.ports.Regions` on AWS."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def statuses(self) -> Mapping[str, str]:
        """By EC2, which every partition has; the Account Management API is in some only."""
        ec2 = self._clients.get("ec2", self._clients.home_region)
        with aws_call("list the account's regions (it takes ec2:DescribeRegions)"):
            regions = ec2.describe_regions(AllRegions=True)["Regions"]
        return {
            region["RegionName"]: OPT_IN_STATUSES.get(region["OptInStatus"], region["OptInStatus"])
            for region in regions
        }

    def opt_in_status(self, region: str) -> str | None:
        if not self._clients.regions_of("account", partition_of(region).name, or_global=True):
            return None
        try:
            with aws_call(f"read whether {region} is being enabled"):
                account = self._clients.get("account", self._clients.home_region)
                return account.get_region_opt_status(RegionName=region)["RegionOptStatus"]
        except FootholdError:
            return None


class PipelineRegions:
    """Whether CodePipeline is in a region: as the SDK's own list of endpoints has it, or in `more`,
    for that list comes later than a service does. A region newer than the SDK has none, because
    CodePipeline follows to new regions late (AWS General Reference, "AWS CodePipeline endpoints
    and quotas").

    `more` is asked for at the first region that the list lacks, and once.
    """

    def __init__(self, clients: Clients, more: Callable[[], Collection[str]] = tuple) -> None:
        self._clients = clients
        self._more = cache(more)

    def __call__(self, region: str) -> bool:
        known = self._clients.regions_of("codepipeline", partition_of(region).name)
        return region in known or region in self._more()


class AccountCapacity:
    """`stores.ports.Capacity` on AWS, for the role that these clients work as.
    `key_maker_role_arn` is the role that makes keys, None where it is the same one."""

    def __init__(self, clients: Clients, key_maker_role_arn: str | None = None) -> None:
        self._clients = clients
        self._key_maker_role_arn = key_maker_role_arn

    def missing_services(self, region: str) -> tuple[str, ...]:
        """As the SDK's own list of endpoints has it; a region newer than the SDK has all."""
        partition = partition_of(region).name
        offered = {name: self._clients.regions_of(name, partition) for name in SERVICES}
        if not any(region in regions for regions in offered.values()):
            return ()
        return tuple(name for name, regions in offered.items() if region not in regions)

    def bucket_room(self) -> int | None:
        home = self._clients.home_region
        quota_region = QUOTA_REGION.get(partition_of(home).name, home)
        service, code = BUCKET_QUOTA
        try:
            with aws_call("read the quota of buckets"):
                quotas = self._clients.get("service-quotas", quota_region)
                answer = quotas.get_service_quota(ServiceCode=service, QuotaCode=code)
                pages = self._clients.get("s3", home).get_paginator("list_buckets").paginate()
                buckets = sum(len(page["Buckets"]) for page in pages)
        except FootholdError:
            return None
        return int(answer["Quota"]["Value"]) - buckets

    def denied(self, spec: StoreSpec) -> tuple[str, ...] | None:
        """By simulation, which takes in the organisation's policies but makes nothing (IAM API
        Reference, "SimulatePrincipalPolicy"). KMS's own DryRun is for cryptographic calls."""
        denied = []
        try:
            with aws_call("simulate the role's permissions"):
                role_arn = self._role_arn()
                iam = self._clients.get("iam", self._clients.home_region)
                for action, arn in _needed(spec).items():
                    makes_keys = action == "kms:CreateKey" and self._key_maker_role_arn
                    (result,) = iam.simulate_principal_policy(
                        PolicySourceArn=makes_keys or role_arn,
                        ActionNames=[action],
                        ResourceArns=[arn],
                        ContextEntries=_context(spec),
                    )["EvaluationResults"]
                    if result["EvalDecision"] != "allowed":
                        denied.append(action)
        except FootholdError:
            return None
        return tuple(denied)

    def _role_arn(self) -> str:
        """The role of the assumed-role session that the clients work as; it has no path."""
        caller = self._clients.get("sts", self._clients.home_region).get_caller_identity()["Arn"]
        name = caller.split(":assumed-role/")[-1].split("/")[0]
        partition, account = caller.split(":")[1], caller.split(":")[4]
        return f"arn:{partition}:iam::{account}:role/{name}"


def _needed(spec: StoreSpec) -> dict[str, str]:
    """One action of each kind that making a store takes; the others are granted beside them."""
    where = f"{spec.region}:{spec.account}"
    name = next(iter(spec.parameters(spec.regional_path, "")))
    return {
        "kms:CreateKey": "*",
        "s3:CreateBucket": spec.bucket_arn,
        "ssm:PutParameter": f"arn:{spec.partition.name}:ssm:{where}:parameter{name}",
    }


def _context(spec: StoreSpec) -> "list[ContextEntryTypeDef]":
    values = {"aws:RequestedRegion": spec.region, "aws:ResourceAccount": spec.account}
    tags = spec.tags_in(Use.UNUSED)
    values |= {f"aws:RequestTag/{name}": value for name, value in tags.items()}
    return [
        {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for name, value in values.items()
    ]
