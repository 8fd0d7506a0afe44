"""The CloudFormation macro: a template in which each declaration is replaced by its resources."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from foothold.errors import FootholdError
from foothold.observability import logger
from foothold.partitions import everywhere
from foothold.pipelines.declaration import (
    DIGEST_OUTPUT,
    LEFT_OUT_OUTPUT,
    MACRO,
    RESOURCE_TYPE,
    Declaration,
    DeclarationError,
    Pipeline,
    resolve,
    stores_digest,
    within_reach,
)
from foothold.pipelines.form import read_declaration
from foothold.pipelines.resources import expand
from foothold.reading import wrong_fields
from foothold.stores.published import Stores
from foothold.stores.register import ArtifactStore

ROOT = "/foothold"

# CloudFormation names no limit for a macro's message; a change set's reason, in which it is
# shown, is cut by consoles well before this.
MESSAGE_LENGTH = 1000


class MacroRequest(BaseModel):
    """What CloudFormation sends to a macro's function (AWS CloudFormation User Guide, "Create a
    CloudFormation macro definition")."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    request_id: str
    region: str
    fragment: dict[str, Any]
    template_parameter_values: dict[str, Any] = {}


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
    refused: Mapping[str, str] = MappingProxyType({}),
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

    pipelines = resolve_template(
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


def resolve_template(
    fragment: Mapping[str, Any],
    ready: Mapping[str, ArtifactStore],
    home_region: str,
    parameters: Mapping[str, Any],
    *,
    refused: Mapping[str, str] = MappingProxyType({}),
    has_codepipeline: Callable[[str], bool] = everywhere,
) -> dict[str, Pipeline]:
    """The pipelines that a template declares, by logical id, with the stores that are ready, as
    `expand_template` takes them. Raises DeclarationError."""

    def completed(declaration: Declaration) -> Pipeline:
        return resolve(
            declaration, ready, home_region, refused=refused, has_codepipeline=has_codepipeline
        )

    return _pipelines(fragment, parameters, completed)


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


def _pipelines(
    fragment: Mapping[str, Any],
    parameters: Mapping[str, Any],
    completed: Callable[[Declaration], Pipeline],
) -> dict[str, Pipeline]:
    """Every pipeline that a template declares, by logical id. Raises DeclarationError."""
    pipelines = {}
    problems: list[str] = []
    for logical_id, resource in _resources(fragment).items():
        if not is_pipeline(resource):
            continue
        try:
            properties = with_parameters(resource.get("Properties"), parameters)
            pipelines[logical_id] = completed(read_declaration(properties))
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
    after = attributes.get("DependsOn", [])
    own = expanded[logical_id]["DependsOn"]
    expanded[logical_id] |= attributes
    expanded[logical_id]["DependsOn"] = [*([after] if isinstance(after, str) else after), *own]
    if "Condition" in attributes:
        for resource in expanded.values():
            resource["Condition"] = attributes["Condition"]
    return expanded
