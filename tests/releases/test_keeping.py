"""Releases in the stores: written once in each, whatever happens on the way."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import pytest

from foothold.errors import PermanentError, TemporaryError
from foothold.releases.keeping import KeptRelease, Releases
from foothold.releases.model import Release, SourceFacts
from tests.releases.memory import (
    HOME,
    REGIONS,
    Killed,
    MemoryRecords,
    files,
    killing,
    release,
    store,
)


def releases(records: MemoryRecords, threads: int = 4) -> Releases:
    return Releases(records, records, HOME, threads=threads)


def keep(records: MemoryRecords, each: Release, threads: int = 4) -> KeptRelease:
    return releases(records, threads).keep(each, lambda: files(each))


def failing(records: MemoryRecords, *regions: str, with_: Exception | None = None) -> None:
    def refuse(_operation: str, region: str, _key: str) -> None:
        if region in regions:
            raise with_ or PermanentError(f"{region} refuses")

    records.before = refuse


def test_each_store_holds_all_that_it_takes_to_deploy_there() -> None:
    records, each = MemoryRecords(), release(at="2026-01-01T00:00:00Z")
    kept = keep(records, each)
    assert (kept.release, kept.failed) == (each, {})
    for region in REGIONS:
        there = records.below(region, each.prefix)
        assert sorted(there) == [
            f"configuration-Prod-{region}.json",
            "manifest.json",
            "release.json",
            f"template-export-{region}.yml",
        ]
        assert Release.parse(there["release.json"], "") == each


def test_in_no_store_anything_is_written_after_its_release_json() -> None:
    records, order = MemoryRecords(), []
    records.before = lambda operation, region, key: order.append((operation, region, key))
    each = release()
    keep(records, each)
    for region in REGIONS:
        written = [
            key for operation, where, key in order if (operation, where) == ("create", region)
        ]
        assert written[-1] == f"{each.prefix}release.json"
        assert len(written) == 4


def test_a_release_that_is_there_costs_one_read_of_each_store() -> None:
    records, each = MemoryRecords(), release(at="2026-01-01T00:00:00Z")
    keep(records, each)
    calls: list[str] = []
    records.before = lambda operation, *_: calls.append(operation)
    later = replace(each, packaged_at="2026-02-02T00:00:00Z", packaged_by="you")
    assert keep(records, later).release == each  # the first one's facts stay
    assert calls == ["read"] * len(REGIONS)


def test_what_is_new_is_written_without_a_look_and_is_still_written_once() -> None:
    records, each = MemoryRecords(), release(at="2026-01-01T00:00:00Z")
    calls: list[str] = []
    records.before = lambda operation, *_: calls.append(operation)
    assert releases(records).keep(each, lambda: files(each), is_new=True) == KeptRelease(each)
    assert calls == ["create"] * 4 * len(REGIONS)
    before = dict(records.objects)
    later = replace(each, packaged_at="2026-02-02T00:00:00Z")
    kept = releases(records).keep(later, lambda: files(later), is_new=True)
    assert kept == KeptRelease(each)  # somebody was first
    assert records.objects == before


CALLS = len(REGIONS) * (1 + 3 + 1)


@pytest.mark.parametrize("killed", range(CALLS + 1))
@pytest.mark.parametrize("again", [0, 7, CALLS])
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next_one(killed: int, again: int) -> None:
    records = MemoryRecords()
    first = release(at="2026-01-01T00:00:00Z")
    second = replace(first, packaged_at="2026-02-02T00:00:00Z", source=SourceFacts("c0ffee"))
    for each, after in ((first, killed), (second, again)):
        killing(records, after)
        with suppress(Killed):
            keep(records, each, threads=1)
    records.before = lambda *_: None
    kept = keep(records, second)
    assert not kept.failed
    undisturbed = MemoryRecords()
    keep(undisturbed, kept.release)
    assert records.objects == undisturbed.objects
    assert kept.release in (first, second)


@pytest.mark.parametrize("killed", range(CALLS + 1))
def test_what_can_be_read_is_whole_wherever_the_one_who_wrote_it_was_killed(killed: int) -> None:
    records, each = MemoryRecords(), release(at="2026-01-01T00:00:00Z")
    killing(records, killed)
    with suppress(Killed):
        keep(records, each, threads=1)
    records.before = lambda *_: None
    for region in REGIONS:
        there = records.below(region, each.prefix)
        assert "release.json" not in there or len(there) == 4
    if any("release.json" in records.below(region, each.prefix) for region in REGIONS):
        assert releases(records).all("shop").releases == (each,)
    else:
        with pytest.raises(PermanentError, match="there is no release of shop"):
            releases(records).all("shop")


def test_several_who_keep_the_same_release_at_once_do_each_other_no_harm() -> None:
    records = MemoryRecords()
    by = [replace(release(), packaged_by=str(number)) for number in range(4)]
    at_once = threading.Barrier(len(by))
    kept: list[KeptRelease] = []

    def run(each: Release) -> None:
        at_once.wait()
        kept.append(keep(records, each))

    threads = [threading.Thread(target=run, args=(each,)) for each in by]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.failed for each in kept] == [{}] * len(by)
    undisturbed = MemoryRecords()
    keep(undisturbed, by[0])
    ours, theirs = (
        {where: body for where, body in each.objects.items() if "release.json" not in where[1]}
        for each in (records, undisturbed)
    )
    assert ours == theirs
    assert records.objects.keys() == undisturbed.objects.keys()


def test_a_write_that_met_another_one_is_tried_again() -> None:
    records, each, met = MemoryRecords(), release(), []

    def conflict(operation: str, _region: str, key: str) -> None:
        if operation == "create" and key not in met:
            met.append(key)
            raise TemporaryError("two at once")

    records.before = conflict
    assert keep(records, each).failed == {}
    assert len(met) == 2 * len(REGIONS) + 2


def test_a_store_that_refuses_is_left_out_and_named_and_the_next_run_fills_it() -> None:
    records, each = MemoryRecords(), release()
    failing(records, "eu-west-1")
    assert keep(records, each).failed == {"eu-west-1": "eu-west-1 refuses"}
    assert records.below("eu-west-1", "") == {}
    assert "release.json" in records.below("us-east-1", each.prefix)
    records.before = lambda *_: None
    assert keep(records, each).failed == {}
    assert len(records.below("eu-west-1", each.prefix)) == 4


@pytest.mark.parametrize(
    "name", ["template-export-eu-west-1.yml", "manifest.json", "configuration-Prod-eu-west-1.json"]
)
def test_what_has_other_bytes_is_not_written_over_and_the_region_is_refused(name: str) -> None:
    records, each = MemoryRecords(), release()
    key = each.prefix + name
    records.create(store("eu-west-1"), key, b"something else")
    kept = keep(records, each)
    assert kept.failed == {
        "eu-west-1": f"{key} in foothold-111111111111-eu-west-1-an, the artifact store of "
        "eu-west-1, has other bytes than this release, and is not written over: take it away, and "
        "package again"
    }
    there = records.below("eu-west-1", each.prefix)
    assert there[name] == b"something else"
    assert "release.json" not in there


def test_a_release_json_that_is_none_or_anothers_is_refused() -> None:
    each, other = release("a"), release("b")
    for body, why in (
        (b"{}", "is no release that Foothold wrote"),
        (other.render(), f"holds another release, {other.prefix}"),
        (each.render().replace(b'"a"', b'"c"'), f"says that it is release {each.id}, and is"),
    ):
        records = MemoryRecords()
        records.create(store("eu-west-1"), f"{each.prefix}release.json", body)
        kept = keep(records, each)
        assert list(kept.failed) == ["eu-west-1"]
        assert why in kept.failed["eu-west-1"]
        assert releases(records).read("shop", each.id) == each  # the other stores have it


def some() -> tuple[MemoryRecords, Mapping[str, Release]]:
    """Stores with three releases: everywhere, without home, and only at home."""
    records = MemoryRecords()
    kept = {
        "old": release("a", at="2026-01-01T00:00:00Z"),
        "far": release("b", regions=REGIONS[1:], at="2026-01-03T00:00:00Z"),
        "near": release("c", regions=[HOME], at="2026-01-02T00:00:00Z"),
    }
    for each in kept.values():
        keep(records, each)
    keep(records, release("d", project="shopping"))
    return records, kept


def test_releases_of_all_stores_are_listed_the_newest_first() -> None:
    records, kept = some()
    found = releases(records).all("shop")
    assert found.releases == (kept["far"], kept["near"], kept["old"])
    assert found.unread == {}
    assert releases(records).read("shop") == kept["far"]


def test_home_is_asked_first_and_any_other_store_where_home_does_not_answer() -> None:
    records, kept = some()
    asked: list[str] = []
    records.before = lambda operation, region, _: (
        asked.append(region) if operation == "read" else None
    )
    assert releases(records).read("shop", kept["old"].id) == kept["old"]
    assert asked == [HOME]
    failing(records, HOME, with_=TemporaryError("home is away"))
    found = releases(records).all("shop")
    assert found.releases == (kept["far"], kept["old"])
    assert found.unread == {HOME: "home is away"}


def test_a_store_that_dies_between_the_list_and_the_read_hides_nothing() -> None:
    records, kept = some()

    def refuse(operation: str, region: str, _key: str) -> None:
        if (operation, region) == ("read", HOME):
            raise PermanentError("home refuses")

    records.before = refuse
    assert releases(records).read("shop", kept["old"].id) == kept["old"]
    found = releases(records).all("shop")
    assert found.releases == (kept["far"], kept["old"])
    assert found.unread == {kept["near"].id: "home refuses"}
    with pytest.raises(PermanentError, match="home refuses"):
        releases(records).read("shop", kept["near"].id)


def test_where_no_store_answers_the_reasons_are_told() -> None:
    records, _ = some()
    failing(records, *REGIONS)
    with pytest.raises(PermanentError, match="eu-central-1 refuses; eu-west-1 refuses; us-east-1"):
        releases(records).all("shop")


def test_a_store_that_may_not_be_used_is_named_as_unread() -> None:
    records, kept = some()
    records.regions, records.refused = REGIONS[1:], {HOME: "is not tagged as ours"}
    found = releases(records).all("shop")
    assert found.releases == (kept["far"], kept["old"])
    assert found.unread == {HOME: "is not tagged as ours"}


def test_the_beginning_of_an_id_is_enough_where_only_one_begins_so() -> None:
    records = MemoryRecords()
    every = [release(str(number)) for number in range(40)]
    for each in every:
        keep(records, each)
    for each in every:
        alike = [one.id for one in every if one.id.startswith(each.id[0])]
        if len(alike) == 1:
            assert releases(records).read("shop", each.id[0]) == each
        else:
            with pytest.raises(PermanentError, match="shop has several releases whose") as told:
                releases(records).read("shop", each.id[0])
            assert all(one in str(told.value) for one in alike)
        assert releases(records).read("shop", each.id) == each


@pytest.mark.parametrize(
    ("project", "prefix", "line"),
    [
        ("nobody", "", "there is no release of nobody in any artifact store: package it with"),
        ("nobody", "ab", "there is no release of nobody in any artifact store: package it with"),
        ("shop", "0123456789abcdef", "no release whose id begins with 0123456789abcdef: `foothold"),
        ("shop", "not-an-id", "'not-an-id' is no id of a release: 16 hexadecimal digits"),
        ("shop", "../shopping", "is no id of a release"),
    ],
)
def test_what_there_is_not_is_said_with_the_way_out(project: str, prefix: str, line: str) -> None:
    records, _ = some()
    with pytest.raises(PermanentError, match=line):
        releases(records).read(project, prefix)


def test_objects_that_were_cleaned_away_are_named() -> None:
    records, kept = some()
    each = kept["old"]
    keys = {region: [each.prefix + name for name in files(each)[region]] for region in REGIONS}
    assert releases(records).gone(each, keys) == ()
    del records.objects[store("us-east-1").bucket, f"{each.prefix}manifest.json"]
    assert releases(records).gone(each, keys) == (f"us-east-1: {each.prefix}manifest.json",)
    failing(records, "eu-west-1")
    assert releases(records).gone(each, keys) == (
        "eu-west-1: eu-west-1 refuses",
        f"us-east-1: {each.prefix}manifest.json",
    )
