"""The picture of an expanded pipeline: an SVG for people, Mermaid for Markdown.

Drawn from the CloudFormation resource itself, so it shows what CodePipeline will do.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import takewhile
from typing import Any

from foothold.pipelines.sources import SOURCES


@dataclass(frozen=True, slots=True)
class ActionGroup:
    """Actions that run at the same time. `regions` are theirs, in order; an action in the
    pipeline's own region names none, and what it does is `said`."""

    kind: str
    title: str
    regions: tuple[str, ...] = ()
    said: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its steps one after the other, and the accounts and stacks they deploy to.

    `places` are the accounts and regions of its actions. `details` say what a step's title does
    not: the repository and its branch, the image. `topic` is the ARN of the SNS topic that an
    approval is asked through; `skippable` is true where a condition may skip the stage.
    """

    name: str
    steps: tuple[ActionGroup, ...]
    places: tuple[tuple[str, str], ...] = ()
    stacks: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    topic: str = ""
    skippable: bool = False

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(account for account, _ in self.places))

    @property
    def where(self) -> str:
        """The accounts, the stacks and how many regions."""
        if self.skippable:
            return "skipped unless the review asks for it"
        regions = {region for _, region in self.places}
        return " · ".join(
            (
                f"account{'s' if len(self.accounts) > 1 else ''} {', '.join(self.accounts)}",
                f"stack{'s' if len(self.stacks) > 1 else ''} {', '.join(self.stacks)}",
                f"{len(regions)} region{'s' if len(regions) != 1 else ''}",
            )
        )


SOURCE_OF = {source.provider: source for source in SOURCES}
TITLES = {
    "CHANGE_SET_REPLACE": ("change-set", "Create change sets"),
    "CHANGE_SET_EXECUTE": ("execute", "Execute"),
}
# What an action tells its function to do, and how a picture says it.
LOOKS = {
    "review": "one review of all change sets",
    "guard": "what was reviewed, unchanged",
    "bake": "alarms and tests of this wave",
}


Resources = Mapping[str, Any]
ALONE: Resources = {}


def stages_of(resource: Mapping[str, Any], beside: Resources = ALONE) -> tuple[Stage, ...]:
    """The stages of an `AWS::CodePipeline::Pipeline` resource; `beside` are the resources of its
    template, among which its build project is."""
    return tuple(_stage(stage, beside) for stage in resource["Properties"]["Stages"])


def _stage(stage: Mapping[str, Any], beside: Resources) -> Stage:
    by_order: dict[int, list[Mapping[str, Any]]] = {}
    for action in stage["Actions"]:
        by_order.setdefault(action["RunOrder"], []).append(action)
    runs = [_step(by_order[order]) for order in sorted(by_order)]
    waves = sum(step.kind == "execute" for step in runs)
    steps, wave = [], 0
    for step in runs:
        if step.kind == "execute" and waves > 1:
            wave += 1
            step = ActionGroup(step.kind, f"{step.title} wave {wave}", step.regions)  # noqa: PLW2901  # the numbered one
        steps.append(step)
    actions = stage["Actions"]
    return Stage(
        stage["Name"],
        tuple(steps),
        tuple(dict.fromkeys(place for action in actions for place in _place(action))),
        tuple(
            dict.fromkeys(
                action["Configuration"]["StackName"]
                for action in actions
                if "StackName" in action["Configuration"]
            )
        ),
        tuple(_details(actions[0], beside)),
        next((topic for action in actions if (topic := _topic(action))), ""),
        "BeforeEntry" in stage,
    )


def _place(action: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    account = re.search(r"::(\d{12}):role/", str(action.get("RoleArn", "")))
    if account:
        yield account.group(1), str(action["Region"])


def _topic(action: Mapping[str, Any]) -> str:
    return str(action["Configuration"].get("NotificationArn", ""))


def _details(action: Mapping[str, Any], beside: Resources) -> Iterator[str]:
    configuration = action["Configuration"]
    provider = action["ActionTypeId"]["Provider"]
    if provider in SOURCE_OF:
        yield SOURCE_OF[provider].shown(configuration)
    elif provider == "CodeBuild":
        project = configuration["ProjectName"]
        found = beside.get(project["Ref"], {}) if isinstance(project, Mapping) else {}
        environment = found.get("Properties", {}).get("Environment", {})
        yield from (environment[name] for name in ("Image", "ComputeType") if environment)
    branch = configuration.get("BranchName", configuration.get("Branch"))
    if branch:
        yield f"branch {branch}"


def topic_of(resource: Mapping[str, Any], beside: Resources) -> str:
    """The ARN of the SNS topic that gets the pipeline's events, empty where there is none."""
    name = resource["Properties"]["Name"]
    for rule in beside.values():
        if isinstance(rule, Mapping) and rule.get("Type") == "AWS::Events::Rule":
            properties = rule["Properties"]
            pattern = properties.get("EventPattern", {})
            told = pattern.get("source") == ["aws.codepipeline"]
            if told and pattern.get("detail", {}).get("pipeline") == [name]:
                return str(properties["Targets"][0]["Arn"])
    return ""


