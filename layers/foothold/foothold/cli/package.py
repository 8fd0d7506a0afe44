"""`foothold package`: one build, packaged for every region; and whether it still is so."""

import gc
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    complain,
    each_name,
    err,
    one_clear_line,
    print_json,
    region_names,
    tell,
)
from foothold.cli.ending import FAILED
from foothold.errors import PermanentError
from foothold.packaging.manifest import Manifest, builds_prefix
from foothold.packaging.options import Options, parse_metadata, parse_signing_profiles
from foothold.packaging.outputs import write_outputs
from foothold.packaging.packager import PackageRequest
from foothold.packaging.ports import Progress

if TYPE_CHECKING:
    from foothold.packaging_caller import PackagingCaller

BUILT = Path(".aws-sam/build/template.yaml")


def packaging_caller(root: str) -> "PackagingCaller":
    """Who packages. aws-sam-cli comes with it, and no other command should wait for that.

    What is imported is never garbage, so the collector looks at it neither now, nor ever again,
    nor at exit: a fifth of the time that a run takes where all objects are there already.
    """
    gc.disable()
    try:
        with _without(() if _may_need_crt() else NOT_NEEDED):
            from foothold.packaging_caller import PackagingCaller  # noqa: PLC0415  as said
    finally:
        gc.freeze()
        gc.enable()
    return PackagingCaller(root)


# botocore imports both where they are installed: for `aws login`, for signatures of several
# regions (SigV4A) and for checksums that are not asked for here; and for a TLS of long ago.
NOT_NEEDED = ("awscrt", "OpenSSL")


@contextmanager
def _without(names: Iterable[str]) -> Iterator[None]:
    """Import as if these were not installed."""
    left_out = [name for name in names if name not in sys.modules]
    missing: dict[str, Any] = dict.fromkeys(left_out)
    sys.modules.update(missing)
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]


def _may_need_crt() -> bool:
    """Whether credentials may come from `aws login`, whose profiles name a `login_session`."""
    path = Path(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"))
    try:
        return b"login_session" in path.expanduser().read_bytes()
    except (OSError, RuntimeError):
        return False


def package(  # noqa: PLR0917  # one for each option
    template: Annotated[
        Path | None,
        typer.Option(
            "--template",
            "-t",
            help=f"The template that `sam build` wrote. Default: {BUILT}.",
            show_default=False,
        ),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(help="The project's name: objects go under PROJECT/builds/ in every bucket."),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="Regions to package for: one, several with commas between them, or given again. "
            "Default: every store.",
            callback=region_names,
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the templates and the manifest go.")
    ] = Path(),
    verify: Annotated[
        Path | None,
        typer.Option(metavar="MANIFEST", help="Package nothing: check what a manifest says."),
    ] = None,
    language_extensions: Annotated[
        bool | None,
        typer.Option(
            "--language-extensions/--no-language-extensions",
            help="As in `sam package`: expand Fn::ForEach and its like.",
        ),
    ] = None,
    use_json: Annotated[
        bool | None,
        typer.Option("--use-json/--no-use-json", help="As in `sam package`: templates in JSON."),
    ] = None,
    metadata: Annotated[
        str | None,
        typer.Option(metavar="K=V,K=V", help="As in `sam package`: metadata of every object."),
    ] = None,
    signing_profiles: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FUNCTION=PROFILE[:OWNER]",
            help="As in `sam package`: sign a function or layer; may be given again.",
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option(help="The samconfig file. Default: samconfig.toml of the project's folder."),
    ] = None,
    config_env: Annotated[
        str, typer.Option(help="Which part of the samconfig file counts.")
    ] = "default",
    root: RootOption = DEFAULT_ROOT,
    as_json: JsonFlag = False,  # noqa: FBT002  # a command line flag
) -> None:
    """Package one build for every region: a template each, from one zip of each folder.

    Writes template-export-REGION.yml for every region, and manifest.json.
    """
    if verify is not None:
        _verify(verify, root, as_json=as_json)
        return
    if project is None:
        raise typer.BadParameter("say which project this is, with --project")
    with one_clear_line():
        try:
            builds_prefix(project)
            asked = Options(
                language_extensions,
                use_json,
                parse_metadata(metadata) if metadata else {},
                parse_signing_profiles(signing_profiles or ()),
            )
        except PermanentError as error:
            raise typer.BadParameter(str(error)) from None
        packaging = packaging_caller(root)
        configured = packaging.samconfig(template or BUILT, config_env, config_file)
        request = PackageRequest(
            project,
            template or Path(configured.template or BUILT),
            each_name(region or ()),
            asked.over(configured.options),
        )
        with _progress_bar("packaging") as progress:
            packaged = packaging.packager.package(request, progress)
        written = write_outputs(packaged, output)
    warnings = (*configured.warnings, *packaged.warnings)
    for line in warnings:
        complain(line, "yellow")
    manifest = packaged.manifest
    if as_json:
        print_json(
            {
                "project": manifest.project,
                "equal": not manifest.differences(),
                "summary": manifest.summary(),
                "templates": {region: str(path) for region, path in written.templates.items()},
                "manifest": str(written.manifest),
                "failed": dict(manifest.failed),
                "warnings": list(warnings),
            }
        )
    else:
        for path in (*written.templates.values(), written.manifest):
            tell(str(path))
        tell(manifest.summary(), style="dim")
    _fail_for(f"{name} failed: {why}" for name, why in manifest.failed.items())


def _verify(path: Path, root: str, *, as_json: bool) -> None:
    with one_clear_line():
        try:
            manifest = Manifest.from_json(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise PermanentError(f"cannot read the manifest {path}: {error}") from None
        with _progress_bar("verifying") as progress:
            findings = packaging_caller(root).verifier.verify(manifest, path.parent, progress)
    if as_json:
        print_json(
            {
                "project": manifest.project,
                "verified": not findings,
                "summary": manifest.summary(),
                "findings": list(findings),
            }
        )
    elif not findings:
        tell(f"verified: {manifest.summary()}")
    _fail_for(findings)


def _fail_for(lines: Iterable[str]) -> None:
    """Each line on stderr; exit code 1 if there are any."""
    failures = list(lines)
    for line in failures:
        complain(line)
    if failures:
        raise typer.Exit(FAILED)


@contextmanager
def _progress_bar(doing: str) -> Iterator[Progress]:
    """A bar over all objects of all regions, where a person watches; nothing elsewhere."""
    if not err.is_interactive:
        yield lambda *_: None
        return
    from rich import progress as bars  # noqa: PLC0415  # scripts would wait for it in vain

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(doing, total=None)
        there: dict[str, tuple[int, int]] = {}

        def show(region: str, done: int, total: int) -> None:
            there[region] = (done, total)
            finished = sum(done == total for done, total in there.values())
            bar.update(
                task,
                description=f"{doing}: {finished} of {len(there)} regions",
                completed=sum(done for done, _ in there.values()),
                total=sum(total for _, total in there.values()),
            )

        yield show
