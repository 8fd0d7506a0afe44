"""The demo's chapters on what a store is there for: who asks, and who may read."""

import json
import os
import subprocess
import time
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError
from rich.table import Table

from local.aws.embedded import (
    BINARIES,
    FOREIGN,
    HOME_REGION,
    PRODUCTION,
    ROOT,
    TEST,
    TOOLS,
    Embedded,
)
from local.demo.console import LOOK, DemoError, console, foothold, show

STACK_REGIONS = ("eu-west-1", "us-east-1")
EVENT_REGION = "ap-southeast-1"
ADDED_REGION = "sa-east-1"
REGIONS = (HOME_REGION, *STACK_REGIONS, EVENT_REGION, ADDED_REGION)
READER = "foothold-deploy"


def a_stack_asks(embedded: Embedded) -> None:
    stack = "demo-consumer"
    command = ("sam", "deploy", "--template-file", "examples/artifact-stores.yaml",
               "--stack-name", stack, "--resolve-s3", "--no-progressbar",
               "--language-extensions", "--no-fail-on-empty-changeset",
               "--capabilities", "CAPABILITY_AUTO_EXPAND")  # fmt: skip
    show(*command)
    done = subprocess.run(
        [str(BINARIES / "sam"), *command[1:]],
        cwd=ROOT,
        env={**os.environ, **embedded.environment(), "SAM_CLI_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoError(done.stdout + done.stderr)
    cloudformation = embedded.session(TOOLS, HOME_REGION).client("cloudformation")
    table = Table("Resource", "Type", "Status", **LOOK)
    for resource in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]:
        table.add_row(
            resource["LogicalResourceId"], resource["ResourceType"], resource["ResourceStatus"]
        )
    console.print(table)


def an_event_asks(embedded: Embedded) -> None:
    detail = json.dumps({"regions": [EVENT_REGION]})
    show("aws events put-events --entries "
         f"'Source=foothold,DetailType=Regions Requested,Detail={detail}'")  # fmt: skip
    embedded.session(TOOLS, HOME_REGION).client("events").put_events(
        Entries=[{"Source": "foothold", "DetailType": "Regions Requested", "Detail": detail}]
    )
    wait_for(embedded, EVENT_REGION)


def an_operator_asks(_embedded: Embedded) -> None:
    foothold("regions", "add", ADDED_REGION)


def what_there_is(embedded: Embedded) -> None:
    foothold("status")
    console.print("The same two parameters, read in every region:")
    table = Table("Region", "/foothold/artifact-store/bucket", ".../key-arn", **LOOK)
    for region in REGIONS:
        bucket, key = store(embedded, region)
        table.add_row(region, bucket, f"...{key.rpartition('/')[2][:8]}...")
    console.print(table)


def who_may_read(embedded: Embedded) -> None:
    region = STACK_REGIONS[0]
    bucket, key_arn = store(embedded, region)
    tools = embedded.session(TOOLS, region).client("s3")
    tools.put_object(Bucket=bucket, Key="demo/artifact.txt", Body=b"an artifact",
                     ServerSideEncryption="aws:kms", SSEKMSKeyId=key_arn,
                     ExpectedBucketOwner=TOOLS)  # fmt: skip
    for account, name, allowed in (
        (TEST, "Test", True),
        (PRODUCTION, "Production", True),
        (FOREIGN, "a foreign account", False),
    ):
        role = deploy_role(embedded, account, bucket, key_arn)
        try:
            s3 = embedded.role_session(role, region).client("s3")
            found = s3.get_object(Bucket=bucket, Key="demo/artifact.txt")
            answer = found["Body"].read().decode()
        except ClientError as error:
            answer = error.response["Error"]["Code"]
        console.print(f"role {READER} of {name} ({account}) reads: [bold]{answer}[/]")
        drop_role(embedded, account)
        if (answer == "an artifact") is not allowed:
            raise DemoError(f"{name} got {answer!r} from {bucket}")


def store(embedded: Embedded, region: str) -> tuple[str, str]:
    """Bucket and key ARN, as a stack deployed in that region reads them."""
    ssm = embedded.session(TOOLS, region).client("ssm")
    path = "/foothold/artifact-store"
    found = {
        parameter["Name"]: parameter["Value"]
        for parameter in ssm.get_parameters(Names=[f"{path}/bucket", f"{path}/key-arn"])[
            "Parameters"
        ]
    }
    return found[f"{path}/bucket"], found[f"{path}/key-arn"]


def wait_for(embedded: Embedded, region: str) -> None:
    ssm = embedded.session(TOOLS, HOME_REGION).client("ssm")
    name = f"/foothold/artifact-stores/{region}/key-arn"
    waiter_seconds = 600
    for _ in range(waiter_seconds):
        if ssm.get_parameters(Names=[name])["Parameters"]:
            console.print(f"{region}: ready")
            return
        time.sleep(1)
    raise DemoError(f"{region} was not ready after {waiter_seconds} s")


def deploy_role(embedded: Embedded, account: str, bucket: str, key_arn: str) -> str:
    """Create the account's deploy role, whose own policies let it read the artifacts."""
    iam = embedded.session(account, HOME_REGION).client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "sts:AssumeRole",
    }
    may = [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"},
        {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key_arn},
    ]
    with suppress(iam.exceptions.EntityAlreadyExistsException):  # a demo that was kept
        iam.create_role(RoleName=READER, AssumeRolePolicyDocument=document(trust))
    iam.put_role_policy(RoleName=READER, PolicyName="read", PolicyDocument=document(*may))
    return f"arn:aws:iam::{account}:role/{READER}"


def drop_role(embedded: Embedded, account: str) -> None:
    """Make way for the role that the pipeline's own template deploys under this name."""
    iam = embedded.session(account, HOME_REGION).client("iam")
    iam.delete_role_policy(RoleName=READER, PolicyName="read")
    iam.delete_role(RoleName=READER)


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
