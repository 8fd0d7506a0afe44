"""What was packaged, as a release: the same bytes for the same targets are the same one."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.packaging.manifest import Manifest, PackagedObject, RegionPackage, template_name
from foothold.packaging.release import keep_release, release_of
from foothold.releases.keeping import Releases
from foothold.releases.model import Bake, Release, ReleaseTarget, SourceFacts, When
from tests.packaging.shop import REGIONS, package
from tests.packaging.side_by_side import SideBySide
from tests.releases.memory import MemoryRecords

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NAMES = st.text("abcdef", min_size=1, max_size=4)
DIGESTS = st.text("0123456789abcdef", min_size=4, max_size=4)
TEXTS = st.dictionaries(NAMES, NAMES, max_size=3)


@st.composite
def targets(draw: st.DrawFn) -> ReleaseTarget:
    regions = draw(st.permutations(REGIONS))
    return ReleaseTarget(
        draw(NAMES),
        "222222222222",
        draw(NAMES),
        tuple((region,) for region in regions),
        parameters=draw(TEXTS),
        region_parameters={"eu-west-1": draw(TEXTS)},
        tags=draw(TEXTS),
        stack_policy=draw(st.none() | st.just({"Statement": []})),
        bake=draw(st.none() | st.builds(Bake, st.integers(0, 9))),
    )


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """What was packaged for some regions, of which each has the same content, or its own."""
    alike = draw(st.booleans())
    shared = draw(contents())
    return Manifest(
        draw(NAMES),
        tuple(_package(region, shared if alike else draw(contents())) for region in REGIONS),
        {},
    )


Content = tuple[str, tuple[PackagedObject, ...]]


@st.composite
def contents(draw: st.DrawFn) -> Content:
    each = st.builds(
        PackagedObject,
        key=NAMES,
        size=st.integers(1, 9),
        sha256=DIGESTS,
        neutral_sha256=DIGESTS,
        resources=st.lists(NAMES, min_size=1, max_size=2).map(tuple),
    )
    return draw(DIGESTS), tuple(draw(st.lists(each, max_size=3)))


def _package(region: str, content: Content) -> RegionPackage:
    """Everything that is a region's own is its own in each."""
    template, objects = content
    return RegionPackage(
        region,
        f"bucket-{region}",
        f"arn:aws:kms:{region}:111111111111:key/x",
        f"https://s3.{region}.amazonaws.com",
        template_name(region),
        f"{template} for {region}",
        template,
        objects,
    )


def changed(
    manifest: Manifest, at: int, change: Callable[[RegionPackage], RegionPackage]
) -> Manifest:
    packages = list(manifest.packages)
    packages[at] = change(packages[at])
    return replace(manifest, packages=tuple(packages))


@given(manifests(), st.lists(targets(), max_size=2), st.randoms(use_true_random=False))
def test_neither_order_nor_time_nor_person_nor_a_regions_own_names_make_another_release(
    manifest: Manifest, made_for: list[ReleaseTarget], chance: random.Random
) -> None:
    first = release_of(manifest, made_for)
    shuffled = list(manifest.packages)
    chance.shuffle(shuffled)
    again = tuple(
        replace(
            package,
            bucket=f"other-{package.region}",
            key_arn="another",
            endpoint="elsewhere",
            template_sha256="other",
            objects=tuple(
                replace(one, key=f"other-{one.key}", sha256="x")
                for one in chance.sample(package.objects, len(package.objects))
            ),
        )
        for package in shuffled
    )
    backwards = [
        replace(target, parameters=dict(reversed(list(target.parameters.items()))))
        for target in made_for
    ]
    other = replace(
        release_of(replace(manifest, packages=again), backwards),
        source=SourceFacts("c0ffee", "main"),
        packaged_at="2026-01-01T00:00:00Z",
        packaged_by="somebody",
    )
    assert other.id == first.id
    assert Release.parse(other.render(), "here") == other


@given(manifests(), targets(), st.integers(0, len(REGIONS) - 1), st.data())
def test_whatever_changes_makes_another_release(
    manifest: Manifest, target: ReleaseTarget, at: int, data: st.DataObject
) -> None:
    first = release_of(manifest, [target])
    extra = PackagedObject("k", 1, "s", "another", ("New",))
    others: Mapping[str, Release] = {
        "project": release_of(replace(manifest, project=f"{manifest.project}x"), [target]),
        "template": release_of(
            changed(manifest, at, lambda one: replace(one, template_neutral_sha256="another")),
            [target],
        ),
        "object": release_of(
            changed(manifest, at, lambda one: replace(one, objects=(*one.objects, extra))), [target]
        ),
        "parameter": release_of(
            manifest, [replace(target, parameters={**target.parameters, "new": "x"})]
        ),
        "region's parameter": release_of(
            manifest, [replace(target, region_parameters={"us-east-1": {"new": "x"}})]
        ),
        "tag": release_of(manifest, [replace(target, tags={**target.tags, "new": "x"})]),
        "policy": release_of(manifest, [replace(target, stack_policy={"Statement": [{}]})]),
        "stack": release_of(manifest, [replace(target, stack=f"{target.stack}x")]),
        "account": release_of(manifest, [replace(target, account="333333333333")]),
        "waves": release_of(manifest, [replace(target, waves=(target.regions,))]),
        "approval": release_of(manifest, [replace(target, approval=When.RISK)]),
        "no target": release_of(manifest),
        "two targets": release_of(manifest, [target, replace(target, name="Another")]),
    }
    assert [what for what, other in others.items() if other.id == first.id] == []
    objects = manifest.packages[at].objects
    if objects:
        which = data.draw(st.integers(0, len(objects) - 1))

        def mended(one: PackagedObject, **more: object) -> Release:
            kept = list(objects)
            kept[which] = replace(one, **more)  # type: ignore[arg-type]  # two fields of its own
            there = changed(manifest, at, lambda one: replace(one, objects=tuple(kept)))
            return release_of(there, [target])

        one = objects[which]
        assert mended(one, neutral_sha256="another").id != first.id
        assert mended(one, resources=("Another",)).id != first.id


