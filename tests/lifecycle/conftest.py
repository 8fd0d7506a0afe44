"""Fixtures of the lifecycle suites."""

import pytest

from tests.lifecycle.accounts import Account


@pytest.fixture
def account() -> Account:
    return Account()
