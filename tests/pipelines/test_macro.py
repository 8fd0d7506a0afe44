"""The macro: declarations in a template become pipelines, all else passes through untouched."""

import copy
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foothold.errors import PermanentError
from foothold.partitions import everywhere
from foothold.pipelines.declaration import DeclarationError, stores_digest
from foothold.pipelines.macro import (
    MESSAGE_LENGTH,
    answer_macro,
    expand_template,
)
from foothold.pipelines.resources import expand
from foothold.stores.published import Published
from tests.pipelines.declarations import HOME, KNOWN, declared, pipeline, target

ROOT = Path(__file__).parent.parent.parent

Json = dict[str, Any]


class Known:
    """The stores that are ready."""

    def ready(self) -> Published:
        return Published(KNOWN)


class Unreadable:
    """Stores whose parameters cannot be read."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def ready(self) -> Published:
        raise self._error


def event(name: str) -> Json:
    found: Json = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return found


def template(**resources: Json) -> Json:
    return {"Resources": resources}


def declaration(**properties: Any) -> Json:
    return {"Type": "Foothold::Pipeline", "Properties": {**declared(), **properties}}


def refused(fragment: Json, parameters: Json | None = None) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        expand_template(fragment, KNOWN, HOME, parameters or {})
    return list(caught.value.lines)


def test_a_declaration_becomes_a_pipeline_under_its_own_logical_id() -> None:
    asked = event("macro_expand")
    answer = answer_macro(asked, Known())
    assert (answer["requestId"], answer["status"]) == (asked["requestId"], "success")
    assert answer["fragment"]["Resources"]["Orders"]["Type"] == "AWS::CodePipeline::Pipeline"
    assert "OrdersBuildProject" in answer["fragment"]["Resources"]


def test_all_else_passes_through_untouched() -> None:
    asked = event("macro_expand")
    fragment = answer_macro(copy.deepcopy(asked), Known())["fragment"]
    assert fragment["Resources"]["Releases"] == asked["fragment"]["Resources"]["Releases"]
    assert fragment["Parameters"] == asked["fragment"]["Parameters"]
    assert fragment["AWSTemplateFormatVersion"] == "2010-09-09"


def test_both_doors_give_the_same_pipeline() -> None:
    expanded = expand_template(template(Pipeline=declaration()), KNOWN, HOME, {})
    assert expanded["Resources"] == expand(pipeline(declared()))


def test_a_reference_to_a_parameter_stands_for_its_value() -> None:
    answer = answer_macro(event("macro_expand"), Known())
    stages = answer["fragment"]["Resources"]["Orders"]["Properties"]["Stages"]
    assert "222222222222" in json.dumps(stages[3])


def test_a_function_that_is_not_known_yet_is_refused() -> None:
    properties = {"Targets": [target(Account={"Fn::ImportValue": "TestAccount"})]}
    assert refused(template(Orders=declaration(**properties))) == [
        (
            "Orders.Properties.Targets[0].Account: Fn::ImportValue is not known when a macro runs; "
            "write the value, or a Ref to a parameter of the template"
        )
    ]


def test_a_call_without_properties_fails_with_a_reason() -> None:
    asked = event("macro_without_properties")
    assert answer_macro(asked, Known()) == {
        "requestId": asked["requestId"],
        "status": "failure",
        "errorMessage": "Orders.Properties: missing; give at least Name, Source and Targets",
    }


@pytest.mark.parametrize("asked", [{}, {"requestId": "1"}, {"requestId": "1", "fragment": []}])
def test_a_garbled_call_fails_with_a_reason(asked: Json) -> None:
    answer = answer_macro(asked, Known())
    assert answer["status"] == "failure"
    assert answer["requestId"] == asked.get("requestId", "")
    assert "fragment" in answer["errorMessage"]


def test_a_template_without_a_declaration_is_refused() -> None:
    assert refused(template(Topic={"Type": "AWS::SNS::Topic"})) == [
        (
            "Resources: no Foothold::Pipeline among them; declare one, or drop Transform: "
            "FootholdPipeline"
        )
    ]


def test_two_pipelines_of_one_template_need_two_names() -> None:
    assert refused(template(One=declaration(), Two=declaration())) == [
        "One.Name: another pipeline of the template has the name orders",
        "Two.Name: another pipeline of the template has the name orders",
    ]


def test_two_pipelines_whose_roles_iam_cannot_tell_apart_are_refused() -> None:
    assert refused(template(One=declaration(), Two=declaration(Name="Orders"))) == [
        "One.Name: another pipeline of the template has the name orders, but for capitals",
        "Two.Name: another pipeline of the template has the name Orders, but for capitals",
    ]


@pytest.mark.parametrize(
    ("declared_transforms", "left"),
    [
        ("FootholdPipeline", None),
        (["FootholdPipeline"], None),
        ({"Name": "FootholdPipeline"}, None),
        ("AWS::Serverless-2016-10-31", "AWS::Serverless-2016-10-31"),
        (["AWS::Serverless-2016-10-31", "FootholdPipeline"], ["AWS::Serverless-2016-10-31"]),
        (
            [
                "AWS::LanguageExtensions",
                "FootholdPipeline",
                {"Name": "AWS::Include", "Parameters": {"Location": "s3://a/b.yaml"}},
                "AWS::Serverless-2016-10-31",
            ],
            [
                "AWS::LanguageExtensions",
                {"Name": "AWS::Include", "Parameters": {"Location": "s3://a/b.yaml"}},
                "AWS::Serverless-2016-10-31",
            ],
        ),
    ],
)
def test_other_transforms_stay_in_their_order(declared_transforms: Any, left: Any) -> None:
    fragment = {"Transform": declared_transforms, **template(Orders=declaration())}
    assert expand_template(fragment, KNOWN, HOME, {}).get("Transform") == left


def test_a_resource_that_an_expansion_would_hide_is_refused() -> None:
    resources = {"Orders": declaration(), "OrdersRole": {"Type": "AWS::IAM::Role"}}
    assert refused(template(**resources)) == [
        "Orders: the template has OrdersRole already; name it otherwise"
    ]


@pytest.mark.parametrize("name", ["FootholdStores", "FootholdLeftOut"])
def test_an_output_of_the_macros_own_name_is_refused(name: str) -> None:
    fragment = {**template(Orders=declaration()), "Outputs": {name: {"Value": "x"}}}
    assert refused(fragment) == [f"Outputs.{name}: the macro writes it; name it otherwise"]


def test_a_condition_holds_for_everything_that_a_declaration_became() -> None:
    fragment = template(Orders={**declaration(), "Condition": "Wanted", "DependsOn": "Topic"})
    expanded = expand_template(fragment, KNOWN, HOME, {})["Resources"]
    assert {resource["Condition"] for resource in expanded.values()} == {"Wanted"}
    assert expanded["Orders"]["DependsOn"] == ["Topic", "OrdersTargets1"]


def test_the_stack_remembers_the_stores_that_it_was_expanded_with() -> None:
    outputs = expand_template(template(Orders=declaration()), KNOWN, HOME, {})["Outputs"]
    assert outputs["FootholdStores"]["Value"] == stores_digest(KNOWN)


def only_at_home(region: str) -> bool:
    return region == HOME


def test_regions_without_codepipeline_are_left_out_and_named_by_an_output() -> None:
    fragment = template(Orders=declaration(Targets=[target(Regions="follow")]))
    made = expand_template(fragment, KNOWN, HOME, {}, has_codepipeline=only_at_home)
    assert made["Outputs"]["FootholdLeftOut"]["Value"] == "ap-southeast-1, eu-west-1, us-east-1"
    assert "us-east-1" not in json.dumps(made["Resources"])
    assert "FootholdLeftOut" not in expand_template(fragment, KNOWN, HOME, {})["Outputs"]


def test_the_macro_says_in_its_log_what_it_left_out(caplog: pytest.LogCaptureFixture) -> None:
    asked = {
        **event("macro_expand"),
        "fragment": template(Orders=declaration(Targets=[target(Regions="follow")])),
    }
    answer = answer_macro(asked, Known(), has_codepipeline=only_at_home)
    assert answer["status"] == "success"
    [record] = caplog.records
    assert record.message == "regions without CodePipeline left out"
    assert vars(record)["regions"] == "ap-southeast-1, eu-west-1, us-east-1"


def test_a_store_that_no_pipeline_can_reach_changes_nothing_that_a_stack_remembers() -> None:
    made = expand_template(
        template(Orders=declaration(Targets=[target(Regions="follow")])),
        KNOWN,
        HOME,
        {},
        has_codepipeline=only_at_home,
    )
    assert made["Outputs"]["FootholdStores"]["Value"] == stores_digest({HOME: KNOWN[HOME]})


class OneRefused:
    """The stores that are ready, but for one that somebody's parameters point elsewhere."""

    def ready(self) -> Published:
        left = {region: store for region, store in KNOWN.items() if region != "eu-west-1"}
        return Published(left, {"eu-west-1": "the artifact store of eu-west-1 is not used: x"})


