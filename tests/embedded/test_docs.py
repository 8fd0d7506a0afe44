"""The commands of docs/lifecycle.md, in its order, and of the pages that no other suite runs: as
they are printed, on the embedded AWS."""

import os
import subprocess
from typing import Any

import pytest

from local.embedded import ADOPTABLE, BINARIES, ROOT, TOOLS, Embedded
from tests.pages import Command, commands_of

pytestmark = pytest.mark.embedded

LIFECYCLE = commands_of("lifecycle.md", "foothold")
# The two deployments of the README's that name a parameter's value are Embedded.deploy's.
OTHERS = [
    *(each for each in commands_of("README.md", "sam") if "--language-extensions" in each.line),
    *commands_of("reference.md", "sam"),
    *(each for each in commands_of("pipeline.md", "foothold") if "regions" in each.words),
]


def run(aws: Embedded, *words: str) -> subprocess.CompletedProcess[str]:
    """What a person gets who says yes to whatever is asked."""
    return subprocess.run(
        [BINARIES / words[0], *words[1:]],
        cwd=ROOT,
        env={**os.environ, **aws.environment(), "SAM_CLI_TELEMETRY": "0", "COLUMNS": "250"},
        input="y\n",
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_of_the_lifecycle_page_work_one_after_the_other(deployed: Embedded) -> None:
    assert run(deployed, "foothold", "regions", "add", "eu-west-1").returncode == 0
    for command in LIFECYCLE:
        prepare(deployed, command)
        done = run(deployed, *as_it_is_here(deployed, command))
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def prepare(aws: Embedded, command: Command) -> None:
    """What the page says before it shows the command: nobody wants a region that is retired; the
    bucket that is adopted is there, under its key."""
    match command.words[1:]:
        case ["regions", "retire", region, *options] if "--undo" not in options:
            run(aws, "foothold", "regions", "remove", region)
        case ["regions", "adopt", region, *_]:
            s3: Any = aws.session(TOOLS, region).client("s3")
            kms = aws.session(TOOLS, region).client("kms")
            key = kms.create_key()["KeyMetadata"]["Arn"]
            there = {"LocationConstraint": region}
            s3.create_bucket(Bucket=ADOPTABLE, CreateBucketConfiguration=there)
            default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
            rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
            s3.put_bucket_encryption(Bucket=ADOPTABLE, ServerSideEncryptionConfiguration=rules)


def as_it_is_here(aws: Embedded, command: Command) -> list[str]:
    """The command as printed; a key's id, which AWS makes up, is that of the adopted bucket."""
    if "KEY-ID" not in command.line:
        return command.words
    region = command.words[3]
    s3 = aws.session(TOOLS, region).client("s3")
    rules: Any = s3.get_bucket_encryption(Bucket=ADOPTABLE)["ServerSideEncryptionConfiguration"]
    key = rules["Rules"][0]["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    return [word.replace("KEY-ID", key.rpartition("/")[2]) for word in command.words]


def test_the_adopted_bucket_is_given_back(deployed: Embedded) -> None:
    """As the page says; the next suite adopts one of this name elsewhere."""
    done = run(deployed, "foothold", "regions", "retire", "eu-north-1")
    assert done.returncode == 0, done.stderr
    deployed.session(TOOLS, "eu-north-1").client("s3").delete_bucket(Bucket=ADOPTABLE)


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_every_other_command_works(deployed: Embedded, command: Command) -> None:
    done = run(deployed, *command.words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_claims_the_regions_that_it_lists(deployed: Embedded) -> None:
    ssm = deployed.session().client("ssm")
    found = ssm.get_parameters_by_path(Path="/foothold/claims", Recursive=True)["Parameters"]
    claimed = {each["Name"].split("/")[3] for each in found if "/regions/" in each["Value"]}
    assert claimed == {"eu-west-1", "us-east-1"}
    stack = deployed.session().client("cloudformation")
    stack.delete_stack(StackName="regions")
    stack.get_waiter("stack_delete_complete").wait(
        StackName="regions", WaiterConfig={"Delay": 1, "MaxAttempts": 600}
    )
