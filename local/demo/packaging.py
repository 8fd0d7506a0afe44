"""The demo's chapter on packaging: one sam build, one call, a template for every region."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

from local.aws.embedded import BINARIES, HOME_REGION, ROOT, RUNTIME, TOOLS, Embedded
from local.demo.console import LOOK, DemoError, console, show

PROJECT = "orders"
SOURCE = "demo/orders.zip"


def package_once(embedded: Embedded) -> None:
    """Build the example, hand its zip to the deployed function, and show what came back."""
    session = embedded.session(TOOLS, HOME_REGION)
    ssm = session.client("ssm")

    def parameter(name: str) -> str:
        return str(ssm.get_parameter(Name=f"/foothold/{name}")["Parameter"]["Value"])

    home = parameter("artifact-store/bucket")
    with tempfile.TemporaryDirectory() as folder:
        # The whole project, as a build's artifact: state machines and APIs stay in its source.
        project = Path(folder) / PROJECT
        shutil.copytree(ROOT / "examples" / PROJECT, project)
        sam_build(project)
        archive = shutil.make_archive(str(project), "zip", project)
        session.client("s3").upload_file(
            archive, home, SOURCE, ExtraArgs={"ExpectedBucketOwner": TOOLS}
        )
    event = json.dumps({"project": PROJECT, "source": {"bucket": home, "key": SOURCE}})
    invoke = ("sam", "remote", "invoke", "PackageFunction", "--stack-name", "foothold")
    show(*invoke, "--event", f"'{event}'")
    answer = session.client("lambda").invoke(
        FunctionName=parameter("package-function"), Payload=event
    )
    result = json.loads(answer["Payload"].read())
    if "FunctionError" in answer or result["failed"]:
        raise DemoError(f"packaging failed: {result}")
    manifest = read_manifest(embedded, result["regions"][HOME_REGION]["manifest"])
    table = Table("Region", "Objects", "Template", **LOOK)
    for region, package in sorted(manifest["regions"].items()):
        table.add_row(region, str(len(package["objects"])), package["template"]["file"])
    console.print(table)
    console.print(result["summary"])


def sam_build(project: Path) -> None:
    command = ("sam", "build", "--parameter-overrides", f"PythonRuntime={RUNTIME}")
    show(*command)
    done = subprocess.run(
        [BINARIES / "sam", *command[1:]],
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DemoError(f"sam build failed:\n{done.stderr}")


def read_manifest(embedded: Embedded, url: str) -> dict[str, Any]:
    bucket, key = url.split("/", 3)[3].split("/", 1)
    s3 = embedded.session(TOOLS, HOME_REGION).client("s3")
    found = s3.get_object(Bucket=bucket, Key=key, ExpectedBucketOwner=TOOLS)
    manifest: dict[str, Any] = json.loads(found["Body"].read())
    return manifest
