"""What is packaged, where it is stored, and whether every region got the same.

Pure: no file is read here and no service is called.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foothold.errors import PermanentError
from foothold.packaging.options import SigningProfile
from foothold.stores.register import ArtifactStore

PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def builds_prefix(project: str) -> str:
    """Where a project's objects stand in every bucket. Raises PermanentError for a name that
    could not be part of an object key as it is."""
    if not PROJECT.fullmatch(project):
        raise PermanentError(
            f"{project!r} is no project name: use 1 to 64 letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )
    return f"{project}/builds"


def template_name(region: str) -> str:
    return f"template-export-{region}.yml"


# --- Contents: what an object is made of, before it is made ---------------------------------


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that becomes a zip; `size` is that of its files, in bytes. Lambda's own types get
    read permissions added for all."""

    path: Path
    size: int
    for_lambda: bool


@dataclass(frozen=True, slots=True)
class LoneFile:
    """One file that becomes a zip of itself; `mode` is the member's (as in `st_mode`)."""

    path: Path
    mode: int
    for_lambda: bool


@dataclass(frozen=True, slots=True)
class PlainFile:
    """A file that is stored as it is."""

    path: Path


@dataclass(frozen=True, slots=True)
class Text:
    """A text that differs from region to region; made when asked for, so that memory does not
    grow with the number of regions."""

    render: Callable[[], bytes] = field(compare=False)


Content = Folder | LoneFile | PlainFile | Text


def weight(content: Content) -> int:
    """About how many bytes have to be sent; only folders are worth a look."""
    return content.size if isinstance(content, Folder) else 0


@dataclass(frozen=True, slots=True)
class Asset:
    """One object to be stored: `resources` are the logical ids that use it."""

    key: str
    content: Content
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signing:
    """A zip that is signed once it is stored. `placeholder` stands in the texts for the key of
    what becomes of it."""

    placeholder: str
    key: str
    resource: str
    profile: SigningProfile

    @property
    def prefix(self) -> str:
        """What the keys of signed zips begin with, as `sam package` has it."""
        return f"{self.key.rpartition('/')[0]}/signed_"


