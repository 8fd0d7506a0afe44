"""What all tests share: the embedded AWS, and which of them run in one process."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from local.aws.embedded import ROOT, Embedded

# How fast the machine is decides nothing. The proof's mutants run under a profile of their own.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if settings.get_current_profile_name() != "mutants":
    settings.load_profile("tests")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out: what needs the embedded AWS to one process, so that it is deployed
    once; of the rest a file's tests together, but each proof by itself."""
    xdist: Any = import_module("xdist.scheduler")  # has no types; the mutants run without it

    class Scheduling(xdist.LoadScopeScheduling):  # type: ignore[misc]  # a class without types
        def _split_scope(self, nodeid: str) -> str:
            file, _, _ = nodeid.partition("::")
            if "mark.embedded" in (ROOT / file).read_text():
                return "embedded"
            return nodeid if file.endswith("test_proof.py") else file

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """An embedded AWS of this test session, with nothing deployed."""
    aws = Embedded(tmp_path_factory.mktemp("embedded"))
    aws.start()
    yield aws
    aws.stop()


@pytest.fixture(scope="session")
def deployed(embedded: Embedded) -> Embedded:
    """The embedded AWS with the control plane on it, by the ordinary sam build and sam deploy."""
    embedded.deploy(say=lambda _line: None)
    return embedded
