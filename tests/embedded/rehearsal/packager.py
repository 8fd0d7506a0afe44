"""The least that keeps the functions' contracts with a pipeline: for the rehearsal's tests.

It packages the code of plain AWS::Lambda::Function resources, from a template in JSON. As the
reviewer and the watcher of waves it is told what to do: a review asks for a person's yes but for a
target named Quiet, and a bake is over when it is asked again.
"""

import hashlib
import io
import json
import zipfile
from typing import Any

import boto3


def handler(event: Any, _context: object) -> None:
    job = event["CodePipeline.job"]
    codepipeline = boto3.client("codepipeline")
    try:
        asked = json.loads(job["data"]["actionConfiguration"]["configuration"]["UserParameters"])
        answer = told(asked, job["data"]) if "do" in asked else package(asked, job["data"])
    except Exception as error:  # noqa: BLE001  # whatever happened, the job is answered
        codepipeline.put_job_failure_result(
            jobId=job["id"], failureDetails={"type": "JobFailed", "message": str(error)}
        )
    else:
        codepipeline.put_job_success_result(jobId=job["id"], **answer)


def told(asked: Any, data: Any) -> Any:
    if asked["do"] == "bake" and "continuationToken" not in data:
        return {"continuationToken": "once"}
    if asked["do"] != "review":
        return {}
    ask = "no" if asked["target"] == "Quiet" else "yes"
    variables = {"summary": "it is fine", "link": "https://review.test/1", "ask": ask}
    return {"outputVariables": variables}


def package(asked: Any, data: Any) -> Any:
    pages = boto3.client("ssm").get_paginator("get_parameters_by_path")
    path = f"/foothold/pipelines/{asked['project']}"
    parts = {
        int(each["Name"].rpartition("/")[2]): each["Value"]
        for page in pages.paginate(Path=path)
        for each in page["Parameters"]
    }
    targets = json.loads("".join(parts[number] for number in sorted(parts)))["targets"]
    places = [(target, region) for target in targets for wave in target["waves"] for region in wave]
    credentials = data["artifactCredentials"]
    artifacts = boto3.client(
        "s3",
        aws_access_key_id=credentials["accessKeyId"],
        aws_secret_access_key=credentials["secretAccessKey"],
        aws_session_token=credentials["sessionToken"],
    )
    given = data["inputArtifacts"][0]["location"]["s3Location"]
    body = artifacts.get_object(Bucket=given["bucketName"], Key=given["objectKey"])["Body"].read()
    build = zipfile.ZipFile(io.BytesIO(body))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as output:
        for target, region in places:
            configuration = {"Parameters": target["parameters"], "Tags": {"foothold:release": "1"}}
            name = f"configuration-{target['name']}-{region}.json"
            output.writestr(name, json.dumps(configuration))
        for region in sorted({region for _, region in places}):
            template = packaged(build, asked["project"], region)
            output.writestr(f"template-export-{region}.yml", json.dumps(template))
    taken = data["outputArtifacts"][0]["location"]["s3Location"]
    artifacts.put_object(
        Bucket=taken["bucketName"],
        Key=taken["objectKey"],
        Body=packed.getvalue(),
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=data["encryptionKey"]["id"],
    )
    return {}


def packaged(build: zipfile.ZipFile, project: str, region: str) -> Any:
    """The built template with its code uploaded to the region's store, under its key."""
    ssm = boto3.client("ssm")
    path = f"/foothold/artifact-stores/{region}"
    bucket, key_arn = (
        ssm.get_parameter(Name=f"{path}/{leaf}")["Parameter"]["Value"]
        for leaf in ("bucket", "key-arn")
    )
    template = json.loads(build.read("template.yaml"))
    for resource in template["Resources"].values():
        if resource["Type"] != "AWS::Lambda::Function":
            continue
        folder = resource["Properties"]["Code"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            for name in build.namelist():
                if name.startswith(f"{folder}/"):
                    archive.writestr(zipfile.ZipInfo(name.split("/", 1)[1]), build.read(name))
        key = f"{project}/builds/{hashlib.md5(code.getvalue(), usedforsecurity=False).hexdigest()}"
        boto3.client("s3", region_name=region).put_object(
            Bucket=bucket,
            Key=key,
            Body=code.getvalue(),
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=key_arn,
        )
        resource["Properties"]["Code"] = {"S3Bucket": bucket, "S3Key": key}
    return template
