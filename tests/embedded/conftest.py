"""What the tests on the embedded AWS share: one of it, and one with the control plane."""

from collections.abc import Iterator

import pytest

from local.aws.embedded import Embedded


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
