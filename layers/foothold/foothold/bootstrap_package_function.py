"""The composition root of the package function."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import boto3

from foothold.bootstrap_package import clients, objects, packager, stores
from foothold.errors import PermanentError
from foothold.observability import logger, metrics
from foothold.packaging.gateways.archive import unpack
from foothold.packaging.gateways.codebuild import BuildProjects
from foothold.packaging.gateways.codepipeline import JobArtifacts, PipelineJobs
from foothold.packaging.gateways.samconfig import read_samconfig
from foothold.packaging.jobs import PackageFunction, answer_job
from foothold.packaging.messages import FinishedBuild, Job, JobCredentials, parse
from foothold.reading import Ignored
from foothold.settings import Settings


@lru_cache
def package_function() -> PackageFunction:
    plane = Settings.from_environment().control_plane
    root = plane.parameter_root
    return PackageFunction(
        stores(root, plane),
        packager(root, plane),
        objects=objects(plane),
        unpack=unpack,
        build_tag=BuildProjects(clients(), plane.home_region).tag,
        samconfig=read_samconfig,
    )


def answer_package(event: dict[str, Any], seconds_left: float) -> Mapping[str, Any]:
    """The work behind the package function, whoever the event comes from.

    A job of CodePipeline is always answered, whatever happens; the event of a build that asks
    for nothing is logged with its reason. Raises TemporaryError, for Lambda to retry, and for a
    direct call also PermanentError, for the caller to read.
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
        case FinishedBuild() as build:
            try:
                return package_function().for_build(build)
            except PermanentError as error:  # a retry of the event would meet it again
                return {"failed": {build.build_project: str(error)}}
        case Ignored() as ignored:
            return ignored
        case call:
            return package_function().for_call(call)


def _answer_job(job: Job, seconds_left: float) -> Mapping[str, Any]:
    region = clients().home_region

    def artifacts(lent: JobCredentials) -> JobArtifacts:
        keys = (lent.access_key_id, lent.secret_access_key, lent.session_token)
        return JobArtifacts(boto3.Session(*keys, region), job.account)

    def work(job: Job) -> str:
        return package_function().for_job(job, artifacts)

    return answer_job(job, PipelineJobs(clients(), region), work, seconds_left)
