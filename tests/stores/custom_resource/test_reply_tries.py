"""What the responder tries, when, and when it gives up: on a clock and a network of our own."""

import json
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from urllib.parse import SplitResult, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foothold.errors import TemporaryError
from foothold.stores.custom_resource import reply as cfn_reply
from foothold.stores.custom_resource.reply import answer
from tests.stores.custom_resource.stack import saved

HOST = "cloudformation-custom-resource-response-eucentral1.s3.eu-central-1.amazonaws.com"
URL = f"https://{HOST}/stack?X-Amz-Signature=canary"
EVENT = saved("cfn_create") | {"ResponseURL": URL}
Reply = int | Exception


@dataclass
class Stack:
    """A stack that answers a PUT after so many seconds, and the clock that tells them. After
    its replies it takes every PUT. `left` is what Lambda leaves when it all begins."""

    replies: Iterable[Reply] = ()
    left: float = 60.0
    takes: float = 0.0
    now: float = 0.0
    tries: list[tuple[float, float]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    aws_request_id: str = "the-invocation"

    def __post_init__(self) -> None:
        self.replies = iter(self.replies)

    def get_remaining_time_in_millis(self) -> int:
        return int((self.left - self.now) * 1000)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def put(self, url: SplitResult, body: bytes, timeout: float) -> int:
        assert url.geturl() == URL
        self.tries.append((self.now, timeout))
        self.bodies.append(body)
        self.now += self.takes
        reply = next(iter(self.replies), 200)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def asks(
        self, work: Callable[[], dict[str, str]] = dict, event: Any = EVENT
    ) -> list[tuple[float, float]]:
        """Have the work done and answered. When each PUT came, and how long it was given."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cfn_reply, "time", self)
            patch.setattr(cfn_reply, "_put", self.put)
            answer(event, self, work)
        return self.tries

    def gives_up(self) -> list[tuple[float, float]]:
        """The same, where no PUT is taken."""
        with pytest.raises(TemporaryError):
            self.asks()
        return self.tries


def for_ever(reply: Reply) -> list[Reply]:
    return [reply] * 99


@pytest.mark.parametrize("event", [None, [], {}, EVENT | {"ResponseURL": "https://evil.example/"}])
def test_without_a_url_of_cloudformations_nothing_is_tried(event: Any) -> None:
    """CR-29."""
    assert Stack().asks(lambda: pytest.fail("worked"), event) == []


@pytest.mark.parametrize(
    ("endpoint_url", "url", "answered"),
    [
        ("http://localhost", "http://localhost:80/a", True),
        ("http://localhost:80", "http://localhost/a", True),
        ("http://localhost", "http://localhost:81/a", False),
        ("http:", "http:///a", False),
    ],
)
def test_an_origin_is_the_same_with_and_without_its_usual_port(
    monkeypatch: pytest.MonkeyPatch, endpoint_url: str, url: str, answered: bool
) -> None:
    """CR-29."""
    monkeypatch.setenv("FOOTHOLD_RESPONSE_ORIGIN", endpoint_url)
    assert (cfn_reply._destination(url) is not None) == answered


@pytest.mark.parametrize(
    ("url", "scheme", "place", "target"),
    [
        (URL, "https", (HOST, None), "/stack?X-Amz-Signature=canary"),
        ("http://localhost:4566", "http", ("localhost", 4566), "/"),
    ],
)
def test_a_put_goes_over_tls_where_the_url_says_so_and_closes_its_connection(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    scheme: str,
    place: tuple[str, int | None],
    target: str,
) -> None:
    calls: list[Any] = []

    def connecting(by: str) -> Callable[..., Any]:
        def connect(host: str, port: int | None, *, timeout: float) -> Any:
            calls.append((by, (host, port), timeout))
            return SimpleNamespace(
                request=lambda *request: calls.append(request),
                getresponse=lambda: SimpleNamespace(status=204),
                close=lambda: calls.append("closed"),
            )

        return connect

    monkeypatch.setattr(cfn_reply, "HTTPSConnection", connecting("https"))
    monkeypatch.setattr(cfn_reply, "HTTPConnection", connecting("http"))
    assert cfn_reply._put(urlsplit(url), b"{}", 1.5) == 204
    request = ("PUT", target, b"{}", {"content-type": ""})
    assert calls == [(scheme, place, 1.5), request, "closed"]


def test_work_that_is_in_time_gives_what_it_returns_or_raises() -> None:
    assert cfn_reply._within(2, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        cfn_reply._within(2, lambda: 1 / 0)


def test_work_that_is_late_is_not_waited_for() -> None:
    """CR-26."""
    end = threading.Event()
    before = threading.enumerate()
    with pytest.raises(cfn_reply.OverrunError):
        cfn_reply._within(0.05, end.wait)
    left_behind = [thread for thread in threading.enumerate() if thread not in before]
    assert all(thread.daemon for thread in left_behind)
    assert left_behind
    end.set()


@pytest.mark.parametrize("reply", [503, 429, OSError("cut")])
def test_the_pause_between_two_tries_doubles_up_to_five_seconds(reply: Reply) -> None:
    """CR-22, CR-24: of a minute the last second is Lambda's own."""
    tries = Stack(for_ever(reply)).gives_up()
    at = [0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3, *(11.3 + 5 * n for n in range(10))]
    assert [when for when, _ in tries] == pytest.approx(at)
    assert [given for _, given in tries] == pytest.approx([5.0] * (len(at) - 1) + [2.7])


@pytest.mark.parametrize(("left", "given"), [(60, 5), (4, 3.6), (1, 0.9), (0.2, 0.5), (0, 0.5)])
def test_a_try_is_given_five_seconds_or_what_is_left_but_half_a_second_at_least(
    left: float, given: float
) -> None:
    """CR-25: of less than ten seconds, a tenth is Lambda's own."""
    ((_, timeout),) = Stack(left=left).asks()
    assert timeout == pytest.approx(given)


@pytest.mark.parametrize(("takes", "tries"), [(1.625, 2), (1.75, 1)])
def test_there_is_another_try_as_long_as_half_a_second_is_left_for_it(
    monkeypatch: pytest.MonkeyPatch, takes: float, tries: int
) -> None:
    """CR-24: of two and a half seconds, a quarter is Lambda's own."""
    monkeypatch.setattr(cfn_reply, "FIRST_PAUSE", 0.125)
    assert len(Stack(for_ever(503), left=2.5, takes=takes).gives_up()) == tries


def test_a_status_is_taken_or_tried_again_or_once_more_or_not_at_all() -> None:
    """CR-22, CR-24."""

    def tries(status: int) -> object:
        stack = Stack(for_ever(status), left=3)
        try:
            stack.asks()
        except TemporaryError as error:
            return len(stack.tries) if str(error).endswith(f": HTTP {status}") else str(error)
        return "taken"

    again = 5  # at 0, 0.1, 0.3, 0.7 and 1.5 seconds of the 2.7
    expected: dict[int, object] = {
        **dict.fromkeys((100, 199, 300, 307, 399, 600), 1),
        **dict.fromkeys((200, 204, 299), "taken"),
        **dict.fromkeys((400, 403, 404, 409, 428, 430, 499), 2),
        **dict.fromkeys((429, 500, 503, 599), again),
    }
    assert {status: tries(status) for status in expected} == expected


@given(st.lists(st.sampled_from([400, 403, 404, 429, 500, 503, 307, 200]), max_size=12))
def test_no_refusal_is_heard_twice_and_the_same_bytes_are_put_until_they_are_taken(
    statuses: list[int],
) -> None:
    """CR-23, CR-24."""
    stack = Stack(statuses)
    try:
        stack.asks()
        taken = True
    except TemporaryError:
        taken = False
    heard: list[int] = []
    for status in [*statuses, 200]:
        heard.append(status)
        refused = 400 <= status < 500 and status != 429
        if status in (200, 307) or (refused and heard.count(status) > 1):
            break
    assert len(stack.tries) == len(heard)
    assert taken == (heard[-1] == 200)
    assert len(set(stack.bodies)) == 1


@pytest.mark.parametrize(
    ("work", "line"),
    [(dict, "request fulfilled"), (lambda: 1 / 0, "request failed")],
)
def test_the_log_says_of_whose_request_it_speaks(
    caplog: pytest.LogCaptureFixture, work: Callable[[], dict[str, str]], line: str
) -> None:
    """CR-21."""
    caplog.set_level(logging.INFO)
    Stack().asks(work)
    (record,) = [record for record in caplog.records if record.message == line]
    for name in ("RequestType", "RequestId", "StackId", "LogicalResourceId"):
        assert vars(record)[name] == EVENT[name]


def test_the_log_says_why_a_request_failed_and_what_nobody_foresaw_with_its_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Stack().asks(lambda: 1 / 0)  # type: ignore[arg-type, return-value]  # it never returns
    unforeseen, failed = caplog.records
    assert unforeseen.exc_info
    assert unforeseen.exc_info[0] is ZeroDivisionError
    assert vars(failed)["reason"].startswith("unexpected ZeroDivisionError in Foothold")


def test_the_log_says_why_an_answer_was_not_delivered(caplog: pytest.LogCaptureFixture) -> None:
    """CR-24."""
    Stack(for_ever(OSError("cut"))).gives_up()
    assert vars(caplog.records[-1])["cause"] == "OSError"


@pytest.mark.parametrize(
    ("left", "reason"), [(60, "not ready after 45 seconds."), (20, "not ready after 10 seconds.")]
)
def test_work_that_takes_too_long_is_told_how_long_it_had(left: float, reason: str) -> None:
    """CR-26."""

    def overrun() -> dict[str, str]:
        raise cfn_reply.OverrunError

    stack = Stack(left=left)
    stack.asks(overrun)
    (body,) = stack.bodies
    assert json.loads(body)["Reason"].startswith(reason)


def test_what_the_work_returns_is_what_the_stack_gets() -> None:
    stack = Stack([OSError("cut"), 503])
    stack.asks(lambda: {"Bucket": "b"})
    assert [json.loads(body)["Data"] for body in stack.bodies] == [{"Bucket": "b"}] * 3
