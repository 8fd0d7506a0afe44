"""The accounts, buckets, keys and roles that the shims' tests need, and what a caller meets."""

import json
import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import boto3
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from local.aws.embedded import TEST, TOOLS, Embedded

CLOSED = "upstream has closed this gap: remove the shim"
HERE, ELSEWHERE = "eu-central-1", "eu-west-1"


def allow(principal: str, action: str, **more: Any) -> dict[str, Any]:
    """A resource policy's statement; `make_bucket` adds the resource."""
    return {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": action, **more}


def may(*actions: str, **more: Any) -> dict[str, Any]:
    """A role's statement, on every resource."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}


def make_bucket(
    aws: Embedded,
    name: str,
    *statements: dict[str, Any],
    account: str = TOOLS,
    region: str = HERE,
    body: bytes = b"artifact",
    key: str | None = None,
) -> None:
    """A bucket with one object, `key`, under this policy and this KMS key."""
    s3: Any = aws.session(account, region).client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
    if key:
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rules = [{"ApplyServerSideEncryptionByDefault": default}]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    if statements:
        on_objects = [{"Resource": f"arn:aws:s3:::{name}/*", **each} for each in statements]
        policy = {"Version": "2012-10-17", "Statement": on_objects}
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    s3.put_object(Bucket=name, Key="key", Body=body)


def make_encrypted_bucket(aws: Embedded, name: str, *key_statements: dict[str, Any]) -> str:
    """A bucket whose objects stand under a key of the Tools account; returns the key's ARN."""
    kms = aws.session().client("kms")
    owner = {**allow(f"arn:aws:iam::{TOOLS}:root", "kms:*"), "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [owner, *key_statements]}
    key = kms.create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
    make_bucket(aws, name, allow(f"arn:aws:iam::{TEST}:root", "s3:GetObject"), key=key)
    return str(key)


def make_role_arn(
    aws: Embedded,
    account: str,
    name: str,
    *statements: dict[str, Any],
    path: str = "/",
    trusted: str | None = None,
    **conditions: Any,
) -> str:
    """A new role that may do this; its own account may assume it, or who is `trusted`."""
    iam = aws.session(account).client("iam")
    trust = allow(trusted or f"arn:aws:iam::{account}:root", "sts:AssumeRole", **conditions)
    role = iam.create_role(
        RoleName=name,
        Path=path,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
    return str(role["Arn"])


def make_role(
    aws: Embedded, account: str, name: str, *statements: dict[str, Any], path: str = "/"
) -> boto3.Session:
    """A session of a new role that may do this."""
    return aws.role_session(make_role_arn(aws, account, name, *statements, path=path))


def read(session: boto3.Session, bucket: str, headers: Mapping[str, str] | None = None) -> str:
    """The bucket's object, or the code of the error that was met instead."""
    s3 = session.client("s3", region_name=HERE)

    def add_headers(request: AWSRequest, **_: object) -> None:
        for name, value in (headers or {}).items():
            request.headers[name] = value

    s3.meta.events.register("before-sign.s3.GetObject", add_headers)
    try:
        return s3.get_object(Bucket=bucket, Key="key")["Body"].read().decode()
    except ClientError as error:
        return error.response["Error"]["Code"]


def outcome(call: Any) -> str:
    """The error code this call meets; nothing where it meets none."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def package(code: str = "def handler(event, context): return 'ran'") -> bytes:
    archive = BytesIO()
    with ZipFile(archive, "w") as package:
        package.writestr("index.py", code)
    return archive.getvalue()


def wait_for_stack(cloudformation: Any, name: str) -> str:
    while True:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return str(stack["StackStatus"])
        time.sleep(0.05)
