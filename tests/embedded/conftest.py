"""The control plane, deployed once for all tests that need it."""

import pytest

from local.embedded import Embedded


@pytest.fixture(scope="session")
def deployed(embedded: Embedded) -> Embedded:
    """The embedded AWS with the control plane on it, by the ordinary sam build and sam deploy."""
    embedded.deploy(say=lambda _line: None)
    return embedded