def _step(actions: list[Mapping[str, Any]]) -> ActionGroup:
    first = actions[0]
    provider = first["ActionTypeId"]["Provider"]
    mode = first["Configuration"].get("ActionMode", "")
    regions = tuple(dict.fromkeys(action["Region"] for action in actions if "Region" in action))
    if mode:
        return ActionGroup(*TITLES[mode], regions)
    if provider == "Manual":
        return ActionGroup("approval", "Approve", said="waits for a person's yes")
    told = json.loads(first["Configuration"].get("UserParameters", "{}"))
    if "do" in told:
        return ActionGroup("look", first["Name"], said=LOOKS[told["do"]])
    title = SOURCE_OF[provider].name if provider in SOURCE_OF else provider
    return ActionGroup("action", title, regions)


# Mermaid

SHAPES = {"approval": ("{{", "}}"), "look": ("([", "])")}


def mermaid(resource: Mapping[str, Any], beside: Resources = ALONE) -> str:
    """A Mermaid flow chart: a box for each stage, steps inside it, regions inside the steps."""
    lines = ["flowchart TB"]
    previous = ""
    for number, stage in enumerate(stages_of(resource, beside)):
        where = "".join(f" · {', '.join(them)}" for them in (stage.accounts, stage.stacks) if them)
        lines += [f'  subgraph s{number}["{stage.name}{where}"]', "    direction LR"]
        for index, step in enumerate(stage.steps):
            node = f"s{number}n{index}"
            more = (*step.regions, *(stage.details if step.kind == "action" else ()))
            text = "<br/>".join((step.title, *map(_mermaid_text, more)))
            opens, closes = SHAPES.get(step.kind, ("[", "]"))
            lines.append(f'    {node}{opens}"{text}"{closes}')
            if index:
                lines.append(f"    s{number}n{index - 1} --> {node}")
        lines.append("  end")
        if previous:
            lines.append(f"  {previous} --> s{number}")
        previous = f"s{number}"
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    """Text that cannot end its box (Mermaid, "Entity codes to escape characters")."""
    for letter, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(letter, code)
    return text


# SVG

