"""A declaration in a file, and the template that is rendered to one: YAML as CloudFormation has it.

Numbers and short forms stay as they are written (docs/decisions/0013-values-as-written.md).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # PyYAML brings no types

from foothold.errors import PermanentError
from foothold.pipelines.declaration import MACRO, RESOURCE_TYPE, DeclarationError
from foothold.pipelines.macro import is_pipeline


def read_template(file: Path) -> dict[str, Any]:
    """The template in the file; a bare declaration becomes a template's only resource."""
    document = _document(file)
    if not isinstance(document, dict):
        raise DeclarationError([f"{file}: empty; write Name, Source and Targets"])
    if "Resources" not in document:
        pipeline = {"Type": RESOURCE_TYPE, "Properties": document}
        document = {"Transform": [MACRO], "Resources": {"Pipeline": pipeline}}
    resources, parameters = document["Resources"], document.get("Parameters") or {}
    if not isinstance(resources, dict):
        raise DeclarationError([f"{file}: Resources is no map; name each resource in it"])
    if not isinstance(parameters, dict) or not all(
        isinstance(declared, dict) for declared in parameters.values()
    ):
        raise DeclarationError([f"{file}: Parameters is no map; give each name its Type"])
    if not any(is_pipeline(resource) for resource in resources.values()):
        raise DeclarationError([f"{file}: no {RESOURCE_TYPE} among its Resources; declare one"])
    return {"AWSTemplateFormatVersion": "2010-09-09", **document}


def _document(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
        document = _loaded(text)
        json.dumps(document)
    except PermanentError as error:
        raise PermanentError(f"{file}, {error}") from error
    except OSError as error:
        raise PermanentError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PermanentError(f"{file} is not text in UTF-8") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise PermanentError(f"{file} is neither YAML nor JSON{line}: {problem}") from error
    except (RecursionError, ValueError) as error:
        raise DeclarationError([f"{file}: a part of it contains itself; write it out"]) from error
    except TypeError as error:
        raise PermanentError(f"{file} holds what JSON has no word for: {error}") from error
    return document


def parameter_values(fragment: Mapping[str, Any], given: list[str]) -> dict[str, Any]:
    """The values of the template's parameters: their defaults, and those given as NAME=VALUE.

    Raises PermanentError for a name that the template does not have, or has no value for.
    """
    declared = fragment.get("Parameters") or {}
    values = {name: field["Default"] for name, field in declared.items() if "Default" in field}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or name not in declared:
            known = ", ".join(declared) or "none"
            raise PermanentError(f"--parameter {each}: write NAME=VALUE; the template has {known}")
        values[name] = value
    missing = [name for name in declared if name not in values]
    if missing:
        raise PermanentError(f"give --parameter {missing[0]}=VALUE: the template has no default")
    return values


def _loaded(text: str) -> Any:
    """The document, with what CloudFormation takes as text left as it is written."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        _keep_text(node, _is_declaration(node), set())
        return loader.construct_document(node) if node else None
    finally:
        loader.dispose()


def _is_declaration(node: yaml.Node | None) -> bool:
    return isinstance(node, yaml.MappingNode) and "Resources" not in dict(_items(node))


def _items(node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
    """The fields of a mapping; a key that is no text has no name."""
    for key, value in node.value:
        yield key.value if isinstance(key, yaml.ScalarNode) else "", value


def _keep_text(node: Any, declared: bool, seen: set[Any], path: str = "") -> None:  # noqa: FBT001  # of one walk
    """Make texts of keys, and of what a declaration and the parameters' defaults hold.

    YAML makes 83 of 00123, 750 of 12:30, 1.1 of 1.10 and false of off. An account, a cost centre
    and a version are texts to whoever writes them, and to the parameter that gets them.
    """
    if isinstance(node, yaml.ScalarNode):
        if node.style is None and node.tag in (_TEXTS | _NUMBERS if declared else _TEXTS):
            node.tag = STRING
        node.value = _whole(node)
    if not isinstance(node, yaml.CollectionNode) or (id(node), declared) in seen:
        return
    seen.add((id(node), declared))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _keep_text(item, declared, seen, f"{path}/-")
        return
    kind = dict(_items(node)).get("Type")
    is_declared = bool(re.fullmatch("/Resources/[^/]+", path)) and (
        isinstance(kind, yaml.ScalarNode) and kind.value == RESOURCE_TYPE
    )
    names: set[str] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            _keep_key(key)
            if declared and key.value in names:
                line = f"line {key.start_mark.line + 1}: {key.value} stands there a second time"
                raise PermanentError(f"{line}; once is enough")
            names.add(key.value)
        below = f"{path}/{key.value if isinstance(key, yaml.ScalarNode) else ''}"
        of_pipeline = is_declared and below.endswith("/Properties")
        of_parameter = bool(re.fullmatch("/Parameters/[^/]+/Default", below))
        _keep_text(value, declared or of_pipeline or of_parameter, seen, below)


def _keep_key(key: yaml.ScalarNode) -> None:
    if key.style is None and key.tag != "tag:yaml.org,2002:merge":
        key.tag = STRING
    key.value = _whole(key)


def _whole(node: yaml.ScalarNode) -> str:
    """The text with letters that JSON escapes in two halves put together.

    Raises PermanentError for half a letter, which no UTF-8 has.
    """
    try:
        return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        line = node.start_mark.line + 1
        raise PermanentError(f"line {line}: half of a letter, \\ud800 to \\udfff alone") from error


STRING = "tag:yaml.org,2002:str"
_NUMBERS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool")}
# `=` and a date: the first no loader knows what to do with, of the second CloudFormation makes no
# date (AWS CloudFormation User Guide, "Template formats").
_TEXTS = {f"tag:yaml.org,2002:{name}" for name in ("value", "timestamp")}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML brings no types
    """YAML as CloudFormation reads it: its functions' short forms, and numbers that remember how
    they are written."""


class _Integer(int):
    written: str


class _Float(float):
    written: str


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    kind = node.tag.rpartition(":")[2]
    try:
        number: Any = (
            _Integer(loader.construct_yaml_int(node))
            if kind == "int"
            else _Float(loader.construct_yaml_float(node))
        )
    except ValueError:  # 0x_ looks like a number and is none
        return node.value
    number.written = node.value
    return number


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
# aws-sam-cli, where it is imported as well, gives all SafeLoaders maps that no SafeDumper knows.
_Loader.add_constructor("tag:yaml.org,2002:map", yaml.SafeLoader.construct_yaml_map)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML brings no types
    """YAML that CloudFormation reads: it knows no aliases (AWS CloudFormation User Guide,
    "Template formats")."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


# What some reader of YAML, of version 1.1 or 1.2, takes for anything but text.
_AMBIGUOUS = re.compile(
    r"[-+]?\.?[0-9][0-9A-Za-z_.:+-]*|[-+]?\.(inf|nan)|y|n|yes|no|on|off|true|false|null|~|=|<<",
    re.IGNORECASE,
)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _AMBIGUOUS.fullmatch(text) else None
    return dumper.represent_scalar(STRING, text, style=style)


def _as_written(dumper: yaml.SafeDumper, number: _Integer | _Float) -> yaml.ScalarNode:
    kind = "int" if isinstance(number, int) else "float"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", number.written)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(_Integer, _as_written)
_Dumper.add_representer(_Float, _as_written)


def as_yaml(template: Mapping[str, Any]) -> str:
    """The template as YAML that CloudFormation reads, in the order that it has."""
    return str(yaml.dump(template, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


# The rendered template


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
        declarations = [each for each in fragment["Resources"].values() if is_pipeline(each)]
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
