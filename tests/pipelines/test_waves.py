"""Regions are shared out in waves, and a target that runs beside another shares its waves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.pipelines.resources import release_targets
from foothold.pipelines.waves import Waves, beside
from foothold.releases.model import ReleaseTargets
from tests.pipelines.declarations import HOME, KNOWN, declarations, declared, pipeline, target

ABC = ("a", "b", "c", "d", "e", "f", "g")


@pytest.mark.parametrize(
    ("waves", "shared_out"),
    [
        (Waves(sizes=(7,)), ["abcdefg"]),
        (Waves(sizes=(1, 3, 12)), ["a", "bcd", "efg"]),
        (Waves(sizes=(1, 2)), ["a", "bc", "de", "fg"]),
        (Waves(lists=(("c",),)), ["c", "abdefg"]),
        (Waves(lists=(("c",), ("b", "g"))), ["c", "bg", "adef"]),
        (Waves(lists=(("a", "b", "c"), ("d", "e", "f", "g"))), ["abc", "defg"]),
    ],
)
def test_the_last_size_repeats_and_what_no_list_names_comes_last(
    waves: Waves, shared_out: list[str]
) -> None:
    assert ["".join(wave) for wave in waves.over(ABC)] == shared_out


def test_no_regions_make_no_waves() -> None:
    assert Waves(sizes=(1, 3)).over(()) == ()


@given(st.lists(st.integers(1, 9), min_size=1), st.integers(0, 40))
def test_every_region_is_in_one_wave_whatever_the_sizes(sizes: list[int], count: int) -> None:
    regions = [str(number) for number in range(count)]
    waves = Waves(sizes=tuple(sizes)).over(regions)
    assert [region for wave in waves for region in wave] == regions
    assert all(waves)


def test_beside_another_target_a_region_is_in_the_wave_that_it_has_there_or_in_the_last() -> None:
    assert beside([("a",), ("b", "c"), ("d",)], ("z", "d", "b")) == ((), ("b",), ("d", "z"))
    assert beside([], ("a",)) == (("a",),)


def test_what_is_published_are_the_regions_and_the_waves_that_are_deployed() -> None:
    found = release_targets(
        pipeline(declared(target(Regions="follow", RegionParameters={"af-south-1": {"A": "b"}})))
    )
    assert (found.project, found.home_region, found.branch) == ("orders", HOME, "main")
    [only] = found.targets
    assert only.waves == (tuple(sorted(KNOWN)),)
    assert only.region_parameters == {}
    assert (only.approval, only.bake, only.joins) == (None, None, "")


@given(declarations())
def test_what_is_published_is_read_back_with_its_digest(properties: dict[str, object]) -> None:
    made = release_targets(pipeline(properties))
    found = ReleaseTargets.parse(made.text, made.digest)
    assert found.text == made.text
    assert [each.cells for each in found.targets] == [each.cells for each in made.targets]
