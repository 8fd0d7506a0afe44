"""Templates that differ by region, account and stage come out as they do on AWS."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from foothold.errors import PermanentError
from local.aws.embedded import HOME_REGION, PRODUCTION, TEST, TOOLS, Embedded
from local.rehearsal.stacks import deploy_stack, given
from tests.embedded.shims.world import CLOSED, ELSEWHERE, HERE, wait_for_stack

TOPIC = {"Type": "AWS::SNS::Topic"}

BY_REGION = """
Parameters:
  Stage: {Type: String, Default: test, AllowedValues: [test, production]}
  Zones: {Type: CommaDelimitedList, Default: "a,b"}
Mappings:
  Places:
    eu-west-1: {Name: ireland}
    eu-central-1: {Name: frankfurt}
Conditions:
  Ireland: !Equals [!Ref "AWS::Region", eu-west-1]
  NotIreland: !Not [!Condition Ireland]
  IsTest: !Equals [!Ref Stage, test]
  IrelandTest: !And [!Condition Ireland, !Condition IsTest]
  Either: !Or [!Condition Ireland, !Equals [!Ref "AWS::AccountId", "333333333333"]]
  Mapped: !Equals [!FindInMap [Places, !Ref "AWS::Region", Name], frankfurt]
  Joined: !Equals [!Join ["-", [!Ref "AWS::Partition", !Ref "AWS::Region"]], aws-eu-west-1]
  Written: !Equals [!Sub "${AWS::StackName}.${AWS::URLSuffix}", by-region.amazonaws.com]
  Named: !Equals [!Select [5, !Split [":", !Ref "AWS::StackId"]], "stack/none"]
  OfThisAccount: !Equals [!Select [4, !Split [":", !Ref "AWS::StackId"]], !Ref "AWS::AccountId"]
  Zoned: !Equals [!Join ["", !Ref Zones], ab]
Resources:
  Always: {Type: AWS::SNS::Topic}
  OnlyIreland: {Type: AWS::SNS::Topic, Condition: Ireland}
  NotInIreland: {Type: AWS::SNS::Topic, Condition: NotIreland}
  OnlyTest: {Type: AWS::SNS::Topic, Condition: IsTest, DependsOn: NotInIreland}
  IrelandAndTest: {Type: AWS::SNS::Topic, Condition: IrelandTest}
  IrelandOrProduction: {Type: AWS::SNS::Topic, Condition: Either}
  OnlyMapped: {Type: AWS::SNS::Topic, Condition: Mapped}
  OnlyJoined: {Type: AWS::SNS::Topic, Condition: Joined}
  OnlyWritten: {Type: AWS::SNS::Topic, Condition: Written}
  Never: {Type: AWS::SNS::Topic, Condition: Named}
  OfAccount: {Type: AWS::SNS::Topic, Condition: OfThisAccount}
  OnlyZoned: {Type: AWS::SNS::Topic, Condition: Zoned}
  Shown:
    Type: AWS::SNS::Topic
    Properties:
      DisplayName: !If [Ireland, shown-in-ireland, !Ref "AWS::NoValue"]
Outputs:
  IfIreland: {Value: !If [Ireland, yes-ireland, no-ireland]}
  Topic: {Condition: Ireland, Value: !Ref OnlyIreland}
  Place: {Value: !FindInMap [Places, !Ref "AWS::Region", Name]}
