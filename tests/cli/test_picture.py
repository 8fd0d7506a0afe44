"""The picture shows what CodePipeline will do: stages, accounts, regions, approvals."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from foothold.cli.picture import SIZES, ActionGroup, mermaid, stages_of, svg, text_width
from foothold.pipelines.resources import expand
from tests.pipelines.declarations import (
    CONNECTION,
    HOME,
    REGIONS,
    TOPIC,
    declared,
    pipeline,
    stores,
    target,
)

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
    assert (stage.name, stage.accounts, stage.stacks) == (
        "Production",
        ("333333333333",),
        ("orders",),
    )
    assert stage.steps == (
        ActionGroup(
            "change-set", "Create change sets", ("eu-west-1", "us-east-1", "ap-southeast-1")
        ),
        ActionGroup("look", "Review", said="one review of all change sets"),
        ActionGroup("approval", "Approve", said="waits for a person's yes"),
        ActionGroup("look", "Guard", said="what was reviewed, unchanged"),
        ActionGroup("execute", "Execute wave 1", ("eu-west-1", "us-east-1")),
        ActionGroup("execute", "Execute wave 2", ("ap-southeast-1",)),
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
    assert stages_of(resource(Source=source))[0].steps == (ActionGroup("action", title),)


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
    s3n1(["Review"])
    s3n0 --> s3n1
    s3n2{{"Approve"}}
    s3n1 --> s3n2
    s3n3(["Guard"])
    s3n2 --> s3n3
    s3n4["Execute wave 1<br/>eu-west-1<br/>us-east-1"]
    s3n3 --> s3n4
    s3n5["Execute wave 2<br/>ap-southeast-1"]
    s3n4 --> s3n5
  end
  s2 --> s3
"""
    )


def test_a_target_with_waves_is_drawn_stage_by_stage() -> None:
    waves = {"Waves": [1, 3], "Bake": {"Minutes": 5}}
    first = target("One", Regions=REGIONS[:3], Approval={"Topic": TOPIC, "When": "risk"}, **waves)
    second = target("Two", Account="333333333333", Regions=REGIONS[:2], Parallel=True)
    made = resource(first, second, known=stores(HOME, *REGIONS[:3]))
    stages = stages_of(made)[3:]
    assert [stage.name for stage in stages] == ["One", "One-Approve", "One-1", "One-2"]
    assert [[step.title for step in stage.steps] for stage in stages] == [
        ["Create change sets", "Review"],
        ["Approve"],
        ["Guard", "Execute", "Bake"],
        ["Execute", "Bake"],
    ]
    assert [stage.where for stage in stages] == [
        "accounts 222222222222, 333333333333 · stack orders · 3 regions",
        "skipped unless the review asks for it",
        "accounts 222222222222, 333333333333 · stack orders · 1 region",
        "accounts 222222222222, 333333333333 · stack orders · 2 regions",
    ]
    texts = [text.text for text in ET.fromstring(svg(made, HOME)).iter(f"{SVG}text")]  # noqa: S314  # our own
    assert "runs in eu-central-1 · 2 accounts · 5 places to deploy to" in texts
    assert texts.count("alarms and tests of this wave") == 2


# Long names


def texts(root: ET.Element) -> list[tuple[str, float, float, float, float]]:
    """Every text, and the box that it needs: left, top, right, bottom."""
    found = []
    for text in root.iter(f"{SVG}text"):
        kinds = text.attrib["class"].split()
        width, size = text_width(text.text or "", kinds[0]), SIZES[kinds[0]]
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        left = x - (width if "end" in kinds else width / 2 if kinds[0] == "region" else 0)
        found.append((text.text or "", left, y - size, left + width, y + size / 4))
    return found


LONG_TOPIC = TOPIC + "-of-every-department" * 10
LONGEST = {
    "Name": "P" * 40,
    "Source": {"GitHub": {"Owner": "o" * 39, "Repository": "W" * 100, "Branch": "b" * 255}},
    "Build": {"Image": f"111111111111.dkr.ecr.eu-central-1.amazonaws.com/{'tools/' * 30}x:arm64"},
    "Notifications": {"Topic": LONG_TOPIC},
}


