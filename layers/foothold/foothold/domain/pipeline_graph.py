"""The picture of an expanded pipeline: an SVG for people, Mermaid for Markdown.

Drawn from the CloudFormation resource itself, so it shows what CodePipeline will do and not
what somebody meant.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """Actions that run at the same time. `regions` are theirs, in order; an action in the
    pipeline's own region names none."""

    kind: str
    title: str
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its steps one after the other, and the account and stack they deploy to."""

    name: str
    steps: tuple[Step, ...]
    account: str = ""
    stack: str = ""


TITLES = {
    "CHANGE_SET_REPLACE": ("change-set", "Create change sets"),
    "CHANGE_SET_EXECUTE": ("execute", "Execute"),
}


def stages_of(resource: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The stages of an `AWS::CodePipeline::Pipeline` resource."""
    return tuple(_stage(stage) for stage in resource["Properties"]["Stages"])


def _stage(stage: Mapping[str, Any]) -> Stage:
    by_order: dict[int, list[Mapping[str, Any]]] = {}
    for action in stage["Actions"]:
        by_order.setdefault(action["RunOrder"], []).append(action)
    runs = [_step(by_order[order]) for order in sorted(by_order)]
    waves = sum(step.kind == "execute" for step in runs)
    steps, wave = [], 0
    for step in runs:
        if step.kind == "execute" and waves > 1:
            wave += 1
            step = Step(step.kind, f"{step.title} wave {wave}", step.regions)  # noqa: PLW2901  # the numbered one
        steps.append(step)
    first = stage["Actions"][0]
    account = re.search(r"::(\d{12}):role/", str(first.get("RoleArn", "")))
    return Stage(
        stage["Name"],
        tuple(steps),
        account.group(1) if account else "",
        str(first["Configuration"].get("StackName", "")),
    )


def _step(actions: list[Mapping[str, Any]]) -> Step:
    first = actions[0]
    provider = first["ActionTypeId"]["Provider"]
    mode = first["Configuration"].get("ActionMode", "")
    regions = tuple(action["Region"] for action in actions if "Region" in action)
    if mode:
        return Step(*TITLES[mode], regions)
    if provider == "Manual":
        return Step("approval", "Approve")
    return Step("action", "GitHub" if provider == "GitHub" else _spaced(provider), regions)


def _spaced(provider: str) -> str:
    return {"CodeStarSourceConnection": "CodeConnections"}.get(provider, provider)


# Mermaid


def mermaid(resource: Mapping[str, Any]) -> str:
    """A Mermaid flow chart: a box for each stage, steps inside it, regions inside the steps."""
    lines = ["flowchart TB"]
    previous = ""
    for number, stage in enumerate(stages_of(resource)):
        where = f" · {stage.account} · {stage.stack}" if stage.account else ""
        lines += [f'  subgraph s{number}["{stage.name}{where}"]', "    direction LR"]
        for index, step in enumerate(stage.steps):
            node = f"s{number}n{index}"
            regions = "<br/>".join(step.regions)
            text = f"{step.title}<br/>{regions}" if regions else step.title
            shape = f'{{{{"{text}"}}}}' if step.kind == "approval" else f'["{text}"]'
            lines.append(f"    {node}{shape}")
            if index:
                lines.append(f"    s{number}n{index - 1} --> {node}")
        lines.append("  end")
        if previous:
            lines.append(f"  {previous} --> s{number}")
        previous = f"s{number}"
    return "\n".join(lines) + "\n"


# SVG

WIDTH = 1120
MARGIN = 32
PAD = 20
CHIP_WIDTH, CHIP_HEIGHT, CHIP_GAP = 124, 26, 8
HEAD = 52
GAP = 34
LABEL = 210
BOTTOM = 6

STYLE = """
.page{fill:#f6f7f9}
.card{fill:#fff;stroke:#d5dae1}
.title{font-weight:600;font-size:20px;fill:#16202e}
.name{font-weight:600;font-size:15px;fill:#16202e}
.more{font-size:12.5px;fill:#5b6777}
.step{font-size:13px;font-weight:600;fill:#2b3a4d}
.chip{fill:#e8f1fb;stroke:#b9d3ee}
.chip.execute{fill:#e5f5ec;stroke:#a9dabf}
.chip.action{fill:#eef0f4;stroke:#cfd5de}
.gate{fill:#fff4dc;stroke:#e6bf63}
.region{font-size:12px;fill:#22344a;text-anchor:middle}
.flow{stroke:#93a0b1;stroke-width:1.6;fill:none;marker-end:url(#tip)}
.rule{stroke:#e4e8ee}
@media (prefers-color-scheme:dark){
.page{fill:#10151c}.card{fill:#19212b;stroke:#334050}.title,.name{fill:#eef3f9}.more{fill:#9fb0c3}
.step{fill:#d4dfec}.chip{fill:#1c3450;stroke:#34618f}.chip.execute{fill:#163c29;stroke:#2f7a54}
.chip.action{fill:#26303c;stroke:#445365}.gate{fill:#46391a;stroke:#9a7a2e}.region{fill:#dce7f3}
.flow{stroke:#6c7b8d}.rule{stroke:#2b3644}}
"""