"""
EVERYWHERE = {"Always", "OnlyTest", "OnlyWritten", "OfAccount", "OnlyZoned", "Shown"}
IN_IRELAND = {"OnlyIreland", "IrelandAndTest", "IrelandOrProduction", "OnlyJoined"}


def client(aws: Embedded, region: str, account: str = TEST) -> Any:
    return aws.session(account, region).client("cloudformation")


def created(aws: Embedded, region: str, body: str, account: str = TEST) -> tuple[set[str], Any]:
    """The resources and the outputs of a new stack of this template."""
    cloudformation = client(aws, region, account)
    cloudformation.create_stack(StackName="by-region", TemplateBody=body)
    try:
        assert wait_for_stack(cloudformation, "by-region") == "CREATE_COMPLETE"
        return resources(cloudformation), outputs(cloudformation)
    finally:
        delete(cloudformation)


def delete(cloudformation: Any, name: str = "by-region") -> None:
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1}
    )


def resources(cloudformation: Any) -> set[str]:
    found = cloudformation.describe_stack_resources(StackName="by-region")["StackResources"]
    return {resource["LogicalResourceId"] for resource in found}


def outputs(cloudformation: Any) -> dict[str, str]:
    (stack,) = cloudformation.describe_stacks(StackName="by-region")["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}


def changes(cloudformation: Any, name: str, kind: str, body: str, **parameters: str) -> Any:
    """What a change set of this kind would do: logical id and action."""
    cloudformation.create_change_set(
        StackName="by-region",
        ChangeSetName=name,
        ChangeSetType=kind,
        TemplateBody=body,
        Parameters=given(parameters),
    )
    found = cloudformation.describe_change_set(StackName="by-region", ChangeSetName=name)
    assert found["Status"] == "CREATE_COMPLETE", found["StatusReason"]
    listed = [change["ResourceChange"] for change in found["Changes"]]
    return {change["LogicalResourceId"]: change["Action"] for change in listed}


def test_each_region_has_its_own_conditions(embedded: Embedded) -> None:
    found, told = created(embedded, ELSEWHERE, BY_REGION)
    assert found == EVERYWHERE | IN_IRELAND
    assert told["IfIreland"] == "yes-ireland"
    assert told["Place"] == "ireland"
    assert told["Topic"].startswith(f"arn:aws:sns:{ELSEWHERE}:{TEST}:")

    found, told = created(embedded, HERE, BY_REGION)
    assert found == EVERYWHERE | {"NotInIreland", "OnlyMapped"}
    assert told == {"IfIreland": "no-ireland", "Place": "frankfurt"}


def test_each_account_has_its_own_conditions(embedded: Embedded) -> None:
    found, _ = created(embedded, HERE, BY_REGION, PRODUCTION)
    assert "IrelandOrProduction" in found


def test_a_property_follows_the_condition_or_is_left_out(embedded: Embedded) -> None:
    name = {"Fn::If": ["Ireland", "shown-in-ireland", {"Ref": "AWS::NoValue"}]}
    shown = {
        "Conditions": {"Ireland": {"Fn::Equals": [{"Ref": "AWS::Region"}, ELSEWHERE]}},
        "Resources": {"Topic": {**TOPIC, "Properties": {"DisplayName": name}}},
        "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}},
    }
    for region, is_shown in ((ELSEWHERE, True), (HERE, False)):
        cloudformation = client(embedded, region)
        cloudformation.create_stack(StackName="by-region", TemplateBody=json.dumps(shown))
        assert wait_for_stack(cloudformation, "by-region") == "CREATE_COMPLETE"
        sns = embedded.session(TEST, region).client("sns")
        topic = sns.get_topic_attributes(TopicArn=outputs(cloudformation)["Topic"])["Attributes"]
        assert (topic.get("DisplayName") == "shown-in-ireland") is is_shown
        delete(cloudformation)


def test_a_change_set_lists_and_makes_what_its_conditions_say(embedded: Embedded) -> None:
    cloudformation = client(embedded, ELSEWHERE)
    listed = changes(cloudformation, "first", "CREATE", BY_REGION)
    assert listed == dict.fromkeys(EVERYWHERE | IN_IRELAND, "Add")
    cloudformation.execute_change_set(StackName="by-region", ChangeSetName="first")
    assert wait_for_stack(cloudformation, "by-region") == "CREATE_COMPLETE"
    assert resources(cloudformation) == EVERYWHERE | IN_IRELAND

    listed = changes(cloudformation, "second", "UPDATE", BY_REGION, Stage="production")
    assert listed == {"OnlyTest": "Remove", "IrelandAndTest": "Remove"}
    cloudformation.execute_change_set(StackName="by-region", ChangeSetName="second")
    assert wait_for_stack(cloudformation, "by-region") == "UPDATE_COMPLETE"
    assert resources(cloudformation) == (EVERYWHERE | IN_IRELAND) - set(listed)

    listed = changes(cloudformation, "third", "UPDATE", BY_REGION, Stage="test")
    assert listed == {"OnlyTest": "Add", "IrelandAndTest": "Add"}
    delete(cloudformation)


def test_a_nested_stack_has_the_conditions_of_its_region(embedded: Embedded) -> None:
    s3: Any = embedded.session(TEST, ELSEWHERE).client("s3")
    there = {"LocationConstraint": ELSEWHERE}
    s3.create_bucket(Bucket="nested-conditions", CreateBucketConfiguration=there)
    s3.put_object(Bucket="nested-conditions", Key="child.yaml", Body=BY_REGION.encode())
    url = f"https://s3.{ELSEWHERE}.amazonaws.com/nested-conditions/child.yaml"
    child = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
    answer = {"Value": {"Fn::GetAtt": ["Child", "Outputs.IfIreland"]}}
    parent = {"Resources": {"Child": child}, "Outputs": {"Answer": answer}}
    assert created(embedded, ELSEWHERE, json.dumps(parent))[1] == {"Answer": "yes-ireland"}


def test_a_condition_that_refers_to_a_resource_is_refused(embedded: Embedded) -> None:
    wrong = {
        "Conditions": {"Made": {"Fn::Equals": [{"Ref": "Topic"}, "x"]}},
        "Resources": {"Topic": TOPIC},
    }
    assert "Unresolved dependencies [Topic]" in refused(embedded, json.dumps(wrong))


def test_upstream_has_the_same_conditions_in_every_region(ministack: Embedded) -> None:
    body = {
        "Conditions": {"Ireland": {"Fn::Equals": [{"Ref": "AWS::Region"}, ELSEWHERE]}},
        "Resources": {"Always": TOPIC, "OnlyIreland": {**TOPIC, "Condition": "Ireland"}},
    }
    assert created(ministack, ELSEWHERE, json.dumps(body))[0] == {"Always"}, CLOSED


def test_upstream_lists_resources_whose_condition_is_false(ministack: Embedded) -> None:
    body = {
        "Conditions": {"Never": {"Fn::Equals": ["a", "b"]}},
        "Resources": {"Always": TOPIC, "Never": {**TOPIC, "Condition": "Never"}},
    }
    cloudformation = client(ministack, HERE)
    listed = changes(cloudformation, "first", "CREATE", json.dumps(body))
    delete(cloudformation)
    assert listed == {"Always": "Add", "Never": "Add"}, CLOSED


# --- declared_parameters -------------------------------------------------------------------------

NEEDY = json.dumps({"Parameters": {"Stage": {"Type": "String"}}, "Resources": {"Topic": TOPIC}})


def refused(aws: Embedded, body: str, **parameters: str) -> str:
    """What CloudFormation answers to a stack with these parameters, in both calls the same;
    nothing where it makes it."""
    cloudformation = client(aws, HERE)
    stack = {"StackName": "refused", "TemplateBody": body, "Parameters": given(parameters)}
    change_set = {"ChangeSetName": "refused", "ChangeSetType": "CREATE"}
    answers = set()
    for call, more in (
        (cloudformation.create_stack, {}),
        (cloudformation.create_change_set, change_set),
    ):
        try:
            call(**stack, **more)
            answers.add("")
        except ClientError as error:
            answers.add(error.response["Error"]["Message"])
        delete(cloudformation, "refused")
    (answer,) = answers
    return answer


def test_a_parameter_that_the_template_does_not_declare_is_refused(embedded: Embedded) -> None:
    answer = refused(embedded, NEEDY, Stage="test", Stgae="test", Other="x")
    assert answer == "Parameters: [Stgae, Other] do not exist in the template"


def test_a_parameter_without_a_value_is_refused(embedded: Embedded) -> None:
    assert refused(embedded, NEEDY) == "Parameters: [Stage] must have values"
    assert refused(embedded, NEEDY, Stage="") == ""


def test_a_value_that_is_not_allowed_is_refused(embedded: Embedded) -> None:
    assert "'Stage'" in refused(embedded, BY_REGION, Stage="tset")


def test_an_update_takes_declared_parameters_and_their_previous_values(embedded: Embedded) -> None:
    cloudformation = client(embedded, HERE)
    stack: Any = {"StackName": "updated", "TemplateBody": NEEDY}
    cloudformation.create_stack(**stack, Parameters=given({"Stage": "test"}))
    assert wait_for_stack(cloudformation, "updated") == "CREATE_COMPLETE"
    more = {**json.loads(NEEDY), "Description": "another"}
    stack["TemplateBody"] = json.dumps(more)
    for parameters, words in (
        (given({"Stage": "test", "Other": "x"}), r"\[Other\] do not exist in the template"),
        ([], r"\[Stage\] must have values"),
    ):
        with pytest.raises(ClientError, match=words):
            cloudformation.update_stack(**stack, Parameters=parameters)
    more["Resources"]["Another"] = TOPIC
    previous = {"ParameterKey": "Stage", "UsePreviousValue": True}
    cloudformation.update_stack(
        StackName="updated", TemplateBody=json.dumps(more), Parameters=[previous]
    )
    assert wait_for_stack(cloudformation, "updated") == "UPDATE_COMPLETE"
    delete(cloudformation, "updated")


def test_upstream_drops_parameters_that_no_template_declares(ministack: Embedded) -> None:
    assert refused(ministack, NEEDY, Stage="test", Other="x") == "", CLOSED
    assert "must have values" not in refused(ministack, NEEDY), CLOSED


# --- nested_transforms ----------------------------------------------------------------------------


def nested_stack(aws: Embedded) -> str:
    """How a stack ends whose nested stack uses the SAM transform."""
    child = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"Table": {"Type": "AWS::Serverless::SimpleTable"}},
    }
    s3 = aws.session().client("s3")
    there: Any = {"LocationConstraint": HOME_REGION}
    s3.create_bucket(Bucket="nested-templates", CreateBucketConfiguration=there)
    s3.put_object(Bucket="nested-templates", Key="child.json", Body=json.dumps(child))
    url = f"{aws.endpoint}/nested-templates/child.json"
    parent = {"Child": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}}
    try:
        deploy_stack(aws, TOOLS, "nesting", {"Resources": parent}, {})
    except PermanentError as error:
        return str(error)
    return "deployed"


def test_a_nested_stack_may_use_a_transform(embedded: Embedded) -> None:
    assert nested_stack(embedded) == "deployed"


def test_upstream_leaves_the_transforms_of_nested_stacks_undone(ministack: Embedded) -> None:
    assert "Unsupported resource type: AWS::Serverless::SimpleTable" in nested_stack(ministack), (
        CLOSED
    )


# --- property_values ------------------------------------------------------------------------------

SECRETIVE = """
Parameters:
  Title: {Type: String}
  Password: {Type: String, NoEcho: true}
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties: {DisplayName: !Ref Title, TracingConfig: !Ref Password}
  Queue:
    Type: AWS::SQS::Queue
    Properties: {DelaySeconds: 5}
