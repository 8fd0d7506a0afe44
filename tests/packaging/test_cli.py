"""`foothold package` as a person and as a script see it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from benchmarks.s3 import World
from foothold.cli import console, ending
from foothold.cli import package as cli
from foothold.cli.package import package
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


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_build_becomes_a_template_for_every_region_that_has_a_store(world: World) -> None:
    done = run("--project", "shop")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        *(f"template-export-{region}.yml" for region in REGIONS),
        "manifest.json",
        "3 regions, 1 objects, equal byte for byte",
    ]
    assert done.stderr == ""
    assert (
        f"S3Bucket: {store('us-east-1').bucket}"
        in Path("template-export-us-east-1.yml").read_text()
    )
    assert len(world.objects) == 3


def test_a_script_reads_json(world: World) -> None:
    done = run("--project", "shop", "--region", "us-east-1", "-o", "out", "--json")
    assert json.loads(done.stdout) == {
        "project": "shop",
        "equal": True,
        "summary": "1 region, 1 objects, equal byte for byte",
        "templates": {"us-east-1": "out/template-export-us-east-1.yml"},
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


def test_a_manifest_can_be_verified_at_any_time(world: World) -> None:
    run("--project", "shop", "-o", "out")
    done = run("--verify", "out/manifest.json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "verified: 3 regions, 1 objects, equal byte for byte\n"
    world.objects.popitem()
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


@pytest.mark.parametrize("arguments", [[], ["--project", "a b"], ["--project", "x", "--nonsense"]])
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
