"""What every template gives its roles: the organisation's own rules."""

from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]  # brings no types

ROOT = Path(__file__).parent.parent
BESIDE = sorted(file.name for file in (ROOT / "pipelines").iterdir())
TEMPLATES = ["template.yaml", *(f"pipelines/{name}" for name in BESIDE)]
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
        assert template["Parameters"]["PermissionsBoundaryArn"]["Default"] == ""


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
