"""What was packaged, as a release: its identity, and the files that it has in every store."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from foothold.errors import PermanentError
from foothold.packaging.manifest import (
    Manifest,
    RegionPackage,
    builds_prefix,
    template_name,
)
from foothold.packaging.packager import Packaged
from foothold.releases.board import RegionCode
from foothold.releases.keeping import Files, KeptRelease, Releases
from foothold.releases.model import (
    MANIFEST,
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
    return releases.keep(release, lambda: _files(packaged, release), is_new=packaged.is_new)


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
    prefix, keys = release.prefix, {}
    for region, configured in configurations(release).items():
        files = (RELEASE, template_name(region), MANIFEST, *configured)
        objects = packaged[region].objects if region in packaged else ()
        keys[region] = [*(prefix + name for name in files), *(one.key for one in objects)]
    return keys


def code_of(releases: Releases, release: Release) -> dict[str, RegionCode]:
    """What a release has for each region, by its manifest. Raises PermanentError where that is
    gone, and TemporaryError."""
    body = releases.file(release, MANIFEST)
    if body is None:
        raise PermanentError(f"release {release.id} has no {MANIFEST} any more")
    return {
        package.region: _code(package, f"{builds_prefix(release.project)}/")
        for package in Manifest.from_json(json.loads(body)).packages
    }


def _code(package: RegionPackage, prefix: str) -> RegionCode:
    found: dict[str, set[str]] = {}
    for one in package.objects:
        for resource in one.resources:
            found.setdefault(resource, set()).add(one.sha256)
    return RegionCode(
        package.template_sha256,
        prefix,
        frozenset(one.key for one in package.objects),
        {name: frozenset(each) for name, each in found.items()},
    )


def configurations(release: Release) -> Files:
    """The template configurations of each region's targets, by their files' names."""
    id_ = release.id
    return {
        region: {
            configuration_name(target.name, region): partial(
                _configuration, target.configuration, region, release.project, id_
            )
            for target in release.targets
            if region in target.regions
        }
        for region in release.regions
    }


def _configuration(of: Callable[..., Any], *which: str) -> bytes:
    """The same bytes for the same release, in whatever order its parts were given."""
    text = json.dumps(of(*which), indent=2, sort_keys=True, ensure_ascii=False)
    return text.encode() + b"\n"


def _files(packaged: Packaged, release: Release) -> Files:
    in_order = sorted(packaged.manifest.packages, key=lambda package: package.region)
    manifest = replace(packaged.manifest, packages=tuple(in_order)).render()
    configured = configurations(release)
    return {
        package.region: {
            package.template: packaged.templates[package.region].render,
            MANIFEST: lambda: manifest,
            **configured[package.region],
        }
        for package in in_order
    }
