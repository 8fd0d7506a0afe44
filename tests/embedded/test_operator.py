"""`foothold plan`, and `foothold regions check | retire | adopt`, on the embedded AWS."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from foothold.aws.clients import Clients
from foothold.stores.gateways.account import AccountRegions
from foothold.stores.gateways.kms import KmsKeys
from foothold.stores.gateways.s3 import S3Buckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.model import ControlPlane
from foothold.stores.reconcile import Reconciler
from local.aws.embedded import ADOPTABLE, HOME_REGION, ORGANIZATION, ROOT, TOOLS, Embedded
from tests.stores.test_gateway_calls import pipeline

REGION = "sa-east-1"
BUCKET = f"foothold-{TOOLS}-{REGION}-an"


@pytest.fixture
def store(deployed: Embedded) -> Embedded:
    """A store in REGION that nobody wants, whatever became of it before."""
    clients = Clients(deployed.session())
    plane = ControlPlane(
        account=TOOLS, home_region=HOME_REGION, stack="foothold",
        organization_ids=(ORGANIZATION,),
        reader_roles=("foothold-deploy", "foothold-cloudformation"),
    )  # fmt: skip
    reconciler = Reconciler(
        plane,
        KmsKeys(clients),
        S3Buckets(clients),
        SsmParameters(clients),
        AccountRegions(clients),
        clock=time.time,
    )
    (outcome,) = reconciler.reconcile([REGION])
    assert outcome.error is None
    return deployed


def run(aws: Embedded, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "foothold"), *arguments],
        cwd=ROOT,
        env={**os.environ, **aws.environment(), "COLUMNS": "250"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def invoked(aws: Embedded, event: dict[str, Any]) -> Any:
    """What the function itself answers."""
    ssm, lambda_ = aws.session().client("ssm"), aws.session().client("lambda")
    name = ssm.get_parameter(Name="/foothold/reconcile-function")["Parameter"]["Value"]
    return json.load(lambda_.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"])


def plan(aws: Embedded) -> list[str]:
    answer = invoked(aws, {"command": "plan", "regions": [REGION]})
    return [step["step"] for step in answer["plan"][REGION]["steps"]]


def test_a_plan_shows_drift_and_changes_nothing(store: Embedded) -> None:
    s3 = store.session(TOOLS, REGION).client("s3")
    s3.delete_bucket_policy(Bucket=BUCKET)
    assert "set the bucket policy: it is not set" in run(store, "plan").stdout
    (step,) = json.loads(run(store, "plan", REGION, "--json").stdout)[REGION]["steps"]
    assert (step["step"], step["command"]) == ("set the bucket policy", None)


def test_a_region_is_retired_brought_back_retired_and_added_again(store: Embedded) -> None:
    s3 = store.session(TOOLS, REGION).client("s3")
    kms = store.session(TOOLS, REGION).client("kms")
    for number in range(3):
        s3.put_object(Bucket=BUCKET, Key="build", Body=b"%d" % number)
    key = kms.describe_key(KeyId="alias/foothold/artifacts")["KeyMetadata"]["Arn"]

    done = run(store, "regions", "retire", REGION, "--yes")
    assert REGION not in json.loads(run(store, "regions", "list", "--json").stdout)
    assert "retired, 3 versions deleted" in done.stdout
    assert BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    again = run(store, "regions", "retire", REGION, "--yes", check=False)
    assert (again.returncode, again.stderr.count("was retired already")) == (1, 1)

    assert f"{BUCKET} is back" in run(store, "regions", "retire", REGION, "--undo").stdout
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
    assert plan(store) == []

    run(store, "regions", "retire", REGION, "--yes")
    run(store, "regions", "add", REGION)
    run(store, "regions", "remove", REGION)
    aliased = kms.describe_key(KeyId="alias/foothold/artifacts")["KeyMetadata"]
    assert (aliased["Arn"], aliased["KeyState"]) == (key, "Enabled")
    assert plan(store) == []


def test_a_region_that_a_live_pipeline_or_stack_uses_is_not_retired(store: Embedded) -> None:
    codepipeline = store.session(TOOLS, HOME_REGION).client("codepipeline")
    codepipeline.create_pipeline(**pipeline("shop", BUCKET, follow=False))
    template = {"Resources": {"Topic": {
        "Type": "AWS::SNS::Topic", "Properties": {"DisplayName": BUCKET}}}}  # fmt: skip
    cloudformation = store.session(TOOLS, REGION).client("cloudformation")
    cloudformation.create_stack(StackName="app", TemplateBody=json.dumps(template))
    try:
        done = run(store, "regions", "retire", REGION, check=False)
        assert done.returncode == 1
        assert f"is used by pipeline shop, stack {TOOLS}/app" in done.stderr
        assert plan(store) == []
    finally:
        codepipeline.delete_pipeline(name="shop")
        cloudformation.delete_stack(StackName="app")


def test_a_stack_deployed_meanwhile_calls_the_retirement_off(store: Embedded) -> None:
    s3 = store.session(TOOLS, REGION).client("s3")
    s3.put_object(Bucket=BUCKET, Key="build", Body=b"code")
    begun = invoked(store, {"command": "retire", "region": REGION, "seconds": 0.0001})
    assert begun["phase"] == "retiring"
    template = {"Resources": {"Topic": {
        "Type": "AWS::SNS::Topic", "Properties": {"DisplayName": BUCKET}}}}  # fmt: skip
    cloudformation = store.session(TOOLS, REGION).client("cloudformation")
    cloudformation.create_stack(StackName="late", TemplateBody=json.dumps(template))
    try:
        event = {"source": "aws.events", "detail-type": "Scheduled Event", "region": HOME_REGION}
        told = invoked(store, event)[REGION]
        assert f"called off: {REGION} is used by stack {TOOLS}/late" in told["steps"][0]
        assert s3.get_object(Bucket=BUCKET, Key="build")["Body"].read() == b"code"
        assert plan(store) == []
        assert f"called off: {REGION} is used by stack" in run(store, "status").stdout
    finally:
        cloudformation.delete_stack(StackName="late")


def test_a_store_is_handed_over_with_the_rights_of_the_function(deployed: Embedded) -> None:
    region = "ap-southeast-5"  # its own: what is handed over does not come back
    run(deployed, "regions", "add", region)
    run(deployed, "regions", "remove", region)
    to = ("--to-stack", "platform", "--to-home", "us-east-1")
    run(deployed, "regions", "hand-over", region, *to, "--yes")
    s3 = deployed.session(TOOLS, region).client("s3")
    bucket = f"foothold-{TOOLS}-{region}-an"
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]}
    assert (tags["foothold:stack"], tags["foothold:home"]) == ("platform", "us-east-1")
    assert region not in json.loads(run(deployed, "regions", "list", "--json").stdout)
    refused = run(deployed, "regions", "retire", region, "--yes", check=False)
    assert "control plane of stack platform with its home in us-east-1" in refused.stderr


def test_a_bucket_that_the_stack_names_is_adopted_and_given_back(deployed: Embedded) -> None:
    region: Any = "ap-south-1"
    s3 = deployed.session(TOOLS, region).client("s3")
    kms = deployed.session(TOOLS, region).client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket=ADOPTABLE, CreateBucketConfiguration={"LocationConstraint": region})
    default: Any = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    s3.put_bucket_encryption(Bucket=ADOPTABLE, ServerSideEncryptionConfiguration=rules)

    adopt = ("regions", "adopt", region, "--bucket", ADOPTABLE, "--key-arn", key)
    assert f"{ADOPTABLE} is adopted" in run(deployed, *adopt).stdout
    run(deployed, "regions", "retire", region, "--yes")
    s3.head_bucket(Bucket=ADOPTABLE, ExpectedBucketOwner=TOOLS)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("regions", "retire", "ap-southeast-6"), "ap-southeast-6 has no artifact store"),
        (("regions", "retire", HOME_REGION), "HomeArtifactStore"),
        (
            ("regions", "adopt", "il-central-1", "--bucket", "theirs", "--key-arn", "key"),
            "is not a key in il-central-1",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(
    deployed: Embedded, arguments: tuple[str, ...], words: str
) -> None:
    done = run(deployed, *arguments, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_no_region_has_is_wrong_use(deployed: Embedded) -> None:
    done = run(deployed, "regions", "retire", "europe", check=False)
    assert done.returncode == 2
    assert "'europe' is not the name of an AWS region" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_says_in_a_table_and_by_exit_code_whether_a_region_can_have_a_store(
    deployed: Embedded,
) -> None:
    assert "passed" in run(deployed, "regions", "check", "eu-west-3", HOME_REGION).stdout
    done = run(deployed, "regions", "check", "eu-west-3", "eu-nowhere-1", "--json", check=False)
    assert done.returncode == 1
    verdicts = {region: found["verdict"] for region, found in json.loads(done.stdout).items()}
    assert verdicts == {"eu-west-3": "passed", "eu-nowhere-1": "refused"}