@given(contents(), contents(), st.integers(1, len(REGIONS)))
def test_regions_of_the_same_content_count_once_and_the_odd_one_counts(
    shared: Content, odd: Content, count: int
) -> None:
    def of(*regions: str, **own: Content) -> str:
        packages = tuple(
            _package(region, own.get(region.replace("-", "_"), shared)) for region in regions
        )
        return release_of(Manifest("shop", packages, {})).id

    assert of(*REGIONS[:count]) == of(REGIONS[0])
    alike = release_of(Manifest("a", (_package("x", odd),), {})).regions["x"].neutral == (
        release_of(Manifest("a", (_package("x", shared),), {})).regions["x"].neutral
    )
    assert (of(*REGIONS, us_east_1=odd) == of(*REGIONS)) == alike
    assert (of(*REGIONS, us_east_1=odd) == of(*REGIONS, eu_west_1=odd)) == alike


TARGET = ReleaseTarget(
    "Prod",
    "222222222222",
    "shop",
    (("us-east-1",), ("eu-west-1",)),
    parameters={"b": "1", "a": "ü"},
    region_parameters={"us-east-1": {"a": "2"}},
    tags={"team": "accounts"},
    stack_policy={"Statement": []},
)


def test_a_release_has_its_template_its_manifest_and_its_configurations_in_each_store(
    app: SideBySide,
) -> None:
    packaged, records = package(app), MemoryRecords(regions=REGIONS)
    source = SourceFacts("c0ffee", "main", "It works", "https://example.com")
    kept = keep_release(
        Releases(records, records, "eu-west-1"),
        packaged,
        [TARGET],
        source,
        seconds=1767225600,
        caller="somebody",
    )
    assert kept
    assert kept.failed == {}
    assert kept.release.source == source
    assert (kept.release.packaged_at, kept.release.packaged_by) == (
        "2026-01-01T00:00:00Z",
        "somebody",
    )
    for region, named in (("us-east-1", True), ("ap-south-1", False)):
        there = records.below(region, kept.release.prefix)
        assert sorted(there) == [
            *([f"configuration-Prod-{region}.json"] if named else []),
            "manifest.json",
            "release.json",
            f"template-export-{region}.yml",
        ]
        assert there[f"template-export-{region}.yml"] == packaged.templates[region].render()
        manifest = Manifest.from_json(json.loads(there["manifest.json"]))
        assert manifest.packages == packaged.manifest.packages
    configuration = records.below("us-east-1", kept.release.prefix)[
        "configuration-Prod-us-east-1.json"
    ]
    assert (
        configuration.decode()
        == f"""\
{{
  "Parameters": {{
    "a": "2",
    "b": "1"
  }},
  "StackPolicy": {{
    "Statement": []
  }},
  "Tags": {{
    "foothold:project": "shop",
    "foothold:release": "{kept.release.id}",
    "team": "accounts"
  }}
}}
"""
    )
    assert '"a": "ü"' in (
        records.below("eu-west-1", kept.release.prefix)[
            "configuration-Prod-eu-west-1.json"
        ].decode()
    )


def test_the_order_in_which_regions_are_asked_for_changes_no_byte(app: SideBySide) -> None:
    packaged, records = package(app), MemoryRecords(regions=REGIONS)
    releases = Releases(records, records, "eu-west-1")
    backwards = replace(packaged.manifest, packages=packaged.manifest.packages[::-1])
    for manifest in (packaged.manifest, backwards):
        kept = keep_release(
            releases, replace(packaged, manifest=manifest), [TARGET], seconds=0, caller=""
        )
        assert kept
        assert kept.failed == {}
        for key in [key for key in records.objects if key[1].endswith("release.json")]:
            del records.objects[key]  # so that all else is compared


def test_where_a_region_failed_there_is_no_release(app: SideBySide) -> None:
    packaged, records = package(app, us_east_1="denied"), MemoryRecords(regions=REGIONS)
    releases = Releases(records, records, "eu-west-1")
    assert keep_release(releases, packaged, seconds=0, caller="") is None
    assert records.objects == {}
