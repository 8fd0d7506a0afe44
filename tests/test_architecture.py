"""docs/architecture.md shows what the import contracts in pyproject.toml say, and nothing else."""

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from local.aws.embedded import ROOT

PACKAGE = ROOT / "layers" / "foothold" / "foothold"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "importlinter"
]["contracts"]
Edge = tuple[str, str]


def layers_of(contract: dict[str, Any]) -> list[list[str]]:
    return [layer.split(" | ") for layer in contract["layers"]]


LAYERED = {
    container.removeprefix("foothold").removeprefix("."): layers_of(contract)
    for contract in CONTRACTS
    if contract["type"] == "layers"
    for container in contract["containers"]
}


def with_all_below(edges: set[Edge]) -> set[Edge]:
    """What may be imported in one step or in several."""
    found = set(edges)
    while more := {(a, d) for (a, b), (c, d) in product(found, edges) if b == c} - found:
        found |= more
    return found


def allowed(layers: list[list[str]]) -> set[Edge]:
    """Every layer may import what is in the next one, and so all below."""
    return with_all_below(
        {edge for here, below in pairwise(layers) for edge in product(here, below)}
    )


def drawn(page: str) -> set[Edge]:
    (picture,) = re.findall(r"```mermaid\nflowchart TD\n(.*?)```", page, re.DOTALL)
    lines = [line.strip() for line in picture.strip().splitlines()]
    return {(above, below) for above, _, below in (line.partition(" --> ") for line in lines)}


def test_the_picture_shows_the_imports_that_the_contract_allows() -> None:
    assert with_all_below(drawn(PAGE)) == allowed(LAYERED[""])


def test_the_picture_has_no_arrow_that_another_way_makes_needless() -> None:
    edges = drawn(PAGE)
    assert [edge for edge in edges if edge in with_all_below(edges - {edge})] == []


@pytest.mark.parametrize("other", [{("stores", "cli")}, {("packaging", "pipelines")}, set()])
def test_a_picture_that_says_something_else_is_noticed(other: set[Edge]) -> None:
    edges = drawn(PAGE)
    changed = edges | other if other else edges - {("stores", "aws")}
    assert with_all_below(changed) != allowed(LAYERED[""])


def test_every_file_of_a_wing_stands_in_its_row_in_the_order_of_its_contract() -> None:
    shown = dict(re.findall(r"^\| `([a-z_/]+)/` \| (.*) \|$", PAGE, re.MULTILINE))
    held = {
        wing.replace(".", "/"): " → ".join(
            " \\| ".join(f"`{file}`" for file in each) for each in layers
        )
        for wing, layers in LAYERED.items()
        if wing
    }
    assert shown == held


def test_what_other_wings_use_of_stores_is_what_the_contract_does_not_forbid() -> None:
    wings = {"foothold.packaging", "foothold.pipelines", "foothold.releases"}
    (contract,) = [each for each in CONTRACTS if set(each.get("source_modules", ())) == wings]
    forbidden = {name.removeprefix("foothold.stores.") for name in contract["forbidden_modules"]}
    (said,) = re.findall(r"only what is published there:\s([^.]*)\.", PAGE)
    every = {file for layer in LAYERED["stores"] for file in layer}
    assert set(re.findall(r"`(\w+)`", said)) == every - forbidden


def paths(page: Path) -> Iterator[str]:
    """Whatever looks like a path in backticks, without what stands for a name."""
    for name in re.findall(r"`([\w./-]+)`", page.read_text()):
        if "/" in name.strip("/") or name.endswith((".py", ".yaml", ".toml")):
            yield name


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_path_that_the_page_names_is_there(page: str) -> None:
    named = list(paths(ROOT / page))
    assert len(named) > 10
    assert [name for name in named if not any((at / name).exists() for at in (ROOT, PACKAGE))] == []
