"""`foothold package`: one build, packaged for every region; and whether it still is so."""

import gc
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

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
from foothold.packaging.outputs import OutputFiles, write_outputs
from foothold.packaging.packager import Packaged, PackageRequest
from foothold.packaging.ports import Progress
from foothold.packaging.release import not_kept
from foothold.releases.keeping import KeptRelease
from foothold.releases.model import ReleaseTargets, SourceFacts
from foothold.stores.published import Published

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
    release: Annotated[  # noqa: FBT002  # a command line flag
        bool,
        typer.Option(
            "--release/--no-release", help="Keep what was packaged as a release in every store."
        ),
    ] = True,
    targets: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Configure the release for a pipeline's targets, and package for their regions: "
            "a declaration, or a template with Foothold::Pipeline.",
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            help="A parameter's value, of the template that --targets names.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    commit: Annotated[
        str,
        typer.Option(help="The source's commit, for the release. Default: CodeBuild's, if any."),
    ] = "",
    branch: Annotated[str, typer.Option(help="Likewise, its branch.")] = "",
    message: Annotated[str, typer.Option(help="Likewise, what the commit says.")] = "",
    link: Annotated[str, typer.Option(help="Likewise, an https:// address that shows it.")] = "",
    root: RootOption = DEFAULT_ROOT,
    as_json: JsonFlag = False,  # noqa: FBT002  # a command line flag
) -> None:
    """Package one build for every region: a template each, from one zip of each folder.

    Writes template-export-REGION.yml for every region, manifest.json, and for each of the targets
    configuration-TARGET-REGION.json.
    """
    if verify is not None:
        _verify(verify, root, as_json=as_json)
        return
    if targets and (region or not release):
        raise typer.BadParameter(
            "--targets names the regions, and a release is configured for them: give neither "
            "--region nor --no-release with it"
        )
    if not project and not targets:
        raise typer.BadParameter("say which project this is, with --project")
    source = source_facts(SourceFacts(commit, branch, message, link), os.environ)
    with one_clear_line():
        try:
            builds_prefix(project or "from-the-targets")
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
        published, made_for = None, ReleaseTargets(project or "", "", ())
        if targets:
            published = packaging.stores.ready()
            made_for = _targets(targets, parameter or [], project, packaging, published)
        regions = [region for target in made_for.targets for region in target.regions]
        filled = [target.filled(_variables(source)) for target in made_for.targets]
        request = PackageRequest(
            made_for.project,
            template or Path(configured.template or BUILT),
            tuple(dict.fromkeys(regions)) or each_name(region or ()),
            asked.over(configured.options),
        )
        with _progress_bar("packaging") as progress:
            packaged = packaging.packager.package(request, progress, published)
        kept = packaging.keep_release(packaged, filled, source) if release else None
        written = write_outputs(packaged, output, kept.release if kept else None)
    packaged = replace(packaged, warnings=(*configured.warnings, *packaged.warnings))
    for line in packaged.warnings:
        complain(line, "yellow")
    failed = {**packaged.manifest.failed, **(not_kept(kept) if kept else {})}
    if as_json:
        print_json(_as_json(packaged, written, kept, failed))
    else:
        for path in (*written.templates.values(), *written.configurations, written.manifest):
            tell(str(path))
        tell(packaged.manifest.summary(), style="dim")
        if release:
            tell(_about(kept), style="dim")
    _fail_for(f"{name} failed: {why}" for name, why in failed.items())


def _as_json(
    packaged: Packaged, written: OutputFiles, kept: KeptRelease | None, failed: Mapping[str, str]
) -> dict[str, Any]:
    manifest = packaged.manifest
    return {
        "project": manifest.project,
        "release": kept.release.id if kept and not kept.failed else None,
        "equal": not manifest.differences(),
        "summary": manifest.summary(),
        "templates": {region: str(path) for region, path in written.templates.items()},
        "configurations": [str(path) for path in written.configurations],
        "manifest": str(written.manifest),
        "failed": dict(failed),
        "warnings": list(packaged.warnings),
    }


def _about(kept: KeptRelease | None) -> str:
    if kept is None:
        return "no release: it would serve all regions, and not every one is done"
    if kept.failed:
        return f"release {kept.release.id}, but for {', '.join(kept.failed)}: package again"
    return f"release {kept.release.id}"


def _targets(
    file: Path,
    parameters: list[str],
    project: str | None,
    packaging: "PackagingCaller",
    published: Published,
) -> ReleaseTargets:
    """What a pipeline's releases are made for, as the file declares it: the project's, or the
    only one. Raises DeclarationError and PermanentError."""
    from foothold.pipelines.file import parameter_values, read_template  # noqa: PLC0415  few need it
    from foothold.pipelines.macro import resolve_template  # noqa: PLC0415  likewise
    from foothold.pipelines.resources import release_targets  # noqa: PLC0415  likewise

    fragment = read_template(file)
    pipelines = resolve_template(
        fragment,
        published.stores,
        packaging.home_region,
        parameter_values(fragment, parameters),
        refused=published.refused,
        has_codepipeline=packaging.pipeline_regions,
    )
    declared = {pipeline.name: pipeline for pipeline in pipelines.values()}
    name = project or (next(iter(declared)) if len(declared) == 1 else "")
    if name not in declared:
        asked = f"no pipeline {name}" if name else "several pipelines, name one with --project"
        raise PermanentError(f"{file} declares {asked}; it declares {', '.join(declared)}")
    return release_targets(declared[name])


def source_facts(given: SourceFacts, environment: Mapping[str, str]) -> SourceFacts:
    """Where the source comes from, as the options say, and where they say nothing, CodeBuild (AWS
    CodeBuild User Guide, "Environment variables in build environments"). Of an address what may
    be a secret is left out."""
    commit = given.commit or environment.get("CODEBUILD_RESOLVED_SOURCE_VERSION", "")
    branch = (
        environment.get("CODEBUILD_WEBHOOK_HEAD_REF")
        or environment.get("CODEBUILD_SOURCE_VERSION")
        or ""
    )
    # A webhook gives REF^{COMMIT}; what is no branch is a commit, or where CodePipeline put it.
    branch = branch.partition("^{")[0].removeprefix("refs/heads/")
    if branch == commit or branch.startswith("arn:"):
        branch = ""
    link = _without_secrets(given.link or environment.get("CODEBUILD_SOURCE_REPO_URL", ""))
    return SourceFacts(commit, given.branch or branch, given.message, link)


def _without_secrets(address: str) -> str:
    """An https:// address without a user, a password and a query; of anything else nothing."""
    with suppress(ValueError):
        parts = urlsplit(address)
        if parts.scheme == "https":
            return f"https://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return ""


def _variables(source: SourceFacts) -> dict[str, str]:
    """The values of a pipeline's variables that are known without one."""
    known = {
        "CommitId": source.commit,
        "BranchName": source.branch,
        "CommitMessage": source.message,
        "CommitUrl": source.link,
    }
    return {f"SourceVariables.{name}": value for name, value in known.items() if value}


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
