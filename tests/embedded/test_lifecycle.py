"""Starting and stopping the embedded AWS."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from local.aws.embedded import BINARIES, ROOT, TOOLS, Embedded, EmbeddedError


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Embedded]:
    aws = Embedded(tmp_path / "state")
    yield aws
    aws.stop()


def test_a_second_start_keeps_the_running_server(aws: Embedded) -> None:
    assert aws.start() is True
    first = aws.pid, aws.endpoint

    assert aws.start() is False
    assert Embedded(aws.folder).start() is False
    assert (aws.pid, aws.endpoint) == first


def test_a_killed_server_is_replaced(aws: Embedded) -> None:
    aws.start()
    killed = aws.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)

    assert aws.start() is True
    assert aws.pid != killed
    assert not alive(killed)
    assert works(aws)


def test_a_server_that_hangs_is_replaced(aws: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.start()
    spawn = aws._spawn

    def spawn_in_its_time() -> None:
        monkeypatch.setattr("local.aws.embedded.HEALTH_SECONDS", 60.0)
        spawn()

    monkeypatch.setattr("local.aws.embedded.HEALTH_SECONDS", 0.2)
    monkeypatch.setattr("local.aws.embedded.STOP_SECONDS", 1.0)
    monkeypatch.setattr(aws, "_spawn", spawn_in_its_time)
    hung = aws.pid
    assert hung is not None
    os.kill(hung, signal.SIGSTOP)

    assert aws.start() is True
    assert aws.pid != hung
    assert not alive(hung)
    assert works(aws)


def test_a_state_file_that_nobody_holds_is_not_believed(aws: Embedded) -> None:
    aws.folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stale = f'{{"pid": {os.getpid()}, "port": {port}}}'
        (aws.folder / "server.json").write_text(stale)

        assert aws.stop() is False  # and this process, whose pid it names, lives
        (aws.folder / "server.json").write_text(stale)
        assert aws.start() is True
        assert aws.endpoint != f"http://127.0.0.1:{port}"


def test_stopping_leaves_no_process_not_even_a_functions(aws: Embedded) -> None:
    aws.start()
    server = aws.pid
    assert server is not None
    function = int(invoke_once(aws, "import os\ndef handler(e, c): return os.getpid()"))
    assert alive(function)

    assert aws.stop() is True
    assert not alive(server)
    assert not alive(function)
    assert sorted(path.name for path in aws.folder.iterdir()) == ["lock", "ministack.log"]


def test_stopping_does_not_wait_for_a_function_that_runs(
    aws: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.aws.embedded.STOP_SECONDS", 1.0)
    aws.start()
    code = "import os, time\ndef handler(e, c):\n    print(os.getpid())\n    time.sleep(60)"
    make_function(aws, code)
    lambda_ = aws.session().client("lambda")
    lambda_.invoke(FunctionName="probe", InvocationType="Event", Payload=b"{}")
    function = wait_for_child(aws)

    aws.stop()
    assert not alive(function)


def test_stopping_what_does_not_run_is_harmless(aws: Embedded) -> None:
    assert aws.stop() is False
    with pytest.raises(EmbeddedError, match="make local"):
        _ = aws.endpoint


def test_only_the_loopback_address_is_bound(aws: Embedded) -> None:
    aws.start()
    assert aws.pid is not None
    assert listening_addresses(aws.pid) == {"127.0.0.1"}


def test_functions_see_nothing_of_the_developers_environment(
    aws: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("GITHUB_TOKEN", "a-secret")
    aws.start()
    seen = invoke_once(aws, "import os\ndef handler(e, c): return ' '.join(os.environ)").split()

    assert "AWS_PROFILE" not in seen
    assert "GITHUB_TOKEN" not in seen
    assert "AWS_SESSION_TOKEN" in seen  # the role's own


def test_a_shell_that_sources_env_works_as_the_tools_account(aws: Embedded) -> None:
    aws.start()
    asked = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    shell = f'. {aws.folder}/env && {sys.executable} -c "{asked}"'
    answer = subprocess.run(  # noqa: S602 - it is a shell that is tried
        shell,
        shell=True,
        env={"PATH": os.defpath, "AWS_SESSION_TOKEN": "stale", "AWS_PROFILE": "missing"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == TOOLS


def test_a_shell_that_sources_env_finds_foothold_and_sam_from_any_folder(
    aws: Embedded, tmp_path: Path
) -> None:
    aws.start()
    asked = "command -v foothold; command -v sam; echo $FOOTHOLD_LOCAL; foothold local down"
    answer = subprocess.run(
        ["sh", "-c", f". {aws.folder}/env && . {aws.folder}/env && echo $PATH && {asked}"],
        env={"PATH": os.defpath},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    path, foothold, sam, folder, stopped = answer.stdout.splitlines()
    assert path == f"{BINARIES}:{os.defpath}"
    assert (foothold, sam) == (f"{BINARIES}/foothold", f"{BINARIES}/sam")
    assert (folder, stopped) == (str(aws.folder), "embedded AWS stopped")
    assert aws.pid is None


def test_a_dead_embedded_aws_is_told_of_with_the_way_out(aws: Embedded, tmp_path: Path) -> None:
    aws.start()
    environment = {**os.environ, **aws.environment(), "COLUMNS": "500"}
    assert aws.pid is not None
    os.killpg(aws.pid, signal.SIGKILL)
    source = ("--source", str(ROOT / "examples" / "orders"))
    for arguments, words in (
        (("status",), f"start the embedded AWS with `make local` and source {aws.folder}/env"),
        (
            ("pipeline", "rehearse", str(ROOT / "pipelines" / "example.yaml"), *source),
            f"no embedded AWS runs in {aws.folder}: start it with `make local`",
        ),
    ):
        done = subprocess.run(
            [BINARIES / "foothold", *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        said = (done.stdout + done.stderr).splitlines()
        assert (done.returncode, len(said)) == (1, 1)
        assert words in said[0]


def test_what_is_interrupted_while_it_starts_leaves_no_process(
    aws: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def interrupt(process: subprocess.Popen[bytes]) -> None:
        started.append(process.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(aws, "_await_health", interrupt)
    with pytest.raises(KeyboardInterrupt):
        aws.start()
    assert not alive(started[0])
    assert aws.pid is None


def test_up_and_down_work_from_the_command_line(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "local", "--state", str(tmp_path)]
    up = subprocess.run(
        [*run, "up", "--no-deploy"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    aws = Embedded(tmp_path)
    server = aws.pid
    assert server is not None  # it outlives the command
    assert aws.endpoint in up.stdout

    subprocess.run([*run, "down"], cwd=ROOT, capture_output=True, check=True)
    assert not alive(server)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="no such shim: nonsense"):
        Embedded(tmp_path, without=["nonsense"]).start()


def works(aws: Embedded) -> bool:
    identity = aws.session().client("sts").get_caller_identity()
    return bool(identity["Account"] == TOOLS)


def alive(pid: int) -> bool:
    """Whether this process runs; one that only waits for its parent to notice does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def children(pid: int) -> list[int]:
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    return [int(s.split()[0]) for s in stats if int(s.rpartition(")")[2].split()[1]) == pid]


def wait_for_child(aws: Embedded) -> int:
    assert aws.pid is not None
    while not (found := children(aws.pid)):
        time.sleep(0.01)
    return found[0]


def listening_addresses(pid: int) -> set[str]:
    """The addresses on which this process listens for TCP, as the kernel says."""
    inodes = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    addresses = set()
    for family, table in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            listens = fields[3] == "0A"
            if listens and f"socket:[{fields[9]}]" in inodes:
                words = bytes.fromhex(fields[1].partition(":")[0])
                packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                addresses.add(socket.inet_ntop(family, packed))
    return addresses


def make_function(aws: Embedded, code: str) -> None:
    iam, lambda_ = aws.session().client("iam"), aws.session().client("lambda")
    role = iam.create_role(RoleName="probe", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    archive = BytesIO()
    with ZipFile(archive, "w") as package:
        package.writestr("index.py", code)
    lambda_.create_function(
        FunctionName="probe",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Timeout=120,
        Code={"ZipFile": archive.getvalue()},
    )


def invoke_once(aws: Embedded, code: str) -> str:
    make_function(aws, code)
    answer = aws.session().client("lambda").invoke(FunctionName="probe")["Payload"].read()
    return str(answer.decode().strip('"'))
