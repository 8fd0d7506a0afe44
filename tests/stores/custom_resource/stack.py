"""A stack that waits for an answer, on this machine, at an address that can misbehave."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any, cast

LIMIT = 4096
# The host that CloudFormation waits at, in the saved events.
AT_AWS = "cloudformation-custom-resource-response-eucentral1.s3.eu-central-1.amazonaws.com"
EVENTS = Path(__file__).parents[3] / "events"


class Context:
    """What Lambda hands over, with a clock that runs, or another one."""

    aws_request_id = "the-invocation"
    function_name = "foothold-artifact-store"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:eu-central-1:111111111111:function:foothold"

    def __init__(self, seconds: float = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._end - self._clock()) * 1000))


class StillTime:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Put:
    """One PUT, as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Endpoint:
    """`script` says what to do with the next PUTs: a status, or "reset", "drip", "lose the
    answer"; after it, every PUT is taken."""

    origin: str
    script: list[int | str] = field(default_factory=list)
    puts: list[Put] = field(default_factory=list)
    taken: list[Put] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/stack%7Cresource%7Crequest?X-Amz-Signature=canary") -> str:
        return f"{self.origin}{path}"

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [well_formed(put.body) for put in self.taken]

    @property
    def answer(self) -> dict[str, Any]:
        """The one answer that was taken, checked against the limits of the contract."""
        (answer,) = self.answers
        return answer


def saved(name: str, endpoint: Endpoint | None = None, **changes: Any) -> dict[str, Any]:
    """The saved event, answered at `endpoint`, with these fields instead."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    if endpoint:
        event["ResponseURL"] = endpoint.url()
    return event | changes


def well_formed(body: bytes) -> dict[str, Any]:
    """The reply in `body`, if CloudFormation would take it."""
    assert len(body) <= LIMIT
    reply = json.loads(body)
    assert reply["Status"] in ("SUCCESS", "FAILED")
    for name in ("PhysicalResourceId", "StackId", "RequestId", "LogicalResourceId"):
        assert isinstance(reply[name], str)
    assert 0 < len(reply["PhysicalResourceId"].encode()) <= 1024
    if reply["Status"] == "FAILED":
        assert isinstance(reply["Reason"], str)
        assert reply["Reason"]
        assert "\n" not in reply["Reason"]
    else:
        assert "Reason" not in reply
        assert all(isinstance(value, str) for value in reply["Data"].values())
    return cast("dict[str, Any]", reply)


class Handler(BaseHTTPRequestHandler):
    endpoint: Endpoint

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        put = Put(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        self.endpoint.puts.append(put)
        todo = self.endpoint.script.pop(0) if self.endpoint.script else 200
        match todo:
            case "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            case "lose the answer":
                self.endpoint.taken.append(put)
            case "drip":
                self._drip()
            case str():
                raise LookupError(todo)
            case int(status):
                if status == 200:
                    self.endpoint.taken.append(put)
                self.send_response(status)
                self.send_header("location", self.endpoint.url("/elsewhere"))
                self.send_header("content-length", "0")
                self.end_headers()
        self.endpoint.arrived.set()

    def _drip(self) -> None:
        """One byte of the status line at a time, each in time for a socket's own timeout."""
        try:
            self.connection.sendall(b"HTTP/1.1 ")
            while not self.endpoint.closing.wait(0.05):
                self.connection.sendall(b" ")
        except OSError:
            pass

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its own name
        """Nothing: the tests look at what arrived."""


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Endpoint]:
    """An endpoint on a free port of 127.0.0.1: HTTP, or HTTPS with this certificate and key."""
    handler = type("OneEndpoint", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    scheme = "http"
    if certificate:
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    endpoint = Endpoint(f"{scheme}://127.0.0.1:{server.server_address[1]}")
    handler.endpoint = endpoint  # type: ignore[attr-defined]  # made by type()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
