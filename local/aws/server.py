"""The embedded AWS's process: MiniStack with what it lacks of AWS added.

Run by the interpreter of .venv-emulator, as `local.aws.embedded` does it:

    python -m local.aws.server STATE_FILE [--without SHIM]...

The port is a free one of 127.0.0.1, held from the moment it is chosen. STATE_FILE says which
process serves on which port, and that process keeps it locked for as long as it lives: whoever
can lock it knows that nobody serves, whatever the file says.
"""

import argparse
import asyncio
import fcntl
import json
import os
import socket
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="local.aws.server", description=__doc__)
    parser.add_argument("state_file", type=Path)
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="SHIM",
        help="leave this gap open; all: every one",
    )
    arguments = parser.parse_args()

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with arguments.state_file.open("a+") as state:
        fcntl.flock(state, fcntl.LOCK_EX)
        state.truncate(0)
        json.dump({"pid": os.getpid(), "port": port}, state)
        state.flush()
        os.environ["GATEWAY_PORT"] = str(port)
        # Functions inherit it: here CloudFormation waits, which is none of AWS's own hosts.
        os.environ["FOOTHOLD_RESPONSE_ORIGIN"] = f"http://127.0.0.1:{port}"
        serve(listener.detach(), arguments.without)


def serve(listener: int, without: list[str]) -> None:
    """Serve on this listening socket (its file descriptor) until told to stop."""
    # Only now, because MiniStack reads the environment while it is imported.
    from hypercorn.asyncio import serve as serve_asgi  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack import app  # noqa: PLC0415

    from local.aws import shims  # noqa: PLC0415

    shims.apply(without)
    config = Config()
    config.bind = [f"fd://{listener}"]
    config.keep_alive_timeout = 75
    # Nobody waits for an answer from an emulator that is told to stop.
    config.graceful_timeout = 0.5
    asyncio.run(serve_asgi(app.app, config))


if __name__ == "__main__":
    main()
