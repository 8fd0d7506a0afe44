"""What all tests share: the lane that each of them is in, and how the lanes are shared out."""

from collections.abc import Collection, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from hypothesis import HealthCheck, settings

import foothold.cli.console
from proof.cloud import Cloud

# How fast the machine is decides nothing. The proof's mutants run under a profile of their own.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if settings.get_current_profile_name() != "mutants":
    settings.load_profile("tests")

# A console keeps the width that it is made with: pytest-xdist's COLUMNS, or that of the first test
# that needs a console. Without one it asks each time.
foothold.cli.console.out._width = None

HERE = Path(__file__).parent
LANES = ("unit", "embedded", "proof")
# Fixtures that start sam or its build, of the tests that lie beside what they test.
PROGRAMS = frozenset({"real_sam", "layer"})


def lane_of(path: Path, fixtures: Collection[str]) -> str:
    """The one lane of a test, from its file and its fixtures."""
    folder = path.relative_to(HERE).parts[0]
    if folder in LANES:
        return folder
    return "embedded" if PROGRAMS.intersection(fixtures) else "unit"


def share_of(nodeid: str) -> str:
    """What one process runs in one go: all that needs the control plane on an embedded AWS, so that
    it is built and deployed once; each folder of what needs an AWS of its own; each proof by
    itself; of the rest a file."""
    file = nodeid.partition("::")[0]
    if file.startswith("tests/embedded/"):
        return file.rpartition("/")[0]
    return nodeid if file.endswith("test_proof.py") else file


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark every test with its lane; the long ones go first, and the short ones fill up."""
    for item in items:
        if any(map(item.get_closest_marker, LANES)):
            raise pytest.UsageError(f"{item.nodeid}: its lane is no mark's to say, see lane_of")
        item.add_marker(lane_of(item.path, item.fixturenames))
    long = ("tests/embedded/test_", "tests/embedded/", "tests/proof/test_proof.py", "tests/proof/")
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in long])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out in their order, by `share_of`.

    xdist's own `--dist loadgroup` groups nothing with pytest 9.2, and says nothing of it
    (pytest-dev/pytest-xdist#1386).
    """
    xdist: Any = import_module("xdist.scheduler")  # has no types; the mutants run without it

    class Scheduling(xdist.LoadScopeScheduling):  # type: ignore[misc]  # a class without types
        def _split_scope(self, nodeid: str) -> str:
            return share_of(nodeid)

    config.option.loadscopereorder = False  # by the number of tests: a proof is one
    return Scheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def _service_models_are_read_once() -> Iterator[None]:
    """The SDK reads its models from disk for each session; to a test they are all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(autouse=True)
def _no_model_of_aws_outlives_its_test() -> Iterator[None]:
    yield
    Cloud.current = None
