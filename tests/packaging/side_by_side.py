"""`sam package` for each region, and `foothold package` once for all: the same, or not."""

import io
import os
import stat
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3

from benchmarks.s3 import Stored, World
from foothold.aws.regional import RegionalClient
from foothold.errors import PermanentError
from foothold.packaging.gateways.archive import LocalZips
from foothold.packaging.gateways.objects import RegionalObjects
from foothold.packaging.gateways.sam_cli import SamTemplates
from foothold.packaging.gateways.signer import SignerSignatures
from foothold.packaging.options import Options
from foothold.packaging.packager import Packaged, Packager, PackageRequest
from foothold.stores.published import Published
from foothold.stores.register import ArtifactStore
from tests.packaging.real_sam import RealSam

REGIONS = ("eu-west-1", "us-east-1")
PROJECT = "shop"


def store(region: str, bucket: str = "foothold") -> ArtifactStore:
    return ArtifactStore(
        region,
        f"{bucket}-111111111111-{region}-an",
        f"arn:aws:kms:{region}:111111111111:key/{region}",
    )


@dataclass
class FixedStores:
    """`stores.ports.Stores` that are given."""

    stores: Mapping[str, ArtifactStore]

    def ready(self) -> Published:
        return Published(self.stores)


@lru_cache
def regional_objects(_endpoint: str) -> RegionalObjects:
    """One client for all tests of an endpoint: making it takes longer than what it does."""
    client = RegionalClient(boto3.Session(), "eu-central-1", 32)
    return RegionalObjects(client, lambda: "111111111111")


def packager(stores: Mapping[str, ArtifactStore], threads: int = 8) -> Packager:
    objects = regional_objects(os.environ["AWS_ENDPOINT_URL"])
    return Packager(
        FixedStores(stores),
        templates=SamTemplates(objects.endpoint_of, _client("serverlessrepo")),
        zips=LocalZips(),
        objects=objects,
        signatures=SignerSignatures(_client("signer"), objects),
        threads=threads,
    )


def _client(service: str) -> Callable[[str], Any]:
    def of(region: str) -> Any:
        make: Any = boto3.Session().client
        return make(service, region_name=region)

    return of


@dataclass(frozen=True)
class Result:
    """What a run left: templates by region, objects by path; or why it failed."""

    templates: Mapping[str, bytes] = field(default_factory=dict)
    objects: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""


@dataclass
class SideBySide:
    """An application in `app`, packaged in both ways against one S3."""

    app: Path
    world: World
    environment: Mapping[str, str]
    sam: RealSam | None = None
    regions: Sequence[str] = REGIONS
    bucket: str = "foothold"

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.app / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def assert_same(
        self,
        template: str = "template.yaml",
        *,
        language_extensions: bool = False,
        regions: int = len(REGIONS),
        options: Sequence[str] = (),
        ours_too: Options | None = None,
    ) -> Result:
        """Package in both ways, and compare templates, objects, or the reason for a refusal.

        `ours_too` are the same options as Foothold takes them.
        """
        self.regions = REGIONS[:regions]
        if language_extensions:
            options = (*options, "--language-extensions")
        theirs = self.with_sam(template, options)
        ours = self.with_foothold(template, ours_too or Options(language_extensions))
        assert bool(ours.failure) == bool(theirs.failure), (ours.failure, theirs.failure)
        assert ours.templates == theirs.templates
        assert sorted(ours.objects) == sorted(theirs.objects)
        for path, one in ours.objects.items():
            assert one == theirs.objects[path], path
        if ours.failure and "Traceback" not in theirs.failure:  # there sam gives no reason
            reason = ours.failure.partition(f"{self.app / template}: ")[2]
            assert reason
            assert reason in " ".join(theirs.failure.split())
        return theirs

    def with_sam(self, template: str, options: Sequence[str] = ()) -> Result:
        assert self.sam, "the fixture side_by_side has it"
        self.world.reset()
        templates = {}
        for region in self.regions:
            output = self.app.parent / f"sam-{region}.yml"
            to = store(region, self.bucket)
            arguments = [
                "package", "--template-file", template, "--s3-bucket", to.bucket,
                "--kms-key-id", to.key_arn, "--s3-prefix", f"{PROJECT}/builds",
                "--region", region, "--output-template-file", str(output),
                *options,
            ]  # fmt: skip
            folder = (self.app / template).parent
            arguments[2] = Path(template).name
            ran = self.sam.run(folder, arguments, self.environment)
            if ran.code:
                return Result(failure=ran.output)
            templates[region] = output.read_bytes()
        return Result(templates, _described(self.world))

    def with_foothold(self, template: str, options: Options | None = None) -> Result:
        self.world.reset()
        try:
            packaged = self.packaged(template, options=options)
        except PermanentError as error:
            return Result(failure=str(error))
        assert not packaged.manifest.failed
        templates = {region: text.render() for region, text in packaged.templates.items()}
        return Result(templates, _described(self.world))

    def packaged(
        self,
        template: str = "template.yaml",
        *,
        language_extensions: bool | None = None,
        options: Options | None = None,
        within: Path | None = None,
    ) -> Packaged:
        stores = {region: store(region, self.bucket) for region in self.regions}
        return packager(stores).package(
            PackageRequest(
                PROJECT,
                self.app / template,
                options=options or Options(language_extensions),
                within=within,
            )
        )


def _described(world: World) -> dict[str, Any]:
    return {path: (_content(one), _headers(one)) for path, one in world.objects.items()}


def _headers(one: Stored) -> dict[str, str]:
    """How it is encrypted, and its own metadata."""
    return {
        name: value
        for name, value in one.headers.items()
        if "encryption" in name or name.startswith("x-amz-meta-")
    }


def _content(one: Stored) -> Any:
    """The bytes; of a zip its members, whichever deflate made them, in whatever order."""
    assert one.body is not None
    if not zipfile.is_zipfile(io.BytesIO(one.body)):
        return one.body
    with zipfile.ZipFile(io.BytesIO(one.body)) as archive:
        return archive.comment, sorted(
            (
                member.filename,
                archive.read(member),
                stat.filemode(member.external_attr >> 16),
                member.external_attr,
                member.create_system,
                member.date_time,
                member.compress_type,
                member.comment,
                member.extra,
                member.flag_bits,
            )
            for member in archive.infolist()
        )


def umask() -> int:
    """The process's own, which decides what a new file's mode is."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
