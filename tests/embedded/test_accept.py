"""`foothold accept` on the embedded AWS: as a role with the rights of pipelines/acceptance.yaml and
no others, with a target account, and against stores whose policies somebody has broken.

What cannot be asked there: plain HTTP, because the embedded AWS speaks nothing else; a pipeline,
because it has no CodePipeline in its CloudFormation; and the event of a changed list, because its
Parameter Store sends none. The first two are found by asking, the third is left out by the caller.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from foothold.acceptance.run import AcceptanceRequest
from foothold.acceptance.table import CLAIMS, MOST_CALLS, ClaimVerdict, Finding
from foothold.caller import Caller
from local.aws.embedded import HOME_REGION, ROOT, TEST, TOOLS, Embedded
from local.rehearsal.stacks import deploy_stack
from tests.embedded.test_control_plane import bucket_of, deploy_role, foothold, parameters
from tests.embedded.test_readme import commands

REGION: Any = "ap-southeast-2"
BROKEN_REGION: Any = "ap-southeast-1"
NOT_ASKED_HERE = {
    "ask-by-list-alone": "left out by --without",
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
        "--without", "ask-by-list-alone", "-o", str(tmp_path), "--json",
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


# --- Broken stores: MiniStack judges each row of the policies by the policies that it is given.

ROWS = [claim.name for claim in CLAIMS if claim.name.startswith(("write-", "read-"))]
Json = dict[str, Any]


def without(sid: str) -> Callable[[Json], None]:
    def change(policy: Json) -> None:
        found = [one for one in policy["Statement"] if one["Sid"] != sid]
        assert len(found) == len(policy["Statement"]) - 1
        policy["Statement"] = found

    return change


def with_another_key(policy: Json) -> None:
    (statement,) = [one for one in policy["Statement"] if one["Sid"] == "DenyOtherKeys"]
    (key,) = statement["Condition"]["StringNotEquals"]
    statement["Condition"]["StringNotEquals"][key] = "arn:aws:kms:eu-west-1:1:key/other"


def with_reads_denied(policy: Json) -> None:
    statement = {**policy["Statement"][0], "Sid": "Reads", "Action": "s3:GetObject"}
    policy["Statement"].append(
        {name: value for name, value in statement.items() if name != "Condition"}
    )


def with_any_role(policy: Json) -> None:
    for statement in policy["Statement"]:
        statement.get("Condition", {}).pop("ArnLike", None)


def unchanged(_policy: Json) -> None:
    """What is broken is not this policy."""


BREAKS: dict[str, Callable[[Json], None]] = {
    "write-right-key": with_another_key,
    "write-part": with_another_key,
    "write-default": unchanged,
    "write-part-default": unchanged,
    "write-other-key": without("DenyOtherKeys"),
    "write-part-other-key": without("DenyOtherKeys"),
    "write-key-by-id": without("DenyOtherKeys"),
    "write-unnamed-key": without("DenyUnnamedKeys"),
    "write-aes256": without("DenyOtherEncryption"),
    "write-own-key": without("DenyCustomerProvidedKeys"),
    "read-owner": with_reads_denied,
    "read-deploy-role": without("OrganizationDeployRolesRead"),
    "read-other-role": with_any_role,
}


@pytest.fixture(scope="module")
def unwanted(deployed: Embedded) -> "Store":
    """A store that was there before and that nobody wants."""
    assert foothold(deployed, "regions", "add", BROKEN_REGION).returncode == 0
    assert foothold(deployed, "regions", "remove", BROKEN_REGION).returncode == 0
    return Store(deployed, bucket_of(BROKEN_REGION))


class Store:
    """The policies and the default encryption of a store, broken for a while."""

    def __init__(self, aws: Embedded, bucket: str) -> None:
        self.s3 = aws.session(TOOLS, BROKEN_REGION).client("s3")
        self.kms = aws.session(TOOLS, BROKEN_REGION).client("kms")
        self.bucket = bucket
        self.key = parameters(aws, BROKEN_REGION, "/foothold/artifact-store")[
            "/foothold/artifact-store/key-arn"
        ]

    @contextmanager
    def broken(self, change: Callable[[Json], None]) -> Iterator[None]:
        policy = self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"]
        key_policy = self.kms.get_key_policy(KeyId=self.key, PolicyName="default")["Policy"]
        default: Any = self.s3.get_bucket_encryption(Bucket=self.bucket)
        changed, changed_key = json.loads(policy), json.loads(key_policy)
        change(changed)
        if change is with_any_role:
            change(changed_key)
        rule: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        weaker = {"Rules": [rule]} if change is unchanged else None
        try:
            self._write(changed, changed_key, weaker)
            yield
        finally:
            kept = default["ServerSideEncryptionConfiguration"]
            self._write(json.loads(policy), json.loads(key_policy), kept)

    def _write(self, policy: Json, key_policy: Json, encryption: Any) -> None:
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))
        self.kms.put_key_policy(KeyId=self.key, PolicyName="default", Policy=json.dumps(key_policy))
        if encryption:
            self.s3.put_bucket_encryption(
                Bucket=self.bucket, ServerSideEncryptionConfiguration=encryption
            )


def policies_asked(
    operator: dict[str, str], monkeypatch: pytest.MonkeyPatch, profile: str | None = "target"
) -> dict[str, Finding]:
    """The rows about policies of a run in this process, in the store that was there before."""
    for name, value in operator.items():
        monkeypatch.setenv(name, value)
    others = frozenset(claim.name for claim in CLAIMS if claim.name not in ROWS)
    report = (
        Caller("/foothold")
        .acceptance(profile, "foothold-deploy")
        .run(AcceptanceRequest(BROKEN_REGION, without=others), lambda _line: None)
    )
    assert report.left == ()
    return {finding.name: finding for finding in report.findings if finding.name in ROWS}


def test_a_store_that_was_there_before_holds_stays_and_keeps_no_object_of_the_run(
    operator: dict[str, str], unwanted: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = policies_asked(operator, monkeypatch)
    verdicts = {name: one.verdict for name, one in found.items() if name not in NOT_ASKED_HERE}
    assert set(verdicts.values()) == {ClaimVerdict.HOLDS}, found
    assert "Versions" not in unwanted.s3.list_object_versions(Bucket=unwanted.bucket)


def test_every_row_of_the_policies_that_can_be_asked_here_has_a_broken_store() -> None:
    assert set(BREAKS) == set(ROWS) - set(NOT_ASKED_HERE)


@pytest.mark.parametrize("name", BREAKS)
def test_each_row_of_the_policies_fails_on_a_store_that_is_broken_there(
    name: str, operator: dict[str, str], unwanted: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unwanted.broken(BREAKS[name]):
        found = policies_asked(operator, monkeypatch)
    assert found[name].verdict is ClaimVerdict.FAILS, found[name]


@pytest.mark.usefixtures("unwanted")
def test_a_profile_that_is_the_deploy_role_needs_no_way_into_it(
    operator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = policies_asked(operator, monkeypatch, "deploy-role")
    assert found["read-deploy-role"].verdict is ClaimVerdict.HOLDS
    assert found["read-other-role"].verdict is ClaimVerdict.NOT_ASKED


# --- Bad input


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--region", HOME_REGION], 1, f"{HOME_REGION} is in use already (wanted by foothold."),
        (["--region", "europe"], 2, "'europe' is not the name of an AWS region"),
        (["--region", "eu-nowhere-1"], 1, "eu-nowhere-1 is unknown for this account"),
        (["--region", REGION, "--target-profile", "nobody"], 1, "profile (nobody) could not be"),
        (["--region", REGION, "-o", "/dev/null/x"], 1, "cannot write to /dev/null/x"),
        (["--region", REGION, "--root", "/foothold/other"], 1, "Foothold is not deployed in"),
        ([], 2, "name a region that nobody wants"),
        (["--region", REGION, "--clean-up"], 2, "the run that is cleaned up knows its region"),
        (["--region", REGION, "--without", "retire"], 2, "there is no row retire"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    deployed: Embedded, operator: dict[str, str], arguments: list[str], code: int, words: str
) -> None:
    done = accept(deployed, operator, *arguments)
    assert done.returncode == code, done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    if code == 1:
        assert len(done.stderr.strip().splitlines()) == 1


def heeding_interruptions() -> None:
    """A test run in the background ignores Ctrl-C, and so would every process that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def begun(operator: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    """A run in the region, whose report goes into this folder; what it does is on its stderr."""
    return subprocess.Popen(
        [Path(sys.executable).parent / "foothold", "accept", "--region", REGION, "-o", folder],
        env={**os.environ, **operator},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding_interruptions,  # noqa: PLW1509  # there are no threads here
    )


def test_an_interrupted_run_is_found_and_cleaned_up(
    deployed: Embedded, operator: dict[str, str], tmp_path: Path
) -> None:
    running = begun(operator, tmp_path)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("delay-tag"):  # the stack and the store are there
            break
    running.kill()
    running.wait()
    running.stderr.close()
    assert len(traces(deployed, REGION)) >= 3
    again = accept(deployed, operator, "--region", REGION)
    assert again.returncode == 1
    assert f"an acceptance run in {REGION}, begun" in again.stderr
    assert "finish it with `foothold accept --clean-up`" in again.stderr
    cleaned = accept(deployed, operator, "--clean-up")
    assert (cleaned.returncode, cleaned.stdout) == (
        0,
        "everything that the run had made is taken away\n",
    )
    assert traces(deployed, REGION) == []
    twice = accept(deployed, operator, "--clean-up")
    assert (twice.returncode, twice.stdout) == (0, "there is no run to clean up after\n")


def test_ctrl_c_takes_everything_away_before_the_command_ends(
    deployed: Embedded, operator: dict[str, str], tmp_path: Path
) -> None:
    running = begun(operator, tmp_path)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("ask-by-event"):
            break
    running.send_signal(signal.SIGINT)  # once: a line that is cut short is written again
    lines = running.stderr.readlines()
    assert running.wait() == 130
    running.stderr.close()
    assert "interrupted; everything that the run had made was taken away" in lines[-1]
    assert traces(deployed, REGION) == []
