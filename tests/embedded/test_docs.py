"""The commands of docs/lifecycle.md, in its order, and of the pages that no other suite runs: as
they are printed, on the embedded AWS."""

import os
import subprocess
from typing import Any

import pytest

from local.aws.embedded import ADOPTABLE, BINARIES, HOME_REGION, ROOT, TOOLS, Embedded
from tests.pages import Command, commands_of

LIFECYCLE = commands_of("lifecycle.md", "foothold")
# The two deployments of the README's that name a parameter's value are Embedded.deploy's.
OTHERS = [
    *(each for each in commands_of("README.md", "sam") if "--language-extensions" in each.line),
    *(each for each in commands_of("reference.md", "sam") if "deploy" not in each.words),
    *(each for each in commands_of("pipeline.md", "foothold") if "regions" in each.words),
]


def run(aws: Embedded, *words: str) -> subprocess.CompletedProcess[str]:
    """What a person gets who says yes at the terminal to whatever is asked."""
    person, terminal = os.openpty()
    try:
        os.write(person, b"y\n")
        return subprocess.run(
            [BINARIES / words[0], *words[1:]],
            cwd=ROOT,
            env={**os.environ, **aws.environment(), "SAM_CLI_TELEMETRY": "0", "COLUMNS": "250"},
            stdin=terminal,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(person)
        os.close(terminal)


def test_the_commands_of_the_lifecycle_page_work_one_after_the_other(deployed: Embedded) -> None:
    added = run(deployed, "foothold", "regions", "add", "eu-west-1")
    assert added.returncode == 0, added.stderr
    for command in LIFECYCLE:
        prepare(deployed, command)
        done = run(deployed, *as_it_is_here(deployed, command))
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        if "hand-over" in command.words:
            take_back(deployed, command.words[3:5])


def prepare(aws: Embedded, command: Command) -> None:
    """What the page says before it shows the command: a store that nobody wants, to be retired or
    handed over; the bucket that is adopted, under its key."""
    match command.words[1:]:
        case ["regions", "retire", region, *options] if "--undo" not in options:
            make_unwanted(aws, region)
        case ["regions", "hand-over", *regions]:
            make_unwanted(aws, *regions[:2])
        case ["regions", "release", "--stack", stack]:
            claim_of_a_stack_that_is_gone(aws, stack)
        case ["regions", "adopt", region, *_]:
            s3: Any = aws.session(TOOLS, region).client("s3")
            kms = aws.session(TOOLS, region).client("kms")
            key = kms.create_key()["KeyMetadata"]["Arn"]
            there = {"LocationConstraint": region}
            s3.create_bucket(Bucket=ADOPTABLE, CreateBucketConfiguration=there)
            default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
            rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
            s3.put_bucket_encryption(Bucket=ADOPTABLE, ServerSideEncryptionConfiguration=rules)
        case _:
            pass


def claim_of_a_stack_that_is_gone(aws: Embedded, stack: str) -> None:
    arn = f"arn:aws:cloudformation:{HOME_REGION}:{TOOLS}:stack/{stack}/1"
    aws.session(TOOLS, HOME_REGION).client("ssm").put_parameter(
        Name=f"/foothold/claims/eu-west-1/{stack}.1.Store", Value=f"{arn} Store", Type="String"
    )


def make_unwanted(aws: Embedded, *regions: str) -> None:
    for command in ("add", "remove"):
        done = run(aws, "foothold", "regions", command, *regions)
        assert done.returncode == 0, done.stderr


def take_back(aws: Embedded, regions: list[str]) -> None:
    """As the new control plane would hand the stores over, for the tests that come after."""
    for region in regions:
        s3: Any = aws.session(TOOLS, region).client("s3")
        kms = aws.session(TOOLS, region).client("kms")
        bucket = f"foothold-{TOOLS}-{region}-an"
        found = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
        assert {"Key": "foothold:stack", "Value": "platform"} in found
        tags = {tag["Key"]: tag["Value"] for tag in found}
        tags |= {"foothold:stack": "foothold", "foothold:home": HOME_REGION}
        ours = [{"Key": name, "Value": value} for name, value in tags.items()]
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": ours})
        key = kms.describe_key(KeyId="alias/foothold/artifacts")["KeyMetadata"]["KeyId"]
        kms.tag_resource(
            KeyId=key,
            Tags=[{"TagKey": name, "TagValue": value} for name, value in tags.items()],
        )
    make_unwanted(aws, *regions)


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
    done = run(deployed, "foothold", "regions", "retire", "ap-northeast-2", "--yes")
    assert done.returncode == 0, done.stderr
    deployed.session(TOOLS, "ap-northeast-2").client("s3").delete_bucket(Bucket=ADOPTABLE)


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
