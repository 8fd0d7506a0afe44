"""The commands of docs/package.md, run on the embedded AWS."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from local.aws.embedded import HOME_REGION, ROOT, RUNTIME, TOOLS, Embedded

BIN = Path(sys.executable).parent
PAGE = (ROOT / "docs" / "package.md").read_text()
COMMANDS = [
    textwrap.dedent(line).strip()
    for line in re.findall(r"^ {4}(?:foothold|sam remote) .*$", PAGE, flags=re.MULTILINE)
]
REGIONS = (HOME_REGION, "eu-west-1", "us-east-1")


def run(aws: Embedded, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    return subprocess.run(
        [BIN / words[0], *words[1:]],
        cwd=folder,
        env={**os.environ, **aws.environment(), "SAM_CLI_TELEMETRY": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_all_three_doors_are_commands_that_work(deployed: Embedded, tmp_path: Path) -> None:
    assert len(COMMANDS) == 8
    added = run(deployed, f"foothold regions add {' '.join(REGIONS)}", tmp_path)
    assert added.returncode == 0, added.stderr
    project = tmp_path / "orders"
    shutil.copytree(ROOT / "examples" / "orders", project)
    built = run(deployed, f"sam build --parameter-overrides PythonRuntime={RUNTIME}", project)
    assert built.returncode == 0, built.stderr
    bucket = f"foothold-{TOOLS}-{HOME_REGION}-an"
    archive = shutil.make_archive(str(tmp_path / "orders"), "zip", project)
    s3 = deployed.session(TOOLS, HOME_REGION).client("s3")
    s3.upload_file(archive, bucket, "orders.zip")
    (project / "out").mkdir()
    shutil.copy(ROOT / "pipelines" / "example.yaml", project / "pipeline.yaml")
    for command in COMMANDS:
        done = run(deployed, command.replace("BUCKET", bucket), project)
        assert done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"
    for region in REGIONS:
        assert (project / f"template-export-{region}.yml").is_file()
        named = (project / f"configuration-Production-{region}.json").read_text()
        configuration = json.loads(named)
        assert configuration["Parameters"]["Stage"] == "production"
        store, release = f"foothold-{TOOLS}-{region}-an", configuration["Tags"]["foothold:release"]
        there = (
            deployed.session(TOOLS, region)
            .client("s3")
            .list_objects_v2(Bucket=store, Prefix=f"orders/releases/{release}/")
        )
        assert [found["Key"].rpartition("/")[2] for found in there["Contents"]] == [
            f"configuration-Production-{region}.json",
            f"configuration-Test-{region}.json",
            "manifest.json",
            "release.json",
            f"template-export-{region}.yml",
        ]
    manifest = json.loads((project / "out" / "manifest.json").read_text())
    assert set(manifest["regions"]) == {"eu-west-1", "us-east-1"}


def test_the_page_names_the_parameter_and_the_tag_that_the_product_reads() -> None:
    assert "{{resolve:ssm:/foothold/package-function}}" in PAGE
    assert "foothold:project" in PAGE
