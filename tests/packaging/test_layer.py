"""The layer with which the package function packages: small, and as good as the whole."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.side_by_side import REGIONS, SideBySide, store
from tests.packaging.test_golden import APPLICATIONS, files

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CHECKOUT = Path(__file__).parents[2]
LAYERS = CHECKOUT / "layers"
MEGABYTE = 1_000_000
PACKAGE = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from pathlib import Path
from foothold.packaging.outputs import write_outputs
from foothold.packaging.packager import PackageRequest
from foothold.packaging_caller import PackagingCaller
request = PackageRequest("shop", Path("template.yaml"))
packaged = PackagingCaller("/foothold").packager.package(request)
assert not packaged.manifest.failed, packaged.manifest.failed
write_outputs(packaged, Path(sys.argv[2]))
outside = {name for name, module in sys.modules.items() if "site-packages" in str(module)}
assert not outside, outside
"""


def locked(requirements: Path) -> dict[str, str]:
    """Name and version of everything that a lock file pins."""
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", requirements.read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer as `sam build` makes it, for this machine."""
    made = tmp_path_factory.mktemp("layer")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ARTIFACTS_DIR": str(made),
        "PYTHON_RUNTIME": f"python3.{sys.version_info.minor}",
        "ARCHITECTURE": "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64",
    }
    subprocess.run(
        ["make", "build-SamCliLayer"],
        cwd=LAYERS / "sam_cli",
        env=environment,
        check=True,
        capture_output=True,
    )
    return made / "python"


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the other layer brings, and nothing else of this environment."""
    folder = tmp_path_factory.mktemp("dependencies")
    for name in locked(LAYERS / "dependencies/requirements.txt"):
        found = importlib.metadata.distribution(name)
        tops = {Path(str(file)).parts[0] for file in found.files or ()}
        for top in tops - {"..", "__pycache__"}:
            (folder / top).symlink_to(Path(str(found.locate_file(top))))
    return folder


def test_the_layer_is_small(layer: Path) -> None:
    """Lambda takes 250 MB for a function and all its layers; bytecode is included."""
    size = sum(path.stat().st_size for path in layer.rglob("*") if path.is_file())
    assert size < 45 * MEGABYTE
    assert list(layer.rglob("samcli/**/*.pyc"))


def test_bytecode_holds_although_a_layers_files_are_dated_1980(layer: Path) -> None:
    """PEP 552: flags 1 are a hash that nobody checks against the source."""
    bytecode = next(layer.rglob("samcli/lib/package/__pycache__/utils.*.pyc"))
    assert bytecode.read_bytes()[4:8] == b"\x01\x00\x00\x00"


@pytest.mark.parametrize("name", ["nested stacks and applications at any depth"])
def test_with_the_layer_alone_everything_is_packaged_as_with_the_whole_aws_sam_cli(
    side_by_side: SideBySide, layer: Path, dependencies: Path, tmp_path: Path, name: str
) -> None:
    side_by_side.write(files())
    side_by_side.write(APPLICATIONS[name])
    theirs = side_by_side.with_sam("template.yaml")
    assert not theirs.failure
    world = side_by_side.world
    world.reset()
    world.parameters = {"/foothold/service-token": "arn"}
    for region in REGIONS:
        path = f"/foothold/artifact-stores/{region}"
        world.parameters |= {
            f"{path}/bucket": store(region).bucket,
            f"{path}/key-arn": store(region).key_arn,
        }
    path = ":".join(map(str, (layer, LAYERS / "foothold", dependencies)))
    environment = {**side_by_side.environment, "HOME": "/nonexistent", "LANG": "C"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PACKAGE, path, str(tmp_path / "out")],
        cwd=side_by_side.app,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for region, template in theirs.templates.items():
        assert (tmp_path / f"out/template-export-{region}.yml").read_bytes() == template
    assert sorted(world.objects) == sorted(theirs.objects)
    world.parameters = {}


def test_the_layer_pins_what_aws_sam_cli_asks_for() -> None:
    pinned = locked(LAYERS / "sam_cli/requirements.txt")
    installed = {name: importlib.metadata.version(name) for name in pinned}
    assert pinned == installed


def test_no_two_layers_bring_the_same_distribution() -> None:
    both = locked(LAYERS / "sam_cli/requirements.txt").keys() & locked(
        LAYERS / "dependencies/requirements.txt"
    )
    assert not both
