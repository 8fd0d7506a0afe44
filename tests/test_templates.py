"""What every template gives its roles: the organisation's own rules."""

import re
from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # brings no types

ROOT = Path(__file__).parent.parent
BESIDE = sorted(file.name for file in (ROOT / "pipelines").iterdir())
TEMPLATES = ["template.yaml", "permissions.yaml", *(f"pipelines/{name}" for name in BESIDE)]
BOUNDED = {
    "Fn::If": [
        "HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"},
    ]
}  # fmt: skip


def read(name: str) -> Any:
    return yaml_parse((ROOT / name).read_text())


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_role_of_every_template_can_have_a_permissions_boundary(name: str) -> None:
    template = read(name)
    roles = [
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
    ]
    assert [role.get("PermissionsBoundary") for role in roles] == [BOUNDED] * len(roles)
    if roles:
        asks = read("template.yaml") if name == "permissions.yaml" else template
        assert asks["Parameters"]["PermissionsBoundaryArn"]["Default"] == ""


def test_all_permissions_stand_in_one_file_and_are_there_before_the_functions() -> None:
    resources = read("template.yaml")["Resources"]
    assert not [each for each in resources.values() if each["Type"].startswith("AWS::IAM::")]
    assert {
        name: each["Properties"]["Role"]["Fn::GetAtt"]
        for name, each in resources.items()
        if each["Type"] == "AWS::Serverless::Function"
    } == {
        output.replace("RoleArn", "Function"): ["Permissions", f"Outputs.{output}"]
        for output in read("permissions.yaml")["Outputs"]
    }


def test_permissions_are_deployed_with_what_is_named_like_their_parameters() -> None:
    parameters = read("template.yaml")["Parameters"]
    handed_on = read("template.yaml")["Resources"]["Permissions"]["Properties"]["Parameters"]
    assert set(handed_on) == set(read("permissions.yaml")["Parameters"])
    assert handed_on.pop("ControlPlane") == {"Ref": "AWS::StackName"}
    for name, value in handed_on.items():
        if parameters.get(name, {}).get("Type") == "CommaDelimitedList":
            assert value == {"Fn::Join": [",", {"Ref": name}]}
        elif name in parameters:
            assert value == {"Ref": name}
        else:
            assert value == {"Fn::GetAtt": [name, "Arn"]}


def test_permissions_know_the_control_plane_by_no_nested_stacks_name() -> None:
    permissions = read("permissions.yaml")
    assert "AWS::StackName" not in str(permissions["Resources"])


def test_the_functions_that_permissions_name_are_called_so() -> None:
    named = re.findall(r":function:\$\{ControlPlane\}(-[a-z-]+)", str(read("permissions.yaml")))
    functions = read("template.yaml")["Resources"]
    names = [
        functions[f"{function}Function"]["Properties"]["FunctionName"]["Fn::Sub"]
        for function in ("KeyMaker", "PipelineMacro")
    ]
    assert [f"${{AWS::StackName}}{name}" for name in named] == names


def test_no_function_has_a_role_that_sam_would_make_without_a_boundary() -> None:
    functions = [
        resource["Properties"]
        for resource in read("template.yaml")["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
    ]
    assert functions
    assert all("Role" in function for function in functions)


def test_the_role_of_pipelines_makes_no_role_without_the_boundary() -> None:
    (role,) = [
        resource["Properties"]
        for resource in read("pipelines/tools-account.yaml")["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
    ]
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    (made,) = [one for one in statements if one.get("Action") == "iam:CreateRole"]
    bound = {"StringEquals": {"iam:PermissionsBoundary": {"Ref": "PermissionsBoundaryArn"}}}
    assert made["Condition"]["Fn::If"][1] == bound
    assert not any("iam:DeleteRolePermissionsBoundary" in str(one) for one in statements)
