"""`foothold pipeline`: render a declaration, draw it, rehearse it."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from foothold.caller import Caller
from foothold.cli.console import (
    DEFAULT_ROOT,
    RootOption,
    complain,
    err,
    one_clear_line,
    out,
    print_json,
    writing,
)
from foothold.cli.ending import FAILED
from foothold.cli.local import LocalOption, run_in_checkout
from foothold.cli.picture import mermaid, svg
from foothold.errors import FootholdError
from foothold.pipelines.declaration import LEFT_OUT_OUTPUT, MACRO, DeclarationError
from foothold.pipelines.file import as_yaml, parameter_values, read_template, without_used_up
from foothold.pipelines.follow import BODY_BYTES
from foothold.pipelines.form import declaration_schema
from foothold.pipelines.macro import expand_template, names_macro

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
        template = rendered(file, parameter or [], root, Caller(root))
    if output is None:
        sys.stdout.write(as_yaml(template))
        return
    text = json.dumps(template, indent=1) if output.suffix == ".json" else as_yaml(template)
    with _one_line_each(), writing(output):
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
        caller = Caller(root)
        template = rendered(file, parameter or [], root, caller)
        everything = template["Resources"]
        for resource in everything.values():
            if not isinstance(resource, Mapping) or resource.get("Type") != PIPELINE_TYPE:
                continue
            name = folder / str(resource["Properties"]["Name"])
            for path, text in (
                (name.with_name(f"{name.name}.svg"), svg(resource, caller.home_region, everything)),
                (name.with_name(f"{name.name}.mmd"), mermaid(resource, everything)),
            ):
                with writing(path):
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


def rendered(file: Path, parameters: list[str], root: str, caller: Caller) -> dict[str, Any]:
    """The template that the file stands for, with the stores that are ready now.

    `parameters` are NAME=VALUE. Raises DeclarationError, or PermanentError for what cannot be
    read.
    """
    fragment = read_template(file)
    values = parameter_values(fragment, parameters)
    published = caller.stores.ready()
    template = expand_template(
        fragment,
        published.stores,
        caller.home_region,
        values,
        root,
        refused=published.refused,
        has_codepipeline=caller.pipeline_regions,
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


@contextmanager
def _one_line_each() -> Iterator[None]:
    """A declaration's errors, each on a line of its own; every other error as anywhere."""
    with one_clear_line():
        try:
            yield
        except DeclarationError as error:
            for line in error.lines:
                complain(line)
            raise typer.Exit(FAILED) from None
