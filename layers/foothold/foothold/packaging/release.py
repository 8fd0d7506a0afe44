"""What was packaged, as a release: its identity, and the files that it has in every store."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial

from foothold.packaging.manifest import MANIFEST, Manifest, RegionPackage, template_name
from foothold.packaging.packager import Packaged
from foothold.releases.keeping import Files, KeptRelease, Releases
from foothold.releases.model import (
    RELEASE,
    Release,
    ReleaseRegion,
    ReleaseTarget,
    SourceFacts,
    configuration_name,
    neutral_digest,
)

NO_FACTS = SourceFacts()
# Keeps what was packaged for some targets, from a source. None: it was not packaged for all
# regions that were asked for, and a release serves each of its own.
KeepRelease = Callable[[Packaged, Sequence[ReleaseTarget], SourceFacts], KeptRelease | None]


def keep_release(
    releases: Releases,
    packaged: Packaged,
    targets: Sequence[ReleaseTarget] = (),
    source: SourceFacts = NO_FACTS,
    *,
    seconds: float,
    caller: str,
) -> KeptRelease | None:
    """Keep what was packaged as a release, as `KeepRelease` says. `seconds` since 1970 are now,
    `caller` is the ARN of whoever packages."""
    if packaged.manifest.failed:
        return None
    at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    release = replace(
        release_of(packaged.manifest, targets), source=source, packaged_at=at, packaged_by=caller
    )
    return releases.keep(release, _files(packaged, release))


def not_kept(kept: KeptRelease) -> dict[str, str]:
    """One line for each region whose store did not take the release."""
    return {region: f"its release is not kept: {why}" for region, why in kept.failed.items()}


def release_of(manifest: Manifest, targets: Iterable[ReleaseTarget] = ()) -> Release:
    """The release that a manifest's packages are for these targets."""
    return Release(
        manifest.project,
        {package.region: _region(package) for package in manifest.packages},
        tuple(targets),
    )


def _region(package: RegionPackage) -> ReleaseRegion:
    objects = ((", ".join(one.resources), one.neutral_sha256) for one in package.objects)
    return ReleaseRegion(
        package.region,
        package.bucket,
        package.key_arn,
        package.template_sha256,
        neutral_digest(package.template_neutral_sha256, objects),
    )


def keys_of(release: Release, manifest: Manifest | None) -> dict[str, list[str]]:
    """All that a release has in its stores, by region: its files, and, as far as there is a
    manifest, what was packaged."""
    packaged = {package.region: package for package in manifest.packages} if manifest else {}
    keys = {}
    for region in release.regions:
        files = (RELEASE, template_name(region), MANIFEST, *configurations(release, region))
        objects = packaged[region].objects if region in packaged else ()
        keys[region] = [*(release.prefix + name for name in files), *(one.key for one in objects)]
    return keys


def configurations(release: Release, region: str) -> dict[str, Callable[[], bytes]]:
    """The template configurations of a region by their files' names, each made when asked for."""
    return {
        configuration_name(target.name, region): partial(_configuration, release, target, region)
        for target in release.targets
        if region in target.regions
    }


def all_configurations(release: Release) -> dict[str, Callable[[], bytes]]:
    """Those of all regions."""
    return {
        name: render
        for region in release.regions
        for name, render in configurations(release, region).items()
    }


def _configuration(release: Release, target: ReleaseTarget, region: str) -> bytes:
    """The same bytes for the same release, in whatever order its parts were given."""
    value = target.configuration(region, release.project, release.id)
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _files(packaged: Packaged, release: Release) -> Files:
    manifest = packaged.manifest
    in_order = sorted(manifest.packages, key=lambda package: package.region)
    render = cache(replace(manifest, packages=tuple(in_order)).render)
    return {
        package.region: {
            package.template: packaged.templates[package.region].render,
            MANIFEST: render,
            **configurations(release, package.region),
        }
        for package in manifest.packages
    }
