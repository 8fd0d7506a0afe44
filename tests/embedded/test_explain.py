"""`foothold explain` on the embedded AWS: a deploy role loses its access, the real call fails, the
command that is printed is run, and the same call succeeds."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from foothold.explain.principal import Purpose
from local.aws.embedded import BINARIES, HOME_REGION, ORGANIZATION, ROOT, TEST, TOOLS, Embedded
from proof import decisions, explained
from tests.embedded.test_control_plane import bucket_of, parameters

ROLE = f"arn:aws:iam::{TEST}:role/foothold-deploy"
BUCKET, KEY = bucket_of(HOME_REGION), f"{explained.PROJECT}/builds/explained"
ARTIFACT = f"s3://{BUCKET}/{KEY}"
ABOUT = ("--principal", ROLE, "--artifact", ARTIFACT)
READERS = "OrganizationDeployRolesRead"


def template_of_the_role() -> tuple[dict[str, Any], dict[str, Any]]:
    """Its trust and its policies, as pipelines/target-account.yaml says, for this organisation."""
    text = json.dumps(explained.documents()[Purpose.DEPLOY])
    trust, policies = json.loads(text.replace(decisions.ORGANIZATION, ORGANIZATION))
    return trust, policies


class Account:
    """The target account: its deploy role, and a profile of somebody who may look there."""

    def __init__(self, aws: Embedded, folder: Path) -> None:
        self.aws = aws
        self.iam: Any = aws.session(TEST).client("iam")
        self._config = folder / "config"
        keys = f"aws_access_key_id={TEST}\naws_secret_access_key=test\nregion={HOME_REGION}\n"
        self._config.write_text(f"[profile test]\n{keys}")
        self.remove_role()
        trust, policies = template_of_the_role()
        document = json.dumps(trust)
        self.iam.create_role(RoleName="foothold-deploy", AssumeRolePolicyDocument=document)
        for name, policy in policies.items():
            self.put(name, policy)

    def put(self, name: str, policy: dict[str, Any]) -> None:
        where = {"RoleName": "foothold-deploy", "PolicyName": name}
        self.iam.put_role_policy(**where, PolicyDocument=json.dumps(policy))

    def remove_role(self) -> None:
        """Other tests make one of their own."""
        with suppress(self.iam.exceptions.NoSuchEntityException):
            names = self.iam.list_role_policies(RoleName="foothold-deploy")["PolicyNames"]
            for name in names:
                self.iam.delete_role_policy(RoleName="foothold-deploy", PolicyName=name)
            self.iam.delete_role(RoleName="foothold-deploy")

    def read(self) -> str:
        """What the deploy role gets: the artifact, or AWS's message."""
        pipeline = self.aws.role_session(explained.PIPELINE_ROLE).client("sts")
        lent = pipeline.assume_role(RoleArn=ROLE, RoleSessionName="explained")
        s3 = self.aws.assumed_session(lent, HOME_REGION).client("s3")
        try:
            body: bytes = s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
        except ClientError as refused:
            return str(refused)
        return body.decode()

    def explain(self, *words: str, text: str = "") -> tuple[int, dict[str, Any]]:
        """The exit code of `foothold explain --json`, and its answer."""
        done = self._run(*words, "--json", text=text)
        assert done.stdout, done.stderr
        (answer,) = json.loads(done.stdout)
        return done.returncode, answer

    def shown(self, *words: str) -> list[str]:
        """The commands that are printed for a person."""
        done = self._run(*words)
        assert done.returncode == 1, done.stdout + done.stderr
        return re.findall(r"^    (\S.*)$", done.stdout, re.MULTILINE)

    def _run(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BINARIES / "foothold", "explain", *words, "--profile", "test"],
            cwd=ROOT,
            env={**os.environ, **self.aws.environment(), "AWS_CONFIG_FILE": str(self._config)},
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, command: str) -> None:
        """What `aws` would do; it is not installed here. The same call by boto3."""
        program, service, operation, *rest = shlex.split(command)
        assert program == "aws"
        given = {
            "".join(part.title() for part in name[2:].split("-")): value
            for name, value in zip(rest[::2], rest[1::2], strict=True)
        }
        make: Any = self.aws.session(TEST).client
        client = make(service)
        getattr(client, operation.replace("-", "_"))(**given)


