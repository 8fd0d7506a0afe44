"""What a run leaves for whoever deploys: each region's template, and the manifest."""

import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foothold.errors import PermanentError
from foothold.packaging.manifest import template_name
from foothold.packaging.packager import Packaged
from foothold.packaging.release import configurations
from foothold.releases.model import MANIFEST, RELEASE, Release


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """The files of a run: each finished region's template, the manifest, and the template
    configurations of a release's targets."""

    templates: Mapping[str, Path]
    manifest: Path
    configurations: tuple[Path, ...] = ()


def write_outputs(packaged: Packaged, folder: Path, release: Release | None = None) -> OutputFiles:
    """Write the templates and a release's template configurations, then the manifest. Each
    appears whole, or not at all.

    A failed region's template of an earlier run is taken away: nobody should deploy it together
    with this run's. Raises PermanentError where the folder cannot be written to.
    """
    configured = _configured(release) if release else {}
    templates = {
        package.region: folder / package.template for package in packaged.manifest.packages
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for region, path in templates.items():
            _write_whole(path, packaged.templates[region].render())
        for name, render in configured.items():
            _write_whole(folder / name, render())
        for region in packaged.manifest.failed:
            (folder / template_name(region)).unlink(missing_ok=True)
        _write_whole(folder / MANIFEST, packaged.manifest.render())
    except OSError as error:
        raise PermanentError(
            f"cannot write to {folder}: {error.strerror}: {error.filename}"
        ) from error
    return OutputFiles(templates, folder / MANIFEST, tuple(folder / name for name in configured))


def _configured(release: Release) -> dict[str, Callable[[], bytes]]:
    """The template configurations of all regions, whose files have names of their own."""
    return {name: make for each in configurations(release).values() for name, make in each.items()}


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


def zip_outputs(packaged: Packaged, release: Release, target: Path) -> None:
    """Write the templates, the manifest and the release with its template configurations as one
    zip, the same for the same run."""
    made: dict[str, Callable[[], bytes]] = {
        package.template: packaged.templates[package.region].render
        for package in packaged.manifest.packages
    }
    made |= {
        **_configured(release),
        MANIFEST: packaged.manifest.render,
        RELEASE: release.render,
    }
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, render in made.items():
            archive.writestr(zipfile.ZipInfo(name), render(), zipfile.ZIP_DEFLATED)
