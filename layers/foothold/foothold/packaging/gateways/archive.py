"""Zips: made as `sam package` makes them, and unpacked as if somebody wanted to do harm.

Members are those of samcli.lib.package.utils.make_zip_with_permissions (aws-sam-cli 1.170.0):
dated 1980-01-01, deflated, with the file's own mode, to which read permissions are added for
Lambda's types. Two things are better: members are sorted, so that a zip does not depend on the
file system that it was made on, and Intel's ISA-L deflates them about fifteen times faster.
"""

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from isal import isal_zlib

from foothold.errors import PermanentError
from foothold.packaging.manifest import Body, Folder, LoneFile

LAMBDA_PERMISSIONS = 0o100444
UNIX = 3  # ZipInfo.create_system (PKWARE APPNOTE 4.4.2)
# What `sam package` gives to files that have no Unix mode, so that a `bootstrap` can be run
# (samcli.lib.package.permissions.WindowsFilePermissionPermissionMapper).
WITHOUT_MODE = 0o755
CHUNK = 1 << 20  # bytes
# Of ISA-L's levels, 0 to 3: as fast as 1 and smaller; 3 takes twice as long for one per cent.
LEVEL = 2


class LocalZips:
    """`packaging.ports.Zips` on the local disk."""

    def make(self, content: Folder | LoneFile, target: Path) -> Body:
        """Zip the content into `target`. Raises PermanentError where a file cannot be read or
        the disk is full."""
        try:
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                for path, member in _members(content):
                    _add(archive, path, member)
            return self.measure(target)
        except OSError as error:
            raise PermanentError(
                f"cannot zip {content.path}: {error.strerror}: {error.filename or target}"
            ) from error
        except (UnicodeError, ValueError) as error:
            raise PermanentError(f"cannot zip {content.path}: {error}") from error

    def measure(self, path: Path) -> Body:
        """The size and digest of a file as it is."""
        try:
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
                return Body(path, opened.tell(), digest)
        except OSError as error:
            raise PermanentError(f"cannot read {path}: {error.strerror}") from error


def _members(content: Folder | LoneFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Each file's path, and the member that it becomes."""
    added = LAMBDA_PERMISSIONS if content.for_lambda else 0
    if isinstance(content, LoneFile):
        size = content.path.stat().st_size
        yield str(content.path), _member(content.path.name, content.mode | added, size)
        return
    found: list[str] = []
    for folder, _, names in os.walk(content.path, followlinks=True):
        found.extend(os.path.join(folder, name) for name in names)  # noqa: PTH118  # 1000s of them
    start = len(os.path.join(content.path, ""))  # noqa: PTH118
    for path in sorted(found):
        status = os.stat(path)  # noqa: PTH116  # 1000s of them
        yield path, _member(path[start:], status.st_mode | added, status.st_size)


def _member(name: str, mode: int, size: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.create_system = UNIX
    member.external_attr = mode << 16
    member.file_size = size
    return member


def _add(archive: zipfile.ZipFile, path: str, member: zipfile.ZipInfo) -> None:
    # PTH123: a path is a str here, because there are thousands of them.
    with open(path, "rb", buffering=0) as source, archive.open(member, "w") as target:  # noqa: PTH123
        # zipfile knows no other deflate. Where a later Python does not look here any more, it
        # uses zlib: as right, and slower.
        target._compressor = isal_zlib.compressobj(  # type: ignore[attr-defined]  # noqa: SLF001
            LEVEL, zipfile.ZIP_DEFLATED, -15
        )
        while chunk := source.read(CHUNK):
            target.write(chunk)


# --- Fetching and unpacking -----------------------------------------------------------------

MOST_MEMBERS = 100_000
RESERVE = 64 << 20  # bytes of the disk that unpacking leaves free, for the zips to come


def save(chunks: Iterable[bytes], size: int, target: Path) -> None:
    """Write what is `size` bytes long to the disk. Raises PermanentError, before anything is
    written, where it has no room."""
    free = shutil.disk_usage(target.parent).free - RESERVE
    if size > free:
        raise _no_room(size, "is", free)
    try:
        with target.open("wb") as written:
            for chunk in chunks:
                written.write(chunk)
    except OSError as error:
        raise PermanentError(f"cannot save the artifact: {error.strerror}") from error


def _no_room(size: int, verb: str, free: int) -> PermanentError:
    return PermanentError(
        f"the artifact {verb} {size / 1e6:.0f} MB, and only {max(0, free) / 1e6:.0f} MB are free "
        "here: give the function more ephemeral storage (the stack parameter PackageStorage), or "
        "package with `foothold package` in the build"
    )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip that somebody else made into an empty folder.

    Keeps permission bits, as they end up in the functions' zips; a zip that was made on Windows
    has none, and everything in it can be run, as with `sam package` there. Raises
    PermanentError, before anything is written, for a member that would leave the folder
    (absolute, `..`), is a link or a device, is encrypted, or is there twice; for more than
    MOST_MEMBERS members; and for an archive that does not fit the disk. No member can grow
    beyond the size that it declares: `zipfile` stops reading there.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            _refuse_harm(members, shutil.disk_usage(folder).free)
            for member in members:
                _extract(opened, member, folder)
    # `zipfile` raises NotImplementedError for a compression or a version that it does not know.
    except (zipfile.BadZipFile, NotImplementedError, EOFError, UnicodeError) as error:
        raise PermanentError(f"the artifact is no zip that can be read: {error}") from error
    except zlib.error as error:
        raise PermanentError(f"the artifact is damaged: {error}") from error
    except OSError as error:
        raise PermanentError(f"cannot unpack the artifact: {error.strerror}") from error


def _refuse_harm(members: list[zipfile.ZipInfo], free: int) -> None:
    if len(members) > MOST_MEMBERS:
        raise PermanentError(f"the artifact has {len(members)} files; {MOST_MEMBERS} are too many")
    size = sum(member.file_size for member in members)
    if size > free - RESERVE:
        raise _no_room(size, "unpacks to", free - RESERVE)
    seen: set[str] = set()
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        kind = stat.S_IFMT(member.external_attr >> 16) if member.create_system == UNIX else 0
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
            raise PermanentError(f"the artifact holds {name!r}, which would leave its folder")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise PermanentError(
                f"the artifact holds {name!r}, which is a link or a device: put the file there"
            )
        if member.flag_bits & 0x1:
            raise PermanentError(f"the artifact holds {name!r}, which is encrypted")
        if str(PurePosixPath(name)) in seen:
            raise PermanentError(f"the artifact holds {name!r} twice")
        seen.add(str(PurePosixPath(name)))


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / member.filename
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source: IO[bytes] | Any
    with archive.open(member) as source, target.open("xb") as written:
        shutil.copyfileobj(source, written, CHUNK)
    mode = (member.external_attr >> 16) & 0o777 if member.create_system == UNIX else 0
    target.chmod((mode or WITHOUT_MODE) | stat.S_IRUSR | stat.S_IWUSR)
