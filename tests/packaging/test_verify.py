"""Whether the stores still hold what a manifest says."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.s3 import Stored, World
from foothold.packaging.manifest import Manifest, template_name
from foothold.packaging.outputs import write_outputs
from foothold.packaging.verify import Verifier
from tests.packaging.shop import package
from tests.packaging.side_by_side import SideBySide, regional_objects

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def verified(app: SideBySide, tmp_path: Path) -> Callable[[], tuple[str, ...]]:
    """What verification finds, after the example was packaged."""
    outputs = write_outputs(package(app), tmp_path)

    def verify() -> tuple[str, ...]:
        manifest = Manifest.from_json(json.loads(outputs.manifest.read_text()))
        objects = regional_objects(os.environ["AWS_ENDPOINT_URL"])
        return Verifier(objects).verify(manifest, tmp_path)

    return verify


def a_zip(world: World) -> tuple[str, Stored]:
    return next(
        (path, one)
        for path, one in world.objects.items()
        if one.body is not None and one.body.startswith(b"PK") and "us-east-1" in path
    )


def test_verification_finds_nothing_where_nothing_changed(
    verified: Callable[[], tuple[str, ...]], world: World
) -> None:
    world.requests.clear()
    assert verified() == ()
    assert set(world.requests) == {"HEAD"}


def test_verification_reads_what_has_no_checksum(
    verified: Callable[[], tuple[str, ...]], world: World
) -> None:
    _, one = a_zip(world)
    del one.headers["x-amz-checksum-sha256"]
    assert verified() == ()
    assert one.body is not None
    one.body = one.body[:-1] + b"x"
    (finding,) = verified()
    assert "is not what was packaged" in finding


def test_verification_finds_what_is_missing_and_what_is_under_another_key(
    verified: Callable[[], tuple[str, ...]], world: World
) -> None:
    path, one = a_zip(world)
    one.headers["x-amz-server-side-encryption-aws-kms-key-id"] = "arn:aws:kms:x"
    assert "is encrypted with arn:aws:kms:x" in verified()[0]
    del world.objects[path]
    assert "is missing" in verified()[0]


def test_verification_finds_a_template_that_was_edited(
    verified: Callable[[], tuple[str, ...]], tmp_path: Path
) -> None:
    (tmp_path / template_name("eu-west-1")).write_text("Resources: {}\n")
    assert "is not what was packaged" in verified()[0]
    (tmp_path / template_name("eu-west-1")).unlink()
    assert "No such file" in verified()[0]


def test_verification_says_which_region_was_not_packaged(app: SideBySide, tmp_path: Path) -> None:
    packaged = package(app, us_east_1="denied")
    write_outputs(packaged, tmp_path)
    objects = regional_objects(os.environ["AWS_ENDPOINT_URL"])
    (finding,) = Verifier(objects).verify(packaged.manifest, tmp_path)
    assert finding.startswith("us-east-1 was not packaged: ")
