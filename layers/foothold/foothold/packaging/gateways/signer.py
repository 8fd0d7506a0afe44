"""Signed zips, by AWS Signer of the store's own region.

As `sam package --signing-profiles` has it (samcli.lib.package.code_signer, aws-sam-cli 1.170.0):
source and destination are the same bucket, and the source is named with its version.
"""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import WaiterError

from foothold.aws.clients import aws_call
from foothold.errors import PermanentError
from foothold.packaging.gateways.objects import RegionalObjects
from foothold.packaging.manifest import SignedZip
from foothold.packaging.options import SigningProfile
from foothold.stores.register import ArtifactStore

LOOK_EVERY_SECONDS = 5


class SignerSignatures:
    """`packaging.ports.Signatures` by AWS Signer. `signer_of` makes a region's client."""

    def __init__(self, signer_of: Callable[[str], Any], objects: RegionalObjects) -> None:
        self._signer_of = signer_of
        self._objects = objects

    def sign(
        self, store: ArtifactStore, key: str, prefix: str, profile: SigningProfile
    ) -> SignedZip:
        """Raises PermanentError where the job fails."""
        signer = self._signer_of(store.region)
        version = self._objects.version(store, key)
        owner = {"profileOwner": profile.owner} if profile.owner else {}
        with aws_call(f"sign {key} in {store.bucket} with the profile {profile.name}"):
            job = signer.start_signing_job(
                source={"s3": {"bucketName": store.bucket, "key": key, "version": version}},
                destination={"s3": {"bucketName": store.bucket, "prefix": prefix}},
                profileName=profile.name,
                **owner,
            )["jobId"]
            try:
                signer.get_waiter("successful_signing_job").wait(
                    jobId=job, WaiterConfig={"Delay": LOOK_EVERY_SECONDS}
                )
            except WaiterError as error:
                reason = error.last_response.get("statusReason") or error.kwargs["reason"]
                raise PermanentError(
                    f"the signing job {job} of {key} in {store.region} failed: {reason}"
                ) from error
            signed = signer.describe_signing_job(jobId=job)["signedObject"]["s3"]["key"]
        size, sha256 = self._objects.measured(store, signed)
        return SignedZip(signed, size, sha256)
