"""Package once, fan out: one build becomes one template and the same objects for each region.

Everything that is the same for all regions is done once: read the templates, hash the folders,
zip those that somewhere are missing. What is left for each region is to ask what is there and
to send what is not, and all regions do that at the same time.
"""

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from foothold.errors import FootholdError, PermanentError
from foothold.packaging.manifest import (
    Content,
    Exports,
    Folder,
    LoneFile,
    Manifest,
    NeutralNames,
    PackagedObject,
    PlainFile,
    RegionPackage,
    SignedZip,
    Stored,
    Text,
    builds_prefix,
    is_stored,
    settled,
    template_name,
    weight,
)
from foothold.packaging.options import Configured, Options, SigningProfile
from foothold.stores.model import ArtifactStore
from foothold.stores.ports import Stores
from foothold.stores.published import Published


class Templates(Protocol):
    """Makes a template ready for regions, as `sam package` does."""

    def export(
        self,
        template: Path,
        prefix: str,
        stores: Sequence[ArtifactStore],
        *,
        options: Options,
        within: Path | None,
    ) -> Exports:
        """The export for each store's region; objects' keys begin with `prefix`.

        Nothing outside of the folder `within` may be packaged. A region for which `sam package`
        refuses the template is among the `refused`. Raises PermanentError with that reason, and
        TemporaryError where AWS was asked in vain, where all regions are refused.
        """
        ...


class MadeFile(Protocol):
    """A file on disk: `size` in bytes, `sha256` in hexadecimal."""

    @property
    def path(self) -> Path: ...
    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...


class Zips(Protocol):
    def make(self, content: Folder | LoneFile, target: Path) -> MadeFile: ...

    def measure(self, path: Path) -> MadeFile: ...


class Objects(Protocol):
    """Objects in the artifact stores. All calls may come from many threads."""

    def describe(self, store: ArtifactStore, key: str) -> Stored | None: ...

    def put_file(
        self,
        store: ArtifactStore,
        key: str,
        path: Path,
        sha256: str,
        metadata: Mapping[str, str] = ...,
    ) -> None: ...

    def put_bytes(
        self,
        store: ArtifactStore,
        key: str,
        body: bytes,
        sha256: str,
        metadata: Mapping[str, str] = ...,
    ) -> None: ...


class Signatures(Protocol):
    """Signs what lies in an artifact store. Any thread may call it."""

    def sign(
        self, store: ArtifactStore, key: str, prefix: str, profile: SigningProfile
    ) -> SignedZip:
        """Sign the zip; the key of the result, in the same bucket, begins with `prefix`."""
        ...


Progress = Callable[[str, int, int], None]  # region, objects that are there, of how many


NO_OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """What to package, and for whom. `regions` empty: every region that has a store."""

    project: str
    template: Path
    regions: tuple[str, ...] = ()
    options: Options = NO_OPTIONS
    within: Path | None = None


@dataclass(frozen=True, slots=True)
class Packaged:
    """What a run gave: the manifest, each finished region's template, and what is worth a warning:
    what `sam package` would have warned of, and what no pipeline could deploy."""

    manifest: Manifest
    templates: Mapping[str, Text]
    warnings: tuple[str, ...] = ()


# What CodePipeline's CloudFormation action takes; CloudFormation itself takes twice as much
# (aws-cloudformation/cloudformation-coverage-roadmap, issue 1023).
PIPELINE_TEMPLATE_BYTES = 512 * 1024


def _too_large_for_pipelines(templates: Mapping[str, Text]) -> Iterator[str]:
    """One line for all regions: their templates differ in names of buckets only."""
    sizes = {region: len(template.render()) for region, template in templates.items()}
    region = max(sizes, key=sizes.__getitem__, default="")
    if region and sizes[region] > PIPELINE_TEMPLATE_BYTES:
        yield (
            f"{template_name(region)} has {sizes[region]:,} bytes, and CodePipeline deploys up to "
            f"{PIPELINE_TEMPLATE_BYTES:,}: move resources to nested stacks"
        )


@dataclass(frozen=True, slots=True)
class Written:
    """The files of a run: each finished region's template, and the manifest."""

    templates: Mapping[str, Path]
    manifest: Path


MANIFEST = "manifest.json"


