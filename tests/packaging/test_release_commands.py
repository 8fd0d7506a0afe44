"""`foothold release list` and `show`, as a person and as a script see them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks.s3 import World
from foothold.cli import ending
from foothold.cli.main import app
from tests.packaging.side_by_side import SideBySide, store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REGIONS = ("eu-central-1", "eu-west-1", "us-east-1")
TEMPLATE = """\
Resources:
  Code: {Type: AWS::Lambda::Function, Properties: {Code: Code, Handler: app.handler, Role: x}}
"""
DECLARATION = """\
Name: shop
Source: {CodeCommit: {Repository: shop}}
Targets:
  - Name: Test
    Account: "222222222222"
    Stack: shop
    Regions: [eu-central-1, eu-west-1, us-east-1]
    Parameters: {Key: not-to-be-shown}
    Waves: [1, 2]
"""


@pytest.fixture
def world(without_sam: SideBySide, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Three stores with two releases: one without targets, and a newer one for two regions."""
    without_sam.write(
        {
            ".aws-sam/build/template.yaml": TEMPLATE,
            ".aws-sam/build/Code/app.py": "handler = 1\n",
            "pipeline.yaml": DECLARATION,
        }
    )
    monkeypatch.chdir(without_sam.app)
    monkeypatch.setenv("COLUMNS", "120")
    world = without_sam.world
    world.parameters = {"/foothold/service-token": "arn"}
    for region in REGIONS:
        path = f"/foothold/artifact-stores/{region}"
        world.parameters[f"{path}/bucket"] = store(region).bucket
        world.parameters[f"{path}/key-arn"] = store(region).key_arn
    yield world
    world.parameters = {}
    world.failing = {}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def packaged(*options: str) -> str:
    done = run("package", "--project", "shop", "--json", *options)
    assert done.exit_code == 0, done.stderr
    return str(json.loads(done.stdout)["release"])


@pytest.fixture
def plain(world: World) -> str:
    assert world.parameters
    return packaged("--commit", "c0ffee", "--branch", "main", "--message", "It works\nand more")


@pytest.fixture
def targeted(world: World) -> str:
    assert world.parameters
    return packaged("--targets", "pipeline.yaml", "--message", "[red]not markup")


def test_releases_are_listed_each_in_a_line(world: World, plain: str, targeted: str) -> None:
    done = run("release", "list", "shop")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert lines["Release"].split() == [
        "Release", "Packaged", "Commit", "Message", "Regions", "Targets"
    ]  # fmt: skip
    assert " c0ffee " in lines[plain]
    assert " It works " in lines[plain]
    assert " and more" not in done.stdout
    assert lines[targeted].split()[2:] == ["[red]not", "markup", "3", "Test"]
    assert world.objects


def test_a_script_gets_all_that_is_known_but_for_values_of_parameters(
    world: World, plain: str, targeted: str
) -> None:
    told = json.loads(run("release", "list", "shop", "--json").stdout)
    assert (told["project"], told["unread"]) == ("shop", {})
    found = {each["id"]: each for each in told["releases"]}
    assert found.keys() == {plain, targeted}
    assert found[plain]["source"] == {
        "commit": "c0ffee",
        "branch": "main",
        "message": "It works\nand more",
        "link": "",
    }
    assert found[targeted]["targets"][0]["stack"] == "shop"
    shown = run("release", "show", "shop", targeted, "--json")
    assert json.loads(shown.stdout) == {**found[targeted], "objects": 1, "gone": []}
    assert "not-to-be-shown" not in shown.stdout + json.dumps(told)
    assert world.objects


