"""What the shims' tests share: MiniStack without any."""

from collections.abc import Iterator

import pytest

from local.aws.embedded import Embedded


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """MiniStack as upstream ships it."""
    aws = Embedded(tmp_path_factory.mktemp("ministack"), without=["all"])
    try:
        aws.start()
        yield aws
    finally:
        aws.stop()
