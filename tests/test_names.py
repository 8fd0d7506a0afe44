"""One name for one thing."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "layers" / "foothold" / "foothold"


def test_no_class_of_the_package_has_the_name_of_another() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        nodes = ast.walk(ast.parse(path.read_text()))
        for each in (node for node in nodes if isinstance(node, ast.ClassDef)):
            found[each.name].append(f"{path.relative_to(PACKAGE)}:{each.lineno}")
    assert {"ArtifactStore", "_Places"} <= found.keys()
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
