"""A function that cannot start still answers. Each case runs in a Python process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from foothold.stores.custom_resource.reply import physical_id
from tests.stores.custom_resource.stack import AT_AWS, Endpoint, saved, serving

HERE = Path(__file__).parents[3]
APP = HERE / "functions/artifact_store"
LAYER = HERE / "layers/foothold"

# What Lambda's runtime does: import the function's file, then call its handler. Where a port is
# given, every connection leads there; no network is needed to play AWS.
RUNTIME = """
import json, socket, sys
event, port = json.loads(sys.argv[1]), int(sys.argv[2])
real = socket.create_connection
if port:
    def connect(address, *args, **kwargs):
        return real(("127.0.0.1", port) if address == (sys.argv[3], 443) else address,
                    *args, **kwargs)
    socket.create_connection = connect

class Context:
    aws_request_id, function_name, memory_limit_in_mb = "the-invocation", "f", 256
    invoked_function_arn = "arn:aws:lambda:eu-central-1:111111111111:function:f"
    def get_remaining_time_in_millis(self):
        return 30_000

import app
app.lambda_handler(event, Context())
"""
ENVIRONMENT = {
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "111111111111",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
    "FOOTHOLD_ACCOUNT": "111111111111",
    "FOOTHOLD_STACK": "foothold",
    "FOOTHOLD_NAME_PREFIX": "foothold",
    "FOOTHOLD_PARAMETER_ROOT": "/foothold",
    "POWERTOOLS_SERVICE_NAME": "foothold",
    "POWERTOOLS_METRICS_NAMESPACE": "Foothold",
    "POWERTOOLS_LOGGER_LOG_EVENT": "true",
}


def cold_start(
    event: dict[str, Any], *path: Path, environment: Mapping[str, str | None], port: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the function once, with these folders to import from before all others."""
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, (*path, APP))),
        **ENVIRONMENT,
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-c", RUNTIME, json.dumps(event), str(port), AT_AWS],
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def shadow(tmp_path: Path) -> Path:
    """A folder whose modules stand in front of the real ones."""
    return tmp_path


@pytest.mark.parametrize("missing", ["pydantic", "boto3", "aws_lambda_powertools"])
def test_a_dependency_that_is_missing_is_told(
    endpoint: Endpoint, shadow: Path, missing: str
) -> None:
    """CR-27."""
    (shadow / f"{missing}.py").write_text(f"raise ModuleNotFoundError('No module {missing}')\n")
    event = saved("cfn_create", endpoint)
    ran = cold_start(
        event, shadow, LAYER, environment={"FOOTHOLD_RESPONSE_ORIGIN": endpoint.origin}
    )
    assert ran.returncode == 0, ran.stderr
    assert endpoint.answer["Status"] == "FAILED"
    assert endpoint.answer["Reason"] == (
        f"Foothold's function cannot start: No module {missing}; deploy the control plane again"
    )
    assert endpoint.answer["PhysicalResourceId"] == physical_id(
        event["StackId"], event["LogicalResourceId"]
    )
    assert "canary" not in ran.stdout + ran.stderr


def test_code_that_does_not_compile_is_told(endpoint: Endpoint, shadow: Path) -> None:
    """CR-27."""
    (shadow / "pydantic.py").write_text("def broken(:\n")
    event = saved("cfn_create", endpoint)
    ran = cold_start(
        event, shadow, LAYER, environment={"FOOTHOLD_RESPONSE_ORIGIN": endpoint.origin}
    )
    assert ran.returncode == 0, ran.stderr
    assert endpoint.answer["Reason"].startswith("unexpected SyntaxError in Foothold")


@pytest.mark.parametrize("wrong", [{"FOOTHOLD_ACCOUNT": None}, {"FOOTHOLD_ACCOUNT": "s3cret"}])
def test_an_environment_that_is_wrong_is_told_by_name_and_not_by_value(
    endpoint: Endpoint, wrong: dict[str, str | None]
) -> None:
    """CR-27."""
    ran = cold_start(
        saved("cfn_create", endpoint),
        LAYER,
        environment=wrong | {"FOOTHOLD_RESPONSE_ORIGIN": endpoint.origin},
    )
    assert ran.returncode == 0, ran.stderr
    assert endpoint.answer["Status"] == "FAILED"
    assert "FOOTHOLD_ACCOUNT" in endpoint.answer["Reason"]
    assert "s3cret" not in endpoint.answer["Reason"] + ran.stdout + ran.stderr


def test_an_sdk_that_cannot_be_configured_is_told(endpoint: Endpoint) -> None:
    """CR-27."""
    ran = cold_start(
        saved("cfn_create", endpoint),
        LAYER,
        environment={"FOOTHOLD_RESPONSE_ORIGIN": endpoint.origin, "AWS_PROFILE": "nobody"},
    )
    assert ran.returncode == 0, ran.stderr
    assert endpoint.answer["Status"] == "FAILED"
    assert "nobody" in endpoint.answer["Reason"]


