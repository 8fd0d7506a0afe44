"""Two releases of an app, deployed to two regions of another account and rolled back by name, and
proved by the code that runs."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from local.aws.embedded import HOME_REGION, ROOT, RUNTIME, TEST, TOOLS, Embedded
from local.rehearsal.run import deploy_target_account

BIN = Path(sys.executable).parent
REGIONS = (HOME_REGION, "us-east-1")
DECLARATION = f"""
Name: ledger
Source:
  CodeCommit: {{Repository: ledger}}
Targets:
  - Name: Test
    Account: "{TEST}"
    Stack: ledger
    Regions: [{", ".join(REGIONS)}]
    Waves: [1]
    Bake: {{Minutes: 0, Alarms: [ledger-errors]}}
    OnFailure: rollback
"""


def run(aws: Embedded, *words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / words[0], *words[1:]],
        cwd=folder,
        env={**os.environ, **aws.environment(), "SAM_CLI_TELEMETRY": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def done(aws: Embedded, *words: str, folder: Path = ROOT) -> str:
    ended = run(aws, *words, folder=folder)
    assert ended.returncode == 0, f"{words}: {ended.stderr}{ended.stdout}"
    return ended.stdout


def packaged(aws: Embedded, work: Path) -> dict[str, Any]:
    """A release, and its manifest."""
    done(aws, "sam", "build", "--parameter-overrides", f"PythonRuntime={RUNTIME}", folder=work)
    command = ("package", "--project", "ledger", "--targets", "pipeline.yaml", "--output", "out")
    (work / "out").mkdir(exist_ok=True)
    done(aws, "foothold", *command, folder=work)
    release = json.loads(done(aws, "foothold", "release", "show", "ledger", "--json"))
    return {**release, "manifest": json.loads((work / "out" / "manifest.json").read_text())}


def assert_runs(aws: Embedded, release: dict[str, Any], regions: tuple[str, ...] = REGIONS) -> None:
    """The code of each region's function is what the release's manifest says."""
    for region in regions:
        objects = release["manifest"]["regions"][region]["objects"]
        (there,) = (one for one in objects if "BookFunction" in one["resources"])
        session = aws.session(TEST, region)
        (stack,) = session.client("cloudformation").describe_stacks(StackName="ledger")["Stacks"]
        assert {"Key": "foothold:release", "Value": release["id"]} in stack["Tags"]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
        functions = session.client("lambda")
        found = functions.get_function_configuration(FunctionName=outputs["BookFunction"])
        assert base64.b64decode(found["CodeSha256"]).hex() == there["sha256"]


def assert_the_board_tells_of_code_that_somebody_changed(aws: Embedded, release: str) -> None:
    board = ("foothold", "board", "--project", "ledger", "--json")
    (row,) = json.loads(done(aws, *board))["rows"]
    assert [(one["mark"], one["release"]) for one in row["cells"]] == [("proved", release)] * 2
    assert "is held" in row["hold"]

    functions = aws.session(TEST, REGIONS[1]).client("lambda")
    (name,) = (
        one["FunctionName"]
        for one in functions.list_functions()["Functions"]
        if "BookFunction" in one["FunctionName"]
    )
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): ...")
    functions.update_function_code(FunctionName=name, ZipFile=body.getvalue())
    told = run(aws, *board)
    assert told.returncode == 1
    (row,) = json.loads(told.stdout)["rows"]
    same, changed = row["cells"]
    assert (same["mark"], changed["mark"]) == ("proved", "differs")
    assert f"BookFunction ({name}) runs other code" in changed["differs"][0]


def test_a_release_is_deployed_and_the_one_before_comes_back(
    deployed: Embedded, tmp_path: Path
) -> None:
    done(deployed, "foothold", "regions", "add", *REGIONS)
    deploy_target_account(deployed, TEST, f"arn:aws:iam::{TOOLS}:root")
    work = tmp_path / "ledger"
    shutil.copytree(ROOT / "examples" / "ledger", work)
    (work / "pipeline.yaml").write_text(DECLARATION)
    deploy = ("foothold", "release", "deploy", "ledger")
    back = ("foothold", "release", "rollback", "ledger", "--target", "Test")

    first = packaged(deployed, work)
    done(deployed, *deploy, first["id"], "--target", "Test")
    assert_runs(deployed, first)

    code = work / "book" / "app.py"
    code.write_text(f"{code.read_text()}\nSECOND = True\n")
    second = packaged(deployed, work)
    assert second["id"] != first["id"]
    outcome = json.loads(done(deployed, *deploy, second["id"], "--target", "Test", "--json"))
    assert [cell["state"] for cell in outcome["cells"]] == ["deployed", "deployed"]
    assert_runs(deployed, second)

    done(deployed, *back)
    assert_runs(deployed, first)

    alarm = {"AlarmName": "ledger-errors", "StateReason": "the test raises it"}
    alarms = deployed.session(TEST, REGIONS[0]).client("cloudwatch")
    alarms.set_alarm_state(**alarm, StateValue="ALARM")
    refused = run(deployed, *deploy, second["id"], "--target", "Test")
    assert refused.returncode == 1
    assert "alarm ledger-errors in eu-central-1" in refused.stderr
    assert_runs(deployed, first)

    done(deployed, "foothold", "release", "hold", "ledger", "--target", "Test")
    refused = run(deployed, *deploy, second["id"], "--target", "Test")
    assert (refused.returncode, "Test of ledger is held since" in refused.stderr) == (1, True)
    assert_the_board_tells_of_code_that_somebody_changed(deployed, first["id"])

    unknown = run(deployed, *deploy, "0123456789abcdef", "--target", "Test")
    assert unknown.returncode == 1
    assert "foothold release list ledger" in unknown.stderr