"""


def described(aws: Embedded, *, values: bool) -> Any:
    """A change set of the stack above with another title and another password, after it."""
    cloudformation = client(aws, HERE)
    stack: Any = {"StackName": "secretive", "TemplateBody": SECRETIVE}
    before, after = ({"Title": each, "Password": f"hush-{each}"} for each in ("old", "new"))
    cloudformation.create_stack(**stack, Parameters=given(before))
    assert wait_for_stack(cloudformation, "secretive") == "CREATE_COMPLETE"
    stack["TemplateBody"] = SECRETIVE.replace(", TracingConfig: !Ref Password", "").replace(
        "DelaySeconds: 5", "DelaySeconds: 5, MessageRetentionPeriod: 60"
    )
    cloudformation.create_change_set(**stack, ChangeSetName="more", Parameters=given(after))
    found = cloudformation.describe_change_set(
        StackName="secretive", ChangeSetName="more", IncludePropertyValues=values
    )
    delete(cloudformation, "secretive")
    return found


def by_resource(found: Any) -> dict[str, Any]:
    changes = [change["ResourceChange"] for change in found["Changes"]]
    return {change["LogicalResourceId"]: change for change in changes}


def test_a_change_set_tells_what_properties_are_and_become(embedded: Embedded) -> None:
    changes = by_resource(described(embedded, values=True))
    before, after = (json.loads(changes["Topic"][f"{at}Context"]) for at in ("Before", "After"))
    assert before == {"Properties": {"DisplayName": "old", "TracingConfig": "****"}}
    assert after == {"Properties": {"DisplayName": "new"}}
    targets = {one["Target"]["Name"]: one["Target"] for one in changes["Topic"]["Details"]}
    title, tracing = targets["DisplayName"], targets["TracingConfig"]
    assert (title["Path"], title["BeforeValue"], title["AfterValue"]) == (
        "/Properties/DisplayName", "old", "new",
    )  # fmt: skip
    assert (tracing["AttributeChangeType"], tracing["BeforeValue"]) == ("Remove", "****")
    (added,) = [one["Target"] for one in changes["Queue"]["Details"]]
    assert (added["AttributeChangeType"], added["AfterValue"]) == ("Add", "60")


def test_a_change_set_tells_no_values_where_nobody_asks_for_them(embedded: Embedded) -> None:
    found = described(embedded, values=False)
    assert "BeforeContext" not in by_resource(found)["Topic"]
    assert "old" not in json.dumps(found["Changes"])


def test_a_parameter_that_is_not_to_be_echoed_is_hidden(embedded: Embedded) -> None:
    found = described(embedded, values=True)
    told = {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]}
    assert told == {"Title": "new", "Password": "****"}
    assert "hush" not in str(found)


def test_upstream_tells_no_values_and_hides_none(ministack: Embedded) -> None:
    found = described(ministack, values=True)
    assert "BeforeContext" not in by_resource(found)["Topic"], CLOSED
    told = {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]}
    assert told["Password"] == "hush-new", CLOSED
