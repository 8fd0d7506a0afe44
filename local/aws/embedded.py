"""The embedded AWS: start it, deploy the control plane on it, stop it.

One folder holds all of its state: `server.json` (which process serves on which port, locked by
that process while it lives), `env` for a shell, `ministack.log`, what was built to be deployed,
and scratch space that the functions see as their home and temporary folder.
"""

import fcntl
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import botocore.loaders
import botocore.session

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".local"
FOLDER_VARIABLE = "FOOTHOLD_LOCAL"  # names another; FOLDER/env sets it
BINARIES = Path(sys.executable).parent  # foothold, sam and the Python that builds
PYTHON = ROOT / ".venv-emulator" / "bin" / "python"

TOOLS, TEST, PRODUCTION = "111111111111", "222222222222", "333333333333"
FOREIGN = "444444444444"  # an account outside the organisation
ORGANIZATION = "o-foothold01"
HOME_REGION = "eu-central-1"
ADOPTABLE = "old-artifacts"  # the bucket of this name, if somebody makes it, may be adopted
# MiniStack's, the same for every account's root.
SECRET = "test"  # noqa: S105  # nosec B105
RUNTIME = f"python3.{sys.version_info.minor}"
ARCHITECTURE = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"

# What pip and sam say where the network, or the package index, cannot be reached.
UNREACHABLE = (
    "Could not find a version that satisfies",
    "Could not fetch URL",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
)

START_SECONDS = 60.0
HEALTH_SECONDS = 5.0
STOP_SECONDS = 5.0

# The SDK's service models, read once for all sessions: it takes 0.1 s a client otherwise.
MODELS = botocore.loaders.create_loader()


class EmbeddedError(Exception):
    """The embedded AWS could not do what was asked; the message is for the person who asked."""


