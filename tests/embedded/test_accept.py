"""`foothold accept` on the embedded AWS: as a role with the rights of pipelines/acceptance.yaml and
no others, with a target account, and against stores whose policies somebody has broken.

What cannot be asked there: plain HTTP, because the embedded AWS speaks nothing else; a pipeline,
because it has no CodePipeline in its CloudFormation; and the event of a changed list, because its
Parameter Store sends none. The first two are found by asking, the third is left out by the caller.
"""

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from foothold.domain.acceptance import CLAIMS, MOST_CALLS
from local.embedded import HOME_REGION, ROOT, TEST, TOOLS, Embedded
from local.rehearsal import deploy_stack
from tests.embedded.test_control_plane import bucket_of, deploy_role, foothold, parameters
from tests.embedded.test_readme import commands

pytestmark = pytest.mark.embedded
REGION: Any = "ap-southeast-2"
NOT_ASKED_HERE = {
    "door-list-alone": "left out by --without",
    "read-plain-http": "every call to http://127.0.0.1:",
    "pipeline": "AWS does not have this here",
    "pipeline-run": "it costs a build",
}


@pytest.fixture(scope="module")
def operator(deployed: Embedded, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an operator with the rights of pipelines/acceptance.yaml, and a profile
    `target` of the test account, whose role may do everything there."""
    template = (ROOT / "pipelines" / "acceptance.yaml").read_text()
    deploy_stack(deployed, TOOLS, "foothold-acceptance", template, {})
    cloudformation = deployed.session().client("cloudformation")
    (stack,) = cloudformation.describe_stacks(StackName="foothold-acceptance")["Stacks"]
    arn = role(deployed, TOOLS, "acceptor", stack["Outputs"][0]["OutputValue"])
    config = tmp_path_factory.mktemp("aws") / "config"
    deploy_role(deployed, TEST, "foothold-deploy")
    config.write_text(
        "\n".join(
            [
                "[profile target]",
                *credentials(deployed, deploy_role(deployed, TEST, "administrator")),
                "[profile deploy-role]",
                *credentials(deployed, f"arn:aws:iam::{TEST}:role/foothold-deploy"),
            ]
        )
    )
    lent = dict(line.split("=", 1) for line in credentials(deployed, arn))
    return {
        **deployed.environment(),
        **{name.upper(): value for name, value in lent.items()},
        "AWS_CONFIG_FILE": str(config),
        "COLUMNS": "250",
    }


def role(aws: Embedded, account: str, name: str, policy_arn: str) -> str:
    """The ARN of a role with this policy and no other."""
    iam = aws.session(account).client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
             "Action": "sts:AssumeRole"}  # fmt: skip
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    iam.attach_role_policy(RoleName=name, PolicyArn=policy_arn)
    return f"arn:aws:iam::{account}:role/{name}"


def credentials(aws: Embedded, arn: str) -> list[str]:
    found: Any = aws.role_session(arn).get_credentials()
    return [
        f"aws_access_key_id={found.access_key}",
        f"aws_secret_access_key={found.secret_key}",
        f"aws_session_token={found.token}",
    ]


def accept(
    aws: Embedded, operator: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return foothold(aws, "accept", *arguments, **operator)


def traces(aws: Embedded, region: str) -> list[str]:
    """What is there of runs, in the account and in a region."""
    home = aws.session()
    stacks = home.client("cloudformation").describe_stacks()["Stacks"]
    aliases = aws.session(TOOLS, region).client("kms").list_aliases()["Aliases"]
    buckets = home.client("s3").list_buckets()["Buckets"]
    return [
        *(stack["StackName"] for stack in stacks if "foothold-accept-" in stack["StackName"]),
        *(alias["AliasName"] for alias in aliases if "accept" in alias["AliasName"]),
        *(name for name in parameters(aws, HOME_REGION, "/foothold") if "/acceptance/" in name),
        *(bucket["Name"] for bucket in buckets if bucket["Name"] == bucket_of(region)),
    ]


def test_the_readmes_run_with_the_rights_of_its_policy_shows_every_claim_that_can_be_asked_here(
    deployed: Embedded, operator: dict[str, str], tmp_path: Path
) -> None:
    ((*_, option, region),) = [words for words in commands("foothold") if words[1] == "accept"]
    assert (option, region) == ("--region", REGION)
    done = accept(
        deployed, operator, option, region, "--target-profile", "target",
        "--without", "door-list-alone", "-o", str(tmp_path), "--json",
    )  # fmt: skip
    report = json.loads(done.stdout)
    rows = {finding["name"]: finding for finding in report["findings"]}
    assert set(rows) == {claim.name for claim in CLAIMS}
    verdicts = {name: one["verdict"] for name, one in rows.items() if name not in NOT_ASKED_HERE}
    assert verdicts == dict.fromkeys(verdicts, "holds"), rows
    for name, why in NOT_ASKED_HERE.items():
        assert rows[name]["verdict"] == "not asked"
        assert rows[name]["seen"].startswith(why)
    assert done.returncode == 0
    assert report["calls"] <= MOST_CALLS
    assert traces(deployed, REGION) == []
    assert json.loads((tmp_path / "acceptance.json").read_text()) == report
    assert (tmp_path / "acceptance.md").read_text().count("\n| ") == len(CLAIMS) + 2
    for claim in CLAIMS:
        assert claim.words in done.stderr or claim.name in NOT_ASKED_HERE
