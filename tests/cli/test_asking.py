"""How the command line asks the control plane's function, and how it ends when it is ended."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner

from foothold.aws.clients import Clients, open_session
from foothold.cli.lifecycle import ask_patiently
from foothold.cli.main import app
from foothold.errors import (
    BusyError,
    NotReachedError,
    PermanentError,
    TemporaryError,
    raise_refusal,
    refusal,
)
from foothold.stores.gateways.functions import LambdaFunction
from foothold.stores.operator.messages import AddRegions, parse_command
from foothold.stores.operator.regions import RegionStatus
from foothold.stores.register import WantedBy
from local.aws.embedded import ROOT
from tests.stores.worlds import HOME

COMMAND = {"command": "plan", "regions": []}
FOOTHOLD = str(Path(sys.executable).parent / "foothold")


class Function:
    """A function that is at work for somebody else for so many questions."""

    def __init__(self, busy: int) -> None:
        self.busy, self.asked, self.now = busy, 0, 0.0

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert command == COMMAND
        self.asked += 1
        if self.asked <= self.busy:
            raise BusyError("TooManyRequestsException")
        return {"plan": {}}

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def asked_patiently(function: Function, seconds: float) -> tuple[dict[str, Any], list[float]]:
    told: list[float] = []
    answer = ask_patiently(
        function,
        COMMAND,
        seconds=seconds,
        clock=lambda: function.now,
        sleep=function.sleep,
        waiting=told.append,
    )
    return answer, told


def test_a_command_waits_for_a_busy_function_and_says_how_long() -> None:
    function = Function(busy=3)
    assert asked_patiently(function, 60.0) == ({"plan": {}}, [0.0, 2.0, 4.0])
    assert function.asked == 4


def test_a_command_that_never_gets_its_turn_ends_in_a_clear_line() -> None:
    function = Function(busy=1_000)
    with pytest.raises(BusyError, match=r"at work for somebody else for 60 s, so nothing was done"):
        asked_patiently(function, 60.0)
    assert function.now <= 60.0


@pytest.mark.parametrize("error", [TemporaryError("TooManyRequestsException"), PermanentError("x")])
def test_nothing_else_is_asked_again(error: Exception) -> None:
    class Refusing(Function):
        def ask(self, command: dict[str, Any]) -> dict[str, Any]:
            self.asked += 1
            raise error

    function = Refusing(busy=0)
    with pytest.raises(type(error), match=str(error)):
        asked_patiently(function, 60.0)
    assert function.asked == 1


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("TooManyRequestsException", 429, BusyError),
        ("AccessDeniedException", 403, NotReachedError),
        ("ResourceNotFoundException", 404, NotReachedError),
        ("ServiceException", 500, TemporaryError),
    ],
)
def test_a_call_that_was_turned_away_is_told_from_one_that_failed(
    code: str, status: int, kind: type[Exception]
) -> None:
    clients = Clients(boto3.Session("testing", "testing", region_name=HOME))
    with Stubber(clients.get("lambda", HOME)) as stubber:
        stubber.add_client_error("invoke", code, "no", http_status_code=status)
        with pytest.raises(kind, match="cannot invoke the function f") as raised:
            LambdaFunction(clients, "f").ask(COMMAND)
    assert type(raised.value) is kind


def test_a_control_plane_that_is_busy_says_so_at_the_other_end() -> None:
    with pytest.raises(BusyError, match=r"^at work$"):
        raise_refusal(refusal(BusyError("at work")))


def test_regions_are_added_by_a_command() -> None:
    found = parse_command({"command": "add", "regions": ["eu-west-1", "eu-west-1"]})
    assert found == AddRegions(regions=["eu-west-1"])
    with pytest.raises(PermanentError, match="at least 1 item"):
        parse_command({"command": "add", "regions": []})


# --- Where it asks: the region that the aws command would choose -----------------


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_PROFILE": "p"}, "eu-west-1"),
        ({"AWS_PROFILE": "p"}, "ap-south-1"),
        ({}, None),
    ],
)
def test_the_region_is_the_one_that_the_aws_command_would_take(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: dict[str, str],
    region: str | None,
) -> None:
    (tmp_path / "config").write_text("[profile p]\nregion = ap-south-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert open_session().region_name == region


def test_every_session_of_the_composition_roots_takes_that_region() -> None:
    package = ROOT / "layers" / "foothold" / "foothold"
    for path in (package / "app.py", *package.glob("*caller.py")):
        assert "boto3.Session()" not in path.read_text(), path.name


# --- How it ends -----------------


def foothold(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"capture_output": True} | options
    return subprocess.run([FOOTHOLD, *arguments], text=True, check=False, cwd=ROOT, **options)


def test_the_version_is_one_line() -> None:
    done = foothold("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "foothold 0.1.0\n", "")


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("pipeline", "schema")])
def test_a_full_disk_ends_in_one_line(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = foothold(*arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == "foothold: cannot read or write: No space left on device\n"


def test_output_that_nobody_reads_ends_in_one_line() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = foothold("pipeline", "schema", capture_output=False, stdout=write,
                        stderr=subprocess.PIPE)  # fmt: skip
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, "foothold: nobody reads the output any more\n")


# What interrupts at the first import of a module, or at the first call of a function.
INTERRUPTED_AT_IMPORT = """
import sys
class Interrupts:
    def find_spec(self, name, *_):
        if name == {name!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupts())
