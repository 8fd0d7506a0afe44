"""What the embedded AWS lacks for the life of a store: each gap, open and closed."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.embedded import Embedded

pytestmark = pytest.mark.embedded


@pytest.fixture(params=["closed", "open"])
def gap(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def started(folder: Path, shim: str, gap: str) -> Embedded:
    aws = Embedded(folder, without=[shim] if gap == "open" else [])
    aws.start()
    return aws


def test_pipelines_can_be_listed(tmp_path: Path, gap: str) -> None:
    aws = started(tmp_path, "pipeline_registry", gap)
    try:
        codepipeline = aws.session().client("codepipeline")
        if gap == "closed":
            assert codepipeline.list_pipelines()["pipelines"] == []
        else:
            with pytest.raises(ClientError):
                codepipeline.list_pipelines()
    finally:
        aws.stop()


def test_a_policy_sees_the_source_and_type_of_an_event(tmp_path: Path, gap: str) -> None:
    aws = started(tmp_path, "event_conditions", gap)
    try:
        events = publisher(aws)
        right = put(events, "Artifact Store Replaced")
        assert right == ("put" if gap == "closed" else "AccessDeniedException")
        assert put(events, "Regions Requested") == "AccessDeniedException"
    finally:
        aws.stop()


def publisher(aws: Embedded) -> Any:
    """A role that may put one type of event only."""
    iam, account = aws.session().client("iam"), "111111111111"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole",
             "Principal": {"AWS": f"arn:aws:iam::{account}:root"}}  # fmt: skip
    may = {"Effect": "Allow", "Action": "events:PutEvents",
           "Resource": f"arn:aws:events:eu-central-1:{account}:event-bus/default",
           "Condition": {"StringEquals": {
               "events:source": "foothold",
               "events:detail-type": "Artifact Store Replaced"}}}  # fmt: skip
    role = iam.create_role(RoleName="publisher", AssumeRolePolicyDocument=document(trust))["Role"]
    iam.put_role_policy(RoleName="publisher", PolicyName="may", PolicyDocument=document(may))
    return aws.role_session(role["Arn"]).client("events")


def document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def put(events: Any, detail_type: str) -> str:
    entry = {"Source": "foothold", "DetailType": detail_type, "Detail": "{}"}
    try:
        events.put_events(Entries=[entry])
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "put"