@pytest.mark.parametrize("regions", ["follow", ["eu-west-1"]])
def test_a_pipeline_never_loses_a_region_whose_store_may_not_be_used(regions: Any) -> None:
    asked = event("macro_expand")
    targets = [target(Regions=regions)]
    asked["fragment"] = template(Orders=declaration(Targets=targets))
    answer = answer_macro(asked, OneRefused())
    assert answer["status"] == "failure"
    assert answer["errorMessage"].endswith("the artifact store of eu-west-1 is not used: x")
    assert "has no artifact store yet" not in answer["errorMessage"]


def test_a_pipeline_of_other_regions_is_expanded_although_one_store_may_not_be_used() -> None:
    asked = event("macro_expand")
    asked["fragment"] = template(Orders=declaration(Targets=[target(Regions=[HOME])]))
    assert answer_macro(asked, OneRefused())["status"] == "success"


BOUNDARY = "arn:aws:iam::111111111111:policy/boundary"


def boundaries(fragment: Json) -> set[str | None]:
    return {
        resource["Properties"].get("PermissionsBoundary")
        for resource in fragment["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
    }


def test_the_roles_of_a_pipeline_are_bounded_as_the_control_plane_says() -> None:
    asked = event("macro_expand")
    asked["fragment"] = template(Orders=declaration())
    assert boundaries(answer_macro(asked, Known(), boundary=BOUNDARY)["fragment"]) == {BOUNDARY}
    asked["fragment"] = template(Orders=declaration())
    assert boundaries(answer_macro(asked, Known())["fragment"]) == {None}


def test_a_declaration_may_name_a_boundary_of_its_own() -> None:
    own = f"{BOUNDARY}-of-orders"
    asked = event("macro_expand")
    asked["fragment"] = template(Orders=declaration(PermissionsBoundary=own))
    assert boundaries(answer_macro(asked, Known(), boundary=BOUNDARY)["fragment"]) == {own}
    wrong = template(Orders=declaration(PermissionsBoundary="boundary"))
    answer = answer_macro({**asked, "fragment": wrong}, Known())
    assert "Orders.PermissionsBoundary: write a managed policy's ARN" in answer["errorMessage"]


def test_stores_that_cannot_be_read_fail_the_macro_with_the_reason() -> None:
    answer = answer_macro(event("macro_expand"), Unreadable(PermanentError("cannot read x: y")))
    assert (answer["status"], answer["errorMessage"]) == ("failure", "cannot read x: y")


def test_a_defect_of_ours_is_answered_without_a_stack_trace() -> None:
    answer = answer_macro(event("macro_expand"), Unreadable(ZeroDivisionError("secret")))
    assert (
        answer["errorMessage"] == "the macro FootholdPipeline failed; its function's log says why"
    )


def test_a_long_reason_is_cut_to_what_cloudformation_shows() -> None:
    many = {f"Orders{number}": {"Type": "Foothold::Pipeline"} for number in range(50)}
    answer = answer_macro({**event("macro_expand"), "fragment": template(**many)}, Known())
    assert len(answer["errorMessage"]) == MESSAGE_LENGTH
    assert answer["errorMessage"].startswith("Orders0.Properties: missing")


def test_the_function_hands_the_call_over_and_the_answer_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "true")
    spec = importlib.util.spec_from_file_location(
        "macro_app", ROOT / "functions" / "pipeline_macro" / "app.py"
    )
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    app.app = SimpleNamespace(  # type: ignore[attr-defined]  # the module's own
        control_plane=SimpleNamespace(parameter_root="/foothold"),
        settings=SimpleNamespace(permissions_boundary_arn=""),
        stores=Known(),
        pipeline_regions=everywhere,
    )
    context = SimpleNamespace(
        function_name="macro",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:eu-central-1:111111111111:function:macro",
        aws_request_id="1",
    )
    assert app.lambda_handler(event("macro_expand"), context)["status"] == "success"