WIDTH = 1120
MARGIN = 32
PAD = 20
CHIP_WIDTH, CHIP_HEIGHT, CHIP_GAP = 124, 26, 8
HEAD = 52
GAP = 34
LABEL = 210
BOTTOM = 6
# So many targets are seen at a glance; of more, each says which it is.
FEW = 5

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
.look{fill:#f1ecfb;stroke:#cbbbec}
.end{text-anchor:end}
.region{font-size:12px;fill:#22344a;text-anchor:middle}
.flow{stroke:#93a0b1;stroke-width:1.6;fill:none;marker-end:url(#tip)}
.rule{stroke:#e4e8ee}
@media (prefers-color-scheme:dark){
.page{fill:#10151c}.card{fill:#19212b;stroke:#334050}.title,.name{fill:#eef3f9}.more{fill:#9fb0c3}
.step{fill:#d4dfec}.chip{fill:#1c3450;stroke:#34618f}.chip.execute{fill:#163c29;stroke:#2f7a54}
.chip.action{fill:#26303c;stroke:#445365}.gate{fill:#46391a;stroke:#9a7a2e}
.look{fill:#2d2545;stroke:#665392}.region{fill:#dce7f3}
.flow{stroke:#6c7b8d}.rule{stroke:#2b3644}}
"""


def svg(resource: Mapping[str, Any], home_region: str, beside: Resources = ALONE) -> str:
    """An SVG of one page width, as high as the pipeline needs; light and dark.

    `beside` are the resources of the pipeline's template: the image and the topic are theirs.
    """
    stages = stages_of(resource, beside)
    opening = list(takewhile(lambda stage: not stage.places, stages))
    targets = stages[len(opening) :]
    name = str(resource["Properties"]["Name"])
    places = {place for stage in targets for place in stage.places}
    told = topic_of(resource, beside)
    inside = WIDTH - 2 * MARGIN
    head, y = _lines(MARGIN, 44, "title", _fitted(name, inside, "title"))
    facts = (
        f"runs in {home_region} · {len({account for account, _ in places})} accounts · "
        f"{len(places)} places to deploy to"
    )
    for fact in (facts, *([f"tells {told}"] if told else [])):
        drawn, y = _lines(MARGIN, y - 2, "more", _fitted(fact, inside, "more"))
        head += drawn
    body, y = _opening(opening, y)
    last = _opening_width(len(opening))
    flow_x = WIDTH - MARGIN - last / 2
    for number, stage in enumerate(targets, start=1):
        body += _line(f"M{flow_x:.0f} {y}V{y + GAP - 6}")
        count = f"{number} of {len(targets)}" if len(targets) > FEW else ""
        drawn, height = _target(stage, y + GAP, count)
        body += drawn
        y += GAP + height
    height = y + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" '
        f'font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif">'
        f"<title>{_escaped(name)}</title><style>{STYLE}</style>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#93a0b1"/></marker></defs>'
        f'<rect class="page" width="{WIDTH}" height="{height}"/>{head}{body}</svg>\n'
    )


def _opening(stages: list[Stage], y: int) -> tuple[str, int]:
    """Source, Build and Package side by side, as high as the one that says most; and where they
    end."""
    width = _opening_width(len(stages))
    drawn, bottom = "", y
    for index, stage in enumerate(stages):
        x = MARGIN + index * (width + GAP)
        titles = ", ".join(step.title for step in stage.steps)
        lines = [
            line
            for text in (titles, *stage.details)
            for line in _fitted(text, width - 2 * PAD, "more")
        ]
        name, below = _lines(x + PAD, y + 32, "name", [stage.name])
        more, end = _lines(x + PAD, below, "more", lines)
        drawn += name + more
        bottom = max(bottom, end + 2)
    boxes = ""
    for index in range(len(stages)):
        x = MARGIN + index * (width + GAP)
        boxes += _box("card", x, y, (width, bottom - y))
        if index:
            boxes += _line(f"M{x - GAP:.0f} {y + 37}H{x - 6:.0f}")
    return boxes + drawn, bottom


def _opening_width(count: int) -> float:
    return (WIDTH - 2 * MARGIN - GAP * (count - 1)) / count


def _target(stage: Stage, y: int, count: str) -> tuple[str, int]:
    """One stage of a target: its heading, then a row for each step, regions as chips. `count` is
    which of many it is."""
    heading, row_y = _heading(stage, y, count)
    rows = ""
    for step in stage.steps:
        drawn, height = _row(step, row_y, stage.topic)
        rows += f'<path class="rule" d="M{MARGIN + PAD} {row_y}H{WIDTH - MARGIN - PAD}"/>{drawn}'
        row_y += height
    height = row_y - y + BOTTOM
    return _box("card", MARGIN, y, (WIDTH - 2 * MARGIN, height)) + heading + rows, height


def _heading(stage: Stage, y: int, count: str) -> tuple[str, int]:
    """Name, accounts, stacks: on one line where they fit, below one another where not; and where
    they end."""
    inside = WIDTH - 2 * (MARGIN + PAD)
    drawn = ""
    if count:
        drawn = _text(WIDTH - MARGIN - PAD, y + 33, "more end", count)
        inside -= round(text_width(count, "more")) + PAD
    where = stage.where
    beside_name = inside - (LABEL - PAD)
    if (
        text_width(stage.name, "name") <= LABEL - PAD - 12
        and text_width(where, "more") <= beside_name
    ):
        drawn += _text(MARGIN + PAD, y + 33, "name", stage.name)
        return drawn + _text(MARGIN + LABEL, y + 33, "more", where), y + HEAD
    name, below = _lines(MARGIN + PAD, y + 33, "name", _fitted(stage.name, inside, "name"))
    more, end = _lines(MARGIN + PAD, below, "more", _fitted(where, inside, "more"))
    return drawn + name + more, end


def _row(step: ActionGroup, y: int, topic: str) -> tuple[str, int]:
    x0 = MARGIN + LABEL
    title = _text(MARGIN + PAD, y + 27, "step", step.title)
    if step.said:
        width, asks = 2 * CHIP_WIDTH + CHIP_GAP, step.kind == "approval" and topic
        kind = "gate" if step.kind == "approval" else step.kind
        gate = _box(kind, x0, y + 9, (width, CHIP_HEIGHT), 13)
        gate += _text(x0 + CHIP_WIDTH + CHIP_GAP / 2, y + 26, "region", step.said)
        x = x0 + width + PAD
        asked = _fitted(f"asked through {topic}", WIDTH - MARGIN - PAD - x, "more") if asks else []
        more, end = _lines(x, y + 26, "more", asked)
        return title + gate + more, max(CHIP_HEIGHT + 18, end - y - 4 if asked else 0)
    per_row = int((WIDTH - MARGIN - PAD - x0 + CHIP_GAP) // (CHIP_WIDTH + CHIP_GAP))
    drawn = title
    for index, region in enumerate(step.regions):
        x = x0 + index % per_row * (CHIP_WIDTH + CHIP_GAP)
        chip_y = y + 9 + index // per_row * (CHIP_HEIGHT + CHIP_GAP)
        drawn += _box(f"chip {step.kind}", x, chip_y, (CHIP_WIDTH, CHIP_HEIGHT), 13)
        drawn += _text(x + CHIP_WIDTH / 2, chip_y + 17, "region", region)
    lines = (len(step.regions) - 1) // per_row + 1
    return drawn, 18 + lines * CHIP_HEIGHT + (lines - 1) * CHIP_GAP


# How wide text is: nothing here can measure it, so it is what the widest of the common fonts needs
# (DejaVu Sans, in thousandths of its size).
SIZES = {"title": 20.0, "name": 15.0, "more": 12.5, "step": 13.0, "region": 12.0}
BOLD = {"title", "name", "step"}
BOLDER = 1.13
_WIDTHS = {
    **dict.fromkeys("ijl'|", 278),
    **dict.fromkeys("ft/\\", 392),
    **dict.fromkeys(" .,:;·!-()[]r", 411),
    **dict.fromkeys("mwMW@%", 1000),
    **dict.fromkeys("#", 838),
}
_LOWER, _OTHER, _WIDE = 640, 800, 1050
_BREAK_AFTER = " -/.:_·"


def text_width(text: str, kind: str) -> float:
    """How many pixels a text of this kind may need, one of `SIZES`."""
    size = SIZES[kind] * (BOLDER if kind in BOLD else 1)
    return size * sum(map(_letter_width, text)) / 1000


def _letter_width(letter: str) -> int:
    if letter in _WIDTHS:
        return _WIDTHS[letter]
    if unicodedata.east_asian_width(letter) in {"F", "W"}:
        return _WIDE
    return _LOWER if letter.islower() or letter.isdigit() else _OTHER


def _fitted(text: str, width: float, kind: str) -> list[str]:
    """The text in lines of at most this width: broken where a name has a joint, or anywhere."""
    lines, line = [], ""
    for letter in text:
        if line and text_width(line + letter, kind) > width:
            joint = max(line.rfind(each) for each in _BREAK_AFTER) + 1
            cut = joint if 2 * joint > len(line) else len(line)
            lines.append(line[:cut])
            line = line[cut:].lstrip()
        line += letter
    return [*lines, line]


def _lines(x: float, y: float, kind: str, lines: list[str]) -> tuple[str, int]:
    """The lines, the first of them at y; and where the next thing below may have its first."""
    step = round(SIZES[kind] * 1.5)
    drawn = "".join(
        _text(x, y + index * step, kind, line.rstrip()) for index, line in enumerate(lines)
    )
    return drawn, round(y + max(0, len(lines) - 1) * step + step + 3)


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    """Text for XML, which has no control characters."""
    return escape(re.sub(r"[\x00-\x1f\x7f\ufffe\uffff]", "\ufffd", text))


def _box(kind: str, x: float, y: float, size: tuple[float, float], radius: int = 10) -> str:
    width, height = size
    return (
        f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" rx="{radius}"/>'
    )


def _line(path: str) -> str:
    return f'<path class="flow" d="{path}"/>'