def test_a_healthy_function_logs_its_keys_and_never_the_response_url(endpoint: Endpoint) -> None:
    """CR-21, with the logger told by the environment to log events."""
    event = saved("cfn_delete", endpoint, PhysicalResourceId="foothold/never-made")
    ran = cold_start(event, LAYER, environment={"FOOTHOLD_RESPONSE_ORIGIN": endpoint.origin})
    assert ran.returncode == 0, ran.stderr
    assert endpoint.answer["Status"] == "SUCCESS"
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    (line,) = [line for line in lines if line["message"] == "request fulfilled"]
    assert line["RequestId"] == event["RequestId"]
    assert "canary" not in ran.stdout + ran.stderr


def test_work_that_was_left_behind_does_not_keep_the_process(endpoint: Endpoint) -> None:
    """CR-26."""
    script = """
import json, sys, time
from foothold.stores.custom_resource.reply import answer

class Context:
    aws_request_id = "the-invocation"
    def get_remaining_time_in_millis(self):
        return 500

answer(json.loads(sys.argv[1]), Context(), lambda: time.sleep(600))
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, json.dumps(saved("cfn_create", endpoint))],
        env={"PYTHONPATH": str(LAYER), "FOOTHOLD_RESPONSE_ORIGIN": endpoint.origin},
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0
    assert endpoint.answer["Status"] == "FAILED"


def broken_layer(
    certificate: Path, shadow: Path, *script: int | str, **changes: Any
) -> tuple[Endpoint, subprocess.CompletedProcess[str]]:
    (shadow / "foothold.py").write_text("raise ImportError('bad magic number')\n")
    with serving(certificate) as endpoint:
        endpoint.script.extend(script)
        ran = cold_start(
            saved("cfn_create") | changes,
            shadow,
            port=endpoint.port,
            environment={"SSL_CERT_FILE": str(certificate)},
        )
    return endpoint, ran


def test_a_broken_layer_of_our_own_is_told_by_the_functions_own_file(
    certificate: Path, shadow: Path
) -> None:
    """CR-27: not even the responder can be imported."""
    endpoint, ran = broken_layer(certificate, shadow)
    assert ran.returncode == 0, ran.stderr
    event = saved("cfn_create")
    assert endpoint.answer == {
        "Status": "FAILED",
        "Reason": "Foothold's function cannot start: ImportError: bad magic number; deploy the "
        "control plane again",
        "PhysicalResourceId": "foothold/never-made",
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    (put,) = endpoint.puts
    assert put.headers["content-type"] == ""
    assert ran.stdout + ran.stderr == ""


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("foothold/never-made", "SUCCESS"),
        ("foothold/111111111111/5d1e8f60-7a3c-11f1-9b57-0a1b2c3d4e5f/ArtifactStore", "FAILED"),
    ],
)
def test_a_stack_that_could_not_be_made_for_that_can_still_be_rolled_back(
    certificate: Path, shadow: Path, given: str, status: str
) -> None:
    """CR-03, CR-27: there is nothing to delete; where there may be, nothing is pretended."""
    endpoint, ran = broken_layer(
        certificate, shadow, RequestType="Delete", PhysicalResourceId=given
    )
    assert ran.returncode == 0, ran.stderr
    (put,) = endpoint.puts
    answer = json.loads(put.body)
    assert (answer["Status"], answer["PhysicalResourceId"]) == (status, given)


@pytest.mark.parametrize(
    "url",
    [
        f"http://{AT_AWS}/a?b",
        "https://somebodys-bucket.s3.eu-central-1.amazonaws.com/a?b",
        "https://s3.eu-central-1.amazonaws.com/somebodys-bucket/a?b",
        "https://evil.example/a?b",
        "https://x.amazonaws.com@evil.example/",
    ],
)
def test_a_broken_layer_answers_to_aws_only(certificate: Path, shadow: Path, url: str) -> None:
    """CR-29."""
    endpoint, ran = broken_layer(certificate, shadow, ResponseURL=url)
    assert ran.returncode != 0
    assert "no ResponseURL of CloudFormation's" in ran.stderr
    assert endpoint.puts == []


def test_a_broken_layer_whose_answer_is_not_taken_is_an_error_for_lambda_to_try_again(
    certificate: Path, shadow: Path
) -> None:
    """CR-24."""
    endpoint, ran = broken_layer(certificate, shadow, 503)
    assert ran.returncode != 0
    assert "CloudFormation could not be answered: HTTP 503" in ran.stderr
    assert "X-Amz-Signature" not in ran.stderr
    assert len(endpoint.puts) == 1
