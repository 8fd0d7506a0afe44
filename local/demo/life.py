"""The demo's chapter on the life of a store: drift repaired, a region retired and brought back."""

from typing import Any

from local.aws.embedded import HOME_REGION, TOOLS, Embedded
from local.demo.console import DemoError, console, foothold
from local.demo.stores import ADDED_REGION

ALIAS = "alias/foothold/artifacts"


def life_of_a_store(embedded: Embedded) -> None:
    """Break a region's store, have it repaired, retire the region and bring it back."""
    region = ADDED_REGION
    session = embedded.session(TOOLS, region)
    s3, kms = session.client("s3"), session.client("kms")
    bucket = f"foothold-{TOOLS}-{region}-an"
    foothold("regions", "remove", region)  # nobody wants it now; its store is kept

    console.print(f"Somebody removes the bucket's policy and disables the key in {region}:")
    s3.delete_bucket_policy(Bucket=bucket, ExpectedBucketOwner=TOOLS)
    kms.disable_key(KeyId=key(kms)["Arn"])
    foothold("plan", region)
    console.print("The next schedule, or an event before it, repairs what differs:")
    tick(embedded)
    foothold("plan", region)
    expect(key(kms)["KeyState"], "Enabled")

    s3.put_object(Bucket=bucket, Key="demo/build.zip", Body=b"a build", ExpectedBucketOwner=TOOLS)
    arn = key(kms)["Arn"]
    foothold("regions", "retire", region, "--yes")
    state = kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]
    expect(state, "PendingDeletion")
    console.print(f"The bucket is gone; the key waits for 30 days: {state}.")
    tick(embedded)
    expect(bucket in [each["Name"] for each in s3.list_buckets()["Buckets"]], wanted=False)
    foothold("regions", "retire", region, "--undo")
    expect((key(kms)["Arn"], key(kms)["KeyState"]), (arn, "Enabled"))
    console.print("The same key and the same bucket name are back:")
    foothold("plan", region)


def key(kms: Any) -> dict[str, Any]:
    found: dict[str, Any] = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]
    return found


def tick(embedded: Embedded) -> None:
    """What the schedule does every fifteen minutes."""
    session = embedded.session(TOOLS, HOME_REGION)
    name = session.client("ssm").get_parameter(Name="/foothold/reconcile-function")
    event = b'{"source": "aws.events", "detail-type": "Scheduled Event", "region": "eu-central-1"}'
    answer = session.client("lambda").invoke(FunctionName=name["Parameter"]["Value"], Payload=event)
    expect(answer.get("FunctionError"), None)


def expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise DemoError(f"{found!r} where {wanted!r} was promised")
