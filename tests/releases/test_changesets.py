"""Change sets as CloudFormation describes them, read and put into our words.

moto makes and describes change sets, without pages, values before and after, policies, drift,
nested ones, or an answer about a template of a change set; those are answered here by answers in
the form of the API reference.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from foothold.errors import PermanentError, TemporaryError
from foothold.releases.changes import Action, ChangeSet, Replacement, SetState
from foothold.releases.gateways.changesets import TargetChangeSets
from foothold.releases.model import Cell

CELL = Cell("222222222222", "eu-west-1", "shop")
SAVED: dict[str, Any] = json.loads((Path(__file__).parent / "change_sets.json").read_text())


class Client:
    """Answers with what was saved, by the change set's name or id; it counts what is asked."""

    def __init__(self, answers: Mapping[str, Any] = SAVED) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def describe_change_set(self, **asked: Any) -> Any:
        self.asked.append(("DescribeChangeSet", asked))
        assert asked["IncludePropertyValues"] is True
        answer = self.answers.get(asked["ChangeSetName"] + asked.get("NextToken", ""))
        if answer is None:
            raise refused("ChangeSetNotFound", "ChangeSet [x] does not exist")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def get_template(self, **asked: Any) -> Any:
        self.asked.append(("GetTemplate", asked))
        return {"TemplateBody": "Resources: {}\n"}


