"""What CloudFormation decides before it makes anything.

Templates that differ by region, account or stage differ in their conditions; a template that is
right in the embedded AWS and wrong on AWS would be rehearsed for nothing.
"""

# ruff: noqa: SLF001 - what MiniStack does not do, it offers no hook for

import json
import os
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from xml.etree import ElementTree as ET

from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks

Json = dict[str, Any]

HIDDEN = "****"
CONDITION_FUNCTIONS = frozenset({"Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or", "Condition"})


def condition_values() -> None:
    """Conditions know where they are evaluated, and what the mappings say about it.

    Upstream compares the names of pseudo parameters, and functions as they are written, so that
    every region has the same conditions (AWS CloudFormation User Guide, "Pseudo parameters" and
    "Condition functions"). AWS refuses what refers to a resource, in its own words.
    """
    evaluate = engine._evaluate_conditions

    def evaluate_conditions(template: Json, params: Json) -> dict[str, bool]:
        name, stack_id = _stack_of(sys._getframe(1))
        pseudo = _pseudo_parameters(name, stack_id)
        known = {**params, **{key: {"Value": value} for key, value in pseudo.items()}}
        mappings = template.get("Mappings") or {}

        def value_of(node: Any) -> Any:
            if isinstance(node, dict) and len(node) == 1:
                [(function, given)] = node.items()
                if function in CONDITION_FUNCTIONS:
                    return {function: value_of(given)}
                if function == "Ref" and given not in known:
                    raise ValueError(
                        f"Template format error: Unresolved dependencies [{given}]. Cannot "
                        "reference resources in the Conditions block of the template"
                    )
                if function != "Ref":
                    return engine._resolve_refs(node, {}, known, {}, mappings, name, stack_id)
            return [value_of(each) for each in node] if isinstance(node, list) else node

        conditions = template.get("Conditions") or {}
        resolved = {key: value_of(condition) for key, condition in conditions.items()}
        found: dict[str, bool] = evaluate({**template, "Conditions": resolved}, known)
        return found

    _rebind("_evaluate_conditions", evaluate_conditions)


def _pseudo_parameters(stack_name: str, stack_id: str) -> dict[str, str]:
    """What they are in a condition; in properties upstream has them. It knows one partition."""
    return {
        "AWS::AccountId": get_account_id(),
        "AWS::NoValue": "",
        "AWS::NotificationARNs": "",
        "AWS::Partition": "aws",
        "AWS::Region": get_region(),
        "AWS::StackId": stack_id,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": "amazonaws.com",
    }


def _stack_of(caller: Any) -> tuple[str, str]:
    """Name and id of the stack whose conditions this frame asks for: upstream's function is told
    neither. Its callers hold both, but for an id where no stack is made yet."""
    names = caller.f_locals
    name = names.get("child_name") or names.get("real_stack_name") or names.get("stack_name") or ""
    stack_id = names.get("child_stack_id") or names.get("stack_id")
    arn = f"arn:aws:cloudformation:{get_region()}:{get_account_id()}:stack/{name}/"
    return str(name), str(stack_id or arn)


def conditional_changes() -> None:
    """A change set holds the resources whose condition is true, and takes away those whose
    condition has become false.

    Upstream lists every resource of the template (AWS CloudFormation User Guide, "Conditions":
    at creation or update the associated resources are created only if the condition is true).
    """
    resolve = changesets._resolve_props_for_diff

    def resolve_props_for_diff(template: Json, params: Json, stack_name: str, stack_id: str) -> Any:
        resolved = resolve(template, params, stack_name, stack_id)
        if not resolved:
            return resolved
        conditions = engine._evaluate_conditions(template, params)
        return {
            "Resources": {
                logical_id: resource
                for logical_id, resource in resolved["Resources"].items()
                if conditions.get(resource.get("Condition"), True)
            }
        }

    changesets._resolve_props_for_diff = resolve_props_for_diff


def declared_parameters() -> None:
    """A stack takes the parameters that its template declares, and needs those without a default.

    Upstream drops what is not declared (AWS CloudFormation API Reference, "CreateStack": a
    ValidationError; the words are those that AWS answers).
    """
    resolve = engine._resolve_parameters

    def resolve_parameters(
        template: Json, provided: list[Json], previous_params: Json | None = None
    ) -> Any:
        declared = template.get("Parameters") or {}
        given = {each["Key"]: each for each in provided if "Key" in each}
        if unknown := [name for name in given if name not in declared]:
            raise ValueError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        valued = {
            name
            for name, each in given.items()
            if not each.get("UsePreviousValue") or name in (previous_params or {})
        }
        missing = [
            name
            for name, definition in declared.items()
            if name not in valued and "Default" not in definition
        ]
        if missing:
            raise ValueError(f"Parameters: [{', '.join(missing)}] must have values")
        return resolve(template, provided, previous_params)

    _rebind("_resolve_parameters", resolve_parameters)


