"""Pipelines made of declarations: the macro's work, and the stacks that follow the stores.

A template that the macro expanded carries, as an output, the digest of the stores it was
expanded with. So whether a following stack is up to date can be read from the stack itself, a
doubled event changes nothing, and a lost one is made good by the next run.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from pydantic import ValidationError

from foothold.errors import FootholdError, PermanentError
from foothold.observability import logger
from foothold.partitions import everywhere
from foothold.pipelines.declaration import (
    DIGEST_OUTPUT,
    LEFT_OUT_OUTPUT,
    DeclarationError,
    FollowingStack,
    FollowOutcome,
    Pipeline,
    StackBusyError,
    State,
    resolve,
    standing,
    stores_digest,
    within_reach,
)
from foothold.pipelines.form import MacroRequest, read_declaration
from foothold.pipelines.resources import expand
from foothold.reading import wrong_fields
from foothold.stores.model import ArtifactStore
from foothold.stores.ports import Stores

RESOURCE_TYPE = "Foothold::Pipeline"
MACRO = "FootholdPipeline"
ROOT = "/foothold"

# CloudFormation names no limit for a macro's message; a change set's reason, in which it is
# shown, is cut by consoles well before this.
MESSAGE_LENGTH = 1000

# UpdateStack takes a template body of this many bytes (botocore's cloudformation model).
BODY_BYTES = 51_200
# Every update makes the macro read the stores: with 34 regions seven GetParametersByPath calls,
# of 40 a second that the account has (AWS Systems Manager endpoints and quotas).
SECONDS_BETWEEN_UPDATES = 0.5
NONE_REFUSED: Mapping[str, str] = MappingProxyType({})


# The macro


def answer_macro(
    event: Mapping[str, Any],
    stores: Stores,
    parameter_root: str = ROOT,
    has_codepipeline: Callable[[str], bool] = everywhere,
    *,
    boundary: str = "",
) -> dict[str, Any]:
    """What CloudFormation gets for its template: the expanded one, or one reason why not.

    `event` is what CloudFormation sends to a macro; `has_codepipeline` knows the regions where
    CodePipeline is. Nothing is raised: a macro that raises shows its user nothing but the
    function's name.
    """
    request_id = str(event.get("requestId", ""))
    try:
        request = MacroRequest.model_validate(event)
        published = stores.ready()
        fragment = expand_template(
            request.fragment,
            published.stores,
            request.region,
            request.template_parameter_values,
            parameter_root,
            refused=published.refused,
            has_codepipeline=has_codepipeline,
            boundary=boundary,
        )
        if LEFT_OUT_OUTPUT in fragment["Outputs"]:
            left_out = fragment["Outputs"][LEFT_OUT_OUTPUT]["Value"]
            logger.warning("regions without CodePipeline left out", regions=left_out)
    except ValidationError as error:
        reason = f"the call to the macro {MACRO} lacks, or garbles, {wrong_fields(error)}"
        return _refused(request_id, reason)
    except FootholdError as error:
        return _refused(request_id, str(error))
    except Exception:  # noqa: BLE001  # CloudFormation is answered whatever happens
        logger.exception("macro failed")
        return _refused(request_id, f"the macro {MACRO} failed; its function's log says why")
    return {"requestId": request_id, "status": "success", "fragment": fragment}


def _refused(request_id: str, reason: str) -> dict[str, Any]:
    logger.warning("template refused", reason=reason)
    if len(reason) > MESSAGE_LENGTH:
        reason = f"{reason[: MESSAGE_LENGTH - 1]}…"
    # An empty fragment would be read as an empty template where the status were overlooked.
    return {"requestId": request_id, "status": "failure", "errorMessage": reason}


def expand_template(
    fragment: Mapping[str, Any],
    ready: Mapping[str, ArtifactStore],
    home_region: str,
    parameters: Mapping[str, Any],
    parameter_root: str = ROOT,
    *,
    refused: Mapping[str, str] = NONE_REFUSED,
    has_codepipeline: Callable[[str], bool] = everywhere,
    boundary: str = "",
) -> dict[str, Any]:
    """A template with each `Foothold::Pipeline` replaced by what it stands for.

    All else passes through untouched. `parameters` are the values of the template's parameters:
    a Ref to one may stand anywhere in a declaration. `refused` says, by region, why a published
    store may not be used; `boundary` is the permissions boundary of roles whose declaration
    names none. Regions that would be followed if CodePipeline were there are named by an output
    of the template. Raises DeclarationError.
    """
    resources: dict[str, Any] = {
        logical_id: resource
        for logical_id, resource in _resources(fragment).items()
        if not is_pipeline(resource)
    }
    pipelines = pipelines_of(
        fragment,
        ready,
        home_region,
        parameters,
        refused=refused,
        has_codepipeline=has_codepipeline,
    )
    for logical_id, pipeline in pipelines.items():
        expanded = expand(pipeline, parameter_root, logical_id, boundary=boundary)
        taken = sorted(set(expanded) & set(resources))
        if taken:
            raise DeclarationError(
                [f"{logical_id}: the template has {', '.join(taken)} already; name it otherwise"]
            )
        resources |= _with_attributes(expanded, logical_id, _resources(fragment)[logical_id])
    outputs = fragment.get("Outputs") or {}
    for name in (DIGEST_OUTPUT, LEFT_OUT_OUTPUT):
        if name in outputs:
            raise DeclarationError([f"Outputs.{name}: the macro writes it; name it otherwise"])
    own = {
        DIGEST_OUTPUT: {
            "Description": "The artifact stores that the pipelines were expanded with",
            "Value": stores_digest(within_reach(ready, has_codepipeline)),
        }
    }
    transforms = other_transforms(fragment)
    left_out = sorted({region for each in pipelines.values() for region in each.left_out})
    if left_out:
        own[LEFT_OUT_OUTPUT] = {
            "Description": "Regions with an artifact store that are not followed: no CodePipeline",
            "Value": ", ".join(left_out),
        }
    return {
        **{name: section for name, section in fragment.items() if name != "Transform"},
        **({"Transform": transforms} if transforms else {}),
        "Resources": resources,
        "Outputs": {**outputs, **own},
    }


def other_transforms(fragment: Mapping[str, Any]) -> Any:
    """The template's transforms but the macro of declarations, in their order and as they are
    written: a name, a mapping with Name and Parameters, or a list of these."""
    declared = fragment.get("Transform")
    if not isinstance(declared, list):
        return None if _is_macro(declared) else declared
    return [transform for transform in declared if not _is_macro(transform)]


def names_macro(fragment: Mapping[str, Any]) -> bool:
    """Whether CloudFormation would have the template expanded."""
    declared = fragment.get("Transform")
    return any(map(_is_macro, declared if isinstance(declared, list) else [declared]))


def _is_macro(transform: object) -> bool:
    name = transform.get("Name") if isinstance(transform, Mapping) else transform
    return name == MACRO


def without_used_up(
    template: Mapping[str, Any], fragment: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """A rendered template without the parameters whose values its pipelines have taken up.

    `fragment` is the template as it was written, `given` are the values that parameters were given:
    they become the defaults of those that stay, so that all of the template agrees, but for those
    that are not to be shown. A parameter stays where anything else refers to it, or where a macro
    or an included snippet might.
    """
    parameters = dict(template.get("Parameters") or {})
    for name in given.keys() & parameters.keys():
        if str(parameters[name].get("NoEcho", "")).lower() != "true":
            parameters[name] = {**parameters[name], "Default": given[name]}
    used_up: set[str] = set()
    if not any(map(_may_refer, _transforms_in(template))):
        declarations = [each for each in _resources(fragment).values() if is_pipeline(each)]
        metadata = template.get("Metadata")
        others = {name: each for name, each in template.items() if name != "Parameters"}
        if isinstance(metadata, Mapping):
            others["Metadata"] = {k: v for k, v in metadata.items() if k != INTERFACE}
        used_up = set(_referred(declarations)) - set(_referred(others))
    whole = {name: section for name, section in template.items() if name != "Parameters"}
    left = {name: field for name, field in parameters.items() if name not in used_up}
    if used_up & parameters.keys() and isinstance(whole.get("Metadata"), Mapping):
        whole["Metadata"] = _without_labels(whole["Metadata"], used_up)
    first = {"AWSTemplateFormatVersion", "Transform", "Description", "Metadata"}
    head = {name: section for name, section in whole.items() if name in first}
    return {**head, **({"Parameters": left} if left else {}), **whole}


INTERFACE = "AWS::CloudFormation::Interface"


def _may_refer(transform: object) -> bool:
    """Whether a transform may refer to parameters that the template itself does not: all but those
    that only rewrite what is there."""
    name = transform.get("Name") if isinstance(transform, Mapping) else transform
    return not str(name).startswith(("AWS::Serverless-", "AWS::LanguageExtensions"))


def _transforms_in(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name in {"Transform", "Fn::Transform"}:
                yield from item if isinstance(item, list) else [item]
            else:
                yield from _transforms_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _transforms_in(item)


def _referred(value: Any) -> Iterator[str]:
    """Every name that functions in the value refer to."""
    if isinstance(value, list):
        for item in value:
            yield from _referred(item)
    if not isinstance(value, Mapping):
        return
    for name, item in value.items():
        if name == "Ref" and isinstance(item, str):
            yield item
        text = item[0] if isinstance(item, list) and item else item
        if name == "Fn::Sub" and isinstance(text, str):
            yield from re.findall(r"\$\{([^!}][^}]*)\}", text)
        if name in {"Fn::ValueOf", "Fn::ValueOfAll"} and isinstance(text, str):
            yield text
        yield from _referred(item)


def _without_labels(metadata: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    """Metadata whose description of the console's form no longer has these parameters."""
    interface = metadata.get(INTERFACE)
    if not isinstance(interface, Mapping):
        return dict(metadata)
    kept = dict(interface)
    if isinstance(groups := interface.get("ParameterGroups"), list):
        groups = [
            {**group, "Parameters": [each for each in group["Parameters"] if each not in gone]}
            if isinstance(group, Mapping) and isinstance(group.get("Parameters"), list)
            else group
            for group in groups
        ]
        kept["ParameterGroups"] = [
            group for group in groups if not isinstance(group, Mapping) or group.get("Parameters")
        ]
    if isinstance(labels := interface.get("ParameterLabels"), Mapping):
        kept["ParameterLabels"] = {
            name: label for name, label in labels.items() if name not in gone
        }
    kept = {name: part for name, part in kept.items() if part}
    others = {name: part for name, part in metadata.items() if name != INTERFACE}
    return {**others, **({INTERFACE: kept} if kept else {})}


