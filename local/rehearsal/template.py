"""What a template says once it is deployed, as far as CloudFormation is asked: its intrinsic
functions worked out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Given:
    """What a template is deployed with: the values of its parameters, of AWS's own and of its
    resources, the attributes of its resources, and the names of the conditions that hold."""

    values: Mapping[str, Any]
    attributes: Mapping[str, str] = field(default_factory=dict)
    conditions: frozenset[str] = frozenset()

    def value(self, name: str) -> Any:
        return self.values[name]

    def attribute(self, path: str) -> str:
        return self.attributes[path]


NO_VALUE = object()


def resolve(value: Any, given: Given) -> Any:  # noqa: C901, PLR0911  one case a function
    """The value with Ref, Fn::GetAtt, Fn::Sub, Fn::Join, Fn::Split and Fn::If worked out.

    Raises KeyError for a name that is not given.
    """
    if isinstance(value, list):
        return [one for one in (resolve(each, given) for each in value) if one is not NO_VALUE]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": "AWS::NoValue"}:
            return NO_VALUE
        case {"Ref": name}:
            return given.value(name)
        case {"Fn::Sub": [str(text), more]}:
            values = {**given.values, **resolve(more, given)}
            return resolve({"Fn::Sub": text}, replace(given, values=values))
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: given.value(found[1]), text)
        case {"Fn::Join": [separator, parts]}:
            return separator.join(resolve(parts, given))
        case {"Fn::Split": [separator, text]}:
            return resolve(text, given).split(separator)
        case {"Fn::GetAtt": name}:
            return given.attribute(name if isinstance(name, str) else ".".join(name))
        case {"Fn::If": [condition, then, otherwise]}:
            return resolve(then if condition in given.conditions else otherwise, given)
        case _:
            each = {name: resolve(one, given) for name, one in value.items()}
            return {name: one for name, one in each.items() if one is not NO_VALUE}