def test_a_release_is_shown_with_its_regions_targets_and_waves(
    world: World, plain: str, targeted: str
) -> None:
    done = run("release", "show", "shop", targeted[:12])
    assert (done.exit_code, done.stderr) == (0, "")
    first, second, *rest = done.stdout.splitlines()
    assert first == f"release {targeted} of shop"
    assert second.endswith(" by arn:aws:iam::111111111111:user/developer")
    assert rest == [
        "message [red]not markup",
        "3 regions, 1 objects in each: eu-central-1, eu-west-1, us-east-1",
        "target Test: stack shop in 222222222222",
        "  wave 1: eu-central-1",
        "  wave 2: eu-west-1, us-east-1",
    ]
    assert (
        "commit c0ffee\nbranch main\nmessage It works\n"
        in run("release", "show", "shop", plain).stdout
    )
    assert world.objects


def test_without_an_id_the_newest_is_shown(world: World, plain: str) -> None:
    path = f"/{store('eu-central-1').bucket}/shop/releases/{plain}/release.json"
    for region in REGIONS:
        there = world.objects[path.replace("eu-central-1", region)]
        year = json.loads(there.body or b"")["packaged_at"][:4].encode()
        there.body = (there.body or b"").replace(
            b'"packaged_at": "' + year, b'"packaged_at": "1999'
        )
    newer = packaged("--targets", "pipeline.yaml")
    assert run("release", "show", "shop").stdout.startswith(f"release {newer} of shop\n")


def test_what_was_cleaned_away_is_named(world: World, plain: str) -> None:
    begin = f"/{store('us-east-1').bucket}/"
    (code,) = [path for path in world.objects if path.startswith(f"{begin}shop/builds/")]
    template = f"{begin}shop/releases/{plain}/template-export-us-east-1.yml"
    for path in (code, template):
        del world.objects[path]
    line = (
        f"us-east-1: shop/releases/{plain}/template-export-us-east-1.yml, "
        f"{code.removeprefix(begin)}"
    )
    done = run("release", "show", "shop", plain)
    assert done.exit_code == ending.FAILED
    assert done.stderr == f"foothold: release {plain} is not whole any more: {line}\n"
    assert json.loads(run("release", "show", "shop", plain, "--json").stdout)["gone"] == [line]


def test_without_any_manifest_what_is_left_is_shown(world: World, plain: str) -> None:
    for path in [path for path in world.objects if path.endswith("/manifest.json")]:
        del world.objects[path]
    done = run("release", "show", "shop", plain)
    assert done.exit_code == ending.FAILED
    assert len(done.stderr.splitlines()) == len(REGIONS)
    assert "\n3 regions: eu-central-1, eu-west-1, us-east-1\n" in done.stdout


def test_a_store_that_does_not_answer_is_named_and_hides_no_release_of_another(
    world: World, plain: str
) -> None:
    world.failing[store("eu-central-1").bucket] = "denied"
    done = run("release", "list", "shop")
    assert done.exit_code == 0
    assert plain in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("foothold: eu-central-1 is not read: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["list", "nobody"], "there is no release of nobody in any artifact store: package it"),
        (["show", "nobody"], "there is no release of nobody in any artifact store: package it"),
        (["show", "shop", "0" * 16], f"shop has no release whose id begins with {'0' * 16}"),
        (["show", "shop", "latest"], "'latest' is no id of a release"),
        (["list", "shop", "--root", "/elsewhere"], "Foothold is not deployed"),
    ],
)
def test_bad_input_gets_one_clear_line(plain: str, arguments: list[str], line: str) -> None:
    done = run("release", *arguments)
    assert plain
    assert done.exit_code == ending.FAILED
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_the_beginning_of_several_ids_names_them(world: World, plain: str) -> None:
    taken = {plain[0]: plain}
    for number in range(2, 19):  # of so many ids two begin alike
        Path(".aws-sam/build/Code/app.py").write_text(f"handler = {number}\n")
        another = packaged()
        if another[0] in taken:
            done = run("release", "show", "shop", another[0])
            assert done.exit_code == ending.FAILED
            assert "shop has several releases whose ids begin with" in done.stderr
            assert another in done.stderr
            assert taken[another[0]] in done.stderr
            assert world.objects
            return
        taken[another[0]] = another
    raise AssertionError("there are 16 hexadecimal digits")
