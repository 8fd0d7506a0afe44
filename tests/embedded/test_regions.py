"""What an operator is told of regions that are refused, broken or held, on the embedded AWS."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local.aws.embedded import HOME_REGION, TOOLS, Embedded
from tests.embedded.test_control_plane import Stack, bucket_of, one, reconcile, saved, template
from tests.embedded.test_operator import run


@contextmanager
def denied(aws: Embedded, *actions: str) -> Iterator[None]:
    """As an organisation's policy does it: nobody in the control plane may do these."""
    iam = aws.session(TOOLS, HOME_REGION).client("iam")
    deny = {"Effect": "Deny", "Action": list(actions), "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    names = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    roles = [name for name in names if "ReconcileRole" in name]
    for role in roles:
        iam.put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=policy)
    try:
        yield
    finally:
        for role in roles:
            iam.delete_role_policy(RoleName=role, PolicyName="denied")


def asked_by_event(aws: Embedded, region: str) -> dict[str, Any]:
    event = saved("regions_requested") | {"detail": {"regions": [region]}}
    answer: dict[str, Any] = reconcile(aws, event)[region]
    return answer


def shown(aws: Embedded, region: str) -> dict[str, Any]:
    found = json.loads(run(aws, "status", "--json", check=False).stdout)
    (status,) = [each for each in found if each["region"] == region]
    return dict(status)


def test_a_request_that_met_a_refusal_is_shown_and_made_by_the_next_schedule(
    deployed: Embedded,
) -> None:
    region = "ap-northeast-1"
    with denied(deployed, "s3:CreateBucket"):
        assert "AccessDenied" in asked_by_event(deployed, region)["error"]
        status = shown(deployed, region)
        assert (status["state"], status["requested"]) == ("refused", True)
        assert "AccessDenied" in status["why"][0]
        assert status["since"]
    assert reconcile(deployed, saved("schedule"))[region]["bucket"] == bucket_of(region)
    assert shown(deployed, region)["state"] == "ready"


def test_a_store_that_cannot_be_repaired_is_never_said_to_be_ready(deployed: Embedded) -> None:
    region = "ap-south-2"
    run(deployed, "regions", "add", region)
    session = deployed.session(TOOLS, region)
    session.client("s3").delete_bucket(Bucket=bucket_of(region))
    key = session.client("kms").describe_key(KeyId="alias/foothold/artifacts")["KeyMetadata"]
    session.client("kms").disable_key(KeyId=key["KeyId"])
    with denied(deployed, "s3:CreateBucket", "kms:EnableKey"):
        added = run(deployed, "regions", "add", region, check=False)
        assert added.returncode == 1
        assert "is ready" not in added.stdout
        assert f"{region} is not ready: cannot " in added.stderr
        assert "AccessDenied" in added.stderr
        status = run(deployed, "status", check=False)
        assert status.returncode == 1
        assert f"{region}: broken since" in status.stdout
        assert "AccessDenied" in status.stdout
    run(deployed, "regions", "add", region)
    assert shown(deployed, region)["state"] == "ready"
    run(deployed, "regions", "remove", region)


def test_a_claim_whose_stack_is_gone_is_listed_as_such_and_released(
    deployed: Embedded,
) -> None:
    region = "ap-southeast-3"
    stack = Stack(deployed)
    retained = one(region) | {"DeletionPolicy": "Retain"}
    stack.create(template(Store=retained))
    stack.delete()
    refused = run(deployed, "regions", "retire", region, check=False)
    assert "is wanted by" in refused.stderr
    claims = json.loads(run(deployed, "regions", "claims", "--json").stdout)
    (claim,) = [claim for claim in claims if claim["region"] == region]
    assert (claim["exists"], claim["resource"]) == (False, "Store")
    home = [claim for claim in claims if claim["region"] == HOME_REGION]
    assert all(claim["exists"] for claim in home)
    run(deployed, "regions", "release", region, claim["claim"], "--yes")
    assert shown(deployed, region)["claims"] == []


def test_an_event_brings_no_retired_region_back(deployed: Embedded) -> None:
    region = "ap-southeast-4"
    run(deployed, "regions", "add", region)
    run(deployed, "regions", "remove", region)
    lambda_ = deployed.session(TOOLS, HOME_REGION).client("lambda")
    ssm = deployed.session(TOOLS, HOME_REGION).client("ssm")
    name = ssm.get_parameter(Name="/foothold/reconcile-function")["Parameter"]["Value"]
    command = json.dumps({"command": "retire", "region": region})
    answer = json.load(lambda_.invoke(FunctionName=name, Payload=command)["Payload"])
    assert answer["phase"] == "retired", answer
    told = asked_by_event(deployed, region)
    assert (told["bucket"], told["error"]) == (None, None)
    assert "an event calls no retirement off" in told["ignored"]
    run(deployed, "regions", "add", region)
    assert shown(deployed, region)["state"] == "ready"
    run(deployed, "regions", "remove", region)


def test_a_region_that_aws_does_not_have_alarms_nobody(deployed: Embedded) -> None:
    told = asked_by_event(deployed, "eu-nowhere-1")
    assert told["error"] is None
    assert "is not a region that account" in told["ignored"]


def test_the_region_comes_from_where_the_aws_command_takes_it(deployed: Embedded) -> None:
    chosen = {"AWS_REGION": HOME_REGION, "AWS_DEFAULT_REGION": "us-west-2"}
    assert run_in(deployed, chosen, "regions", "list").returncode == 0
    other = {"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": HOME_REGION}
    done = run_in(deployed, other, "regions", "list")
    assert (done.returncode, done.stderr.count("not deployed in us-west-2")) == (1, 1)


def run_in(aws: Embedded, environment: dict[str, str], *arguments: str) -> Any:
    class Elsewhere:
        def environment(self) -> dict[str, str]:
            return aws.environment() | environment

    return run(Elsewhere(), *arguments, check=False)  # type: ignore[arg-type]  # its environment


def test_the_custom_resources_function_has_a_name_that_lasts(deployed: Embedded) -> None:
    ssm = deployed.session(TOOLS, HOME_REGION).client("ssm")
    token = ssm.get_parameter(Name="/foothold/service-token")["Parameter"]["Value"]
    assert token == f"arn:aws:lambda:{HOME_REGION}:{TOOLS}:function:foothold-artifact-store"


def test_the_command_line_knows_what_the_stack_allows(deployed: Embedded) -> None:
    ssm = deployed.session(TOOLS, HOME_REGION).client("ssm")
    policy = ssm.get_parameter(Name="/foothold/region-policy")["Parameter"]["Value"]
    assert json.loads(policy) == {"allowed": "*", "most": 0}