def svg(resource: Mapping[str, Any], home_region: str) -> str:
    """An SVG of one page width, as high as the pipeline needs; light and dark."""
    stages = stages_of(resource)
    opening = [stage for stage in stages if not stage.account]
    targets = [stage for stage in stages if stage.account]
    name = str(resource["Properties"]["Name"])
    places = len(
        {(s.account, region) for s in targets for step in s.steps for region in step.regions}
    )
    head = _text(MARGIN, 44, "title", name)
    head += _text(
        MARGIN,
        66,
        "more",
        f"runs in {home_region} · {len({s.account for s in targets})} accounts · "
        f"{places} places to deploy to",
    )
    body, y = _opening(opening, 88), 88 + 74
    last = _opening_width(len(opening))
    flow_x = WIDTH - MARGIN - last / 2
    for stage in targets:
        body += _line(f"M{flow_x:.0f} {y}V{y + GAP - 6}")
        drawn, height = _target(stage, y + GAP)
        body += drawn
        y += GAP + height
    height = y + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" '
        f'font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif">'
        f"<title>{escape(name)}</title><style>{STYLE}</style>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#93a0b1"/></marker></defs>'
        f'<rect class="page" width="{WIDTH}" height="{height}"/>{head}{body}</svg>\n'
    )


def _opening(stages: list[Stage], y: int) -> str:
    """Source, Build and Package side by side."""
    width = _opening_width(len(stages))
    drawn = ""
    for index, stage in enumerate(stages):
        x = MARGIN + index * (width + GAP)
        drawn += _box("card", x, y, (width, 74))
        drawn += _text(x + PAD, y + 32, "name", stage.name)
        drawn += _text(x + PAD, y + 54, "more", ", ".join(step.title for step in stage.steps))
        if index:
            drawn += _line(f"M{x - GAP:.0f} {y + 37}H{x - 6:.0f}")
    return drawn


def _opening_width(count: int) -> float:
    return (WIDTH - 2 * MARGIN - GAP * (count - 1)) / count


def _target(stage: Stage, y: int) -> tuple[str, int]:
    """One target: its heading, then a row for each step, regions as chips."""
    rows, row_y = "", y + HEAD
    for step in stage.steps:
        drawn, height = _row(step, row_y)
        rows += f'<path class="rule" d="M{MARGIN + PAD} {row_y}H{WIDTH - MARGIN - PAD}"/>{drawn}'
        row_y += height
    height = row_y - y + BOTTOM
    heading = _text(MARGIN + PAD, y + 33, "name", stage.name)
    heading += _text(
        MARGIN + LABEL,
        y + 33,
        "more",
        f"account {stage.account} · stack {stage.stack} · {_count(_regions(stage))}",
    )
    return _box("card", MARGIN, y, (WIDTH - 2 * MARGIN, height)) + heading + rows, height


def _row(step: Step, y: int) -> tuple[str, int]:
    x0 = MARGIN + LABEL
    if step.kind == "approval":
        gate = _box("gate", x0, y + 9, (2 * CHIP_WIDTH + CHIP_GAP, CHIP_HEIGHT), 13)
        gate += _text(x0 + CHIP_WIDTH + CHIP_GAP / 2, y + 26, "region", "waits for a person's yes")
        return _text(MARGIN + PAD, y + 27, "step", step.title) + gate, CHIP_HEIGHT + 18
    per_row = int((WIDTH - MARGIN - PAD - x0 + CHIP_GAP) // (CHIP_WIDTH + CHIP_GAP))
    drawn = _text(MARGIN + PAD, y + 27, "step", step.title)
    for index, region in enumerate(step.regions):
        x = x0 + index % per_row * (CHIP_WIDTH + CHIP_GAP)
        chip_y = y + 9 + index // per_row * (CHIP_HEIGHT + CHIP_GAP)
        drawn += _box(f"chip {step.kind}", x, chip_y, (CHIP_WIDTH, CHIP_HEIGHT), 13)
        drawn += _text(x + CHIP_WIDTH / 2, chip_y + 17, "region", region)
    lines = (len(step.regions) - 1) // per_row + 1
    return drawn, 18 + lines * CHIP_HEIGHT + (lines - 1) * CHIP_GAP


def _regions(stage: Stage) -> set[str]:
    return {region for step in stage.steps for region in step.regions}


def _count(regions: set[str]) -> str:
    return f"{len(regions)} region{'s' if len(regions) != 1 else ''}"


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'


def _box(kind: str, x: float, y: float, size: tuple[float, float], radius: int = 10) -> str:
    width, height = size
    return (
        f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" rx="{radius}"/>'
    )


def _line(path: str) -> str:
    return f'<path class="flow" d="{path}"/>'
