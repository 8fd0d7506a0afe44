"""What the packaging tests share: an S3 in memory, and the real `sam package` beside ours."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.s3 import World, start
from tests.packaging import shop
from tests.packaging.real_sam import RealSam
from tests.packaging.side_by_side import SideBySide


@pytest.fixture(scope="session")
def s3() -> Iterator[tuple[World, int]]:
    """An S3 in memory, and its port."""
    world = World()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(start(world))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield world, server.sockets[0].getsockname()[1]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture(scope="session")
def real_sam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSam]:
    with RealSam(tmp_path_factory.mktemp("sam")) as sam:
        yield sam


@pytest.fixture
def without_sam(
    s3: tuple[World, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> SideBySide:
    """An application and an S3, for whoever packages with Foothold alone: sam is not started."""
    world, port = s3
    world.reset()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "111111111111",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = tmp_path / "app"
    app.mkdir()
    return SideBySide(app, world, environment)


@pytest.fixture
def side_by_side(without_sam: SideBySide, real_sam: RealSam) -> SideBySide:
    return replace(without_sam, sam=real_sam)


@pytest.fixture
def app(without_sam: SideBySide) -> SideBySide:
    shop.plant(without_sam)
    return without_sam


@pytest.fixture
def world(app: SideBySide) -> World:
    return app.world
