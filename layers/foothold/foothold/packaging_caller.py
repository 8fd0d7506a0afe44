"""The composition root of packaging. The command line is in a hurry: what only the package
function needs is imported where it is made."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3

from foothold.caller import THREADS, Caller
from foothold.packaging.gateways.archive import LocalZips, unpack
from foothold.packaging.gateways.objects import RegionalObjects
from foothold.packaging.gateways.sam_cli import SamTemplates
from foothold.packaging.gateways.samconfig import read_samconfig
from foothold.packaging.gateways.signer import SignerSignatures
from foothold.packaging.packager import Packaged, Packager
from foothold.packaging.release import keep_release
from foothold.packaging.verify import Verifier
from foothold.releases.keeping import KeptRelease
from foothold.releases.model import ReleaseTarget, ReleaseTargets, SourceFacts

if TYPE_CHECKING:
    from foothold.jobs.messages import JobCredentials
    from foothold.packaging.jobs import PackageFunction


class PackagingCaller(Caller):
    """A caller who packages for the stores that are published."""

    samconfig = staticmethod(read_samconfig)

    @cached_property
    def objects(self) -> RegionalObjects:
        return RegionalObjects(self.regional_client, self.account)

    @cached_property
    def packager(self) -> Packager:
        return Packager(
            self.stores,
            templates=SamTemplates(
                self.objects.endpoint_of, lambda region: self._client("serverlessrepo", region)
            ),
            zips=LocalZips(),
            objects=self.objects,
            signatures=SignerSignatures(
                lambda region: self._client("signer", region), self.objects
            ),
            threads=THREADS,
        )

    def keep_release(
        self, packaged: Packaged, targets: Sequence[ReleaseTarget], source: SourceFacts
    ) -> KeptRelease | None:
        """A `packaging.release.KeepRelease`."""
        return keep_release(
            self.releases,
            packaged,
            targets,
            source,
            seconds=self._clock(),
            caller=self.clients.caller(),
        )

    def _targets_of(self, project: str, digest: str) -> ReleaseTargets:
        """A `packaging.ports.TargetsOf`, from the pipeline's parameters."""
        path = self._names.pipeline(project)
        return ReleaseTargets.published(self.parameters.below(self.home_region, path), path, digest)

    def _client(self, service: str, region: str) -> Any:
        """A client that few need, of a service that has no types here."""
        get: Any = self.clients.get
        return get(service, region)

    @cached_property
    def verifier(self) -> Verifier:
        """Compares a manifest with what the stores hold."""
        return Verifier(self.objects, THREADS)

    @cached_property
    def package_function(self) -> "PackageFunction":
        """The work behind the package function."""
        from foothold.packaging.gateways.codebuild import BuildProjects  # noqa: PLC0415  see above
        from foothold.packaging.gateways.codepipeline import (  # noqa: PLC0415  see above
            JobArtifacts,
            PipelineExecutions,
        )
        from foothold.packaging.jobs import PackageFunction  # noqa: PLC0415  see above

        def lend(credentials: "JobCredentials", account: str) -> JobArtifacts:
            session = boto3.Session(
                credentials.access_key_id,
                credentials.secret_access_key,
                credentials.session_token,
                self.home_region,
            )
            return JobArtifacts(session, account)

        return PackageFunction(
            self.stores,
            self.packager,
            objects=self.objects,
            unpack=unpack,
            build_tag=BuildProjects(self.clients, self.home_region).tag,
            samconfig=self.samconfig,
            lend=lend,
            keep_release=self.keep_release,
            targets_of=self._targets_of,
            facts_of=PipelineExecutions(self.clients, self.home_region).facts,
        )