@dataclass(frozen=True, slots=True)
class Export:
    """A template made ready for one region: the text, and the objects that it names, in such
    an order that a nested template comes after everything that it names itself.

    Where there are `signings`, `renamed` gives the export with other texts in the places of their
    placeholders, and of whatever else is named.
    """

    endpoint: str
    assets: tuple[Asset, ...]
    template: Text
    signings: tuple[Signing, ...] = ()
    renamed: Callable[[Mapping[str, str]], "Export"] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Exports:
    """The exports of all regions: `refused` holds the reason for which `sam package` refuses the
    template in a region, `warnings` what it prints beside its result."""

    by_region: Mapping[str, Export]
    refused: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """An object that is made and can be sent: its bytes, or the file that holds them. `size` in
    bytes, `sha256` in hexadecimal."""

    content: bytes | Path
    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> "Body":
        return cls(content, len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as S3 describes it. `sha256` is None where S3 was not given one."""

    size: int
    key_arn: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class SignedZip:
    """What became of a zip that was signed: `size` in bytes, `sha256` in hexadecimal."""

    key: str
    size: int
    sha256: str


def settled(stored: Mapping[str, Stored | None], stores: Mapping[str, ArtifactStore]) -> bool:
    """Whether an object is in every region already, under the region's own key, with the same
    bytes everywhere; only then need nobody make it."""
    found = [stored[region] for region in stores]
    return len({one.sha256 if one else None for one in found}) == 1 and all(
        one is not None and one.sha256 is not None and one.key_arn == store.key_arn
        for one, store in zip(found, stores.values(), strict=True)
    )


def is_stored(stored: Stored | None, store: ArtifactStore, size: int, sha256: str) -> bool:
    """Whether a region's object needs no writing: the right bytes under the right key."""
    return stored == Stored(size, store.key_arn, sha256)


# --- The manifest ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PackagedObject:
    """An object that was stored.

    `size` is in bytes, `sha256` of the object, hexadecimal. `neutral_sha256` is the same in
    all regions if, and only if, the objects differ in nothing but the names of their regions'
    endpoints, buckets, nested templates and signatures: for a zip it equals `sha256`, and for a
    signed one the `sha256` of that which was signed, whose key `signed_from` is.
    """

    key: str
    size: int
    sha256: str
    neutral_sha256: str
    resources: tuple[str, ...]
    signed_from: str | None = None


@dataclass(frozen=True, slots=True)
class RegionPackage:
    """One region's share: its store, its packaged template (a file name) and its objects."""

    region: str
    bucket: str
    key_arn: str
    endpoint: str
    template: str
    template_sha256: str
    template_neutral_sha256: str
    objects: tuple[PackagedObject, ...]

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(self.region, self.bucket, self.key_arn)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one run stored. `failed` names each region that got no template, and why."""

    project: str
    packages: tuple[RegionPackage, ...]
    failed: Mapping[str, str]

    def differences(self) -> tuple[str, ...]:
        """One line for each object or template that is not the same in all regions."""
        return tuple(_differences(self.packages))

    def summary(self) -> str:
        """One line that says whether the regions hold the same bytes."""
        regions = f"{len(self.packages)} region{'s' if len(self.packages) != 1 else ''}"
        if not self.packages:
            return "no region holds anything"
        if differing := self.differences():
            return f"the regions differ: {'; '.join(differing)}"
        objects = self.packages[0].objects
        signed = sum(one.signed_from is not None for one in objects)
        named = sum(one.sha256 != one.neutral_sha256 for one in objects) - signed
        same = f"{regions}, {len(objects) - named - signed} objects, equal byte for byte"
        if signed:
            same += f"; {signed} signed zip{'s' if signed != 1 else ''}, equal but for signatures"
        if not named:
            return same
        nested = f"{named} nested template{'s' if named != 1 else ''}"
        return f"{same}; {nested}, equal but for each region's own names"

    def as_json(self) -> dict[str, Any]:
        return {
            "project": self.project,
            "equal": not self.differences(),
            "summary": self.summary(),
            "regions": {package.region: _package_as_json(package) for package in self.packages},
            "failed": dict(self.failed),
        }

    def render(self) -> bytes:
        """The file that holds it."""
        return json.dumps(self.as_json(), indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, value: Any) -> "Manifest":
        """Raises PermanentError where the value is not what `as_json` gives."""
        try:
            return cls(
                project=str(value["project"]),
                packages=tuple(
                    _package_from_json(region, package)
                    for region, package in value["regions"].items()
                ),
                failed={str(region): str(why) for region, why in value["failed"].items()},
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PermanentError(
                f"this is no manifest that Foothold wrote ({type(error).__name__}: {error})"
            ) from None


def _differences(packages: tuple[RegionPackage, ...]) -> Iterator[str]:
    for first, other in ((packages[0], other) for other in packages[1:]):
        pair = f"{first.region} and {other.region}"
        if first.template_neutral_sha256 != other.template_neutral_sha256:
            yield f"the templates of {pair}"
        ours, theirs = ({_names(one): one for one in each.objects} for each in (first, other))
        for name in dict.fromkeys([*ours, *theirs]):
            if name not in ours or name not in theirs:
                yield f"{name} is only in {first.region if name in ours else other.region}"
            elif ours[name].neutral_sha256 != theirs[name].neutral_sha256:
                yield f"{name} in {pair}"


def _names(one: PackagedObject) -> str:
    return f"{', '.join(one.resources)}{' (signed)' if one.signed_from else ''}"


def _package_as_json(package: RegionPackage) -> dict[str, Any]:
    return {
        "bucket": package.bucket,
        "key_arn": package.key_arn,
        "endpoint": package.endpoint,
        "template": {
            "file": package.template,
            "sha256": package.template_sha256,
            "neutral_sha256": package.template_neutral_sha256,
        },
        "objects": [
            {
                "key": one.key,
                "size": one.size,
                "sha256": one.sha256,
                "neutral_sha256": one.neutral_sha256,
                "resources": list(one.resources),
                **({"signed_from": one.signed_from} if one.signed_from else {}),
            }
            for one in package.objects
        ],
    }


def _package_from_json(region: str, value: Any) -> RegionPackage:
    template = value["template"]
    return RegionPackage(
        region=str(region),
        bucket=str(value["bucket"]),
        key_arn=str(value["key_arn"]),
        endpoint=str(value["endpoint"]),
        template=str(template["file"]),
        template_sha256=str(template["sha256"]),
        template_neutral_sha256=str(template["neutral_sha256"]),
        objects=tuple(
            PackagedObject(
                key=str(one["key"]),
                size=int(one["size"]),
                sha256=str(one["sha256"]),
                neutral_sha256=str(one["neutral_sha256"]),
                resources=tuple(str(name) for name in one["resources"]),
                signed_from=str(one["signed_from"]) if "signed_from" in one else None,
            )
            for one in value["objects"]
        ),
    )


# --- The names that only one region uses ----------------------------------------------------


class NeutralNames:
    """Takes a region's own names out of the texts that hold them, so that regions compare.

    Texts are given in the order of `Export.assets`: a nested template's own neutral digest
    stands for its key in the texts that come after it.
    """

    def __init__(self, endpoint: str, bucket: str) -> None:
        self._names = {f"{endpoint}/{bucket}/": "<bucket-url>/", bucket: "<bucket>"}

    def signed(self, key: str, unsigned: str) -> None:
        """From now on the key of a signed zip counts as that of the zip that was signed."""
        self._names[key] = f"<signed {unsigned}>"

    def digest(self, text: bytes, key: str | None = None) -> str:
        """SHA-256 of the text without the region's names; `key` is that of its object."""
        neutral = replace_all(text.decode(), self._names)
        digest = hashlib.sha256(neutral.encode()).hexdigest()
        if key is not None:
            self._names[key] = f"<{digest}>"
        return digest


def replace_all(text: str, names: Mapping[str, str]) -> str:
    """Replace every name by its value, in one pass, longer names first."""
    if not names:
        return text
    longest_first: Iterable[str] = sorted(names, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(name) for name in longest_first))
    return pattern.sub(lambda found: names[found[0]], text)
