"""`make demo`: everything a newcomer wants to see, on the embedded AWS, in a few minutes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from local.demo_lifecycle import life_of_a_store
from local.demo_packaging import package_once
from local.embedded import (
    BINARIES,
    FOLDER,
    FOLDER_VARIABLE,
    FOREIGN,
    HOME_REGION,
    PRODUCTION,
    ROOT,
    RUNTIME,
    TEST,
    TOOLS,
    Embedded,
    EmbeddedError,
)

HOME = HOME_REGION
STACK_REGIONS = ("eu-west-1", "us-east-1")
EVENT_REGION = "ap-southeast-1"
ADDED_REGION = "sa-east-1"
REGIONS = (HOME, *STACK_REGIONS, EVENT_REGION, ADDED_REGION)
READER = "foothold-deploy"
console = Console(highlight=False)
LOOK: dict[str, Any] = {"header_style": "bold", "box": SIMPLE_HEAD, "pad_edge": False}


class DemoError(Exception):
    """Something that the demo promises did not happen."""


def main() -> int:
    """Run the demo on an embedded AWS of its own; KEEP=1 leaves that running. Returns the exit
    code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        embedded = own_embedded_aws()
    except EmbeddedError as error:
        console.print(f"[bold red]The demo failed:[/] {error}")
        return 1
    except KeyboardInterrupt:
        return interrupted()
    os.environ[FOLDER_VARIABLE] = str(embedded.folder)  # for every command from here on
    try:
        show("foothold", "local", "up")
        console.print(f"embedded AWS started: {embedded.endpoint}")
        embedded.deploy(say=console.print)
        for number, (title, chapter) in enumerate(CHAPTERS, start=1):
            console.rule(f"[bold]{number}. {title}", align="left")
            chapter(embedded)
    except KeyboardInterrupt:
        return interrupted()
    except (
        DemoError,
        EmbeddedError,
        AssertionError,
        subprocess.CalledProcessError,
        BotoCoreError,
        ClientError,
    ) as error:
        console.print(f"[bold red]The demo failed:[/] {error}")
        console.print(f"`make demo` starts anew; the embedded AWS's log: {embedded.log}")
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left half stopped
        leave(embedded)
    console.print(
        f"[bold green]Done.[/] {len(REGIONS)} regions hold an artifact store: a stack, an event "
        "and an operator asked. The organisation's deploy roles read them, a foreign account does "
        "not; drift was repaired, a region retired and brought back; one build was packaged for "
        "all regions and deployed to two accounts."
    )
    return 0


def own_embedded_aws() -> Embedded:
    """An embedded AWS that nobody else has started, running: the checkout's, or one beside it."""
    for folder in (FOLDER, *(ROOT / f"{FOLDER.name}-{number}" for number in range(2, 100))):
        embedded = Embedded(folder)
        # Whoever runs there already is left alone, even where it does not answer.
        if embedded.pid is None and embedded.start():
            return embedded
        console.print(f"An embedded AWS of yours runs in {folder}: it is left alone.")
    raise EmbeddedError("a hundred embedded AWS run already: stop one with `make local-down`")


def leave(embedded: Embedded) -> None:
    """Stop what the demo has started, unless it is to be kept."""
    if os.environ.get("KEEP") != "1":
        show("foothold", "local", "down")
        embedded.stop()
        console.print("embedded AWS stopped")
        return
    stop = "make local-down" if embedded.folder == FOLDER else "foothold local down"
    console.print(
        f"KEEP=1: still running; `. {embedded.folder.relative_to(ROOT)}/env` uses it, and then "
        f"`{stop}` stops it."
    )


def interrupted() -> int:
    console.print("[bold red]The demo was interrupted:[/] `make demo` starts anew.")
    return 130


def foothold(*arguments: str) -> None:
    show("foothold", *arguments)
    run(str(BINARIES / "foothold"), *arguments)


def show(*command: str) -> None:
    console.print(f"[bold cyan]$ {' '.join(command)}[/]", soft_wrap=True)


def run(*command: str) -> None:
    embedded = Embedded()
    environment = embedded.environment() if embedded.pid else {}
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True)


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
    cloudformation = embedded.session(TOOLS, HOME).client("cloudformation")
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
    embedded.session(TOOLS, HOME).client("events").put_events(
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
    ssm = embedded.session(TOOLS, HOME).client("ssm")
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
    iam = embedded.session(account, HOME).client("iam")
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


def packaging(embedded: Embedded) -> None:
    package_once(embedded, console, LOOK)


def drop_role(embedded: Embedded, account: str) -> None:
    """Make way for the role that the pipeline's own template deploys under this name."""
    iam = embedded.session(account, HOME).client("iam")
    iam.delete_role_policy(RoleName=READER, PolicyName="read")
    iam.delete_role(RoleName=READER)


def life(embedded: Embedded) -> None:
    life_of_a_store(embedded, ADDED_REGION, foothold, console.print)


def pipeline(embedded: Embedded) -> None:
    """Rehearse the example pipeline, then call what it deployed, in every account and region."""
    foothold("pipeline", "rehearse", "pipelines/example.yaml", "--source", "examples/orders",
             "--approve", "--parameter", f"PythonRuntime={RUNTIME}")  # fmt: skip
    table = Table("Account", "Region", "Stage", title="What was deployed answers", **LOOK)
    for account in (TEST, PRODUCTION):
        for region in REGIONS:
            if answer := call(embedded, account, region):
                table.add_row(answer["account"], answer["region"], answer["stage"])
    console.print(table)
    if not table.row_count:
        raise DemoError("the rehearsed pipeline deployed nothing")


def call(embedded: Embedded, account: str, region: str) -> dict[str, str]:
    """What the function that the pipeline deployed answers; nothing where there is none."""
    session = embedded.session(account, region)
    try:
        (stack,) = session.client("cloudformation").describe_stacks(StackName="orders")["Stacks"]
    except ClientError:
        return {}
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    answer = session.client("lambda").invoke(
        FunctionName=outputs["PlaceFunction"],
        Payload=json.dumps({"customer": "demo", "items": []}),
    )
    place: dict[str, str] = json.loads(answer["Payload"].read())
    return place


CHAPTERS: tuple[tuple[str, Callable[[Embedded], None]], ...] = (
    ("A stack asks for two regions", a_stack_asks),
    ("An event asks for a third", an_event_asks),
    ("An operator asks for a fourth", an_operator_asks),
    ("What there is now", what_there_is),
    ("Who may read", who_may_read),
    ("The life of a store", life),
    ("One build, packaged for every region", packaging),
    ("A pipeline, rehearsed in three accounts", pipeline),
)


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


if __name__ == "__main__":
    sys.exit(main())
