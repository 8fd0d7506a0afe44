"""What the README says can be typed, works."""

import json
import re
import shlex
import textwrap
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML brings no types

from local.aws.embedded import HOME_REGION, ROOT, TOOLS, Embedded
from tests.embedded.test_control_plane import Stack, foothold, parameters

README = (ROOT / "README.md").read_text()
BLOCKS = [
    textwrap.dedent(block).strip()
    for block in re.findall(r"(?:^(?: {4}.*)?\n)+", README, flags=re.MULTILINE)
    if block.strip()
]


def commands(program: str) -> list[list[str]]:
    """Every command of the README's code blocks that begins with the program's name."""
    lines = "\n".join(BLOCKS).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(f"{program} ")]


def test_the_readme_shows_one_screen_of_commands() -> None:
    assert len(README.splitlines()) <= 120
    assert {words[1] for words in commands("make")} >= {"demo", "test"}


@pytest.mark.parametrize("words", commands("make"), ids=" ".join)
def test_every_make_target_of_the_readme_exists(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert words[1] in targets


# tests/packaging and tests/pipeline run the others, with the build that they need, test_accept the
# acceptance, with the rights that it needs, and tests/releases and test_explain what speaks of
# releases, pipelines and stacks that are theirs.
ELSEWHERE = ("accept", "board", "explain", "package", "release", "review")
QUICK = [
    words for words in commands("foothold") if words[1] not in ELSEWHERE and "rehearse" not in words
]


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_every_foothold_command_of_the_readme_works(deployed: Embedded, words: list[str]) -> None:
    done = foothold(deployed, *words[1:])
    assert done.returncode == 0, done.stderr


def test_the_event_of_the_readme_is_answered(deployed: Embedded) -> None:
    (words,) = commands("aws")
    assert words[:4] == ["aws", "events", "put-events", "--entries"]
    (entry,) = json.loads(words[4])
    events = deployed.session(TOOLS, HOME_REGION).client("events")
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    assert json.loads(entry["Detail"]) == {"regions": ["eu-west-1"]}


def test_the_template_of_the_readme_makes_a_store(deployed: Embedded) -> None:
    (block,) = [block for block in BLOCKS if "Type: Custom::ArtifactStore" in block]
    resources: dict[str, Any] = yaml.safe_load(block)
    stack = Stack(deployed)
    stack.create(json.dumps({"Resources": resources}))
    found = parameters(deployed, "eu-west-1", "/foothold/artifact-store")
    assert len(found) == 2
    stack.delete()


def test_the_deployment_of_the_readme_names_parameters_of_the_template() -> None:
    template = (ROOT / "template.yaml").read_text()
    named = {
        word.partition("=")[0] for words in commands("sam") for word in words[2:] if "=" in word
    }
    assert {"PythonRuntime", "OrganizationIds"} <= named
    for name in named:
        assert f"\n  {name}:\n" in template
