"""A function's code is read as at AWS, and finds only its own packages."""

import json

from local.aws.embedded import PRODUCTION, TEST, TOOLS, Embedded
from tests.embedded.shims.world import (
    CLOSED,
    ELSEWHERE,
    HERE,
    allow,
    make_bucket,
    make_role,
    make_role_arn,
    may,
    package,
    wait_for_stack,
)

# --- foreign_code ---------------------------------------------------------------------------------


def deploy_from(
    aws: Embedded,
    name: str,
    *,
    bucket_region: str = HERE,
    reader: str = f"arn:aws:iam::{TEST}:root",
) -> str:
    """What a function of the Test account answers, its code being in a Tools bucket.

    A stack makes the function, as a role. Returns the stack's reason where there is no function.
    """
    make_bucket(aws, name, allow(reader, "s3:GetObject"), region=bucket_region, body=package())
    deployer = make_role(aws, TEST, name, may("*"))
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": name,
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": make_role_arn(aws, TEST, f"{name}-runs", may("s3:GetObject")),
            "Code": {"S3Bucket": name, "S3Key": "key"},
        },
    }
    cloudformation = deployer.client("cloudformation")
    template = json.dumps({"Resources": {"Function": function}})
    cloudformation.create_stack(StackName=name, TemplateBody=template, OnFailure="DO_NOTHING")
    if (status := wait_for_stack(cloudformation, name)) != "CREATE_COMPLETE":
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [event.get("ResourceStatusReason", "") for event in events]
        return f"{status}: {' '.join(reasons)}"
    answer = deployer.client("lambda").invoke(FunctionName=name)["Payload"].read().decode()
    return str(answer)


def test_a_function_is_deployed_from_another_accounts_bucket(embedded: Embedded) -> None:
    assert deploy_from(embedded, "code") == '"ran"'


def test_a_function_whose_code_may_not_be_read_is_not_made(embedded: Embedded) -> None:
    other = f"arn:aws:iam::{PRODUCTION}:root"
    assert "denied by S3" in deploy_from(embedded, "code-denied", reader=other)


def test_a_function_is_not_deployed_from_another_regions_bucket(embedded: Embedded) -> None:
    refused = deploy_from(embedded, "code-elsewhere", bucket_region=ELSEWHERE)
    assert "PermanentRedirect" in refused


def test_a_template_is_read_from_another_accounts_bucket(embedded: Embedded) -> None:
    body = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}).encode()
    make_bucket(embedded, "template", allow(f"arn:aws:iam::{TEST}:root", "s3:*"), body=body)
    cloudformation = make_role(embedded, TEST, "template", may("*")).client("cloudformation")
    url = f"https://s3.{HERE}.amazonaws.com/template/key"
    summary = cloudformation.get_template_summary(TemplateURL=url)
    assert summary["ResourceTypes"] == ["AWS::SQS::Queue"]


def test_upstream_mocks_a_function_from_another_accounts_bucket(ministack: Embedded) -> None:
    assert "Mock response" in deploy_from(ministack, "code"), CLOSED


# --- bare_runtime ---------------------------------------------------------------------------------


def import_the_emulators_package(aws: Embedded) -> bool:
    """Whether a function without layers finds the web server that MiniStack runs on."""
    code = "import importlib.util as i\ndef handler(e, c): return bool(i.find_spec('hypercorn'))"
    lambda_ = aws.session().client("lambda")
    lambda_.create_function(
        FunctionName="bare",
        Runtime="python3.13",
        Handler="index.handler",
        Role=make_role_arn(aws, TOOLS, "bare", may("s3:GetObject")),
        Code={"ZipFile": package(code)},
    )
    return bool(json.loads(lambda_.invoke(FunctionName="bare")["Payload"].read()))


def test_a_function_finds_only_its_own_packages(embedded: Embedded) -> None:
    assert import_the_emulators_package(embedded) is False


def test_upstream_lends_functions_its_own_packages(ministack: Embedded) -> None:
    assert import_the_emulators_package(ministack) is True, CLOSED
