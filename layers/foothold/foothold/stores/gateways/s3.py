"""Artifact buckets in Amazon S3. Every call names the owner it expects."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from foothold.aws.clients import Clients, aws_call, error_code
from foothold.errors import BucketMissingError, PermanentError, TemporaryError
from foothold.partitions import has_account_regional_namespace
from foothold.stores.aspects import BucketAspect
from foothold.stores.model import StoreSpec, Use

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        BlockedEncryptionTypesTypeDef,
        CreateBucketRequestTypeDef,
        ObjectIdentifierTypeDef,
        ServerSideEncryptionRuleTypeDef,
        TagTypeDef,
    )

# "Nothing is set" in the words of each Get call (Amazon S3 API Reference, "Error responses").
NOT_SET_CODES = frozenset(
    {
        "NoSuchBucketPolicy",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "NoSuchTagSet",
        "ObjectLockConfigurationNotFoundError",
        "OwnershipControlsNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
COUNTED_PAGES = 10
MISSING_CODES = frozenset({"404", "NoSuchBucket"})
OTHERS_CODES = frozenset({"403", "AccessDenied", "AccessDeniedException"})
CREATED_BY_US = frozenset({"BucketAlreadyOwnedByYou"})
# The two groups that mean the public (Amazon S3 User Guide, "Access control list overview").
EVERYBODY = (
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
)
TAKEN_CODES = frozenset({"BucketAlreadyExists", "InvalidBucketNamespace"})


class S3Buckets:
    """`stores.ports.Buckets` on AWS."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def _s3(self, spec: StoreSpec) -> "S3Client":
        return self._clients.get("s3", spec.region)

    def read(self, spec: StoreSpec, aspect: BucketAspect) -> Any:
        with aws_call(f"read the {aspect} of bucket {spec.bucket}"):
            try:
                return _read(self._s3(spec), aspect, spec.bucket, spec.account)
            except ClientError as error:
                if error_code(error) in NOT_SET_CODES:
                    return None
                self._refuse(spec, error)
                raise

    def is_empty(self, spec: StoreSpec) -> bool:
        with aws_call(f"list bucket {spec.bucket}"):
            answer = self._s3(spec).list_object_versions(
                Bucket=spec.bucket, MaxKeys=1, ExpectedBucketOwner=spec.account
            )
        return not answer.get("Versions") and not answer.get("DeleteMarkers")

    def delete_page(self, spec: StoreSpec) -> tuple[int, bool]:
        s3 = self._s3(spec)
        with aws_call(f"list the versions in bucket {spec.bucket}"):
            page = s3.list_object_versions(Bucket=spec.bucket, ExpectedBucketOwner=spec.account)
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        if not found:
            return 0, False
        versions: list[ObjectIdentifierTypeDef] = [
            {"Key": version["Key"], "VersionId": version["VersionId"]} for version in found
        ]
        with aws_call(f"delete versions in bucket {spec.bucket}"):
            answer = s3.delete_objects(
                Bucket=spec.bucket,
                Delete={"Objects": versions, "Quiet": True},
                ExpectedBucketOwner=spec.account,
            )
            for failed in answer.get("Errors", ()):
                # One of them in the shape of an error of its own, for the one table of codes.
                message = f"{failed['Key']}: {failed['Message']}"
                raise ClientError(
                    {"Error": {"Code": failed["Code"], "Message": message}}, "DeleteObjects"
                )
        return len(versions), page["IsTruncated"]

    def delete(self, spec: StoreSpec) -> None:
        with aws_call(f"delete bucket {spec.bucket}"):
            try:
                self._s3(spec).delete_bucket(Bucket=spec.bucket, ExpectedBucketOwner=spec.account)
            except ClientError as error:
                if error_code(error) == "BucketNotEmpty":
                    raise TemporaryError(
                        f"bucket {spec.bucket} got new artifacts while it was retired; the next "
                        "run deletes them"
                    ) from error
                if error_code(error) not in MISSING_CODES:
                    raise

    def count(self, spec: StoreSpec) -> tuple[int, bool]:
        found, pages = 0, 0
        with aws_call(f"list the versions in bucket {spec.bucket}"):
            for page in (
                self._s3(spec)
                .get_paginator("list_object_versions")
                .paginate(Bucket=spec.bucket, ExpectedBucketOwner=spec.account)
            ):
                found += len(page.get("Versions", ())) + len(page.get("DeleteMarkers", ()))
                pages += 1
                if pages == COUNTED_PAGES:
                    return found, page["IsTruncated"]
        return found, False

    def lock(self, spec: StoreSpec) -> str | None:
        with aws_call(f"read the object lock of bucket {spec.bucket}"):
            try:
                answer = self._s3(spec).get_object_lock_configuration(
                    Bucket=spec.bucket, ExpectedBucketOwner=spec.account
                )
            except ClientError as error:
                if error_code(error) in {*NOT_SET_CODES, *MISSING_CODES}:
                    return None
                self._refuse(spec, error)
                raise
        found = answer.get("ObjectLockConfiguration", {})
        if found.get("ObjectLockEnabled") != "Enabled":
            return None
        rule = found.get("Rule", {}).get("DefaultRetention", {})
        if not rule:
            return "each version's own retention and legal hold"
        length = f"{rule['Days']} days" if "Days" in rule else f"{rule.get('Years')} years"
        return f"{rule.get('Mode', '')} for {length}"

    def untag(self, spec: StoreSpec, names: Sequence[str]) -> None:
        kept = dict(self.read(spec, BucketAspect.TAGS) or {})
        for name in names:
            kept.pop(name, None)
        with aws_call(f"untag bucket {spec.bucket}"):
            self._s3(spec).put_bucket_tagging(
                Bucket=spec.bucket,
                Tagging={"TagSet": _tag_set(kept)},
                ExpectedBucketOwner=spec.account,
            )

    def openings(self, spec: StoreSpec) -> tuple[str, ...]:
        s3, bucket, owner = self._s3(spec), spec.bucket, spec.account
        found = []
        with aws_call(f"read who bucket {bucket} is open to"):
            try:
                status = s3.get_bucket_policy_status(Bucket=bucket, ExpectedBucketOwner=owner)
                if status["PolicyStatus"].get("IsPublic"):
                    found.append("its policy lets everybody in")
            except ClientError as error:
                if error_code(error) not in NOT_SET_CODES:
                    self._refuse(spec, error)
                    raise
            grants = s3.get_bucket_acl(Bucket=bucket, ExpectedBucketOwner=owner)["Grants"]
        if any(grant["Grantee"].get("URI", "").startswith(EVERYBODY) for grant in grants):
            found.append("its ACL lets everybody in")
        return tuple(found)

    def create(self, spec: StoreSpec, use: Use = Use.UNUSED) -> None:
        request: CreateBucketRequestTypeDef = {
            # Without ObjectOwnership: BucketOwnerEnforced is the default of new buckets, and the
            # header takes a right on a bucket that does not exist yet (Amazon S3 User Guide,
            # "Controlling ownership of objects and disabling ACLs for your bucket").
            "Bucket": spec.bucket,
            "CreateBucketConfiguration": {"Tags": _tag_set(spec.tags_in(use))},
        }
        if spec.region != "us-east-1":
            # us-east-1 is the one region that refuses to be named (Amazon S3 API Reference,
            # "CreateBucket").
            request["CreateBucketConfiguration"]["LocationConstraint"] = spec.region  # type: ignore[typeddict-item]  # the stubs' list of regions is closed
        if has_account_regional_namespace(spec.region):
            request["BucketNamespace"] = "account-regional"
        with aws_call(f"create bucket {spec.bucket} in {spec.region}"):
            try:
                self._s3(spec).create_bucket(**request)
            except ClientError as error:
                if error_code(error) in TAKEN_CODES:
                    raise PermanentError(
                        f"bucket {spec.bucket} belongs to another account: it is not used, "
                        "nothing was written to it; choose another NamePrefix"
                    ) from error
                if error_code(error) not in CREATED_BY_US:
                    raise

    def write(self, spec: StoreSpec, aspect: BucketAspect, value: Any) -> None:
        bucket, owner = spec.bucket, spec.account
        s3 = self._s3(spec)
        with aws_call(f"set the {aspect} of bucket {bucket}"):
            match aspect:
                case BucketAspect.POLICY:
                    s3.put_bucket_policy(
                        Bucket=bucket, Policy=json.dumps(value), ExpectedBucketOwner=owner
                    )
                case BucketAspect.PUBLIC_ACCESS:
                    s3.put_public_access_block(
                        Bucket=bucket,
                        PublicAccessBlockConfiguration=value,
                        ExpectedBucketOwner=owner,
                    )
                case BucketAspect.OWNERSHIP:
                    s3.put_bucket_ownership_controls(
                        Bucket=bucket,
                        OwnershipControls={"Rules": [{"ObjectOwnership": value}]},
                        ExpectedBucketOwner=owner,
                    )
                case BucketAspect.VERSIONING:
                    s3.put_bucket_versioning(
                        Bucket=bucket,
                        VersioningConfiguration={"Status": value},
                        ExpectedBucketOwner=owner,
                    )
                case BucketAspect.ENCRYPTION:
                    rule: ServerSideEncryptionRuleTypeDef = {
                        "ApplyServerSideEncryptionByDefault": {
                            "SSEAlgorithm": value["SSEAlgorithm"],
                            "KMSMasterKeyID": value["KMSMasterKeyID"],
                        },
                        "BucketKeyEnabled": value["BucketKeyEnabled"],
                    }
                    if blocked := self._blocked_encryption_types(spec):
                        rule["BlockedEncryptionTypes"] = blocked
                    s3.put_bucket_encryption(
                        Bucket=bucket,
                        ServerSideEncryptionConfiguration={"Rules": [rule]},
                        ExpectedBucketOwner=owner,
                    )
                case BucketAspect.LIFECYCLE:
                    s3.put_bucket_lifecycle_configuration(
                        Bucket=bucket,
                        LifecycleConfiguration={"Rules": value},
                        ExpectedBucketOwner=owner,
                        **self._beside_rules(spec),
                    )
                case BucketAspect.TAGS:
                    # PutBucketTagging replaces the whole set: keep what others have added.
                    tags = {**(self.read(spec, aspect) or {}), **value}
                    s3.put_bucket_tagging(
                        Bucket=bucket, Tagging={"TagSet": _tag_set(tags)}, ExpectedBucketOwner=owner
                    )

    def _blocked_encryption_types(self, spec: StoreSpec) -> "BlockedEncryptionTypesTypeDef | None":
        """What S3 itself has set beside the default encryption, and PutBucketEncryption would
        take away (Amazon S3 API Reference, "BlockedEncryptionTypes")."""
        try:
            answer = self._s3(spec).get_bucket_encryption(
                Bucket=spec.bucket, ExpectedBucketOwner=spec.account
            )
        except ClientError as error:
            if error_code(error) in NOT_SET_CODES:
                return None
            raise
        rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]
        blocked = rule.get("BlockedEncryptionTypes", {})
        return {"EncryptionType": blocked["EncryptionType"]} if blocked else None

    def _beside_rules(self, spec: StoreSpec) -> Any:
        """What holds for all rules of others, and is lost unless it is given again (Amazon S3 API
        Reference, "PutBucketLifecycleConfiguration")."""
        name = "TransitionDefaultMinimumObjectSize"
        try:
            found: Any = self._s3(spec).get_bucket_lifecycle_configuration(
                Bucket=spec.bucket, ExpectedBucketOwner=spec.account
            )
        except ClientError as error:
            if error_code(error) not in NOT_SET_CODES:
                raise
            return {}
        return {name: found[name]} if found.get(name) else {}

    def verify(self, spec: StoreSpec) -> None:
        with aws_call(f"reach bucket {spec.bucket}"):
            try:
                answer = self._s3(spec).head_bucket(
                    Bucket=spec.bucket, ExpectedBucketOwner=spec.account
                )
            except ClientError as error:
                self._refuse(spec, error)
                raise
        stands_in = answer.get("BucketRegion", spec.region)
        if stands_in != spec.region:
            raise PermanentError(f"bucket {spec.bucket} stands in {stands_in}, not {spec.region}")

    def _refuse(self, spec: StoreSpec, error: ClientError) -> None:
        if error_code(error) in MISSING_CODES:
            raise BucketMissingError(f"there is no bucket {spec.bucket}") from error
        if error_code(error) in OTHERS_CODES:
            raise PermanentError(
                f"bucket {spec.bucket} is not open to account {spec.account}: it belongs to "
                "another account, or the function's role lacks a permission; nothing was "
                "written to it"
            ) from error