def pipelines_of(
    fragment: Mapping[str, Any],
    ready: Mapping[str, ArtifactStore],
    home_region: str,
    parameters: Mapping[str, Any],
    *,
    refused: Mapping[str, str] = NONE_REFUSED,
    has_codepipeline: Callable[[str], bool] = everywhere,
) -> dict[str, Pipeline]:
    """Every pipeline that a template declares, by logical id. Raises DeclarationError."""
    pipelines = {}
    problems: list[str] = []
    for logical_id, resource in _resources(fragment).items():
        if not is_pipeline(resource):
            continue
        try:
            properties = with_parameters(resource.get("Properties"), parameters)
            declaration = read_declaration(properties)
            pipelines[logical_id] = resolve(
                declaration,
                ready,
                home_region,
                refused=refused,
                has_codepipeline=has_codepipeline,
            )
        except DeclarationError as error:
            problems += [f"{logical_id}.{line}" for line in error.lines]
    # Roles are named after pipelines, and capitals make no other role (IAM User Guide, "IAM
    # identifiers").
    written = [pipeline.name for pipeline in pipelines.values()]
    names = [name.lower() for name in written]
    problems += [
        f"{logical_id}.Name: another pipeline of the template has the name {pipeline.name}"
        + (", but for capitals" if written.count(pipeline.name) == 1 else "")
        for logical_id, pipeline in pipelines.items()
        if names.count(pipeline.name.lower()) > 1
    ]
    if problems:
        raise DeclarationError(problems)
    if not pipelines:
        raise DeclarationError(
            [f"Resources: no {RESOURCE_TYPE} among them; declare one, or drop Transform: {MACRO}"]
        )
    return pipelines


