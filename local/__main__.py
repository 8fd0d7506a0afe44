"""`python -m local up | down | demo`: the embedded AWS on this machine."""

import argparse
import sys
from pathlib import Path

from local.aws.embedded import Embedded, EmbeddedError

INTERRUPTED = 130  # as a shell has it


def up(aws: Embedded, *, deploy: bool) -> None:
    started = aws.start()
    print(f"embedded AWS {'started' if started else 'is running'}: {aws.endpoint}", flush=True)
    if deploy:
        try:
            aws.deploy(say=lambda line: print(line, flush=True))
        except BaseException:
            if started:
                aws.stop()
                print("embedded AWS stopped", flush=True)
            raise
    print(f"use it in your shell, from any folder, with: . {aws.folder}/env")


def down(aws: Embedded) -> None:
    print("embedded AWS stopped" if aws.stop() else "no embedded AWS was running")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="its folder ($FOOTHOLD_LOCAL, or .local)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up_command = commands.add_parser("up", help="start it and deploy the control plane")
    up_command.add_argument("--no-deploy", action="store_true", help="start it, deploy nothing")
    commands.add_parser("down", help="stop it")
    commands.add_parser("demo", help="show what the project does, from nothing")
    arguments = parser.parse_args()
    aws = Embedded(arguments.state)
    try:
        match arguments.command:
            case "up":
                up(aws, deploy=not arguments.no_deploy)
            case "down":
                down(aws)
            case "demo":
                from local.demo import main as demo  # noqa: PLC0415 - needs more than up and down do

                return demo.main()
            case unknown:
                raise LookupError(unknown)
    except EmbeddedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: `make local` starts anew", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
