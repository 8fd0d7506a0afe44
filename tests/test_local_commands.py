"""What finds the embedded AWS of a checkout, and what `make setup` says while it works."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foothold.cli import local
from foothold.cli.main import app
from local.aws.embedded import ROOT, Embedded, EmbeddedError

FILE = ROOT / "pipelines" / "example.yaml"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Path, str, list[str]]]:
    """Working folder, FOOTHOLD_LOCAL and command of everything that is run; from a folder that is
    in no checkout."""
    found: list[tuple[Path, str, list[str]]] = []

    def run(command: list[str], **given: Any) -> subprocess.CompletedProcess[str]:
        found.append((given["cwd"], given["env"]["FOOTHOLD_LOCAL"], command[1:]))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FOOTHOLD_LOCAL", raising=False)
    monkeypatch.setattr(subprocess, "run", run)
    return found


def another_checkout(folder: Path) -> Path:
    (folder / "local").mkdir(parents=True)
    (folder / "local" / "__main__.py").touch()
    (folder / "template.yaml").touch()
    return folder


def rehearse(*arguments: str, **environment: str) -> Any:
    command = ["pipeline", "rehearse", "own.yaml", "--source", "app", *arguments]
    return CliRunner().invoke(app, command, env={"COLUMNS": "500", **environment})


def test_a_rehearsal_in_any_folder_is_run_by_the_checkout_that_foothold_came_from(
    ran: list[Any], tmp_path: Path
) -> None:
    assert rehearse().exit_code == 0
    ((folder, state, command),) = ran
    assert (folder, state) == (ROOT, str(ROOT / ".local"))
    assert command[:3] == ["-m", "local.rehearsal", str(tmp_path / "own.yaml")]
    assert str(tmp_path / "app") in command


def test_another_embedded_aws_is_named_by_its_folder_its_checkout_or_the_environment(
    ran: list[Any], tmp_path: Path
) -> None:
    other = another_checkout(tmp_path / "other")
    state = str(other / ".local")
    rehearse("--local", state)
    rehearse("--local", "other")
    rehearse(FOOTHOLD_LOCAL=state)
    CliRunner().invoke(app, ["local", "down"], env={"FOOTHOLD_LOCAL": state})
    assert [(folder, named) for folder, named, _ in ran] == [(other, state)] * 4
    assert ran[-1][2] == ["-m", "local", "down"]


def test_the_checkout_that_one_is_in_comes_before_the_installed_one(
    ran: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = another_checkout(tmp_path / "other")
    (other / "app").mkdir()
    monkeypatch.chdir(other / "app")
    rehearse()
    assert ran[0][:2] == (other, str(other / ".local"))


def test_outside_of_every_checkout_one_line_names_the_way_out(
    ran: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "__file__", str(tmp_path / "site-packages" / "local.py"))
    done = rehearse()
    assert (done.exit_code, ran) == (1, [])
    assert "source the `.local/env` of one, or name its folder with --local DIR" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_where_none_runs_the_message_names_the_folder_and_make_local(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=f"runs in {tmp_path}: start it with `make local`"):
        _ = Embedded(tmp_path).endpoint


# --- make setup ----------------------------------------------------------------------------------


@pytest.fixture
def setup(tmp_path: Path) -> Callable[..., list[str]]:
    """What `make setup` says in a fresh clone, with these programs beside a Python whose pip does
    this."""

    def said(*programs: str, pip: str) -> list[str]:
        shutil.copy(ROOT / "Makefile", tmp_path)
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
        binaries = tmp_path / "bin"
        binaries.mkdir()
        for program in ("sh", "mkdir", "touch", "chmod", "cat"):
            (binaries / program).symlink_to(str(shutil.which(program)))
        for program in programs:
            executable(binaries / program, "exit 0")
        # `python3 -m venv --clear FOLDER` makes a folder with such a Python, and its pip.
        lines = (
            '[ "$2" = venv ] || exit 0',
            "mkdir -p $4/bin",
            f"cat {binaries}/python3 > $4/bin/python",
            f"echo '{pip}' > $4/bin/pip",
            "chmod +x $4/bin/python $4/bin/pip",
        )
        executable(binaries / "python3", "\n".join(lines))
        done = subprocess.run(
            [str(shutil.which("make")), "setup"],
            cwd=tmp_path,
            env={"PATH": str(binaries)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout.splitlines()

    return said


def executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_set_up_says_what_takes_long_before_each_long_step(
    setup: Callable[..., list[str]],
) -> None:
    tools, emulator = setup("node", "npm", pip="exit 0")
    assert tools == "Installing Foothold's tools into .venv: one to three minutes ..."
    assert emulator == "Installing the emulator into .venv-emulator: about a minute ..."


@pytest.mark.parametrize("programs", [(), ("node",), ("npm",)])
def test_without_node_set_up_says_first_what_will_need_it_and_goes_on(
    setup: Callable[..., list[str]], programs: tuple[str, ...]
) -> None:
    first, second, *_ = setup(*programs, pip="exit 0")
    assert first.startswith("Without Node.js (node, npm) the policy tests of make test")
    assert second.startswith("Installing")


def test_without_a_network_set_up_ends_with_the_way_out(
    setup: Callable[..., list[str]],
) -> None:
    *_, way_out, failed = setup("node", "npm", pip="exit 1")
    assert "Is the network there? Then the same command goes on from here." in way_out
    assert failed.startswith("make: ***")


@pytest.mark.parametrize(
    "output",
    [
        "ERROR: Could not find a version that satisfies the requirement six (from versions: none)",
        "NewConnectionError: Failed to establish a new connection: [Errno 111] Connection refused",
        "[Errno -3] Temporary failure in name resolution",
    ],
)
def test_without_a_network_a_deployment_says_so_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    output: str,
) -> None:
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, output)
    )
    monkeypatch.setattr(Embedded, "endpoint", "http://127.0.0.1:9")
    aws = Embedded(tmp_path)
    with pytest.raises(EmbeddedError, match=r"is the network there\? Try again with `make local`"):
        aws.deploy(say=lambda _line: None)
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "sam-build.log").read_text() == output
