"""An artifact that somebody else made is unpacked as if it meant harm."""

import io
import shutil
import stat
import struct
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foothold.errors import PermanentError
from foothold.packaging.gateways import archive
from foothold.packaging.gateways.archive import save, unpack


def made(*members: tuple[str, bytes, int], system: int = 3) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # for names that are there twice
        for name, content, mode in members:
            member = zipfile.ZipInfo("placeholder")
            member.filename = name  # as it is: ZipInfo would tidy it up
            member.create_system = system
            member.external_attr = mode << 16
            opened.writestr(member, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def file(name: str, content: bytes = b"x", mode: int = 0o644) -> tuple[str, bytes, int]:
    return name, content, stat.S_IFREG | mode


def unpacked(tmp_path: Path, content: bytes) -> dict[str, tuple[bytes, int]]:
    source, folder = tmp_path / "artifact.zip", tmp_path / "build"
    source.write_bytes(content)
    folder.mkdir()
    unpack(source, folder)
    return {
        str(path.relative_to(folder)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_files_come_out_with_their_content_and_their_permission_bits(tmp_path: Path) -> None:
    content = made(file("a/run.sh", b"#!/bin/sh\n", 0o755), file("b.txt", b"", 0o640), file("a/ü"))
    assert unpacked(tmp_path, content) == {
        "a/run.sh": (b"#!/bin/sh\n", 0o755),
        "b.txt": (b"", 0o640),
        "a/ü": (b"x", 0o644),
    }


def test_a_file_that_nobody_may_read_can_still_be_packaged(tmp_path: Path) -> None:
    assert unpacked(tmp_path, made(file("secret", mode=0o100)))["secret"] == (b"x", 0o700)


def test_bits_that_would_change_who_runs_a_file_are_left_out(tmp_path: Path) -> None:
    assert unpacked(tmp_path, made(file("run", mode=0o4755)))["run"] == (b"x", 0o755)


def test_a_zip_from_a_system_without_such_bits_comes_out_too(tmp_path: Path) -> None:
    assert unpacked(tmp_path, made(("a.txt", b"x", 0), system=0))["a.txt"][0] == b"x"


def test_folders_come_out_even_if_they_are_empty(tmp_path: Path) -> None:
    unpacked(tmp_path, made(("empty/", b"", stat.S_IFDIR | 0o755)))
    assert (tmp_path / "build/empty").is_dir()


REFUSED = {
    "a step up": (made(file("../evil")), "would leave its folder"),
    "a step up in the middle": (made(file("a/../../evil")), "would leave its folder"),
    "an absolute name": (made(file("/etc/evil")), "would leave its folder"),
    "a drive": (made(file("C:/evil")), "would leave its folder"),
    "another system's separator": (made(file("..\\evil")), "would leave its folder"),
    "no name": (made(file(".")), "would leave its folder"),
    "a link": (made(("a", b"/etc/passwd", stat.S_IFLNK | 0o777)), "is a link or a device"),
    "a device": (made(("a", b"", stat.S_IFCHR | 0o666)), "is a link or a device"),
    "a pipe": (made(("a", b"", stat.S_IFIFO | 0o666)), "is a link or a device"),
    "one name twice": (made(file("a"), file("a")), "twice"),
    "one name in two ways": (made(file("a/b"), file("a//b")), "twice"),
    "no zip": (b"PK is not enough", "no zip that can be read"),
    "nothing": (b"", "no zip that can be read"),
    "a file where a folder is": (made(file("a"), file("a/b")), "cannot unpack"),
    "a name that no file can have": (made(file("n" * 300)), "cannot unpack"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_do_harm_is_refused(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    with pytest.raises(PermanentError, match=message):
        unpacked(tmp_path, content)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact.zip", "build"]


def test_nothing_is_written_of_an_archive_that_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError):
        unpacked(tmp_path, made(file("good"), file("../evil")))
    assert list((tmp_path / "build").iterdir()) == []


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    content = bytearray(made(file("a")))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    with pytest.raises(PermanentError, match="encrypted"):
        unpacked(tmp_path, bytes(content))


def test_a_compression_that_nobody_here_knows_is_refused(tmp_path: Path) -> None:
    content = bytearray(made(file("a")))
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(signature) + offset] = 99
    with pytest.raises(PermanentError, match="no zip that can be read: That compression method"):
        unpacked(tmp_path, bytes(content))


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    content = bytearray(made(file("a", b"words and words " * 100)))
    at = content.index(b"PK\x01\x02") - 10
    content[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(PermanentError, match=r"no zip that can be read|is damaged"):
        unpacked(tmp_path, bytes(content))


def free(monkeypatch: pytest.MonkeyPatch, megabytes: float) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=int(megabytes * 1e6)))


def test_an_archive_that_does_not_fit_the_disk_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 70)
    with pytest.raises(PermanentError, match="unpacks to 10 MB, and only 3 MB are free") as caught:
        unpacked(tmp_path, made(file("bomb", bytes(10_000_000))))
    assert "PackageStorage" in str(caught.value)
    assert list((tmp_path / "build").iterdir()) == []


def test_an_artifact_that_does_not_fit_the_disk_is_not_even_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 70)
    with pytest.raises(PermanentError, match="is 10 MB, and only 3 MB are free"):
        save(iter([]), 10_000_000, tmp_path / "artifact.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_an_artifact_is_fetched_is_one_clear_line(
    tmp_path: Path,
) -> None:
    def chunks() -> Any:
        yield b"x"
        raise OSError(28, "No space left on device")

    with pytest.raises(PermanentError, match="No space left on device"):
        save(chunks(), 10, tmp_path / "artifact.zip")


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", 3)
    with pytest.raises(PermanentError, match="4 files; 3 are too many"):
        unpacked(tmp_path, made(*(file(str(at)) for at in range(4))))


def test_a_member_cannot_grow_beyond_the_size_that_it_declares(tmp_path: Path) -> None:
    content = bytearray(made(file("bomb", bytes(1_000_000))))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(signature) + offset
        content[at : at + 4] = struct.pack("<I", 10)
    with pytest.raises(PermanentError, match="no zip that can be read"):
        unpacked(tmp_path, bytes(content))
    assert sum(path.stat().st_size for path in (tmp_path / "build").rglob("*")) <= 10


@given(
    st.lists(
        st.tuples(
            st.text(st.sampled_from("ab./\\:ü\x00 "), min_size=1, max_size=12),
            st.binary(max_size=50),
            st.integers(0, 0xFFFF),
        ),
        max_size=5,
    ),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=6),
)
@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_an_archive_holds_nothing_is_written_elsewhere(
    tmp_path_factory: pytest.TempPathFactory,
    members: list[tuple[str, bytes, int]],
    damage: list[tuple[int, int]],
) -> None:
    content = bytearray(made(*members))
    for at, value in damage:
        if at < len(content):
            content[at] = value
    tmp_path = tmp_path_factory.mktemp("fuzz")
    with suppress(PermanentError):
        unpacked(tmp_path, bytes(content))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact.zip", "build"]
    build = tmp_path / "build"
    assert all(path.resolve().is_relative_to(build.resolve()) for path in build.rglob("*"))
    shutil.rmtree(tmp_path)
