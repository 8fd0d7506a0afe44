"""Rehearse a pipeline on the embedded AWS: `python -m local.rehearsal FILE --source DIR`.

Everything that the embedded AWS has is real: the roles of the rendered template and of
pipelines/target-account.yaml are deployed and assumed, artifacts lie in the regional stores under
their keys, the deployed package function answers a job, change sets are created and executed in
the target accounts and regions. CodePipeline and CodeBuild are played. What a rehearsal does not
imitate is listed in docs/pipeline.md.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from foothold.errors import FootholdError, PermanentError
from foothold.pipelines.file import read_template
from local.aws.embedded import RUNTIME, Embedded, EmbeddedError
from local.rehearsal.execution import ActionFailedError
from local.rehearsal.run import pipelines_in, rehearse, rendered


def main() -> int:
    parser = argparse.ArgumentParser(prog="local.rehearsal", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--source", type=Path, required=True, help="the project's folder")
    parser.add_argument("--approve", action="store_true", help="say yes to every approval")
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--root", default="/foothold", help="the stack parameter ParameterRoot")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    try:
        if not arguments.source.is_dir():
            raise PermanentError(f"--source {arguments.source}: there is no such folder")
        embedded, source, approve = Embedded(), arguments.source, arguments.approve
        here = pythons_of_here(arguments.file, arguments.parameter)
        parameters = [*arguments.parameter, *here]
        template = rendered(embedded, arguments.file, parameters, arguments.root)
        for each in here:
            console.print(f"{each}, which is the python of this machine; the default is not here")
        passed = [
            rehearse(embedded, template, name, source, console, approve=approve)
            for name in pipelines_in(template)
        ]
    except (FootholdError, EmbeddedError, ActionFailedError, BotoCoreError, ClientError) as error:
        for line in str(error).splitlines():
            console.print(f"[bold red]foothold:[/] {escape(line)}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("[bold red]foothold:[/] interrupted; what was deployed stays deployed")
        return 1
    return 0 if all(passed) else 1


def pythons_of_here(file: Path, parameters: list[str]) -> list[str]:
    """NAME=VALUE for each parameter that is not given, and whose default is a python that does not
    run on this machine: builds are played here, with its programs."""
    given = {each.partition("=")[0] for each in parameters}
    declared = read_template(file).get("Parameters") or {}
    return [
        f"{name}={RUNTIME}"
        for name, parameter in declared.items()
        if name not in given and is_missing_python(str(parameter.get("Default", "")))
    ]


def is_missing_python(runtime: str) -> bool:
    if not re.fullmatch(r"python3\.\d+", runtime):
        return False
    places = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    found = shutil.which(runtime, path=os.pathsep.join(places))
    # A version manager's stand-in for what it has not installed is found, and fails.
    return not found or bool(
        subprocess.run([found, "--version"], capture_output=True, check=False).returncode
    )


if __name__ == "__main__":
    sys.exit(main())
