"""The stack that waits: on this machine, and at AWS."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foothold.stores.custom_resource import reply as cfn_reply
from tests.stores.custom_resource.certificate import certify
from tests.stores.custom_resource.stack import AT_AWS, Endpoint, serving


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """The stack waits here, and the SDK is pointed here."""
    monkeypatch.setattr(cfn_reply, "FIRST_PAUSE", 0.01)
    with serving() as served:
        monkeypatch.setenv("FOOTHOLD_RESPONSE_ORIGIN", served.origin)
        yield served


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate, with its key, for the host that CloudFormation waits at."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(certify(AT_AWS))
    return path


@pytest.fixture
def aws_here(monkeypatch: pytest.MonkeyPatch) -> Callable[[Endpoint], None]:
    """Have every connection to AWS lead to an endpoint on this machine."""
    real = socket.create_connection

    def lead_to(endpoint: Endpoint) -> None:
        def connect(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
            assert address == (AT_AWS, 443)
            return real(("127.0.0.1", endpoint.port), *args, **kwargs)

        monkeypatch.setattr(socket, "create_connection", connect)

    return lead_to
