"""The judges of waves say no where AWS Config would, and every pipeline with waves passes."""

from typing import Any

import pytest

from foothold.pipelines.file import parameter_values, read_template
from foothold.pipelines.macro import expand_template
from proof.cloud import HOME
from proof.fanout import (
    REGIONS,
    Stages,
    deployment_count,
    deployments,
    region_fanout,
    stages_of,
    stores_of,
    waves,
)
from proof.house import ROOT
from proof.result import Scale


def stages(*waves_of: list[str], mode: str = "CHANGE_SET_EXECUTE") -> Stages:
    kind = {"Category": "Deploy"}
    return [
        {
            "Name": f"S{number}",
            "Actions": [
                {"ActionTypeId": kind, "Configuration": {"ActionMode": mode}, "Region": region}
                for region in regions
            ],
        }
        for number, regions in enumerate(waves_of)
    ]


# The rule's own example: 1, then 3, then 12 regions.
EXAMPLE = [REGIONS[:1], REGIONS[1:4], REGIONS[4:16]]


def test_the_example_of_the_rules_page_is_in_order() -> None:
    assert not list(region_fanout(stages(*EXAMPLE), HOME))
    assert not list(deployment_count(stages(*EXAMPLE)))


@pytest.mark.parametrize(
    ("spread", "line"),
    [
        ([REGIONS[:2]], "S0 deploys to 2 regions, of at most 1"),
        ([REGIONS[:1], REGIONS[1:5]], "S1 deploys to 4 regions, of at most 3"),
        ([*EXAMPLE[:2], REGIONS[4:17]], "S2 deploys to 13 regions, of at most 12"),
        ([[], *EXAMPLE[:1], REGIONS[1:5]], "S2 deploys to 4 regions, of at most 3"),
    ],
)
def test_one_region_more_than_the_rule_allows_is_found(spread: list[list[str]], line: str) -> None:
    assert list(region_fanout(stages(*spread), HOME)) == [line]


def test_the_first_stage_makes_one_deployment_and_others_as_many_as_the_limit() -> None:
    twice = stages(["eu-west-1", "eu-west-1"], ["us-east-1"] * 3)
    assert list(deployment_count(twice)) == ["S0 makes 2 deployments, of at most 1"]
    assert list(deployment_count(twice[1:])) == ["S1 makes 3 deployments, of at most 1"]
    once = [*stages(["eu-west-1"]), twice[1]]
    assert list(deployment_count(once, 2)) == ["S1 makes 3 deployments, of at most 2"]
    assert not list(deployment_count(once, 3))


def test_what_makes_a_change_set_deploys_nothing() -> None:
    [stage] = stages(REGIONS, mode="CHANGE_SET_REPLACE")
    assert deployments(stage) == []


@pytest.mark.parametrize("more", [{}, {"WaveSize": 1}, {"Waves": [2, 3]}])
def test_a_pipeline_whose_first_stage_deploys_to_several_regions_is_found(
    more: dict[str, Any],
) -> None:
    found = stages_of(3, 1, **more)
    assert list(region_fanout(found, HOME))
    assert list(deployment_count(found))


def test_every_pipeline_with_waves_satisfies_both_rules() -> None:
    result = waves(Scale())
    assert result.failures == ()
    assert result.cases > 100


@pytest.mark.parametrize("file", ["pipelines/example.yaml", "examples/ledger/pipeline.yaml"])
def test_the_pipelines_that_are_shown_satisfy_both_rules(file: str) -> None:
    fragment = read_template(ROOT / file)
    stores = stores_of(16)
    fragment = expand_template(fragment, stores, HOME, parameter_values(fragment, []))
    found = fragment["Resources"]["Pipeline"]["Properties"]["Stages"]
    assert not list(region_fanout(found, HOME))
    assert not list(deployment_count(found))