from foothold.cli import main
sys.argv = ["foothold", "status"]
main()
"""


@pytest.mark.parametrize("name", ["foothold.cli.main", "rich.console"])
def test_an_interruption_while_it_starts_is_one_line(name: str) -> None:
    code = INTERRUPTED_AT_IMPORT.format(name=name)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "foothold: interrupted\n")


INTERRUPTED_AT_WORK = """
import sys
from foothold.caller import Caller
def interrupted(_caller):
    raise KeyboardInterrupt
Caller.regions = property(interrupted)
from foothold.cli import main
sys.argv = ["foothold", "status"]
main()
"""


def test_an_interruption_at_work_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT_WORK], capture_output=True, text=True, check=False,
        cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "foothold: interrupted\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "europe"),
        ("regions", "add", "europe"),
        ("regions", "retire", "europe"),
        ("regions", "add", "all-enabled", "--except", "europe"),
        ("regions", "check", "eu-west-1", "EU-WEST-1"),
        ("regions", "retire", "eu_west_1"),
        ("regions", "adopt", "", "--bucket", "b", "--key-arn", "k"),
        ("package", "--project", "p", "--region", "europe"),
    ],
)
def test_a_region_that_cannot_be_is_wrong_use_in_one_line(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "is not the name of an AWS region" in done.stderr


def test_leaving_regions_out_of_nothing_is_wrong_use() -> None:
    done = CliRunner().invoke(app, ["regions", "add", "eu-west-1", "--except", "eu-west-3"])
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)


def test_a_store_to_which_access_was_refused_names_the_command_that_tells_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Regions:
        @property
        def regions(self) -> "Regions":
            return self

        def status(self) -> list[RegionStatus]:
            return [RegionStatus("eu-west-1", None, WantedBy(listed=True))]

    role = "arn:aws:sts::111111111111:assumed-role/foothold-ReconcileRole/1"
    error = f"cannot look: AccessDenied: User: {role} is not authorized to perform: s3:ListBucket"
    plan = {"plan": {"eu-west-1": {"error": error, "temporary": False}}}
    monkeypatch.setattr("foothold.cli.regions.Caller", lambda _root: Regions())
    monkeypatch.setattr("foothold.cli.lifecycle.answer", lambda *_: plan)
    told = f"foothold explain --principal {role} --action s3:ListBucket --region eu-west-1"
    shown = CliRunner().invoke(app, ["status"])
    assert f"{error}; `{told}` tells why" in shown.output
    (found,) = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)
    assert (found["explain"], found["why"]) == (told, [error])
    plan["plan"]["eu-west-1"]["error"] = "cannot look: it is gone"
    (found,) = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)
    assert found["explain"] is None
