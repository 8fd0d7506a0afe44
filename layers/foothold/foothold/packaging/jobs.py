"""Packaging in the cloud, for a pipeline's job, a finished build or a direct call.

For each of them a zip is fetched and unpacked where nothing else lies, packaged, and its
templates and manifest are left where whoever asked will look for them.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from foothold.errors import PermanentError
from foothold.jobs.answer import answer_job
from foothold.jobs.messages import InvalidRequestError, Job, JobCredentials, ObjectLocation
from foothold.jobs.ports import JobResult, Jobs
from foothold.observability import FunctionAnswer, logger
from foothold.packaging.manifest import Body
from foothold.packaging.messages import (
    DirectCall,
    FinishedBuild,
    Order,
    order_of,
    parse,
    places_of,
)
from foothold.packaging.outputs import zip_outputs
from foothold.packaging.packager import Packaged, Packager, PackageRequest
from foothold.packaging.ports import (
    Artifacts,
    BuildTag,
    ExecutionFacts,
    FactsOf,
    Objects,
    Samconfig,
    TargetsOf,
    Unpack,
)
from foothold.packaging.release import KeepRelease, not_kept
from foothold.reading import Ignored
from foothold.releases.keeping import KeptRelease
from foothold.releases.model import MANIFEST, PROJECT_TAG, ReleaseTarget, SourceFacts
from foothold.stores.published import Published, Stores

TEMPLATES = (
    ".aws-sam/build/template.yaml",  # where `sam package` looks first
    "template.yaml",
    "template.yml",
    "template.json",
)
TOO_LATE = (
    "packaging did not end in the function's time: retry the stage, which goes on from what is "
    "stored already, or give the function more memory (PackageMemory)"
)


Lend = Callable[[JobCredentials, str], Artifacts]  # by a job's credentials, for its account


def answer_package(
    event: object,
    package_function: Callable[[], "PackageFunction"],
    jobs: Jobs,
    seconds_left: float,
) -> FunctionAnswer:
    """Package what an event asks for, whoever it comes from.

    `package_function` is called where there is something to package. A job of CodePipeline is
    always answered, whatever happens; the event of a build that asks for nothing is logged with
    its reason. Raises TemporaryError, for Lambda to retry, and for a direct call also
    PermanentError, for the caller to read.
    """
    result: Mapping[str, Any] | Ignored
    match parse(event):
        case Job() as job:
            result = answer_job(
                job,
                jobs,
                lambda job: JobResult(package_function().for_job(job)),
                seconds_left,
                function="package",
                too_late=TOO_LATE,
            )
        case FinishedBuild() as build:
            try:
                result = package_function().for_build(build)
            except PermanentError as error:  # a retry of the event would meet it again
                result = {"failed": {build.build_project: str(error)}}
        case Ignored() as ignored:
            result = ignored
        case call:
            result = package_function().for_call(call)
    if isinstance(result, Ignored):
        logger.warning("event ignored", reason=result.reason)
        return FunctionAnswer()
    failed = bool(result["failed"])
    (logger.error if failed else logger.info)("packaged", result=dict(result))
    return FunctionAnswer(result, {"PackagesMade": int(not failed), "PackagesFailed": int(failed)})


class PackageFunction:
    """Packages what a zip holds, for whoever asks the package function."""

    def __init__(
        self,
        stores: Stores,
        packager: Packager,
        *,
        objects: Objects,
        unpack: Unpack,
        build_tag: BuildTag,
        samconfig: Samconfig,
        lend: Lend,
        keep_release: KeepRelease,
        targets_of: TargetsOf,
        facts_of: FactsOf,
    ) -> None:
        self._stores = stores
        self._packager = packager
        self._objects = objects
        self._unpack = unpack
        self._build_tag = build_tag
        self._samconfig = samconfig
        self._lend = lend
        self._keep_release = keep_release
        self._targets_of = targets_of
        self._facts_of = facts_of

    def for_call(self, call: DirectCall) -> Mapping[str, Any]:
        """Package a zip that lies in an artifact store; return where the templates are."""
        return self._publish(call, call.source)

    def for_build(self, build: FinishedBuild) -> Mapping[str, Any] | Ignored:
        """Package what a build left, if its project is tagged to be packaged."""
        project = self._build_tag(build.build_project, PROJECT_TAG)
        if project is None:
            return Ignored(f"the build project {build.build_project} has no tag {PROJECT_TAG}")
        if build.artifact is None:
            return Ignored(f"the build project {build.build_project} left no artifact")
        return self._publish(Order(project=project), build.artifact)

    def _publish(self, order: Order, source: ObjectLocation) -> Mapping[str, Any]:
        """Package, and leave each region's template, and the manifest, in its own store; the
        same zip always in the same place."""
        published = self._stores.ready()
        stores = {store.bucket: store for store in published.stores.values()}
        if source.bucket not in stores:
            raise InvalidRequestError(
                f"{source.bucket} is no artifact store of Foothold: put the zip into one of "
                f"{', '.join(sorted(stores)) or 'them, once there is one'}"
                + "".join(f"; {why}" for why in published.refused.values())
            )
        with _workspace() as folder:
            archive = folder / "artifact.zip"
            self._objects.fetch(stores[source.bucket], source.key, archive)
            with archive.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            packaged, kept = self._package(order, archive, folder, published)
        prefix = f"{order.project}/packages/{digest[:32]}"
        manifest = Body.of(packaged.manifest.render())
        regions = {}
        for package in packaged.manifest.packages:
            template = Body.of(packaged.templates[package.region].render())
            for name, body in ((package.template, template), (MANIFEST, manifest)):
                self._objects.put(package.store, f"{prefix}/{name}", body)
            base = f"{package.endpoint}/{package.bucket}/{prefix}"
            regions[package.region] = {
                "template": f"{base}/{package.template}",
                "manifest": f"{base}/{MANIFEST}",
            }
        return {
            "project": order.project,
            "release": kept.release.id if kept and not kept.failed else None,
            "equal": not packaged.manifest.differences(),
            "summary": packaged.manifest.summary(),
            "regions": regions,
            "failed": {**packaged.manifest.failed, **(not_kept(kept) if kept else {})},
            "warnings": list(packaged.warnings),
        }

    def for_job(self, job: Job) -> str:
        """Package a pipeline's artifact into its output artifact; return a line about it."""
        data = job.data()
        order = order_of(data)
        source, target = places_of(data)
        lent = self._lend(data.artifact_credentials, job.account)
        with _workspace() as folder:
            archive = folder / "artifact.zip"
            lent.fetch(source.bucket, source.key, archive)
            packaged, kept = self._package(order, archive, folder)
            failed = not_kept(kept) if kept else packaged.manifest.failed
            if failed or not kept:
                raise PermanentError("; ".join(f"{name}: {why}" for name, why in failed.items()))
            output = folder / "output.zip"
            zip_outputs(packaged, kept.release, output)
            key = data.encryption_key.id if data.encryption_key else None
            lent.store(target.bucket, target.key, output, key)
        release = f"release {kept.release.id}"
        return "; ".join((release, packaged.manifest.summary(), *packaged.warnings))

    def _package(
        self, order: Order, archive: Path, folder: Path, published: Published | None = None
    ) -> tuple[Packaged, KeptRelease | None]:
        """Package, and keep it as a release where no region failed."""
        targets, source = self._made_for(order)
        regions = [region for target in targets for region in target.regions]
        build = folder / "build"
        build.mkdir()
        self._unpack(archive, build)
        archive.unlink()
        template = find_template(build, order.template)
        configured = self._samconfig(template)
        packaged = self._packager.package(
            PackageRequest(
                project=order.project,
                template=template,
                regions=tuple(order.regions or dict.fromkeys(regions)),
                options=order.options().over(configured.options),
                within=build,
            ),
            published=published,
        )
        packaged = replace(packaged, warnings=(*packaged.warnings, *configured.warnings))
        return packaged, self._keep_release(packaged, targets, source)

    def _made_for(self, order: Order) -> tuple[Sequence[ReleaseTarget], SourceFacts]:
        """What a release is made for, with the values that its execution knows, and where its
        source comes from."""
        facts, known = ExecutionFacts(), {}
        if order.execution:
            facts = self._facts_of(order.project, order.execution)
            known = {"codepipeline.PipelineExecutionId": order.execution, **facts.variables}
        if not order.targets:
            return (), facts.source
        made_for = self._targets_of(order.project, order.targets)
        return [target.filled(known) for target in made_for.targets], facts.source


def find_template(build: Path, named: str | None) -> Path:
    """The template in what was unpacked. Raises InvalidRequestError where there is none."""
    for name in (named,) if named else TEMPLATES:
        with suppress(OSError):  # a name that no file can have
            if (build / name).is_file():
                return build / name
    wanted = named or f"{TEMPLATES[0]} or {TEMPLATES[1]}"
    there = ", ".join(sorted(path.name for path in build.iterdir())[:10]) or "nothing"
    raise InvalidRequestError(
        f"the artifact holds no {wanted}, but {there}: name the template that `sam build` wrote "
        'with "template"'
    )


@contextmanager
def _workspace() -> Iterator[Path]:
    """A folder of one's own, gone afterwards: a warm function has the same disk again."""
    with tempfile.TemporaryDirectory(prefix="foothold-") as folder:
        yield Path(folder)
