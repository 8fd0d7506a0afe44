"""The composition root of the package function."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from foothold.bootstrap_package import clients, objects, packager, stores
from foothold.errors import PermanentError
from foothold.observability import logger, metrics
from foothold.packaging.gateways.archive import unpack
from foothold.packaging.gateways.codepipeline import BuildProjects, JobArtifacts, PipelineJobs
from foothold.packaging.gateways.samconfig import read_samconfig
from foothold.packaging.jobs import PackageDoors, answer_job
from foothold.packaging.messages import Build, Job, JobCredentials, parse
from foothold.reading import Ignored
from foothold.settings import Settings


@lru_cache
def doors() -> PackageDoors:
    plane = Settings.from_environment().control_plane
    root = plane.parameter_root
    builds = BuildProjects(clients(), plane.home_region)
    return PackageDoors(
        stores(root, plane),
        packager(root, plane),
        objects=objects(plane),
        unpack=unpack,
        builds=builds,
        samconfig=read_samconfig,
    )


def answer_package(event: dict[str, Any], seconds_left: float) -> Mapping[str, Any]:
    """The work behind the package function, whichever door the event came through.

    A job of CodePipeline is always answered, whatever happens; the event of a build that asks
    for nothing is logged with its reason. Raises TemporaryError, for Lambda to retry, and for a
    direct order also PermanentError, for the caller to read.
    """
    result = _answer(event, seconds_left)
    if isinstance(result, Ignored):
        logger.warning("event ignored", reason=result.reason)
        return {}
    failed = bool(result["failed"])
    metrics.add_metric("PackagesMade", "Count", int(not failed))
    metrics.add_metric("PackagesFailed", "Count", int(failed))
    (logger.error if failed else logger.info)("packaged", result=dict(result))
    return result


def _answer(event: dict[str, Any], seconds_left: float) -> Mapping[str, Any] | Ignored:
    match parse(event):
        case Job() as job:
            return _answer_job(job, seconds_left)
        case Build() as build:
            try:
                return doors().build(build)
            except PermanentError as error:  # a retry of the event would meet it again
                return {"failed": {build.build_project: str(error)}}
        case Ignored() as ignored:
            return ignored
        case order:
            return doors().order(order)


def _answer_job(job: Job, seconds_left: float) -> Mapping[str, Any]:
    region = clients().home_region

    def artifacts(credentials: JobCredentials) -> JobArtifacts:
        return JobArtifacts(credentials, region, job.account)

    def work(job: Job) -> str:
        return doors().artifact(job, artifacts)

    return answer_job(job, PipelineJobs(clients(), region), work, seconds_left)
