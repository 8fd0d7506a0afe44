"""A review in words: nothing of a stranger's template becomes markup, and everything is there."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from foothold.releases import page, shown
from foothold.releases.changes import (
    Action,
    ChangeSet,
    PropertyChange,
    Replacement,
    ResourceChange,
    SetState,
)
from foothold.releases.model import Cell
from foothold.releases.review import Review, fold

EVIL = "</td></code><script>alert(1)</script>`|\n# [x](http://e) \x1b[31m\u202e<img onerror=x>\"'&"


def evil_review(*, unread: bool = True) -> Review:
    one = PropertyChange(EVIL, before=EVIL, after=EVIL, cause=EVIL)
    changes = tuple(
        ResourceChange(action, f"{action}{EVIL}", EVIL, EVIL, replacement, properties=(one,))
        for action in (Action.MODIFY, Action.REMOVE, Action.ADD)
        for replacement in Replacement
    )
    cells = [Cell("111111111111", region, EVIL) for region in ("eu-west-1", "eu-west-2")]
    sets = [ChangeSet(cells[0], SetState.READY, EVIL, changes=changes, parameters={EVIL: "1"})]
    if unread:
        sets.append(ChangeSet(cells[1], SetState.UNREAD, reason=EVIL))
    return fold(EVIL, EVIL, EVIL, sets, EVIL)


class Elements(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_the_page_is_whole_and_holds_no_element_of_a_stranger() -> None:
    found = Elements(page.html(evil_review()))
    assert found.open == []
    names = {name for name, _ in found.found}
    assert not names & {"script", "img", "iframe", "link", "form", "object", "base"}
    attributes = {name for _, each in found.found for name in each}
    assert not [name for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in found.text


def test_the_page_forbids_and_needs_everything_from_elsewhere() -> None:
    text = page.html(evil_review())
    (policy,) = [
        one["content"]
        for one in Elements(text).all("meta")
        if one.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)=[\"'](?!#)", text)
    assert "url(" not in page.STYLE


def test_the_page_is_for_keyboards_and_screen_readers_too() -> None:
    found = Elements(page.html(evil_review()))
    names = [name for name, _ in found.found]
    assert [names.count(name) for name in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    headings = [int(name[1]) for name in names if re.fullmatch(r"h\d", name)]
    steps = [b - a for a, b in pairwise(headings)]
    assert headings[0] == 1
    assert max(steps) <= 1
    assert all(one.get("scope") in {"col", "row"} for one in found.all("th"))
    assert names.count("caption") == names.count("table") > 0
    assert names.count("summary") == names.count("details") > 0
    ids = {one["id"] for _, one in found.found if "id" in one}
    assert {one["aria-labelledby"] for one in found.all("section")} <= ids
    assert ":focus-visible" in page.STYLE


def luminance(colour: str) -> float:
    digits = "".join(c * 2 for c in colour[1:]) if len(colour) == 4 else colour[1:]
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_colour_can_be_read_on_every_ground(theme: int) -> None:
    colours = [
        dict(re.findall(r"--(\w+): (#\w+)", one)) for one in page.STYLE.split("prefers-color")
    ][theme]
    for ground in ("back", "soft", "badsoft"):
        for text in ("text", "faint", "bad", "link"):
            lights = sorted((luminance(colours[text]), luminance(colours[ground])))
            assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5, (text, ground)


def test_no_line_of_a_terminal_holds_what_a_terminal_obeys() -> None:
    for line in shown.lines(evil_review()):
        assert not re.search(r"[\x00-\x1f\x7f\u202e]", line)


def test_markdown_holds_no_markup_of_a_stranger() -> None:
    text = shown.markdown(evil_review())
    outside = re.sub(r"`[^`]*`", "", text.replace(r"\`", ""))
    assert not re.search(r"(?<!\\)<(script|img)", outside)
    assert not re.search(r"(?<!\\)\[x", outside)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {4, 5}


def test_markdown_fits_into_a_comment() -> None:
    changes = tuple(
        ResourceChange(
            Action.MODIFY,
            f"R{n}",
            "AWS::SNS::Topic",
            properties=tuple(
                PropertyChange(f"/Properties/{n}", after="x" * 200) for n in range(12)
            ),
        )
        for n in range(400)
    )
    cell = Cell("111111111111", "eu-west-1", "shop")
    text = shown.markdown(fold("p", "t", "e", [ChangeSet(cell, SetState.READY, changes=changes)]))
    assert len(text) < 65_536
    assert "There is more" in text


@pytest.mark.parametrize("way", ["page", "markdown", "lines"])
def test_every_way_says_what_whoever_decides_has_to_know(way: str) -> None:
    review = evil_review()
    text = {
        "page": lambda: page.html(review),
        "markdown": lambda: shown.markdown(review),
        "lines": lambda: "\n".join(shown.lines(review)),
    }[way]()
    for word in ("INCOMPLETE", "NOT READ", "replaced", "removed", "does not say what becomes"):
        assert word in text
    assert "INCOMPLETE" not in page.html(evil_review(unread=False))


def test_colour_is_never_alone() -> None:
    found = Elements(page.html(evil_review()))
    assert "To decide on" in found.text
    assert "Replaced (" in found.text


def many(number: int, *, removed: int = 0) -> Review:
    """Stacks in two accounts that all remove something, and some that remove something else."""

    def changes(here: int) -> tuple[ResourceChange, ...]:
        name = "Other" if here < removed else "Usual"
        topic = "AWS::SNS::Topic"
        return (
            ResourceChange(Action.REMOVE, name, topic, policy="Retain"),
            ResourceChange(Action.MODIFY, "Tagged", topic, scope=("Tags",)),
            ResourceChange(Action.ADD, "Url", "AWS::Lambda::Url", after={"AuthType": "NONE"}),
            ResourceChange(Action.MODIFY, "Drifted", topic, drift="DELETED"),
        )

    cells = [
        Cell(account, f"region-{n}", "shop")
        for account in ("111111111111", "222222222222")
        for n in range(number // 2)
    ]
    sets = [ChangeSet(c, SetState.READY, changes=changes(n)) for n, c in enumerate(cells)]
    return fold("p", "t", "e", sets)


def test_many_stacks_are_counted_first_and_listed_where_there_is_room() -> None:
    review = many(20, removed=2)
    counted = "18 stacks: 2 accounts, 10 regions"
    for text in ("\n".join(shown.lines(review)), shown.markdown(review), page.html(review)):
        assert counted in text
    for text in (shown.markdown(review).replace("\\", ""), page.html(review)):
        assert "region-9" in text
    found = Elements(page.html(many(20)))
    assert "all 20 stacks" in found.text


def test_few_stacks_are_named_by_account_and_regions() -> None:
    cells = [Cell(a, r, "shop") for a in ("1", "2") for r in ("eu-west-1", "us-east-1")]
    assert shown.places(cells) == "shop in eu-west-1, us-east-1 of 1 and 2"
    assert shown.places(cells[:3]) == "shop in eu-west-1, us-east-1 of 1; shop in eu-west-1 of 2"
    assert shown.places(cells[:1]) == "shop in eu-west-1 of 1"


def test_everything_that_is_to_be_known_of_a_change_is_told() -> None:
    text = "\n".join(shown.lines(many(2)))
    for word in (
        "3 changes to decide on",
        "left behind with its data",
        "it is new",
        "access: AuthType: wider",
        "drift: DELETED",
        "1 resource of which nothing but tags changes",
    ):
        assert word in text


def test_nothing_to_do_and_nothing_risky_are_said_in_the_first_line() -> None:
    cell = Cell("111111111111", "eu-west-1", "shop")
    empty = fold("p", "t", "e", [ChangeSet(cell, SetState.EMPTY)])
    assert shown.verdict(empty) == "Nothing to change anywhere"
    outputs = fold("p", "t", "e", [ChangeSet(cell, SetState.READY)])
    assert shown.verdict(outputs) == "Nothing is replaced, removed or made more open"
    for review in (empty, outputs):
        assert "Nothing is replaced, removed or made more open" in page.html(review)
    assert "only outputs, parameters" in page.html(outputs)


def test_what_is_too_much_is_cut_and_counted() -> None:
    properties = tuple(PropertyChange(f"/Properties/P{n}", after="y" * 9999) for n in range(20))
    changes = tuple(
        ResourceChange(Action.REMOVE, f"R{n:03}", "AWS::SNS::Topic", properties=properties)
        for n in range(shown.MOST_ROWS + 5)
    )
    cell = Cell("111111111111", "eu-west-1", "shop")
    review = fold("p", "t", "e", [ChangeSet(cell, SetState.READY, changes=changes)])
    text = "\n".join(shown.lines(review))
    assert "and 5 more changes" in text
    assert "and 8 more properties" in text
    assert max(map(len, text.splitlines())) < shown.LONGEST_LINE
    assert "and 5 more" in shown.markdown(review)


def test_a_change_set_that_may_not_be_read_names_the_command_that_tells_why() -> None:
    cell = Cell("111111111111", "eu-west-1", "shop")
    reason = "account 111111111111 has no role foothold-reader that lets this one in: run `aws`"
    reader = "arn:aws:iam::111111111111:role/foothold-reader"
    told = f"foothold explain --principal {reader} --action sts:AssumeRole --region eu-west-1"
    refused = fold("shop", "prod", "1", [ChangeSet(cell, SetState.UNREAD, reason=reason)])
    assert f"{reason}; `{told}` tells why" in "\n".join(shown.lines(refused))
    assert told in shown.markdown(refused).replace("\\", "")
    assert told in page.html(refused)
    failed = fold("shop", "prod", "1", [ChangeSet(cell, SetState.FAILED, reason=reason)])
    assert "tells why" not in "\n".join(shown.lines(failed))
