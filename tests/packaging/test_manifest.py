"""What a manifest says of the regions, and whether they are equal."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.s3 import World
from foothold.errors import PermanentError
from foothold.packaging.manifest import Manifest
from tests.packaging.shop import package
from tests.packaging.side_by_side import SideBySide

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_the_manifest_says_what_every_region_holds(app: SideBySide, world: World) -> None:
    manifest = package(app).manifest
    assert manifest.summary() == (
        "3 regions, 2 objects, equal byte for byte; 1 nested template, equal but for each "
        "region's own names"
    )
    for one in manifest.packages:
        assert {name for each in one.objects for name in each.resources} == {
            "Code", "Machine", "Child", "Child/Inner",
        }  # fmt: skip
        for each in one.objects:
            body = world.objects[f"/{one.bucket}/{each.key}"].body
            assert body is not None
            assert (each.size, each.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert Manifest.from_json(json.loads(json.dumps(manifest.as_json()))) == manifest


def test_regions_that_differ_are_named(app: SideBySide) -> None:
    manifest = package(app).manifest
    first, *others = manifest.packages
    code, *rest = first.objects
    changed = replace(first, objects=(replace(code, sha256="0", neutral_sha256="0"), *rest))
    differing = replace(manifest, packages=(changed, *others))
    assert differing.summary().startswith(
        "the regions differ: Code, Child/Inner in ap-south-1 and "
    )
    missing = replace(manifest, packages=(first, replace(others[0], objects=(code,))))
    assert "Machine is only in ap-south-1" in missing.differences()
    other = replace(others[0], template_neutral_sha256="0")
    assert replace(manifest, packages=(first, other)).differences() == (
        "the templates of ap-south-1 and eu-west-1",
    )


@pytest.mark.parametrize("value", [None, [], {}, {"project": "x", "regions": [], "failed": {}}])
def test_what_is_no_manifest_is_refused(value: Any) -> None:
    with pytest.raises(PermanentError, match="no manifest"):
        Manifest.from_json(value)
