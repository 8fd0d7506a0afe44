"""The real `sam package`, ready to run many times.

aws-sam-cli is imported once, by a process of its own that this module is the program of; each run
is a fork of it, which runs the command that the `sam` script runs. So a run is the real thing,
in a process that never packaged before, without a second's wait for its imports.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Ran:
    code: int
    output: str


class RealSam:
    """Runs `sam` commands, one at a time."""

    def __init__(self, folder: Path) -> None:
        # Neither telemetry nor the weekly question for a newer version.
        settings = {"telemetryEnabled": False, "lastVersionCheck": time.time()}
        (folder / "metadata.json").write_text(json.dumps(settings))
        self._output = folder / "output"
        environment = {
            **os.environ,
            "__SAM_CLI_APP_DIR": str(folder),
            "SAM_CLI_TELEMETRY": "0",
            "PYTHONWARNINGS": "ignore",
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> Ran:
        order = {
            "folder": str(folder),
            "arguments": list(arguments),
            "environment": dict(environment),
            "output": str(self._output),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Ran(code, self._output.read_text(errors="replace"))


def _serve() -> None:
    import samcli.commands.package.package_context  # type: ignore[import-untyped]  # noqa: PLC0415  # only this process imports it
    from samcli.cli.main import cli  # type: ignore[import-untyped]  # noqa: PLC0415

    assert samcli.commands.package.package_context
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            output = os.open(order["output"], os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.environ.update(order["environment"])
            os.chdir(order["folder"])
            code = 0
            try:
                cli(order["arguments"], prog_name="sam")
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else 1
            except BaseException:  # noqa: BLE001  # shown, as Python would
                traceback.print_exc()
                code = 1
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201  # the protocol


if __name__ == "__main__":
    _serve()