@pytest.mark.parametrize("letter", ["a", "m", "W", "i", "0"])
@pytest.mark.parametrize("count", [1, 30])
def test_no_name_is_so_long_that_it_leaves_the_picture_or_meets_another(
    letter: str, count: int
) -> None:
    many = [
        target(
            f"T{number}x-{letter * 96}"[:94],
            Account=f"{number:012d}",
            Stack=f"S{letter * 127}",
            Approval=True,
        )
        for number in range(count)
    ]
    root = drawn(expand(pipeline(declared(*many, **LONGEST))))
    _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
    found = texts(root)
    for said, left, top, right, bottom in found:
        assert 0 <= left < right <= width - 32, said
        assert 0 <= top < bottom <= height, said
    found.sort(key=lambda text: text[2])
    for index, (said, left, top, right, bottom) in enumerate(found):
        for other, left2, top2, right2, _ in found[index + 1 :]:
            if top2 >= bottom:
                break
            assert right2 <= left or right <= left2 or top2 >= bottom, (said, other, top)


def drawn(everything: dict[str, Any]) -> ET.Element:
    return ET.fromstring(svg(everything["Pipeline"], HOME, everything))  # noqa: S314  # our own


def said_by(root: ET.Element) -> str:
    return "".join(text.text or "" for text in root.iter(f"{SVG}text"))


def test_a_long_name_is_there_to_its_last_letter() -> None:
    everything = expand(pipeline(declared(target("a" * 94, Stack="s" * 128), **LONGEST)))
    said = said_by(drawn(everything)).replace(" ", "")
    for whole in ("a" * 94, "s" * 128, "b" * 255, "P" * 40, "W" * 100, LONG_TOPIC, "tools/" * 30):
        assert whole in said


# Advance widths of DejaVu Sans, the widest of the fonts that are commonly there, in thousandths.
DEJAVU = {
    "a": 613,
    "e": 615,
    "g": 635,
    "i": 278,
    "m": 974,
    "w": 818,
    "t": 392,
    "r": 411,
    "-": 361,
    "A": 684,
    "M": 863,
    "W": 989,
    "O": 787,
    "0": 636,
    "_": 500,
    "/": 337,
    ".": 318,
    " ": 318,
    "@": 1000,
    ":": 337,
    "#": 838,
    "H": 752,
    "Q": 787,
    "s": 521,
    "k": 579,
    "j": 278,
    "f": 352,
}


@pytest.mark.parametrize(("letter", "width"), DEJAVU.items())
def test_no_letter_is_wider_than_it_is_taken_for(letter: str, width: int) -> None:
    assert text_width(letter, "more") >= SIZES["more"] * width / 1000


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            {"GitHub": {"Owner": "a", "Repository": "b", "Branch": "release/1"}},
            ["a/b", "branch release/1"],
        ),
        ({"S3": {"Bucket": "sources", "Key": "a.zip"}}, ["s3://sources/a.zip"]),
        ({"CodeCommit": {"Repository": "a"}}, ["a", "branch main"]),
        (
            {"CodeConnections": {"ConnectionArn": CONNECTION, "Repository": "a/b/c"}},
            ["a/b/c", "branch main"],
        ),
    ],
)
def test_source_branch_image_and_topics_are_shown(source: Any, said: list[str]) -> None:
    everything = expand(
        pipeline(
            declared(
                target(Approval={"Topic": f"{TOPIC}-of-test"}),
                Source=source,
                Build={"Image": "aws/codebuild/standard:7.0"},
                Notifications={"Topic": TOPIC},
            )
        )
    )
    texts = [text.text for text in drawn(everything).iter(f"{SVG}text")]
    for each in (
        *said,
        "aws/codebuild/standard:7.0",
        "BUILD_GENERAL1_SMALL",
        f"tells {TOPIC}",
        f"asked through {TOPIC}-of-test",
    ):
        assert each in texts
    flow = mermaid(everything["Pipeline"], everything)
    for each in (*said, "aws/codebuild/standard:7.0"):
        assert f"<br/>{each}" in flow


def test_each_of_many_targets_says_which_it_is() -> None:
    many = [target(f"T{number}", Account=f"{number:012d}") for number in range(30)]
    texts = [text.text for text in drawn(expand(pipeline(declared(*many)))).iter(f"{SVG}text")]
    assert [text for text in texts if text and text[0].isdigit() and " of " in text] == [
        f"{number} of 30" for number in range(1, 31)
    ]


def test_a_branch_cannot_end_its_box() -> None:
    source = {"CodeCommit": {"Repository": "a", "Branch": 'x"]#<b>\x01'}}
    everything = expand(pipeline(declared(Source=source)))
    assert "branch x#quot;]#35;#lt;b#gt;" in mermaid(everything["Pipeline"], everything)
    assert 'branch x"]#<b>\ufffd' in said_by(drawn(everything))
