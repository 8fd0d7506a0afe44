"""Where a function's code comes from, and what it finds there."""

# ruff: noqa: SLF001 - what MiniStack does not do, it offers no hook for

import os
import sys

from ministack.core import lambda_runtime
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import lambda_svc, s3

from local.aws.shims.s3 import owner_of


def foreign_code() -> None:
    """Lambda code and templates are read from another account's bucket, where its policy allows.

    Upstream looks in the caller's own account only and, where it finds no code, makes a function
    that answers with a mock. AWS reads the object as the caller, in the function's own region,
    and refuses a function whose code it cannot read (AWS Lambda Developer Guide, "Deploying
    Lambda functions as .zip file archives").
    """
    read, region_of, fetch = s3._get_object_data, s3.bucket_region, lambda_svc._fetch_code_from_s3

    def get_object_data(bucket: str, key: str, version_id: str | None = None) -> bytes | None:
        owner, caller = owner_of(bucket), get_account_id()
        if owner in (None, caller):
            found = read(bucket, key, version_id)
        elif s3._foreign_bucket_allows(
            owner, bucket, key, "GET", {"versionId": [version_id]} if version_id else {}, caller
        ):
            with request_scope(owner, get_region()):
                found = read(bucket, key, version_id)
        else:
            found = None
        return bytes(found) if found is not None else None

    def bucket_region(bucket: str) -> str | None:
        with request_scope(owner_of(bucket) or get_account_id(), get_region()):
            region: str | None = region_of(bucket)
            return region

    def fetch_code_from_s3(bucket: str, key: str, version_id: str | None = None) -> bytes:
        code = fetch(bucket, key, version_id)
        if code is None:
            raise ValueError(
                "Your access has been denied by S3, please make sure your request credentials "
                f"have permission to GetObject for {bucket}/{key}."
            )
        return bytes(code)

    s3._get_object_data = get_object_data
    s3.bucket_region = bucket_region
    lambda_svc._fetch_code_from_s3 = fetch_code_from_s3


def bare_runtime() -> None:
    """A function finds the packages of its own code and layers, not those of the emulator.

    Upstream runs functions with its own interpreter, so that a package missing from a layer is
    found in the emulator's environment, and the function fails on AWS only.
    """
    detect = lambda_runtime._detect_runtime_binary

    def detect_runtime_binary(runtime: str) -> tuple[str, str]:
        binary, script = detect(runtime)
        # The interpreter that the environment was made from.
        return (os.path.realpath(binary) if binary == sys.executable else binary), script

    lambda_runtime._detect_runtime_binary = detect_runtime_binary