def write_outputs(packaged: Packaged, folder: Path) -> Written:
    """Write the templates, then the manifest. Each appears whole, or not at all.

    A failed region's template of an earlier run is taken away: nobody should deploy it together
    with this run's. Raises PermanentError where the folder cannot be written to.
    """
    templates = {
        package.region: folder / package.template for package in packaged.manifest.packages
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for region, path in templates.items():
            _write_whole(path, packaged.templates[region].render())
        for region in packaged.manifest.failed:
            (folder / template_name(region)).unlink(missing_ok=True)
        _write_whole(folder / MANIFEST, manifest_file(packaged.manifest))
    except OSError as error:
        raise PermanentError(
            f"cannot write to {folder}: {error.strerror}: {error.filename}"
        ) from error
    return Written(templates, folder / MANIFEST)


def manifest_file(manifest: Manifest) -> bytes:
    return json.dumps(manifest.as_json(), indent=2).encode() + b"\n"


def _write_whole(path: Path, body: bytes) -> None:
    """A file that is as it should be is not touched."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == body:
            return
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        half.write_bytes(body)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


class Packager:
    """Packages builds into artifact stores.

    `threads` is how many requests are under way at a time, over all regions.
    """

    def __init__(
        self,
        stores: Stores,
        *,
        templates: Templates,
        zips: Zips,
        objects: Objects,
        signatures: Signatures,
        threads: int = 64,
    ) -> None:
        self._stores = stores
        self._templates = templates
        self._zips = zips
        self._objects = objects
        self._signatures = signatures
        self._threads = threads

    def package(
        self,
        request: PackageRequest,
        progress: Progress = lambda *_: None,
        published: Published | None = None,
    ) -> Packaged:
        """Store all objects in all regions.

        A region that refuses, or whose store may not be used, is left out and named in the
        manifest's `failed`; the others are finished. `published` is what was read of the stores
        already. Raises PermanentError where nothing can be packaged for any region.
        """
        prefix = builds_prefix(request.project)
        stores, refused = choose(published or self._stores.ready(), request.regions)
        exports = self._templates.export(
            request.template.absolute(),
            prefix,
            tuple(stores.values()),
            options=request.options,
            within=request.within,
        )
        run = _Run(
            stores,
            exports,
            zips=self._zips,
            objects=self._objects,
            signatures=self._signatures,
            metadata=request.options.metadata,
            progress=progress,
            refused=refused,
        )
        with tempfile.TemporaryDirectory(prefix="foothold-") as folder:
            run.store_everything(Path(folder), self._threads)
        return run.result(request.project)


def unused_entries(configured: Configured) -> tuple[str, ...]:
    """A line that names the entries of a samconfig file that are not used, if there are any."""
    if not configured.unused:
        return ()
    line = (
        f"the samconfig file's {', '.join(configured.unused)} "
        f"{'is' if len(configured.unused) == 1 else 'are'} not used: the artifact stores, the "
        "project and the regions decide"
    )
    return (line,)


def choose(
    published: Published, regions: Sequence[str]
) -> tuple[dict[str, ArtifactStore], dict[str, str]]:
    """The stores of the regions that are asked for, or all; and of those that may not be used,
    why. Raises PermanentError for a region without a store, and where none may be used."""
    ready, refused = published.stores, published.refused
    if not ready and not refused:
        raise PermanentError(
            "no region has an artifact store: ask for one with `foothold regions add REGION`"
        )
    missing = [name for name in dict.fromkeys(regions) if name not in ready and name not in refused]
    if missing:
        raise PermanentError(
            f"{', '.join(missing)} has no artifact store: ask for it with "
            f"`foothold regions add {' '.join(missing)}` (there are stores in "
            f"{', '.join(sorted(ready))})"
        )
    chosen = dict.fromkeys(regions) or sorted({*ready, *refused})
    usable = {region: ready[region] for region in chosen if region in ready}
    unusable = {region: refused[region] for region in chosen if region not in ready}
    if not usable:
        raise PermanentError("; ".join(unusable.values()))
    return usable, unusable


@dataclass(frozen=True, slots=True)
class _Made:
    """An object, ready to be sent: on disk, or here."""

    size: int
    sha256: str
    source: Path | bytes


class _Run:
    """One run: the regions' objects on their way."""

    def __init__(
        self,
        stores: Mapping[str, ArtifactStore],
        exports: Exports,
        *,
        zips: Zips,
        objects: Objects,
        signatures: Signatures,
        metadata: Mapping[str, str],
        progress: Progress,
        refused: Mapping[str, str],
    ) -> None:
        self._stores = stores
        self._exports = dict(exports.by_region)
        self._warnings = exports.warnings
        self._zips = zips
        self._objects = objects
        self._signatures = signatures
        self._metadata = metadata
        self._progress = progress
        self._lock = threading.Lock()
        self._failed: dict[str, str] = {**refused, **exports.refused}
        self._there: dict[str, dict[str, _Made | Stored]] = {region: {} for region in stores}
        self._signed: dict[str, dict[str, SignedZip]] = {region: {} for region in stores}
        self._work: dict[str, tuple[Content, list[str]]] = {}

    def store_everything(self, folder: Path, threads: int) -> None:
        """Find out what is missing where, make it, and send it; all three at the same time. What
        is signed is sent first, because the texts name what becomes of it."""
        for region, export in self._exports.items():
            self._progress(region, 0, len({asset.key for asset in export.assets}))
        signings = any(export.signings for export in self._exports.values())
        with ThreadPoolExecutor(threads) as pool:
            try:
                if signings:
                    self._store(pool, folder, (Folder, LoneFile, PlainFile))
                    self._sign(pool)
                    self._store(pool, folder, (Text,))
                else:
                    self._store(pool, folder, (Folder, LoneFile, PlainFile, Text))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _store(
        self, pool: ThreadPoolExecutor, folder: Path, kinds: Collection[type[Content]]
    ) -> None:
        # What has one key is one piece of work for all the regions that want it.
        self._work = {}
        for region, export in self._exports.items():
            for asset in export.assets:
                if type(asset.content) in kinds:
                    self._work.setdefault(asset.key, (asset.content, []))[1].append(region)
        # The heaviest first: their way takes longest.
        keys = sorted(self._work, key=lambda key: weight(self._work[key][0]), reverse=True)
        described = {
            key: {region: pool.submit(self._describe, region, key) for region in regions}
            for key, (_, regions) in ((key, self._work[key]) for key in keys)
        }
        sent: list[Future[None]] = []
        for number, key in enumerate(keys):
            found = {region: one.result() for region, one in described.pop(key).items()}
            sent += self._send(pool, key, found, folder / str(number))
        for one in sent:
            one.result()

    def _sign(self, pool: ThreadPoolExecutor) -> None:
        """Sign in every region, and put the signed zips' keys into the texts."""
        signing = [
            pool.submit(self._sign_one, region, signing.placeholder)
            for region, export in self._exports.items()
            for signing in export.signings
        ]
        for one in signing:
            one.result()
        for region, signed in self._signed.items():
            if signed and region not in self._failed:
                renamed = self._exports[region].renamed
                assert renamed is not None  # wherever there are signings
                self._exports[region] = renamed({name: one.key for name, one in signed.items()})

    def _sign_one(self, region: str, placeholder: str) -> None:
        with self._failing_alone(region):
            if region in self._failed:
                return
            (signing,) = (
                one for one in self._exports[region].signings if one.placeholder == placeholder
            )
            self._signed[region][placeholder] = self._signatures.sign(
                self._stores[region], signing.key, signing.prefix, signing.profile
            )

    def _send(
        self,
        pool: ThreadPoolExecutor,
        key: str,
        found: Mapping[str, Stored | None],
        target: Path,
    ) -> list[Future[None]]:
        stores = {region: self._stores[region] for region in found if region not in self._failed}
        content = self._work[key][0]
        if isinstance(content, Folder | LoneFile) and settled(found, stores):
            for region in stores:
                one = found[region]
                assert one is not None
                self._arrived(region, key, one)
            return []
        made = self._make(content, target)
        missing = []
        for region, store in stores.items():
            if is_stored(found[region], store, made.size, made.sha256):
                self._arrived(region, key, made)
            else:
                missing.append(region)
        return [pool.submit(self._put, region, key, made) for region in missing]

    def _make(self, content: Content, target: Path) -> _Made:
        if isinstance(content, Text):
            text = content.render()
            return _Made(len(text), hashlib.sha256(text).hexdigest(), text)
        if isinstance(content, PlainFile):
            file = self._zips.measure(content.path)
        else:
            file = self._zips.make(content, target)
        return _Made(file.size, file.sha256, file.path)

    def _describe(self, region: str, key: str) -> Stored | None:
        with self._failing_alone(region):
            if region not in self._failed:
                return self._objects.describe(self._stores[region], key)
        return None

    def _put(self, region: str, key: str, made: _Made) -> None:
        with self._failing_alone(region):
            if region in self._failed:
                return
            store = self._stores[region]
            if isinstance(made.source, bytes):
                self._objects.put_bytes(store, key, made.source, made.sha256, self._metadata)
            else:
                self._objects.put_file(store, key, made.source, made.sha256, self._metadata)
            self._arrived(region, key, made)

    @contextmanager
    def _failing_alone(self, region: str) -> Iterator[None]:
        """A region's failure is that region's only; its first one counts."""
        try:
            yield
        except FootholdError as error:
            self._failed.setdefault(region, str(error))

    def _arrived(self, region: str, key: str, one: _Made | Stored) -> None:
        with self._lock:
            there = self._there[region]
            there[key] = one
            self._progress(region, len(there), len({a.key for a in self._exports[region].assets}))

    def result(self, project: str) -> Packaged:
        finished = [region for region in self._stores if region not in self._failed]
        templates = {region: self._exports[region].template for region in finished}
        return Packaged(
            Manifest(
                project, tuple(self._package(region) for region in finished), dict(self._failed)
            ),
            templates,
            (*self._warnings, *_too_large_for_pipelines(templates)),
        )

    def _package(self, region: str) -> RegionPackage:
        store, export = self._stores[region], self._exports[region]
        names = NeutralNames(export.endpoint, store.bucket)
        objects = []
        signatures = []
        for signing in export.signings:
            signed, unsigned = self._signed[region][signing.placeholder], self._there[region]
            names.signed(signed.key, signing.key)
            sha256 = unsigned[signing.key].sha256
            assert sha256 is not None
            signatures.append(
                PackagedObject(
                    signed.key,
                    signed.size,
                    signed.sha256,
                    sha256,
                    (signing.resource,),
                    signed_from=signing.key,
                )
            )
        for asset in export.assets:
            one = self._there[region][asset.key]
            assert one.sha256 is not None
            objects.append(
                PackagedObject(
                    key=asset.key,
                    size=one.size,
                    sha256=one.sha256,
                    neutral_sha256=names.digest(asset.content.render(), asset.key)
                    if isinstance(asset.content, Text)
                    else one.sha256,
                    resources=asset.resources,
                )
            )
        template = export.template.render()
        return RegionPackage(
            region=region,
            bucket=store.bucket,
            key_arn=store.key_arn,
            endpoint=export.endpoint,
            template=template_name(region),
            template_sha256=hashlib.sha256(template).hexdigest(),
            template_neutral_sha256=names.digest(template),
            objects=(*objects, *signatures),
        )


class ReadableObjects(Objects, Protocol):
    def digest(self, store: ArtifactStore, key: str) -> str:
        """SHA-256 of the object as it is read now, hexadecimal."""
        ...


class Verifier:
    """Compares what a manifest says with what the stores hold now."""

    def __init__(self, objects: ReadableObjects, threads: int = 64) -> None:
        self._objects = objects
        self._threads = threads

    def verify(
        self, manifest: Manifest, folder: Path, progress: Progress = lambda *_: None
    ) -> tuple[str, ...]:
        """One line for each finding; none where all is as it was packaged.

        `folder` is where the templates lie that the manifest names. S3 is asked for the SHA-256
        that it checked when it was given the object; one that was not written by Foothold is
        read.
        """
        findings = [f"{region} was not packaged: {why}" for region, why in manifest.failed.items()]
        findings += [f"the regions differ: {line}" for line in manifest.differences()]
        for package in manifest.packages:
            findings += _template_findings(package, folder / package.template)
        with ThreadPoolExecutor(self._threads) as pool:
            checks = [
                (package, pool.submit(self._finding, package, one))
                for package in manifest.packages
                for one in package.objects
            ]
            done: dict[str, int] = {}
            for package, check in checks:
                findings += [finding for finding in (check.result(),) if finding]
                done[package.region] = done.get(package.region, 0) + 1
                progress(package.region, done[package.region], len(package.objects))
        return tuple(findings)

    def _finding(self, package: RegionPackage, one: PackagedObject) -> str | None:
        where = f"{one.key} in {package.bucket} ({', '.join(one.resources)})"
        try:
            stored = self._objects.describe(package.store, one.key)
            if stored is None:
                return f"{where} is missing, or may not be read"
            if stored.key_arn != package.key_arn:
                return f"{where} is encrypted with {stored.key_arn or 'no key of KMS'}"
            sha256 = stored.sha256 or self._objects.digest(package.store, one.key)
        except FootholdError as error:
            return str(error)
        if sha256 != one.sha256 or stored.size != one.size:
            return f"{where} is not what was packaged"
        return None


def _template_findings(package: RegionPackage, template: Path) -> Iterator[str]:
    try:
        if hashlib.sha256(template.read_bytes()).hexdigest() != package.template_sha256:
            yield f"{template} is not what was packaged"
    except OSError as error:
        yield f"cannot read {template}: {error.strerror}"
