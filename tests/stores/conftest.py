"""Fixtures of the store suites."""

from collections.abc import Iterator

import pytest

from proof.cloud import Cloud
from tests.stores.accounts import Account
from tests.stores.worlds import World, in_memory, on_moto


@pytest.fixture(autouse=True)
def _no_model_of_aws_outlives_its_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cloud, "current", None)


@pytest.fixture(params=["in memory", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The same behaviour is asked of two models of AWS."""
    if request.param == "in memory":
        yield in_memory()
    else:
        with on_moto() as moto:
            yield moto


@pytest.fixture
def account() -> Account:
    return Account()