def make_pipeline_role(aws: Embedded) -> None:
    """The one that becomes the deploy role; whoever tests may be it."""
    iam: Any = aws.session(TOOLS).client("iam")
    name = explained.PIPELINE_ROLE.rpartition("/")[2]
    trust = explained.says("Allow", "sts:AssumeRole")
    del trust["Resource"]
    trust["Principal"] = {"AWS": f"arn:aws:iam::{TOOLS}:root"}
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        document = json.dumps(explained.policy(trust))
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    deploys = json.dumps(explained.policy(explained.says("Allow", "sts:AssumeRole", ROLE)))
    iam.put_role_policy(RoleName=name, PolicyName="deploy", PolicyDocument=deploys)


@pytest.fixture
def account(deployed: Embedded, tmp_path: Path) -> Iterator[Account]:
    s3 = deployed.session(TOOLS).client("s3")
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"built")
    make_pipeline_role(deployed)
    found = Account(deployed, tmp_path)
    yield found
    found.remove_role()


def test_nothing_is_broken_where_the_deploy_role_reads(account: Account) -> None:
    assert account.read() == "built"
    code, answer = account.explain(*ABOUT)
    assert (answer["broken"], code, answer["holds"]) == ([], 0, True)
    assert account.explain("--principal", ROLE, "--region", HOME_REGION)[0] == 0


@pytest.mark.parametrize(
    ("sid", "link"),
    [
        ("ReadArtifacts", "identity policies: s3:GetObject"),
        ("DecryptArtifactsThroughS3", "identity policies: kms:Decrypt"),
    ],
)
def test_a_deploy_role_that_lost_a_statement_reads_again_after_the_printed_command(
    account: Account, sid: str, link: str
) -> None:
    _, policies = template_of_the_role()
    policies["deploy"]["Statement"] = [
        one for one in policies["deploy"]["Statement"] if one["Sid"] != sid
    ]
    policies["adopted-artifacts"] = policies["deploy"]
    for name, policy in policies.items():
        account.put(name, policy)
    refused = account.read()
    assert "AccessDenied" in refused
    code, answer = account.explain(*ABOUT)
    assert (answer["broken"], code) == ([link], 1)
    (command,) = account.shown(*ABOUT)
    account.run(command)
    assert account.read() == "built"
    assert account.explain(*ABOUT)[0] == 0


def test_a_message_of_aws_is_explained_by_the_link_that_refused(account: Account) -> None:
    denial = {
        "Effect": "Deny",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/{KEY}",
    }
    account.put("theirs", {"Version": "2012-10-17", "Statement": [denial]})
    assert "AccessDenied" in account.read()
    text = (
        f"User: arn:aws:sts::{TEST}:assumed-role/foothold-deploy/1 is not authorized to perform: "
        f's3:GetObject on resource: "arn:aws:s3:::{BUCKET}/{KEY}" with an explicit deny'
    )
    code, answer = account.explain("-", text=text)
    assert (answer["broken"], code) == (["identity policies: s3:GetObject"], 1)
    (first,) = (link for link in answer["links"] if link["verdict"] == "broken")
    assert first["statement"] == {"policy": "theirs", "number": 1, "body": denial}
    account.run(first["fix"]["command"])
    assert account.read() == "built"


def test_a_bucket_policy_that_somebody_changed_is_left_to_foothold(account: Account) -> None:
    s3 = account.aws.session(TOOLS).client("s3")
    kept = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    changed = json.loads(kept)
    changed["Statement"] = [one for one in changed["Statement"] if one["Sid"] != READERS]
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(changed))
    assert "AccessDenied" in account.read()
    code, answer = account.explain(*ABOUT)
    assert (answer["broken"], code) == (["bucket policy"], 1)
    assert account.shown(*ABOUT) == [f"foothold plan {HOME_REGION}"]
    schedule = {
        "id": "1", "source": "aws.events", "detail-type": "Scheduled Event", "account": TOOLS,
        "region": HOME_REGION, "time": "2026-01-01T00:00:00Z", "resources": [], "detail": {},
    }  # fmt: skip
    functions = parameters(account.aws, HOME_REGION, "/foothold")
    client = account.aws.session(TOOLS).client("lambda")
    name = functions["/foothold/reconcile-function"]
    client.invoke(FunctionName=name, Payload=json.dumps(schedule).encode())
    assert account.read() == "built"
    assert account.explain(*ABOUT)[0] == 0


def test_an_artifact_and_a_role_that_do_not_exist_are_named(account: Account) -> None:
    nothing = account.explain("--principal", ROLE, "--artifact", f"{ARTIFACT}-not")[1]
    assert nothing["broken"] == ["object"]
    renamed = account.explain("--principal", f"{ROLE}-not", "--region", HOME_REGION)[1]
    assert renamed["broken"][0] == "principal"
