"""The picture shows what CodePipeline will do: stages, accounts, regions, approvals."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from foothold.domain.pipeline_graph import Step, mermaid, stages_of, svg
from foothold.domain.pipeline_template import expand
from tests.pipeline.declarations import HOME, REGIONS, TOPIC, declared, pipeline, stores, target

SVG = "{http://www.w3.org/2000/svg}"


def resource(*targets: Any, known: Any = None, **more: Any) -> dict[str, Any]:
    return expand(pipeline(declared(*targets, **more), known))["Pipeline"]


PRODUCTION = target(
    "Production",
    Account="333333333333",
    Regions=["eu-west-1", "us-east-1", "ap-southeast-1"],
    Approval={"Topic": TOPIC},
    WaveSize=2,
)


def test_a_stage_is_its_steps_in_the_order_in_which_they_run() -> None:
    stage = stages_of(resource(PRODUCTION))[-1]
    assert (stage.name, stage.account, stage.stack) == ("Production", "333333333333", "orders")
    assert stage.steps == (
        Step("change-set", "Create change sets", ("eu-west-1", "us-east-1", "ap-southeast-1")),
        Step("approval", "Approve"),
        Step("execute", "Execute wave 1", ("eu-west-1", "us-east-1")),
        Step("execute", "Execute wave 2", ("ap-southeast-1",)),
    )


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ({"GitHub": {"Owner": "a", "Repository": "b"}}, "GitHub"),
        ({"S3": {"Bucket": "sources", "Key": "a.zip"}}, "S3"),
        ({"CodeCommit": {"Repository": "a"}}, "CodeCommit"),
    ],
)
def test_the_source_is_named_as_people_know_it(source: Any, title: str) -> None:
    assert stages_of(resource(Source=source))[0].steps == (Step("action", title),)


def test_the_svg_says_all_of_it_in_text() -> None:
    root = ET.fromstring(svg(resource(target(), PRODUCTION), HOME))  # noqa: S314  # our own
    texts = [text.text for text in root.iter(f"{SVG}text")]
    for said in (
        "orders",
        "runs in eu-central-1 · 2 accounts · 4 places to deploy to",
        "CodeConnections",
        "CodeBuild",
        "Lambda",
        "account 333333333333 · stack orders · 3 regions",
        "Execute wave 2",
        "waits for a person's yes",
    ):
        assert said in texts
    assert texts.count("ap-southeast-1") == 2


def boxes(root: ET.Element) -> list[tuple[float, float, float, float]]:
    return [
        tuple(float(box.attrib[name]) for name in ("x", "y", "width", "height"))  # type: ignore[misc]  # four of them
        for box in root.iter(f"{SVG}rect")
        if "chip" in box.attrib.get("class", "")
    ]


@pytest.mark.parametrize("count", [1, 6, 34])
def test_no_region_lies_outside_the_page_or_over_another(count: int) -> None:
    known = stores(HOME, *REGIONS[:count])
    many = [
        target(f"T{number}", Account=f"{number:012d}", Regions=REGIONS[:count], WaveSize=5)
        for number in range(3)
    ]
    root = ET.fromstring(svg(resource(*many, known=known), HOME))  # noqa: S314  # our own
    _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
    found = boxes(root)
    assert len(found) == 3 * 2 * count
    for x, y, wide, high in found:
        assert 0 <= x <= width - wide
        assert 0 <= y <= height - high
    corners = {(x, y) for x, y, _, _ in found}
    assert len(corners) == len(found)


def test_what_a_name_holds_cannot_break_the_picture() -> None:
    odd = resource(target())
    odd["Properties"]["Name"] = "<script>&"
    root = ET.fromstring(svg(odd, HOME))  # noqa: S314  # our own
    assert root.findtext(f"{SVG}title") == "<script>&"


def test_mermaid_draws_the_same() -> None:
    drawn = mermaid(resource(PRODUCTION))
    assert drawn.startswith("flowchart TB\n")
    assert drawn.endswith(
        """\
  subgraph s3["Production · 333333333333 · orders"]
    direction LR
    s3n0["Create change sets<br/>eu-west-1<br/>us-east-1<br/>ap-southeast-1"]
    s3n1{{"Approve"}}
    s3n0 --> s3n1
    s3n2["Execute wave 1<br/>eu-west-1<br/>us-east-1"]
    s3n1 --> s3n2
    s3n3["Execute wave 2<br/>ap-southeast-1"]
    s3n2 --> s3n3
  end
  s2 --> s3
"""
    )
