"""`foothold pipeline`: render a declaration, draw it, rehearse it."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types
from rich.markup import escape

from foothold import bootstrap
from foothold.cli.console import (
    DEFAULT_ROOT,
    FAILED,
    RootOption,
    err,
    one_clear_line,
    out,
    print_json,
)
from foothold.cli.local import LocalOption, run_in_checkout
from foothold.cli.picture import mermaid, svg
from foothold.errors import FootholdError, PermanentError
from foothold.pipelines.declaration import LEFT_OUT_OUTPUT, DeclarationError
from foothold.pipelines.form import declaration_schema
from foothold.pipelines.macro import (
    BODY_BYTES,
    MACRO,
    RESOURCE_TYPE,
    expand_template,
    is_pipeline,
    names_macro,
    without_used_up,
)

PIPELINE_TYPE = "AWS::CodePipeline::Pipeline"

app = typer.Typer(help="Render, draw and rehearse a declared pipeline.", no_args_is_help=True)

File = Annotated[
    Path,
    typer.Argument(help="A declaration, or a template with Foothold::Pipeline.", metavar="FILE"),
]
Parameter = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", help="A template parameter's value.", metavar="NAME=VALUE"),
]


@app.command()
def render(
    file: File,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here; JSON if it ends in .json.")
    ] = None,
    parameter: Parameter = None,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Print the CloudFormation template that a declaration stands for."""
    with _one_line_each():
        template = rendered(file, parameter or [], root)
    if output is None:
        sys.stdout.write(_yaml(template))
        return
    text = json.dumps(template, indent=1) if output.suffix == ".json" else _yaml(template)
    with _one_line_each(), _writing(output):
        output.write_text(text, encoding="utf-8")
    if len(text.encode()) > BODY_BYTES:
        size = f"{output} has {len(text.encode()):,} bytes"
        err.print(f"{size}: deploy it with --s3-bucket, inline is up to {BODY_BYTES:,}")


@app.command()
def graph(
    file: File,
    folder: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write to.", metavar="DIR")
    ] = Path(),
    parameter: Parameter = None,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Write a picture of the expanded pipeline: NAME.svg, and NAME.mmd for Markdown."""
    with _one_line_each():
        template = rendered(file, parameter or [], root)
        home = bootstrap.clients().home_region
        everything = template["Resources"]
        for resource in everything.values():
            if not isinstance(resource, Mapping) or resource.get("Type") != PIPELINE_TYPE:
                continue
            name = folder / str(resource["Properties"]["Name"])
            for path, text in (
                (name.with_name(f"{name.name}.svg"), svg(resource, home, everything)),
                (name.with_name(f"{name.name}.mmd"), mermaid(resource, everything)),
            ):
                with _writing(path):
                    path.write_text(text, encoding="utf-8")
                out.print(str(path), highlight=False, markup=False)


@app.command()
def rehearse(  # noqa: PLR0917  # one for each option
    file: File,
    source: Annotated[Path, typer.Option("--source", help="The project's folder.", metavar="DIR")],
    approve: Annotated[  # noqa: FBT002  # a command line flag
        bool, typer.Option("--approve", help="Say yes to every approval.")
    ] = False,
    parameter: Parameter = None,
    root: RootOption = DEFAULT_ROOT,
    local: LocalOption = None,
) -> None:
    """Run the pipeline on the embedded AWS, as CodePipeline would."""
    with suppress(FootholdError):  # which the rehearsal says
        _remark_on_transform(file, read_template(file))
    arguments = [str(file.absolute()), "--source", str(source.absolute()), "--root", root]
    arguments += ["--approve"] if approve else []
    for each in parameter or []:
        arguments += ["--parameter", each]
    with one_clear_line():
        code = run_in_checkout(local, "local.rehearsal", *arguments)
    raise typer.Exit(code)


@app.command()
def schema() -> None:
    """Print the JSON schema of a declaration, for editors."""
    print_json(declaration_schema())


def rendered(file: Path, parameters: list[str], root: str) -> dict[str, Any]:
    """The template that the file stands for, with the stores that are ready now.

    `parameters` are NAME=VALUE. Raises DeclarationError, or PermanentError for what cannot be
    read.
    """
    fragment = read_template(file)
    values = parameter_values(fragment, parameters)
    published = bootstrap.region_desk(root).ready()
    template = expand_template(
        fragment,
        published.stores,
        bootstrap.clients().home_region,
        values,
        root,
        refused=published.refused,
        has_codepipeline=bootstrap.published_pipeline_regions(root),
    )
    if LEFT_OUT_OUTPUT in template["Outputs"]:
        left_out = template["Outputs"][LEFT_OUT_OUTPUT]["Value"]
        err.print(f"not followed, because CodePipeline is not there: {left_out}", highlight=False)
    _remark_on_transform(file, fragment)
    given = {name: values[name] for name in (each.partition("=")[0] for each in parameters)}
    return without_used_up(template, fragment, given)


def _remark_on_transform(file: Path, fragment: Mapping[str, Any]) -> None:
    if not names_macro(fragment):
        line = f"{file} has no Transform: {MACRO}, without which CloudFormation does not expand it"
        err.print(f"foothold: {line}", highlight=False, markup=False, soft_wrap=True)


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


def _yaml(template: Mapping[str, Any]) -> str:
    return str(yaml.dump(template, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PermanentError(f"cannot write {path}: {error.strerror}") from error


@contextmanager
def _one_line_each() -> Iterator[None]:
    """A declaration's errors, each on a line of its own; every other error as anywhere."""
    with one_clear_line():
        try:
            yield
        except DeclarationError as error:
            for line in error.lines:
                err.print(f"[bold red]foothold:[/] {escape(line)}", highlight=False, soft_wrap=True)
            raise typer.Exit(FAILED) from None
