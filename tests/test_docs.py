"""Every command of README.md and docs/ is run by a test as it is printed, or stands here with the
reason why it is not; then the parser of its program takes it."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import botocore.session
import pytest
import typer
from botocore import xform_name

from foothold.cli.main import app
from local.aws.embedded import BINARIES, ROOT, RUNTIME
from tests.embedded import test_docs as on_the_embedded_aws
from tests.embedded import test_package_docs as packaging
from tests.embedded import test_readme as readme
from tests.pages import ALL, PROGRAMS, Command, commands_of
from tests.pipelines import test_docs as pipeline
from tests.releases import test_board as board
from tests.releases import test_holds as holds
from tests.releases import test_review_cli as review

RUN = {
    *(command.line for command in on_the_embedded_aws.LIFECYCLE),
    *(command.line for command in on_the_embedded_aws.OTHERS),
    *(" ".join(words) for words in readme.QUICK),
    *packaging.COMMANDS,
    *(" ".join(words) for words in pipeline.RUN),
    *(command.line for command in review.SHOWN),
    *(command.line for command in board.SHOWN),
    *(command.line for command in holds.SHOWN),
}
# How it begins, and why no test runs it as it is printed.
NOT_RUN = {
    "make": "a target that sets up, tests or proves everything: this is part of one of them",
    ". .venv/bin/activate": "a file that Python made",
    ". .local/env": "sourced by tests/embedded/test_lifecycle.py",
    "export PYTHON_RUNTIME=": "run by a shell, below",
    "sam build --parameter-overrides PythonRuntime=$": "Embedded.deploy does it, in its own folder",
    "sam deploy --parameter-overrides PythonRuntime=$": "to an account; Embedded.deploy does it",
    "sam deploy --parameter-overrides Tags=": "to an account; tests/stores gives the same tags",
    "aws events put-events": "the AWS CLI is not installed; the same entry is put by boto3",
    "aws cloudformation deploy": "the AWS CLI is not installed; tests/pipeline deploys the same",
    "sam package": "what Foothold's packages are compared with; it names placeholders",
    "foothold pipeline rehearse": "minutes: make demo does it",
    "foothold pipeline render pipeline.yaml": "shows what is refused; tests/pipeline has it",
    "foothold release deploy": "an id is its own release's; tests/embedded/test_release.py runs it",
    "foothold release rollback": "of what was deployed there, in tests/embedded/test_release.py",
    "foothold accept": "asks a live account; tests/embedded/test_accept.py plays one",
    "foothold explain": "asks two live accounts; tests/embedded/test_explain.py plays them",
    "foothold package -t": "the first of docs/package.md, with its default written out",
}
# AWS CLI Command Reference, "cloudformation deploy": no operation of the API's.
OF_DEPLOY = {
    *("--stack-name", "--template-file", "--capabilities", "--parameter-overrides", "--tags"),
    *("--role-arn", "--s3-bucket"),
}
LEFT = [command for command in ALL if command.line not in RUN]


def program(name: str) -> list[Command]:
    return [command for command in ALL if command.words[0] == name]


def test_the_pages_are_read() -> None:
    assert len(ALL) > 30
    assert {command.words[0] for command in ALL} == set(PROGRAMS)


@pytest.mark.parametrize("command", LEFT, ids=str)
def test_a_command_that_no_test_runs_has_its_reason(command: Command) -> None:
    assert [begin for begin in NOT_RUN if command.line.startswith(begin)]


def test_no_reason_is_left_without_its_command() -> None:
    needless = [begin for begin in NOT_RUN if not any(c.line.startswith(begin) for c in LEFT)]
    assert needless == []


@pytest.mark.parametrize("command", program("foothold"), ids=str)
def test_foothold_takes_its_arguments(command: Command) -> None:
    parser, arguments = typer.main.get_command(app), command.words[1:]
    context = parser.make_context("foothold", arguments)
    while hasattr(parser, "resolve_command"):
        left = [*context._protected_args, *context.args]
        _, parser, arguments = parser.resolve_command(context, left)
        context = parser.make_context("foothold", arguments)
    assert parser.callback


@cache
def help_of(*command: str) -> str:
    done = subprocess.run(
        [BINARIES / "sam", *command, "--help"], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("command", program("sam"), ids=str)
def test_sam_knows_the_options(command: Command) -> None:
    names = [word for word in command.words[1:3] if word in {"build", "deploy", "package"}]
    known = help_of(*(names[:1] or command.words[1:3]))
    for option in [word for word in command.words if word.startswith("--")]:
        assert re.search(rf"{option}\b", known)


@pytest.mark.parametrize("command", program("aws"), ids=str)
def test_the_aws_cli_knows_the_options(command: Command) -> None:
    _, service, operation, *rest = command.words
    options = {word for word in rest if word.startswith("--")}
    if (service, operation) == ("cloudformation", "deploy"):
        assert options <= OF_DEPLOY
        return
    model = botocore.session.get_session().get_service_model(service)
    (found,) = [name for name in model.operation_names if xform_name(name, "-") == operation]
    shape = model.operation_model(found).input_shape
    members = shape.members if shape else {}
    assert options <= {f"--{xform_name(member, '-')}" for member in members}


@pytest.mark.parametrize("command", program("make"), ids=str)
def test_make_knows_the_target(command: Command) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert command.words[1] in targets


def test_the_python_that_the_readme_builds_with_is_the_one_of_this_machine() -> None:
    (command,) = commands_of("README.md", "export")
    done = subprocess.run(
        ["sh", "-c", f"{command.line}; echo $PYTHON_RUNTIME"],
        env={"PATH": f"{BINARIES}:/usr/bin:/bin"},  # as . .venv/bin/activate has it
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == RUNTIME
    assert (Path(sys.prefix) / "bin" / RUNTIME).exists()


def test_what_a_page_names_among_its_text_has_the_stack_that_it_needs() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    named = re.findall(r"`(sam remote invoke [^`]+)`", text)
    assert [line for line in named if "--stack-name" not in line] == []
