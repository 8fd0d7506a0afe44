"""Somebody who may write parameters, on the embedded AWS: nobody's code goes where they point."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from local.aws.embedded import HOME_REGION, TEST, TOOLS, Embedded
from tests.embedded.test_control_plane import PATH, bucket_of, foothold, parameters

REGION = "ca-central-1"
AT_HOME = f"{PATH}s/{REGION}"
TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: Hello, Handler: app.handler, Runtime: python3.13}
"""


def client(aws: Embedded, service: str, region: str = HOME_REGION, account: str = TOOLS) -> Any:
    session: Any = aws.session(account, region)
    return session.client(service)


def invoke(aws: Embedded, name: str, event: dict[str, Any]) -> Any:
    answer = client(aws, "lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read() or b"null")


def function(aws: Embedded, parameter: str) -> str:
    return parameters(aws, HOME_REGION, "/foothold")[f"/foothold/{parameter}"]


def point_elsewhere(aws: Embedded) -> str:
    """Both parameters at home name a bucket and a key of another account, which let us in."""
    ours = {"AWS": f"arn:aws:iam::{TOOLS}:root"}
    theirs = {"AWS": [ours["AWS"], f"arn:aws:iam::{TEST}:root"]}
    s3, kms = client(aws, "s3", REGION, TEST), client(aws, "kms", REGION, TEST)
    s3.create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": REGION})
    everything = ["arn:aws:s3:::elsewhere", "arn:aws:s3:::elsewhere/*"]
    s3.put_bucket_policy(Bucket="elsewhere", Policy=document(ours, "s3:*", everything))
    key = kms.create_key(Policy=document(theirs, "kms:*", "*"))["KeyMetadata"]["Arn"]
    for leaf, value in (("bucket", "elsewhere"), ("key-arn", key)):
        client(aws, "ssm").put_parameter(
            Name=f"{AT_HOME}/{leaf}", Value=value, Type="String", Overwrite=True
        )
    return str(key)


def document(principal: Any, action: str, resource: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def macro_call() -> dict[str, Any]:
    target = {"Name": "Test", "Account": TEST, "Stack": "orders", "Regions": [REGION]}
    pipeline = {
        "Name": "orders", "Source": {"S3": {"Bucket": "sources", "Key": "orders.zip"}},
        "Targets": [target],
    }  # fmt: skip
    return {
        "accountId": TOOLS, "region": HOME_REGION, "requestId": "1", "params": {},
        "transformId": f"{TOOLS}::FootholdPipeline", "templateParameterValues": {},
        "fragment": {"Resources": {
            "Pipeline": {"Type": "Foothold::Pipeline", "Properties": pipeline}}},
    }  # fmt: skip


def macro_function(aws: Embedded) -> str:
    (stack,) = client(aws, "cloudformation").describe_stacks(StackName="foothold")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    return str(outputs["MacroFunctionArn"])


def test_a_parameter_that_points_elsewhere_leads_no_code_and_no_pipeline_there(
    deployed: Embedded, tmp_path: Path
) -> None:
    added = foothold(deployed, "regions", "add", REGION)
    assert added.returncode == 0, added.stderr
    (tmp_path / "Hello").mkdir()
    (tmp_path / "Hello" / "app.py").write_text("def handler(event, context): return 1\n")
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    package = (
        "package", "-t", str(tmp_path / "template.yaml"), "--project", "trust", "--region", REGION,
        "--region", HOME_REGION, "-o", str(tmp_path / "out"),
    )  # fmt: skip
    build = io.BytesIO()
    with zipfile.ZipFile(build, "w") as archive:
        for name in ("template.yaml", "Hello/app.py"):
            archive.write(tmp_path / name, name)
    source = {"bucket": bucket_of(HOME_REGION), "key": "trust/build.zip"}
    client(deployed, "s3").put_object(
        Bucket=source["bucket"], Key=source["key"], Body=build.getvalue()
    )
    order = {"project": "trust", "source": source, "regions": [REGION, HOME_REGION]}
    packaging, macro = function(deployed, "package-function"), macro_function(deployed)
    assert foothold(deployed, *package).returncode == 0
    assert invoke(deployed, macro, macro_call())["status"] == "success"

    key = point_elsewhere(deployed)
    line = f"the artifact store of {REGION} is not used: its parameter key-arn names {key}"
    done = foothold(deployed, *package)
    assert done.returncode == 1
    assert line in done.stderr
    assert (tmp_path / "out" / f"template-export-{HOME_REGION}.yml").exists()
    told = invoke(deployed, packaging, order)
    assert line in told["failed"][REGION]
    assert list(told["regions"]) == [HOME_REGION]
    answer = invoke(deployed, macro, macro_call())
    assert (answer["status"], "elsewhere" in str(answer["errorMessage"])) == ("failure", False)
    assert line in answer["errorMessage"]
    shown = json.loads(foothold(deployed, "status", "--json").stdout)
    (status,) = [region for region in shown if region["region"] == REGION]
    assert (status["ready"], status["bucket"]) == (False, None)
    elsewhere = client(deployed, "s3", REGION, TEST)
    assert "Contents" not in elsewhere.list_objects_v2(Bucket="elsewhere")

    schedule = {
        "id": "1", "source": "aws.events", "detail-type": "Scheduled Event", "account": TOOLS,
        "region": HOME_REGION, "time": "2026-01-01T00:00:00Z", "resources": [], "detail": {},
    }  # fmt: skip
    invoke(deployed, function(deployed, "reconcile-function"), schedule)
    assert parameters(deployed, HOME_REGION, AT_HOME)[f"{AT_HOME}/bucket"] == bucket_of(REGION)
    assert foothold(deployed, *package).returncode == 0