def is_pipeline(resource: object) -> bool:
    return isinstance(resource, Mapping) and resource.get("Type") == RESOURCE_TYPE


def with_parameters(value: Any, parameters: Mapping[str, Any], where: str = "Properties") -> Any:
    """The value with each Ref to a template parameter replaced by the parameter's value.

    Raises DeclarationError for any other function: when a macro runs, CloudFormation has
    resolved none (AWS CloudFormation User Guide, "Create a CloudFormation macro definition").
    """
    if isinstance(value, Mapping):
        name, item = next(iter(value.items()), ("", None))
        if len(value) == 1 and name == "Ref" and isinstance(item, str) and item in parameters:
            return parameters[item]
        if len(value) == 1 and (name == "Ref" or str(name).startswith("Fn::")):
            said = "write the value, or a Ref to a parameter of the template"
            raise DeclarationError([f"{where}: {name} is not known when a macro runs; {said}"])
        return {
            key: with_parameters(item, parameters, f"{where}.{key}") for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            with_parameters(item, parameters, f"{where}[{index}]")
            for index, item in enumerate(value)
        ]
    return value


def _resources(fragment: Mapping[str, Any]) -> Mapping[str, Any]:
    resources = fragment.get("Resources")
    return resources if isinstance(resources, Mapping) else {}


