"""Fixtures of the store suites."""

from collections.abc import Iterator

import pytest

from tests.stores.accounts import Account
from tests.stores.worlds import World, in_memory, on_moto


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
