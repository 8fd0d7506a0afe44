"""The policies of a store: pure documents, the same bytes whatever the number of accounts.

Principals of other accounts are named by organisation and role name, never one by one: a
bucket policy holds 20 KB (Amazon S3 User Guide, "Bucket policies") and a key policy 32 KB
(AWS KMS API Reference, "PutKeyPolicy"), which lists of accounts outgrow.
"""

from collections.abc import Mapping
from typing import Any

from foothold.stores.model import StoreSpec

Json = Mapping[str, Any]

# The statements of a bucket policy that are Foothold's, whatever they say: it keeps them exactly.
OWN_SIDS = frozenset(
    {
        "DenyPlainHttp",
        "DenyOldTls",
        "DenyOtherEncryption",
        "DenyOtherKeys",
        "DenyUnnamedKeys",
        "DenyCustomerProvidedKeys",
        "DenyOutsideOrganization",
        "OrganizationDeployRolesRead",
    }
)
# What readers may do. Those of the bucket, because who reads an artifact may look first where its
# bucket is (AWS CodePipeline User Guide, "Create a pipeline that uses resources from another AWS
# account", grants s3:Get*).
READS = ("s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:GetObject", "s3:GetObjectVersion")


def bucket_policy(spec: StoreSpec, key_arn: str) -> Json:
    """What the bucket refuses to everybody, and lets the organisation's deploy roles read.

    Denials that look at a header guard it with `Null: false`: a negated operator alone also
    matches a request without the header, which S3 then encrypts with the bucket's own default,
    the right key (IAM User Guide, "Condition operators"). A request that names the algorithm
    and no key is refused: S3 takes the key that AWS manages for it, `aws/s3`, under which no
    other account can read (Amazon S3 API Reference, "PutObject").
    """
    everything = [spec.bucket_arn, f"{spec.bucket_arn}/*"]
    objects = f"{spec.bucket_arn}/*"
    algorithm = "s3:x-amz-server-side-encryption"
    key = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    statements: list[Json] = [
        _deny("DenyPlainHttp", "s3:*", everything, {"Bool": {"aws:SecureTransport": "false"}}),
        _deny("DenyOldTls", "s3:*", everything, {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
        _deny(
            "DenyOtherEncryption",
            "s3:PutObject",
            objects,
            {"Null": {algorithm: "false"}, "StringNotEquals": {algorithm: "aws:kms"}},
        ),
        _deny(
            "DenyOtherKeys",
            "s3:PutObject",
            objects,
            {"Null": {key: "false"}, "StringNotEquals": {key: key_arn}},
        ),
        _deny(
            "DenyUnnamedKeys",
            "s3:PutObject",
            objects,
            {"StringEquals": {algorithm: "aws:kms"}, "Null": {key: "true"}},
        ),
        _deny(
            "DenyCustomerProvidedKeys",
            "s3:PutObject",
            objects,
            {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}},
        ),
    ]
    organization_ids = list(spec.control_plane.organization_ids)
    if organization_ids:
        statements.append(
            # The owner's account is left out: a mistyped organisation must not lock it out.
            _deny(
                "DenyOutsideOrganization",
                "s3:*",
                everything,
                {
                    "StringNotEqualsIfExists": {
                        "aws:PrincipalOrgID": organization_ids,
                        "aws:PrincipalAccount": spec.account,
                    },
                    "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
                },
            )
        )
    if organization_ids and spec.control_plane.reader_roles:
        statements.append(
            {
                "Sid": "OrganizationDeployRolesRead",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": list(READS),
                "Resource": everything,
                "Condition": reader_conditions(spec),
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}


def key_policy(spec: StoreSpec) -> Json:
    """Who may use the region's key: the owner's IAM policies, and the organisation's deploy
    roles for reading, through S3 only.

    A leaked deploy role so decrypts nothing that it did not fetch through S3 in this region
    (condition key `kms:ViaService`, AWS KMS Developer Guide, "Condition keys").
    """
    statements: list[Json] = [
        {
            "Sid": "AccountPoliciesDecide",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{spec.partition.name}:iam::{spec.account}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ]
    if spec.control_plane.organization_ids and spec.control_plane.reader_roles:
        conditions = reader_conditions(spec)
        via_s3 = f"s3.{spec.region}.{spec.partition.dns_suffix}"
        statements += [
            {
                "Sid": "OrganizationDeployRolesDecryptThroughS3",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": "kms:Decrypt",
                "Resource": "*",
                "Condition": {
                    **conditions,
                    "StringEquals": {**conditions["StringEquals"], "kms:ViaService": via_s3},
                },
            },
            {
                "Sid": "OrganizationDeployRolesDescribe",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": "kms:DescribeKey",
                "Resource": "*",
                "Condition": conditions,
            },
        ]
    return {"Version": "2012-10-17", "Statement": statements}


def _deny(sid: str, action: str, resource: str | list[str], condition: Json) -> Json:
    return {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": action,
        "Resource": resource,
        "Condition": condition,
    }


def reader_conditions(spec: StoreSpec) -> dict[str, Any]:
    """What the organisation's deploy roles are known by: all of it has to hold.

    `aws:PrincipalOrgPaths` has several values, the path of the account and nothing else today (IAM
    User Guide, "AWS global condition context keys").
    """
    equal = {"aws:PrincipalOrgID": list(spec.control_plane.organization_ids)}
    if spec.reader_accounts:
        equal["aws:PrincipalAccount"] = list(spec.reader_accounts)
    conditions: dict[str, Any] = {
        "StringEquals": equal,
        "ArnLike": {
            "aws:PrincipalArn": [
                f"arn:{spec.partition.name}:iam::*:role/{name}"
                for name in spec.control_plane.reader_roles
            ]
        },
    }
    if spec.reader_org_paths:
        paths = list(spec.reader_org_paths)
        conditions["ForAnyValue:StringLike"] = {"aws:PrincipalOrgPaths": paths}
    return conditions


def canonical(policy: Any) -> Any:
    """The same policy in one spelling, so that two documents can be compared.

    AWS may return a list of one as a string, and lists and names in another order; none changes
    what a policy means (IAM User Guide, "Grammar of the IAM JSON policy language").
    """
    if isinstance(policy, Mapping):
        spelt = {name: canonical(value) for name, value in sorted(policy.items())}
        return "*" if spelt == {"AWS": "*"} else spelt
    if isinstance(policy, list | tuple):
        items = [canonical(item) for item in policy]
        if len(items) == 1 and not isinstance(items[0], Mapping):
            return items[0]
        return sorted(items, key=repr)
    return policy