class EmbeddedSession(boto3.Session):
    """A session whose clients call the embedded AWS, whatever the environment says."""

    def __init__(self, endpoint: str, **kwargs: Any) -> None:
        # No environment variable names the profile, and no files are read.
        nothing = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        session = botocore.session.Session(nothing)
        session.register_component("data_loader", MODELS)
        super().__init__(botocore_session=session, **kwargs)
        self.endpoint = endpoint

    def client(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("endpoint_url", self.endpoint)
        return super().client(*args, **kwargs)


class Embedded:
    """One embedded AWS, known by its folder: the one that FOOTHOLD_LOCAL names, or the checkout's.

    `without` names the shims (local/aws/shims) that it is to run without; `all` is every one.
    """

    def __init__(self, folder: Path | None = None, without: Sequence[str] = ()) -> None:
        self.folder = (folder or Path(os.environ.get(FOLDER_VARIABLE) or FOLDER)).absolute()
        self._without = tuple(without)
        self._state_file = self.folder / "server.json"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the server writes; its ERROR lines tell why a function could not be loaded.

        What a function writes is in CloudWatch Logs, see `logs`.
        """
        return self.folder / "ministack.log"

    @property
    def endpoint(self) -> str:
        """The address of the running server. Raises EmbeddedError where none runs."""
        server = self._server()
        if server is None:
            raise EmbeddedError(
                f"no embedded AWS runs in {self.folder}: start it with `make local` in its "
                f"checkout, or name another's folder (--local DIR, or {FOLDER_VARIABLE})"
            )
        return f"http://127.0.0.1:{server['port']}"

    @property
    def pid(self) -> int | None:
        server = self._server()
        return server["pid"] if server else None

    def start(self) -> bool:
        """Have a healthy server running; return whether a new one had to be started.

        Raises EmbeddedError where it does not come up.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if self._healthy():
                return False
            self._stop()
            self._spawn()
            (self.folder / "env").write_text(shell_exports(self.environment()))
            return True

    def stop(self) -> bool:
        """Have no server running, nor any function's process; return whether one ran."""
        if not self.folder.is_dir():
            return False
        with self._alone():
            return self._stop()

    def environment(self, account: str = TOOLS, region: str = HOME_REGION) -> dict[str, str]:
        """The variables by which any AWS tool works as this account's root on this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            FOLDER_VARIABLE: str(self.folder),
        }

    def session(self, account: str = TOOLS, region: str = HOME_REGION) -> boto3.Session:
        """The root of this account, in this region. Root passes every policy: test with roles."""
        return EmbeddedSession(
            self.endpoint,
            aws_access_key_id=account,
            aws_secret_access_key=SECRET,
            region_name=region,
        )

    def role_session(self, role_arn: str, region: str = HOME_REGION) -> boto3.Session:
        """A session of this role, assumed by the root of its own account."""
        account = role_arn.split(":")[4]
        sts = self.session(account, region).client("sts")
        assumed = sts.assume_role(RoleArn=role_arn, RoleSessionName="embedded")
        return self.assumed_session(assumed, region)

    def assumed_session(self, assumed: Any, region: str) -> boto3.Session:
        """A session with the credentials in this answer of AssumeRole."""
        return EmbeddedSession(
            self.endpoint,
            aws_access_key_id=assumed["Credentials"]["AccessKeyId"],
            aws_secret_access_key=assumed["Credentials"]["SecretAccessKey"],
            aws_session_token=assumed["Credentials"]["SessionToken"],
            region_name=region,
        )

    def logs(self, group: str, account: str = TOOLS, region: str = HOME_REGION) -> list[str]:
        """The lines in a CloudWatch log group, oldest first; none where there is no group."""
        client = self.session(account, region).client("logs")
        try:
            pages = list(client.get_paginator("filter_log_events").paginate(logGroupName=group))
        except client.exceptions.ResourceNotFoundException:
            return []
        events = [event for page in pages for event in page["events"]]
        return [event["message"] for event in sorted(events, key=lambda event: event["timestamp"])]

    def deploy(self, say: Callable[[str], None] = print) -> None:
        """Deploy the control plane of this checkout with the ordinary sam build and sam deploy.

        Raises EmbeddedError, after printing what sam printed, where a step fails.
        """
        if sys.platform != "linux":
            raise EmbeddedError(
                "the functions are built for Lambda's Linux and run here as they are: "
                "use Linux, WSL or a container"
            )
        parameters = [
            "--parameter-overrides",
            f"PythonRuntime={RUNTIME}",
            f"Architecture={ARCHITECTURE}",
            f"OrganizationIds={ORGANIZATION}",
            f"AdoptableBuckets=arn:aws:s3:::{ADOPTABLE}",
            "PipelineMacro=false",  # MiniStack has no macros; the function is there
        ]
        # The rest, such as the stack's name, is in samconfig.toml. The build is this server's own:
        # in .aws-sam may lie what somebody is about to deploy for real.
        build = self.folder / "build"
        with timed(say, "sam build", "the first one takes a minute"):
            self._sam("build", "--build-dir", str(build), *parameters)
        with timed(say, "sam deploy", "the control plane, and its first artifact store"):
            self._sam(
                "deploy", "--template-file", str(build / "template.yaml"),
                "--config-file", str(ROOT / "samconfig.toml"),
                "--no-confirm-changeset", "--no-progressbar", *parameters,
            )  # fmt: skip

    def _sam(self, command: str, *arguments: str) -> None:
        done = subprocess.run(
            [BINARIES / "sam", command, *arguments],
            cwd=ROOT,
            env={
                **{name: value for name, value in os.environ.items() if name[:4] != "AWS_"},
                **self.environment(),
                # sam build looks for the runtime's python and its pip on the PATH.
                "PATH": f"{BINARIES}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                # What the Makefile of a layer cannot learn from sam.
                "PYTHON_RUNTIME": RUNTIME,
                "ARCHITECTURE": ARCHITECTURE,
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                "SAM_CLI_TELEMETRY": "0",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            output = self.folder / f"sam-{command}.log"
            output.write_text(done.stdout)
            if any(words in done.stdout for words in UNREACHABLE):
                raise EmbeddedError(
                    f"sam {command} could not fetch the packages it builds with: is the network "
                    f"there? Try again with `make local`; what sam said is in {output}"
                )
            print(done.stdout, file=sys.stderr)
            raise EmbeddedError(
                f"sam {command} failed, see its output above (the server's log: {self.log})"
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time start or stop this server."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _server(self) -> dict[str, int] | None:
        """The living server's pid and port; None where no process holds the state file."""
        try:
            with self._state_file.open() as state:
                try:
                    fcntl.flock(state, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    text = state.read()
                else:
                    return None
        except FileNotFoundError:
            return None
        # Empty for the instant between the lock and the first write.
        server: dict[str, int] | None = json.loads(text) if text else None
        return server

    def _healthy(self) -> bool:
        server = self._server()
        if server is None:
            return False
        health = f"http://127.0.0.1:{server['port']}/_ministack/health"
        try:
            with urllib.request.urlopen(health, timeout=HEALTH_SECONDS):  # nosec B310  # http, above
                return True
        except OSError:  # refused, cut, timed out, or an answer that is an error
            return False

    def _spawn(self) -> None:
        if not PYTHON.exists():
            raise EmbeddedError(f"there is no {PYTHON}: run `make setup`")
        home, temporary = self.folder / "home", self.folder / "tmp"
        for scratch in (home, temporary):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(PYTHON, "-m", "local.aws.server", self._state_file),
                    *(f"--without={shim}" for shim in self._without),
                ],
                cwd=ROOT,
                # All of it: functions inherit what the server has, and must see nothing of the
                # developer's credentials or settings.
                env={
                    "PATH": f"{PYTHON.parent}{os.pathsep}{os.defpath}",
                    "HOME": str(home),
                    "TMPDIR": str(temporary),
                    "LANG": "C.UTF-8",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHONUNBUFFERED": "1",
                    "AUTH": "true",
                    "BIND_HOST": "127.0.0.1",
                    "MINISTACK_HOST": "127.0.0.1",
                    "IOT_MTLS_ENABLED": "0",
                    "SFTP_ENABLED": "0",
                    # No Docker: what MiniStack would do with containers, it leaves alone.
                    "DOCKER_HOST": f"unix://{self.folder}/no-docker.sock",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._await_health(self._process)
        except BaseException:  # whoever is interrupted leaves nothing behind
            self._stop()
            raise

    def _await_health(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._healthy():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
                raise EmbeddedError(f"the embedded AWS did not start:\n{tail}")
            time.sleep(0.05)

    def _stop(self) -> bool:
        server = self._server()
        if server:
            with suppress(ProcessLookupError):
                os.kill(server["pid"], signal.SIGTERM)
            wait_until(lambda: self._server() is None)
            # The server leads its own session, so its process group is it and its functions.
            with suppress(ProcessLookupError):
                os.killpg(server["pid"], signal.SIGKILL)
                wait_until(lambda: self._ended(server["pid"]))
        if self._process:
            # Still there only where it could not start.
            self._process.kill()
            self._process.wait()
            self._process = None
        for leftover in ("build", "home", "tmp"):
            shutil.rmtree(self.folder / leftover, ignore_errors=True)
        for leftover in ("server.json", "env"):
            (self.folder / leftover).unlink(missing_ok=True)
        return server is not None

    def _ended(self, group: int) -> bool:
        """Whether no process of this group is left, once our own child is reaped."""
        if self._process:
            self._process.poll()
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False


def wait_until(done: Callable[[], bool]) -> None:
    """Wait for it to be done, for at most STOP_SECONDS."""
    deadline = time.monotonic() + STOP_SECONDS
    while not done() and time.monotonic() < deadline:
        time.sleep(0.02)


@contextmanager
def timed(say: Callable[[str], None], step: str, about: str) -> Iterator[None]:
    """Say the step and what it is about, and once it is done the seconds it took."""
    say(f"{step}: {about} ...")
    start = time.monotonic()
    yield
    say(f"{step}: done in {time.monotonic() - start:.0f} s")


def shell_exports(environment: dict[str, str]) -> str:
    """Lines that a POSIX shell sources: afterwards its foothold, sam and AWS programs work with
    this server, from any folder."""
    binaries = shlex.quote(str(BINARIES))
    return "".join(
        [
            f"# For your shell: . {environment[FOLDER_VARIABLE]}/env\n",
            "unset AWS_PROFILE AWS_SESSION_TOKEN\n",
            *(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()),
            f'case "$PATH" in {binaries}:*) ;; *) export PATH={binaries}:"$PATH" ;; esac\n',
        ]
    )