def nested_transforms() -> None:
    """The template of a nested stack may use transforms, as its parent's may (AWS SAM Developer
    Guide, "AWS::Serverless::Application").

    Upstream applies them to the templates of its API calls only. Here they are applied when a
    nested stack's parameters are resolved, which is after its capabilities were checked against
    the template as it was written.
    """
    deploy = provisioners._cfn_nested_stack_deploy
    transform, resolve = engine._apply_transforms, engine._resolve_parameters
    waiting: ContextVar[bool] = ContextVar("waiting", default=False)
    # Upstream hands the region to the SAM translator through the environment, and nested stacks
    # are deployed in threads: one at a time, and the variable is never gone.
    alone = threading.Lock()
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

    def deploy_nested_stack(*args: Any, **kwargs: Any) -> Any:
        waiting.set(True)
        return deploy(*args, **kwargs)

    def transform_and_resolve(template: Json, provided: list[Json], *args: Any) -> Any:
        if waiting.get():
            waiting.set(False)  # a transform resolves parameters itself
            with alone:
                transformed = dict(transform(template, provided))
            template.clear()
            template.update(transformed)
        return resolve(template, provided, *args)

    provisioners._cfn_nested_stack_deploy = deploy_nested_stack
    engine._resolve_parameters = transform_and_resolve


def property_values() -> None:
    """A change set tells what its resources' properties are and become, to whoever asks for it.

    Upstream names the properties only, and shows the values of parameters that are not to be
    echoed (AWS CloudFormation API Reference, "DescribeChangeSet": IncludePropertyValues,
    "ResourceChange", "ResourceTargetDefinition"; User Guide, "Parameters": NoEcho).
    """
    resolve, differ = changesets._resolve_props_for_diff, changesets._diff_resources
    describe = handlers._ACTION_HANDLERS["DescribeChangeSet"]

    def resolve_props_for_diff(template: Json, params: Json, *stack: str) -> Any:
        resolved = resolve(template, params, *stack)
        shown = resolve(template, {name: _shown(value) for name, value in params.items()}, *stack)
        return {**resolved, "_shown": shown["Resources"]} if resolved else resolved

    def diff_resources(old: Json, new: Json, *more: Any) -> Any:
        changes = differ(old, new, *more)
        for change in (one["ResourceChange"] for one in changes):
            for name, side in (("BeforeContext", old), ("AfterContext", new)):
                if (shown := side.get("_shown", {}).get(change["LogicalResourceId"])) is not None:
                    change[name] = {"Properties": shown.get("Properties") or {}}
        return changes

    def describe_change_set(params: Json) -> Any:
        name, stack = changesets._p(params, "ChangeSetName"), changesets._p(params, "StackName")
        _, found = changesets._find_change_set(name, stack)
        for one in found["Parameters"] if found else ():
            one["ParameterValue"] = _shown(found["_resolved_params"][one["ParameterKey"]])["Value"]
        status, headers, body = describe(params)
        if found and str(changesets._p(params, "IncludePropertyValues")).lower() == "true":
            root = ET.fromstring(body)  # noqa: S314  # the emulator's own answer
            space = root.tag.partition("}")[0] + "}"
            members = root.iter(f"{space}ResourceChange")
            for member, change in zip(members, found["Changes"], strict=True):
                _show_values(member, change["ResourceChange"], space)
            body = ET.tostring(root)
        return status, headers, body

    changesets._resolve_props_for_diff = resolve_props_for_diff
    changesets._diff_resources = diff_resources
    handlers._ACTION_HANDLERS["DescribeChangeSet"] = describe_change_set


def _shown(parameter: Json) -> Json:
    """A resolved parameter as CloudFormation shows it."""
    return {**parameter, "Value": HIDDEN} if parameter.get("NoEcho") else parameter


def _show_values(member: ET.Element, change: Json, space: str) -> None:
    """Put what a resource's properties are and become into the description of its change."""
    for context in ("BeforeContext", "AfterContext"):
        if context in change:
            ET.SubElement(member, f"{space}{context}").text = json.dumps(change[context])
    for target in member.iter(f"{space}Target"):
        if not (name := target.findtext(f"{space}Name", "")):
            continue
        ET.SubElement(target, f"{space}Path").text = f"/Properties/{name}"
        values = [
            change.get(context, {}).get("Properties", {}).get(name)
            for context in ("BeforeContext", "AfterContext")
        ]
        for tag, value in zip(("BeforeValue", "AfterValue"), values, strict=True):
            if value is not None:
                text = value if isinstance(value, str) else json.dumps(value)
                ET.SubElement(target, f"{space}{tag}").text = text
        kind = "Add" if values[0] is None else "Remove" if values[1] is None else "Modify"
        ET.SubElement(target, f"{space}AttributeChangeType").text = kind


def _rebind(name: str, function: Callable[..., Any]) -> None:
    """Put this function in upstream's place in every module that has taken its name."""
    for module in (engine, handlers, changesets, stacks):
        if hasattr(module, name):
            setattr(module, name, function)