def _with_attributes(
    expanded: dict[str, Any], logical_id: str, declared: Mapping[str, Any]
) -> dict[str, Any]:
    """Condition goes to everything that the declaration became, the rest to the pipeline."""
    attributes = {
        name: value for name, value in declared.items() if name not in {"Type", "Properties"}
    }
    expanded[logical_id] |= attributes
    if "Condition" in attributes:
        for resource in expanded.values():
            resource["Condition"] = attributes["Condition"]
    return expanded


# The stacks that follow


class Stacks(Protocol):
    """CloudFormation stacks of the home region."""

    def following(self) -> Iterable[FollowingStack]:
        """Every stack that carries the tag `foothold:follow=true`."""
        ...

    def original_template(self, name: str) -> str:
        """The stack's template as it was submitted, before any macro."""
        ...

    def update(self, stack: FollowingStack, template: str) -> bool:
        """Start an update with this template and every parameter's previous value; False where
        CloudFormation finds nothing to update. Raises StackBusyError while another operation is
        under way."""
        ...


class FollowedStores(Stores, Protocol):
    def named(self) -> Mapping[str, ArtifactStore]:
        """The stores as the parameters name them, proven by nothing: fit to be compared with,
        never to be used."""
        ...


def update_following(
    stacks: Stacks,
    stores: FollowedStores,
    *,
    sleep: Callable[[float], None],
    seconds_left: Callable[[], float],
    has_codepipeline: Callable[[str], bool] = everywhere,
) -> tuple[FollowOutcome, ...]:
    """Submit anew the template of every following stack that was expanded with other stores.

    The original template, because CloudFormation's "previous template" may be the expanded one
    (AWS CloudFormation API Reference, "UpdateStack": UsePreviousTemplate). One update a stack at
    a time, none while anything is under way, never faster than the account's rates allow; what
    `seconds_left` (of the caller's time) does not suffice for is left for the next run. One
    stack that fails stops no other. A steady run looks at no bucket; while a store may not be
    used, no stack is updated, for the macro would refuse it, or leave the region out.
    """
    following = tuple(stacks.following())
    if not following:
        return ()
    digest = stores_digest(within_reach(stores.named(), has_codepipeline))
    if all(stack.digest == digest for stack in following):
        return tuple(FollowOutcome(stack.name, State.CURRENT) for stack in following)
    published = stores.ready()
    digest = stores_digest(within_reach(published.stores, has_codepipeline))
    refused = "; ".join(
        reason for region, reason in published.refused.items() if has_codepipeline(region)
    )
    outcomes = []
    for stack in following:
        outcome = standing(stack, digest)
        if refused and (outcome is None or outcome.state is State.CURRENT):
            outcome = FollowOutcome(stack.name, State.REFUSED, refused)
        if outcome is None and seconds_left() < 2 * SECONDS_BETWEEN_UPDATES:
            outcome = FollowOutcome(stack.name, State.LEFT, "no time left; the next run goes on")
        if outcome is None:
            outcome = _update(stacks, stack)
            sleep(SECONDS_BETWEEN_UPDATES)
        outcomes.append(outcome)
    return tuple(outcomes)


def _update(stacks: Stacks, stack: FollowingStack) -> FollowOutcome:
    try:
        template = stacks.original_template(stack.name)
        if MACRO not in template:
            raise PermanentError(
                f"its template was rendered, not written for the macro {MACRO}: render and deploy "
                "it again, or deploy the declaration itself"
            )
        if len(template.encode()) > BODY_BYTES:
            raise PermanentError(
                f"its template has {len(template.encode()):,} bytes and an update takes "
                f"{BODY_BYTES:,}: deploy it yourself, or declare less in one template"
            )
        started = stacks.update(stack, template)
    except StackBusyError as error:
        return FollowOutcome(stack.name, State.BUSY, str(error))
    except FootholdError as error:
        return FollowOutcome(stack.name, State.REFUSED, str(error))
    return FollowOutcome(stack.name, State.UPDATING if started else State.CURRENT)


def follow_report(outcomes: Iterable[FollowOutcome]) -> dict[str, list[str]]:
    """The outcomes for a log: by state, each stack with its reason."""
    report: dict[str, list[str]] = {}
    for outcome in outcomes:
        line = f"{outcome.stack}: {outcome.reason}" if outcome.reason else outcome.stack
        report.setdefault(outcome.state, []).append(line)
    return report
