"""What a run leaves on the disk, whole or not at all."""

import os
from pathlib import Path

import pytest

from foothold.errors import PermanentError
from foothold.packaging.manifest import template_name
from foothold.packaging.outputs import write_outputs
from tests.packaging.shop import package
from tests.packaging.side_by_side import SideBySide

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_a_failed_regions_template_is_not_written_and_an_old_one_is_taken_away(
    app: SideBySide, tmp_path: Path
) -> None:
    write_outputs(package(app), tmp_path)
    assert (tmp_path / template_name("us-east-1")).exists()
    outputs = write_outputs(package(app, us_east_1="denied"), tmp_path)
    assert list(outputs.templates) == ["ap-south-1", "eu-west-1"]
    assert sorted(path.name for path in tmp_path.glob("template-*")) == [
        template_name("ap-south-1"),
        template_name("eu-west-1"),
    ]


def test_outputs_appear_whole(
    app: SideBySide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = package(app)
    target = tmp_path / "out"
    replaced: list[Path] = []

    def full(half: Path, path: Path) -> Path:
        if len(replaced) == 2:
            raise OSError(28, "No space left on device", str(path))
        replaced.append(path)
        os.replace(half, path)  # noqa: PTH105  # Path.replace is what is replaced here
        return path

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(PermanentError, match="No space left on device"):
        write_outputs(packaged, target)
    assert sorted(path.name for path in target.iterdir()) == sorted(path.name for path in replaced)
    for path in replaced:
        region = path.name.removeprefix("template-export-").removesuffix(".yml")
        assert path.read_bytes() == packaged.templates[region].render()


def test_an_output_that_is_as_it_should_be_is_not_touched(app: SideBySide, tmp_path: Path) -> None:
    outputs = write_outputs(package(app), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in outputs.templates.values()}
    write_outputs(package(app), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in before} == before