def _read(  # noqa: PLR0911  one for each setting
    s3: "S3Client", aspect: BucketAspect, bucket: str, owner: str
) -> Any:
    match aspect:
        case BucketAspect.POLICY:
            answer = s3.get_bucket_policy(Bucket=bucket, ExpectedBucketOwner=owner)
            return json.loads(answer["Policy"])
        case BucketAspect.PUBLIC_ACCESS:
            return s3.get_public_access_block(Bucket=bucket, ExpectedBucketOwner=owner)[
                "PublicAccessBlockConfiguration"
            ]
        case BucketAspect.OWNERSHIP:
            return s3.get_bucket_ownership_controls(Bucket=bucket, ExpectedBucketOwner=owner)[
                "OwnershipControls"
            ]["Rules"][0]["ObjectOwnership"]
        case BucketAspect.VERSIONING:
            return s3.get_bucket_versioning(Bucket=bucket, ExpectedBucketOwner=owner).get("Status")
        case BucketAspect.ENCRYPTION:
            return _encryption(s3.get_bucket_encryption(Bucket=bucket, ExpectedBucketOwner=owner))
        case BucketAspect.LIFECYCLE:
            return s3.get_bucket_lifecycle_configuration(Bucket=bucket, ExpectedBucketOwner=owner)[
                "Rules"
            ]
        case BucketAspect.TAGS:
            tags = s3.get_bucket_tagging(Bucket=bucket, ExpectedBucketOwner=owner)["TagSet"]
            return {tag["Key"]: tag["Value"] for tag in tags}


def _encryption(answer: Any) -> dict[str, Any]:
    rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]
    return {
        **rule["ApplyServerSideEncryptionByDefault"],
        "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
    }


def _tag_set(tags: Mapping[str, str]) -> "list[TagTypeDef]":
    return [{"Key": name, "Value": value} for name, value in tags.items()]
