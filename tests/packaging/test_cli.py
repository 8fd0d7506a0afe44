"""`foothold package` as a person and as a script see it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from benchmarks.s3 import World
from foothold.cli import console, ending
from foothold.cli import package as cli
from foothold.cli.package import package
from foothold.releases.model import Release, SourceFacts
from tests.packaging.side_by_side import SideBySide, store

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REGIONS = ("eu-central-1", "eu-west-1", "us-east-1")
TEMPLATE = """\
Resources:
  Code: {Type: AWS::Lambda::Function, Properties: {Code: Code, Handler: app.handler, Role: x}}
"""
app = typer.Typer()
app.command()(package)


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Iterator[None]:
    """AWS clients are made once for all tests: that takes longer than what they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "packaging_caller", lru_cache(cli.packaging_caller))
        yield


@pytest.fixture
def world(without_sam: SideBySide, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Three stores, and a build in the current folder."""
    without_sam.write(
        {
            ".aws-sam/build/template.yaml": TEMPLATE,
            ".aws-sam/build/Code/app.py": "handler = 1\n",
        }
    )
    monkeypatch.chdir(without_sam.app)
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


def test_a_build_becomes_a_template_for_every_region_that_has_a_store(world: World) -> None:
    done = run("--project", "shop")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        *(f"template-export-{region}.yml" for region in REGIONS),
        "manifest.json",
        "3 regions, 1 objects, equal byte for byte",
        f"release {kept(world)}",
    ]
    assert done.stderr == ""
    assert (
        f"S3Bucket: {store('us-east-1').bucket}"
        in Path("template-export-us-east-1.yml").read_text()
    )
    assert len(world.objects) == 3 * (1 + 3)
    path = f"/{store('us-east-1').bucket}/shop/releases/{kept(world)}/template-export-us-east-1.yml"
    assert world.objects[path].body == Path("template-export-us-east-1.yml").read_bytes()


def kept(world: World) -> str:
    """The id of the only release in the stores."""
    (found,) = {path.split("/")[4] for path in world.objects if "/releases/" in path}
    return found


def released(world: World, region: str = "eu-west-1") -> Release:
    path = f"/{store(region).bucket}/shop/releases/{kept(world)}/release.json"
    return Release.parse(world.objects[path].body or b"", path)


def test_a_script_reads_json(world: World) -> None:
    done = run("--project", "shop", "--region", "us-east-1", "-o", "out", "--json")
    assert json.loads(done.stdout) == {
        "project": "shop",
        "release": kept(world),
        "equal": True,
        "summary": "1 region, 1 objects, equal byte for byte",
        "templates": {"us-east-1": "out/template-export-us-east-1.yml"},
        "configurations": [],
        "manifest": "out/manifest.json",
        "failed": {},
        "warnings": [],
    }
    assert done.stderr == ""
    assert world.objects


@pytest.mark.parametrize("asked", [(), ("--region", "us-east-1", "--region", "eu-west-1")])
def test_a_parameter_that_points_elsewhere_leads_no_code_there_and_stops_no_other_region(
    world: World, asked: tuple[str, ...]
) -> None:
    path = "/foothold/artifact-stores/us-east-1"
    world.parameters[f"{path}/bucket"] = "evil-222"
    world.parameters[f"{path}/key-arn"] = "arn:aws:kms:us-east-1:222222222222:key/x"
    done = run("--project", "shop", *asked)
    assert done.exit_code == ending.FAILED
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "foothold: us-east-1 failed: the artifact store of us-east-1 is not used: its parameter "
        "key-arn names arn:aws:kms:us-east-1:222222222222:key/x"
    )
    assert "`foothold plan us-east-1`" in line
    assert Path("template-export-eu-west-1.yml").exists()
    assert not Path("template-export-us-east-1.yml").exists()
    assert not [name for name in world.objects if name.startswith("/evil-222/")]


def test_a_region_that_may_not_be_used_and_is_the_only_one_fails_in_one_line(
    world: World,
) -> None:
    world.parameters["/foothold/artifact-stores/us-east-1/bucket"] = "foreign-222"
    done = run("--project", "shop", "--region", "us-east-1")
    assert done.exit_code == ending.FAILED
    (line,) = done.stderr.splitlines()
    assert "bucket foreign-222, which its parameter names, is not open to account" in line
    assert not world.objects


def test_a_region_that_fails_is_named_and_the_exit_code_says_so(world: World) -> None:
    world.parameters["/foothold/artifact-stores/us-east-1/bucket"] = "readonly-bucket"
    done = run("--project", "shop")
    assert done.exit_code == ending.FAILED
    assert done.stderr.startswith("foothold: us-east-1 failed: cannot write shop/builds/")
    assert len(done.stderr.splitlines()) == 1
    assert not Path("template-export-us-east-1.yml").exists()
    assert Path("template-export-eu-west-1.yml").exists()
    assert list(json.loads(Path("manifest.json").read_text())["failed"]) == ["us-east-1"]
    assert done.stdout.endswith(
        "no release: it would serve all regions, and not every one is done\n"
    )
    assert not any("/releases/" in path for path in world.objects)


def test_without_a_release_none_is_kept_and_no_line_speaks_of_one(world: World) -> None:
    done = run("--project", "shop", "--no-release", "--json")
    assert json.loads(done.stdout)["release"] is None
    assert "release" not in run("--project", "shop", "--no-release").stdout
    assert not any("/releases/" in path for path in world.objects)


def test_a_store_that_does_not_take_the_release_is_named_and_the_next_run_fills_it(
    world: World,
) -> None:
    run("--project", "shop", "--no-release")  # every object is there
    world.failing[store("us-east-1").bucket] = "readonly"
    done = run("--project", "shop")
    assert done.exit_code == ending.FAILED
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "foothold: us-east-1 failed: its release is not kept: cannot write shop/"
    )
    half = kept(world)
    assert done.stdout.endswith(f"release {half}, but for us-east-1: package again\n")
    assert json.loads(run("--project", "shop", "--json").stdout)["release"] is None
    world.failing.clear()
    assert run("--project", "shop").stdout.endswith(f"release {half}\n")
    assert released(world, "us-east-1") == released(world, "eu-west-1")


def test_a_release_remembers_where_its_source_comes_from(world: World) -> None:
    run(
        "--project", "shop", "--commit", "c0ffee", "--branch", "main", "--message", "It works",
        "--link", "https://user:secret@example.com/c0ffee?token=secret",
    )  # fmt: skip
    found = released(world)
    assert found.source == SourceFacts("c0ffee", "main", "It works", "https://example.com/c0ffee")
    assert found.packaged_by == "arn:aws:iam::111111111111:user/developer"
    assert abs(datetime.fromisoformat(found.packaged_at).timestamp() - time.time()) < 600


@pytest.mark.parametrize(
    ("environment", "facts"),
    [
        ({}, SourceFacts()),
        (
            {
                "CODEBUILD_RESOLVED_SOURCE_VERSION": "c0ffee",
                "CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/feature/x",
                "CODEBUILD_SOURCE_VERSION": "refs/heads/feature/x^{c0ffee}",
                "CODEBUILD_SOURCE_REPO_URL": "https://me:token@example.com/shop.git",
            },
            SourceFacts("c0ffee", "feature/x", "", "https://example.com/shop.git"),
        ),
        (
            {
                "CODEBUILD_RESOLVED_SOURCE_VERSION": "c0ffee",
                "CODEBUILD_SOURCE_VERSION": "refs/heads/main^{c0ffee}",
            },
            SourceFacts("c0ffee", "main"),
        ),
        (
            {
                "CODEBUILD_RESOLVED_SOURCE_VERSION": "c0ffee",
                "CODEBUILD_SOURCE_VERSION": "c0ffee",
                "CODEBUILD_SOURCE_REPO_URL": "[",
            },
            SourceFacts("c0ffee"),
        ),
        (
            {
                "CODEBUILD_SOURCE_VERSION": "arn:aws:s3:::bucket/shop/SourceOutp/x",
                "CODEBUILD_SOURCE_REPO_URL": "bucket/shop/SourceOutp/x",
            },
            SourceFacts(),
        ),
        ({"CODEBUILD_SOURCE_REPO_URL": "https://[example.com/x"}, SourceFacts()),
    ],
)
def test_in_a_build_codebuild_knows_the_source(
    environment: dict[str, str], facts: SourceFacts
) -> None:
    assert cli.source_facts(SourceFacts(), environment) == facts
    given = SourceFacts("1", "2", "3", "https://example.com/4")
    assert cli.source_facts(given, environment) == given


DECLARATION = """\
Name: shop
Source: {CodeCommit: {Repository: shop}}
Targets:
  - Name: Test
    Account: "222222222222"
    Stack: shop
    Regions: [eu-central-1, eu-west-1]
    Parameters: {Stage: test}
    RegionParameters: {eu-west-1: {Stage: far}}
"""


def test_with_targets_a_release_is_configured_for_them_and_serves_their_regions(
    world: World,
) -> None:
    Path("pipeline.yaml").write_text(DECLARATION)
    done = run("--targets", "pipeline.yaml", "-o", "out")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "out/template-export-eu-central-1.yml",
        "out/template-export-eu-west-1.yml",
        "out/configuration-Test-eu-central-1.json",
        "out/configuration-Test-eu-west-1.json",
        "out/manifest.json",
        "2 regions, 1 objects, equal byte for byte",
        f"release {kept(world)}",
    ]
    assert json.loads(Path("out/configuration-Test-eu-west-1.json").read_text()) == {
        "Parameters": {"Stage": "far"},
        "Tags": {"foothold:project": "shop", "foothold:release": kept(world)},
    }
    found = released(world, "eu-central-1")
    assert found.named("Test").regions == ("eu-central-1", "eu-west-1")
    path = f"/{store('eu-west-1').bucket}/{found.prefix}configuration-Test-eu-west-1.json"
    assert world.objects[path].body == Path("out/configuration-Test-eu-west-1.json").read_bytes()
    assert not any("us-east-1" in path for path in world.objects)


def test_another_parameter_is_another_release(world: World) -> None:
    Path("pipeline.yaml").write_text(DECLARATION)
    first = json.loads(run("--targets", "pipeline.yaml", "--json").stdout)["release"]
    assert json.loads(run("--targets", "pipeline.yaml", "--json").stdout)["release"] == first
    Path("pipeline.yaml").write_text(DECLARATION.replace("Stage: far", "Stage: near"))
    assert json.loads(run("--targets", "pipeline.yaml", "--json").stdout)["release"] != first
    assert world.objects


def test_variables_of_the_source_are_what_the_options_say(world: World) -> None:
    said = DECLARATION.replace("Stage: test", 'Stage: "#{SourceVariables.CommitId}"')
    Path("pipeline.yaml").write_text(said)
    run("--targets", "pipeline.yaml", "--commit", "c0ffee")
    assert released(world).named("Test").parameters == {"Stage": "c0ffee"}
    done = run("--targets", "pipeline.yaml")
    assert done.exit_code == ending.FAILED
    assert "no action of the pipeline has given #{SourceVariables.CommitId}" in done.stderr


def test_of_several_pipelines_the_projects_own_counts(world: World) -> None:
    properties = "".join(f"      {line}\n" for line in DECLARATION.splitlines())
    several = "Transform: FootholdPipeline\nParameters: {Place: {Type: String}}\nResources:\n"
    for name in ("shop", "market"):
        several += f"  {name}:\n    Type: Foothold::Pipeline\n    Properties:\n"
        several += properties.replace("Name: shop", f"Name: {name}")
    several = several.replace("Stage: test", "Stage: !Ref Place", 1)
    Path("pipelines.yaml").write_text(several)
    asked = ("--targets", "pipelines.yaml", "--parameter", "Place=here")
    assert run(*asked, "--project", "shop").exit_code == 0
    assert released(world).named("Test").parameters == {"Stage": "here"}
    for project, line in (
        ((), "several pipelines, name one with --project"),
        (("--project", "x"), "no pipeline x"),
    ):
        done = run(*asked, *project)
        assert done.exit_code == ending.FAILED
        assert f"pipelines.yaml declares {line}; it declares shop, market" in done.stderr


def test_a_manifest_can_be_verified_at_any_time(world: World) -> None:
    run("--project", "shop", "-o", "out")
    done = run("--verify", "out/manifest.json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "verified: 3 regions, 1 objects, equal byte for byte\n"
    for path in [path for path in world.objects if "us-east-1-an/shop/builds" in path]:
        del world.objects[path]
    done = run("--verify", "out/manifest.json", "--json")
    assert done.exit_code == ending.FAILED
    assert json.loads(done.stdout)["verified"] is False
    assert "is missing" in done.stderr


def test_verifying_needs_no_parameters(world: World) -> None:
    run("--project", "shop")
    world.parameters.clear()
    assert run("--verify", "manifest.json").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--project", "shop", "-t", "nowhere.yaml"], "cannot read the template"),
        (["--project", "shop", "--region", "sa-east-1"], "foothold regions add sa-east-1"),
        (["--project", "shop", "--root", "/elsewhere"], "Foothold is not deployed"),
        (["--project", "shop", "-o", "/proc/nowhere"], "cannot write to /proc/nowhere"),
        (["--targets", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["--verify", "nowhere.json"], "cannot read the manifest nowhere.json"),
        (["--verify", ".aws-sam/build/template.yaml"], "cannot read the manifest"),
    ],
)
def test_bad_input_gets_one_clear_line(world: World, arguments: list[str], line: str) -> None:
    done = run(*arguments)
    assert done.exit_code == ending.FAILED
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert world.parameters


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--project", "a b"],
        ["--project", "x", "--nonsense"],
        ["--targets", "x.yaml", "--region", "eu-west-1"],
        ["--targets", "x.yaml", "--no-release"],
    ],
)
def test_wrong_use_is_told_apart(world: World, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == ending.WRONG_USE
    assert world.requests == {}


def test_a_person_sees_a_bar_and_a_script_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.err, "_force_terminal", True)
    monkeypatch.setattr(console.err, "is_interactive", True)
    monkeypatch.setenv("TERM", "xterm-256color")
    done = run("--project", "shop")
    assert "packaging: 3 of 3 regions" in done.stderr
    assert "3/3" in done.stderr
    assert world.objects


def test_language_extensions_are_asked_for_as_with_sam(world: World) -> None:
    each = """\
    Transform: AWS::LanguageExtensions
    Resources:
      Fn::ForEach::Codes:
        - Name
        - [One, Two]
        - ${Name}:
            Type: AWS::Lambda::Function
            Properties: {Code: .aws-sam/build/Code, Handler: app.handler, Role: x}
    """
    Path("each.yaml").write_text(each)
    refused = run("--project", "shop", "-t", "each.yaml")
    assert "--language-extensions" in refused.stderr
    assert run("--project", "shop", "-t", "each.yaml", "--language-extensions").exit_code == 0
    assert world.objects


def test_only_packaging_waits_for_aws_sam_cli() -> None:
    """Every other command starts without it."""
    code = "import sys, foothold.cli.package; sys.exit('samcli' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )


def test_packaging_imports_nothing_that_only_other_commands_need(world: World) -> None:
    """Nor what botocore takes along where it is installed: two fifths of the time to start."""
    code = (
        "import sys; sys.argv = ['foothold', 'package', '--project', 'shop', '--json'];"
        "from foothold.cli import main\n"
        "try: main()\n"
        "finally: print(*sorted(sys.modules), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert json.loads(ran.stdout)["failed"] == {}
    imported = set(ran.stderr.split())
    others = {"awscrt", "_awscrt", "OpenSSL", "aws_lambda_powertools", "foothold.stores.reconcile"}
    others |= {"foothold.packaging.messages", "foothold.reading", "foothold.stores.triggers"}
    others |= {f"foothold.cli.{name}" for name in ("lifecycle", "local", "pipeline", "regions")}
    assert imported & others == set()
    assert world.objects


def test_credentials_of_aws_login_still_find_what_they_need(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    code = (
        "import sys; from foothold.cli import package; package.packaging_caller('/foothold');"
        "import botocore.compat; sys.exit(botocore.compat.HAS_CRT)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for text, has_crt in (("[default]\n", 0), ("[default]\nlogin_session = me\n", 1)):
        config.write_text(text)
        ran = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
        assert ran.returncode == has_crt
    assert world


def test_several_regions_may_stand_in_one_option(world: World) -> None:
    done = run("--project", "shop", "--region", "eu-west-1,us-east-1")
    assert done.exit_code == 0
    assert sorted(path.name for path in Path().glob("*.yml")) == [
        "template-export-eu-west-1.yml",
        "template-export-us-east-1.yml",
    ]
    assert world.objects


def test_samconfig_is_heeded_and_what_is_not_used_is_named(world: World) -> None:
    Path("samconfig.toml").write_text(
        "[default.package.parameters]\nuse_json = true\ns3_prefix = 'mine'\n"
    )
    done = run("--project", "shop", "--region", "us-east-1")
    assert json.loads(Path("template-export-us-east-1.yml").read_text())["Resources"]
    assert "the samconfig file's s3_prefix is not used" in done.stderr
    assert run("--project", "shop", "--region", "us-east-1", "--no-use-json").exit_code == 0
    assert Path("template-export-us-east-1.yml").read_text().startswith("Resources:")
    assert world.objects


@pytest.mark.parametrize(
    "option", [("--metadata", "nothing"), ("--signing-profiles", "F"), ("--metadata", "[1]")]
)
def test_an_option_that_sam_would_refuse_is_wrong_use(
    world: World, option: tuple[str, ...]
) -> None:
    done = run("--project", "shop", *option)
    assert done.exit_code == ending.WRONG_USE
    assert not world.objects
