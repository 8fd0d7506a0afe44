"""The demo's chapter on releases: a second release is reviewed, an alarm stops it, and the first
one comes back."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.table import Table

from foothold.releases.model import RELEASE_TAG
from local.aws.embedded import BINARIES, PRODUCTION, ROOT, TOOLS, Embedded
from local.demo.console import LOOK, DemoError, console, foothold, show
from local.demo.packaging import sam_build
from local.demo.stores import REGIONS
from local.rehearsal.run import deploy_target_account

PROJECT, TARGET, ALARM = "ledger", "Production", "ledger-errors"
LOOK_EVERY_SECONDS = 0.5
TAGS = "    Tags: {team: accounts}\n"
ODD = "    RegionParameters: {{{region}: {{MemorySize: 256}}}}\n"


def releases(embedded: Embedded) -> None:
    """Deploy a release of the ledger and then another one, whose rollout an alarm stops after its
    first region; roll back, and prove by the code of each function what runs."""
    operator = f"arn:aws:iam::{TOOLS}:root"
    deploy_target_account(embedded, PRODUCTION, operator)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / PROJECT
        shutil.copytree(ROOT / "examples" / PROJECT, work)
        declaration = work / "pipeline.yaml"
        written = declaration.read_text()
        # Nothing is watched the first time: there is nothing that it could go back to.
        watched = [line for line in written.splitlines() if line.strip().startswith("Bake:")]
        declaration.write_text(written.replace(watched[0] + "\n", ""))
        first = packaged(work, "A ledger")
        foothold("release", "deploy", PROJECT, first["id"], "--target", TARGET, "--approve")

        odd = sorted(first["regions"])[-1]
        changed(work / "book" / "app.py", '{"booked": event["entry"]}',
                '{"booked": event["entry"], "in": os.environ["AWS_REGION"]}')  # fmt: skip
        changed(work / "template.yaml", "AttributeName: account", "AttributeName: entry")
        declaration.write_text(written)
        changed(declaration, TAGS, TAGS + ODD.format(region=odd))
        second = packaged(work, "Entries are the key, and say where they were made")
    stopped_by_an_alarm(embedded, second)
    foothold("release", "rollback", PROJECT, "--target", TARGET, "--approve")
    prove(embedded, first)
    foothold("release", "list", PROJECT)


def changed(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    if before not in text:
        raise DemoError(f"{path.name} is not what this demo was written for")
    path.write_text(text.replace(before, after))


def packaged(work: Path, message: str) -> dict[str, Any]:
    """Build and package for every region; return the release, and its manifest."""
    sam_build(work)
    out = work / "out"
    foothold("package", "--project", PROJECT, "--targets", str(work / "pipeline.yaml"),
             "--template", str(work / ".aws-sam" / "build" / "template.yaml"),
             "--output", str(out), "--message", message)  # fmt: skip
    release = told("release", "show", PROJECT)
    return {**release, "manifest": json.loads((out / "manifest.json").read_text())}


def told(*command: str) -> dict[str, Any]:
    """What a command answers a script."""
    answer = subprocess.run(
        [BINARIES / "foothold", *command, "--json"], cwd=ROOT, env=environment(), check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def environment() -> dict[str, str]:
    return {**os.environ, **Embedded().environment()}


def stopped_by_an_alarm(embedded: Embedded, release: Mapping[str, Any]) -> None:
    """Deploy the release, and raise the alarm of its first region once it runs there. Raises
    DemoError where the rollout goes on."""
    command = ("release", "deploy", PROJECT, release["id"], "--target", TARGET, "--approve")
    show("foothold", *command)
    (target,) = release["targets"]
    (first,) = target["waves"][0]
    with subprocess.Popen(
        [BINARIES / "foothold", *command], cwd=ROOT, env=environment()
    ) as deployment:
        wait(lambda: release_of(embedded, first) == release["id"] or deployment.poll() is not None)
        console.print(f"[bold]An alarm of {first} is raised: {ALARM}[/]")
        embedded.session(PRODUCTION, first).client("cloudwatch").set_alarm_state(
            AlarmName=ALARM, StateValue="ALARM", StateReason="the demo raises it"
        )
        code = deployment.wait()
    touched = [region for region in REGIONS if release_of(embedded, region) == release["id"]]
    if code == 0 or touched != [first]:
        raise DemoError(f"the alarm did not stop the rollout: it is in {', '.join(touched)}")
    console.print(f"Stopped: {first} alone has release {release['id']}.")


def wait(done: Callable[[], bool]) -> None:
    while not done():
        time.sleep(LOOK_EVERY_SECONDS)


def release_of(embedded: Embedded, region: str) -> str:
    """The release that the region's stack says it runs, once its update is over."""
    cloudformation = embedded.session(PRODUCTION, region).client("cloudformation")
    try:
        (stack,) = cloudformation.describe_stacks(StackName=PROJECT)["Stacks"]
    except ClientError:
        return ""
    tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}
    return "" if stack["StackStatus"].endswith("_IN_PROGRESS") else tags.get(RELEASE_TAG, "")


def prove(embedded: Embedded, release: Mapping[str, Any]) -> None:
    """Compare the code of each region's function with the release's manifest. Raises DemoError
    where it is not the same."""
    table = Table("Region", "Release", "CodeSha256", "", title="What runs in Production", **LOOK)
    wrong = []
    for region, package in sorted(release["manifest"]["regions"].items()):
        (there,) = (one for one in package["objects"] if "BookFunction" in one["resources"])
        session = embedded.session(PRODUCTION, region)
        (stack,) = session.client("cloudformation").describe_stacks(StackName=PROJECT)["Stacks"]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
        found = session.client("lambda").get_function_configuration(
            FunctionName=outputs["BookFunction"]
        )
        same = base64.b64decode(found["CodeSha256"]).hex() == there["sha256"]
        wrong += [] if same else [region]
        said = release_of(embedded, region)
        table.add_row(region, said, found["CodeSha256"], "proved" if same else "[red]other code[/]")
        wrong += [] if said == release["id"] else [region]
    console.print(table)
    if wrong:
        raise DemoError(f"{', '.join(dict.fromkeys(wrong))} did not go back to {release['id']}")
