"""Whether the stores still hold what a manifest says."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from foothold.errors import FootholdError
from foothold.packaging.manifest import Manifest, PackagedObject, RegionPackage
from foothold.packaging.ports import Objects, Progress


class Verifier:
    """Compares what a manifest says with what the stores hold now."""

    def __init__(self, objects: Objects, threads: int = 64) -> None:
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
            sha256 = stored.sha256 or self._objects.measured(package.store, one.key)[1]
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
