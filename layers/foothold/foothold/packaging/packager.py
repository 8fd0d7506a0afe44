"""Package once, fan out: one build becomes one template and the same objects for each region.

Everything that is the same for all regions is done once: read the templates, hash the folders,
zip those that somewhere are missing. What is left for each region is to ask what is there and
to send what is not, and all regions do that at the same time.
"""

import hashlib
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from foothold.errors import FootholdError, PermanentError
from foothold.packaging.manifest import (
    Body,
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
    Signing,
    Stored,
    Text,
    builds_prefix,
    is_stored,
    settled,
    template_name,
    weight,
)
from foothold.packaging.options import Options
from foothold.packaging.ports import Objects, Progress, Signatures, Templates, Zips
from foothold.stores.published import Published, Stores
from foothold.stores.register import ArtifactStore

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
    what `sam package` would have warned of, and what no pipeline could deploy. `is_new` where an
    object had to be written."""

    manifest: Manifest
    templates: Mapping[str, Text]
    warnings: tuple[str, ...] = ()
    is_new: bool = False


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
class Packager:
    """Packages builds into artifact stores.

    `threads` is how many requests are under way at a time, over all regions.
    """

    stores: Stores
    _: KW_ONLY
    templates: Templates
    zips: Zips
    objects: Objects
    signatures: Signatures
    threads: int = 64

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
        stores, refused = choose(published or self.stores.ready(), request.regions)
        exports = self.templates.export(
            request.template.absolute(),
            prefix,
            tuple(stores.values()),
            options=request.options,
            within=request.within,
        )
        run = _OneRun(self, request, stores, exports, refused=refused, progress=progress)
        with tempfile.TemporaryDirectory(prefix="foothold-") as folder:
            run.store_everything(Path(folder))
        return run.result()


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


class _OneRun:
    """One run: the regions' objects on their way."""

    def __init__(
        self,
        packager: Packager,
        request: PackageRequest,
        stores: Mapping[str, ArtifactStore],
        exports: Exports,
        *,
        refused: Mapping[str, str],
        progress: Progress,
    ) -> None:
        self._packager = packager
        self._request = request
        self._stores = stores
        self._exports = dict(exports.by_region)
        self._warnings = exports.warnings
        self._progress = progress
        self._lock = threading.Lock()
        self._wrote = False
        self._failed: dict[str, str] = {**refused, **exports.refused}
        self._there: dict[str, dict[str, Body | Stored]] = {region: {} for region in stores}
        self._signed: dict[str, dict[str, SignedZip]] = {region: {} for region in stores}

    def store_everything(self, folder: Path) -> None:
        """Find out what is missing where, make it, and send it; all three at the same time. What
        is signed is sent first, because the texts name what becomes of it."""
        for region, export in self._exports.items():
            self._progress(region, 0, len({asset.key for asset in export.assets}))
        signings = any(export.signings for export in self._exports.values())
        with ThreadPoolExecutor(self._packager.threads) as pool:
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
        work: dict[str, tuple[Content, list[str]]] = {}
        for region, export in self._exports.items():
            for asset in export.assets:
                if type(asset.content) in kinds:
                    work.setdefault(asset.key, (asset.content, []))[1].append(region)
        # The heaviest first: their way takes longest.
        keys = sorted(work, key=lambda key: weight(work[key][0]), reverse=True)
        described = {
            key: {region: pool.submit(self._describe, region, key) for region in regions}
            for key, (_, regions) in ((key, work[key]) for key in keys)
        }
        sent: list[Future[None]] = []
        for number, key in enumerate(keys):
            found = {region: one.result() for region, one in described.pop(key).items()}
            sent += self._send(pool, key, work[key][0], found, folder / str(number))
        for one in sent:
            one.result()

    def _sign(self, pool: ThreadPoolExecutor) -> None:
        """Sign in every region, and put the signed zips' keys into the texts."""
        signing = [
            pool.submit(self._sign_one, region, signing)
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

    def _sign_one(self, region: str, signing: Signing) -> None:
        with self._failing_alone(region):
            if region in self._failed:
                return
            self._signed[region][signing.placeholder] = self._packager.signatures.sign(
                self._stores[region], signing.key, signing.prefix, signing.profile
            )

    def _send(
        self,
        pool: ThreadPoolExecutor,
        key: str,
        content: Content,
        found: Mapping[str, Stored | None],
        target: Path,
    ) -> list[Future[None]]:
        stores = {region: self._stores[region] for region in found if region not in self._failed}
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

    def _make(self, content: Content, target: Path) -> Body:
        if isinstance(content, Text):
            return Body.of(content.render())
        if isinstance(content, PlainFile):
            return self._packager.zips.measure(content.path)
        return self._packager.zips.make(content, target)

    def _describe(self, region: str, key: str) -> Stored | None:
        with self._failing_alone(region):
            if region not in self._failed:
                return self._packager.objects.describe(self._stores[region], key)
        return None

    def _put(self, region: str, key: str, made: Body) -> None:
        with self._failing_alone(region):
            if region in self._failed:
                return
            self._packager.objects.put(
                self._stores[region], key, made, self._request.options.metadata
            )
            self._wrote = True
            self._arrived(region, key, made)

    @contextmanager
    def _failing_alone(self, region: str) -> Iterator[None]:
        """A region's failure is that region's only; its first one counts."""
        try:
            yield
        except FootholdError as error:
            self._failed.setdefault(region, str(error))

    def _arrived(self, region: str, key: str, one: Body | Stored) -> None:
        with self._lock:
            there = self._there[region]
            there[key] = one
            self._progress(region, len(there), len({a.key for a in self._exports[region].assets}))

    def result(self) -> Packaged:
        finished = [region for region in self._stores if region not in self._failed]
        templates = {region: self._exports[region].template for region in finished}
        return Packaged(
            Manifest(
                self._request.project,
                tuple(self._package(region) for region in finished),
                dict(self._failed),
            ),
            templates,
            (*self._warnings, *_too_large_for_pipelines(templates)),
            self._wrote,
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