def refused(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeChangeSet")


def read(name: str, client: Client | None = None) -> ChangeSet:
    found: Any = client or Client()
    return TargetChangeSets(lambda _account, _region: found).read(CELL, name)


def with_status(**fields: str) -> ChangeSet:
    return read("it", Client({"it": {"ChangeSetId": "arn:it", "Changes": [], **fields}}))


def test_what_is_told_of_a_resource_is_read_from_all_pages_in_two_reads_and_one_a_page() -> None:
    client = Client()
    found = read("whole", client)
    assert found.state is SetState.READY
    assert [one.logical_id for one in found.changes] == ["Orders", "Handler", "Old", "New"]
    orders, handler, old, new = found.changes
    assert (orders.action, orders.replacement) == (Action.MODIFY, Replacement.YES)
    assert orders.policy == "ReplaceAndDelete"
    assert orders.drift == "MODIFIED"
    assert orders.before is not None
    assert orders.before["KeySchema"][0]["AttributeName"] == "id"
    (key,) = [one for one in orders.properties if one.recreation == "Always"]
    assert (key.path, key.before, key.after) == (
        "/Properties/KeySchema/0/AttributeName",
        "id",
        "order",
    )
    assert handler.scope == ("Properties", "Tags")
    assert handler.properties[0].cause == "ImageTag"
    assert (old.action, old.policy) == (Action.REMOVE, "Retain")
    assert (new.action, new.after) == (Action.ADD, {"QueueName": "q"})
    assert [name for name, _ in client.asked] == ["DescribeChangeSet"] * 2 + ["GetTemplate"]
    assert client.asked[2][1]["TemplateStage"] == "Original"
    assert client.asked[2][1]["ChangeSetName"] == found.id


def test_the_template_counts_as_it_was_submitted() -> None:
    whole = "49cbd1e9008e8b67dec76613bb4d6468c822c99701820526928d43b382f35fba"
    assert read("whole").template_sha256 == whole


def test_secrets_are_masked_before_anybody_sees_them() -> None:
    found = read("whole")
    text = repr(found)
    assert "canary" not in text
    assert found.parameters == {"ImageTag": "2", "Password": "****"}
    assert found.tags == {"foothold:release": "0123456789abcdef"}
    assert "{{resolve:secretsmanager:****}}" in text
    assert "{{resolve:ssm:/shop/colour}}" in text


def test_a_nested_change_set_is_read_with_the_one_it_lies_in() -> None:
    (inner,) = read("outer").changes
    assert inner.nested is not None
    assert [one.logical_id for one in inner.nested] == ["Deep"]


def test_of_a_nested_change_set_that_cannot_be_read_nothing_is_known() -> None:
    (inner,) = read("outer", Client({"outer": SAVED["outer"]})).changes
    assert inner.nested_change_set is not None
    assert inner.nested is None


@pytest.mark.parametrize(
    "reason",
    [
        "The submitted information didn't contain changes. Submit different information to create",
        "No updates are to be performed.",
    ],
)
def test_a_change_set_without_changes_is_empty_and_has_no_reason(reason: str) -> None:
    found = with_status(Status="FAILED", ExecutionStatus="UNAVAILABLE", StatusReason=reason)
    assert (found.state, found.reason, found.id) == (SetState.EMPTY, "", "arn:it")


@pytest.mark.parametrize(
    ("status", "execution", "state"),
    [
        ("FAILED", "UNAVAILABLE", SetState.FAILED),
        ("CREATE_COMPLETE", "OBSOLETE", SetState.FAILED),
        ("CREATE_COMPLETE", "EXECUTE_FAILED", SetState.FAILED),
        ("CREATE_COMPLETE", "EXECUTE_COMPLETE", SetState.READY),
        ("CREATE_IN_PROGRESS", "UNAVAILABLE", SetState.UNREAD),
        ("DELETE_COMPLETE", "UNAVAILABLE", SetState.MISSING),
    ],
)
def test_each_status_of_aws_is_a_state_of_ours(
    status: str, execution: str, state: SetState
) -> None:
    found = with_status(Status=status, ExecutionStatus=execution, StatusReason="because")
    assert found.state is state
    assert (found.reason == "") == (state is SetState.READY)


def test_a_failure_that_only_mentions_no_changes_is_a_failure() -> None:
    reason = "Nested change set x failed: The submitted information didn't contain changes."
    assert with_status(Status="FAILED", StatusReason=reason).state is SetState.FAILED


def test_a_change_set_or_a_stack_that_is_not_there_is_missing() -> None:
    assert read("gone").state is SetState.MISSING
    no_stack = refused("ValidationError", "Stack [shop] does not exist")
    assert read("x", Client({"x": no_stack})).state is SetState.MISSING


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling", "ValidationError"])
def test_what_cannot_be_read_is_said_with_the_reason_of_aws(code: str) -> None:
    found = read("x", Client({"x": refused(code, "no")}))
    assert found.state is SetState.UNREAD
    assert code in found.reason
    assert str(CELL) in found.reason


@pytest.mark.parametrize("error", [PermanentError("account has no role"), TemporaryError("busy")])
def test_an_account_that_does_not_let_us_in_is_unread(error: Exception) -> None:
    def refuses(_account: str, _region: str) -> Any:
        raise error

    found = TargetChangeSets(refuses).read_all([CELL, CELL], "x")
    assert [(one.state, one.reason) for one in found] == [(SetState.UNREAD, str(error))] * 2


def test_words_of_aws_that_are_new_to_us_are_taken_for_the_worst() -> None:
    change = {"Action": "Teleport", "Replacement": "Maybe", "LogicalResourceId": "A"}
    it = {
        "Status": "CREATE_COMPLETE",
        "ExecutionStatus": "AVAILABLE",
        "Changes": [{"ResourceChange": change | {"ResourceType": "AWS::SNS::Topic"}}],
    }
    (found,) = read("it", Client({"it": it})).changes
    assert (found.action, found.replacement) == (Action.DYNAMIC, Replacement.PERHAPS)


def test_a_context_that_was_cut_counts_as_not_told() -> None:
    change = {"Action": "Modify", "LogicalResourceId": "A", "ResourceType": "AWS::SNS::Topic"}
    it = {
        "Status": "CREATE_COMPLETE",
        "ExecutionStatus": "AVAILABLE",
        "Changes": [{"ResourceChange": change | {"BeforeContext": '{"Properties": {"Top'}}],
    }
    (found,) = read("it", Client({"it": it})).changes
    assert found.before is None


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("cloudformation", region_name="eu-west-1")


def test_a_change_set_that_is_described_as_xml_is_read(cloudformation: Any) -> None:
    template = {"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}
    cloudformation.create_change_set(
        StackName="shop",
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps(template),
    )
    cloudformation.get_template = lambda **_: {"TemplateBody": template}
    reader = TargetChangeSets(lambda _account, _region: cloudformation)
    found = reader.read(CELL, "first")
    assert (found.state, found.reason) == (SetState.READY, "")
    assert [(one.action, one.logical_id) for one in found.changes] == [(Action.ADD, "Q")]
    assert reader.read(CELL, "second").state is SetState.MISSING
