"""The responder: one well-formed answer in time, whatever the work and the network do."""

import concurrent.futures
import datetime as dt
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foothold.errors import PermanentError, TemporaryError
from foothold.stores.custom_resource import reply as cfn_reply
from foothold.stores.custom_resource.reply import answer, physical_id
from tests.stores.custom_resource.stack import AT_AWS, Context, Endpoint, StillTime, saved, serving

CANNOT_START = "Foothold's function cannot start"
SEE_LOG = "the function's log says more under request the-invocation"

Work = Callable[[], Mapping[str, Any]]


def done() -> dict[str, str]:
    return {"Bucket": "a-bucket"}


def raising(error: BaseException) -> Work:
    def work() -> dict[str, str]:
        raise error

    return work


def returning(value: Any) -> Work:
    return lambda: value


def noting(worked: list[bool]) -> Work:
    def work() -> dict[str, str]:
        worked.append(True)
        return {}

    return work


# --- What is sent ------------------------------------------------------------------------------


def test_the_answer_is_put_as_the_presigned_url_wants_it(endpoint: Endpoint) -> None:
    answer(saved("cfn_create", endpoint), Context(), done)
    (put,) = endpoint.puts
    assert put.path == "/stack%7Cresource%7Crequest?X-Amz-Signature=canary"
    assert put.headers["content-type"] == ""
    assert int(put.headers["content-length"]) == len(put.body)
    assert endpoint.answer["Data"] == {"Bucket": "a-bucket"}


@pytest.mark.parametrize(("path", "arrives"), [("", "/"), ("/a", "/a"), ("?b=c", "/?b=c")])
def test_a_url_without_path_or_query_is_answered_as_well(
    endpoint: Endpoint, path: str, arrives: str
) -> None:
    answer(saved("cfn_create") | {"ResponseURL": endpoint.url(path)}, Context(), done)
    assert [put.path for put in endpoint.taken] == [arrives]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermanentError("there is no such region"), "there is no such region"),
        (PermanentError("two\nlines\tand more"), "two lines and more"),
        (PermanentError(""), "unknown"),
        (
            TemporaryError("S3 is slow"),
            "S3 is slow (this may pass: repeat the stack operation)",
        ),
        (
            ImportError("No module named 'pydantic'"),
            f"{CANNOT_START}: No module named 'pydantic'; deploy the control plane again",
        ),
        (
            KeyError("secret"),
            f"unexpected KeyError in Foothold; {SEE_LOG}",
        ),
        (
            SystemExit(1),
            f"unexpected SystemExit in Foothold; {SEE_LOG}",
        ),
    ],
)
def test_whatever_the_work_raises_is_one_failure_with_one_clear_line(
    endpoint: Endpoint, error: BaseException, reason: str
) -> None:
    """CR-02."""
    event = saved("cfn_create", endpoint)
    answer(event, Context(), raising(error))
    assert endpoint.answer == {
        "Status": "FAILED",
        "Reason": reason,
        "PhysicalResourceId": physical_id(event["StackId"], event["LogicalResourceId"]),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }


@pytest.mark.parametrize("letter", ["x", "é", "😀", '"', "\\", "\x00"])
def test_data_that_is_too_long_is_refused_whole_rather_than_cut(
    endpoint: Endpoint, letter: str
) -> None:
    """CR-17: half an attribute would be a wrong attribute."""
    answer(saved("cfn_create", endpoint), Context(), returning({"Bucket": letter * 4000}))
    assert endpoint.answer["Status"] == "FAILED"
    assert "CloudFormation takes 4096" in endpoint.answer["Reason"]


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
        {1, 2},
        float("nan"),
        object(),
    ],
    ids=type,
)
def test_data_that_is_no_json_is_a_failure(endpoint: Endpoint, value: object) -> None:
    """CR-19."""
    answer(saved("cfn_create", endpoint), Context(), returning({"Bucket": value}))
    assert endpoint.answer["Status"] == "FAILED"
    assert endpoint.answer["Reason"].startswith("unexpected ")


# --- What is never told ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "work",
    [done, raising(PermanentError("no")), raising(KeyError("k")), returning({"B": b"b"})],
)
@pytest.mark.parametrize("script", [[], [403, 403], ["reset"], [503] * 99])
def test_neither_the_response_url_nor_the_properties_are_logged(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture, work: Work, script: list[int | str]
) -> None:
    """CR-21: who holds the ResponseURL can answer in our name."""
    caplog.set_level(logging.DEBUG)
    endpoint.script.extend(script)
    event = saved("cfn_create", endpoint, ResourceProperties={"Region": "canary"})
    # Where no answer is taken in a second, the error that ends the function is logged by Lambda.
    told: list[object] = []
    try:
        answer(event, Context(1), work)
    except TemporaryError as error:
        told.extend([error, error.__cause__, None if error.__suppress_context__ else "a context"])
    assert "canary" not in str(told)
    assert "a context" not in told
    records = [str(vars(record)) for record in caplog.records]
    assert records
    assert not any("canary" in record for record in records)
    assert any(event["RequestId"] in record for record in records)


def test_of_a_garbled_request_only_texts_are_logged(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """CR-21, CR-28."""
    caplog.set_level(logging.DEBUG)
    event = {"ResponseURL": endpoint.url(), "StackId": {"password": "canary"}, "RequestId": "r"}
    answer(event, Context(), done)
    assert endpoint.answer["StackId"] == ""
    records = [str(vars(record)) for record in caplog.records]
    assert any("'RequestId': 'r'" in record for record in records)
    assert not any("canary" in record for record in records)


# --- Where it is sent --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "not a url",
        "https://",
        "https://[::1",
        f"https://{AT_AWS}:99999/",
        f"http://{AT_AWS}/",
        f"http://{AT_AWS}:443/",
        f"ftp://{AT_AWS}/",
        "file:///etc/passwd",
        f"https://{AT_AWS}:8443/",
        f"https://user@{AT_AWS}/",
        "https://evil.example/",
        "https://evil.example/.amazonaws.com",
        "https://evil.example#.amazonaws.com",
        "https://evil.example?.amazonaws.com",
        "https://evil.example\\.amazonaws.com/",
        "https://x.amazonaws.com@evil.example/",
        "https://amazonaws.com.evil.example/",
        "https://evilamazonaws.com/",
        "https://amazonaws.com/",
        f"https://{AT_AWS}/a b",
        f"https://{AT_AWS}/a\r\nhost:evil.example",
        f"https://{AT_AWS}/ä",
        # AWS's own hosts, and not CloudFormation's bucket.
        "https://somebodys-bucket.s3.eu-central-1.amazonaws.com/answer",
        "https://s3.eu-central-1.amazonaws.com/somebodys-bucket/answer",
        "https://s3.eu-central-1.amazonaws.com/a/cloudformation-custom-resource-response-x/b",
        "https://s3.eu-central-1.amazonaws.com/",
        "https://execute-api.eu-central-1.amazonaws.com/cloudformation-custom-resource-response-x/",
        "https://abc.execute-api.eu-central-1.amazonaws.com/prod",
        "https://sqs.eu-central-1.amazonaws.com/111111111111/queue",
        "https://cloudformation-custom-resource-response-x.execute-api.eu-central-1.amazonaws.com/",
        "https://cloudformation-custom-resource-response-x.evil.s3.eu-central-1.amazonaws.com/a",
        "https://a.cloudformation-custom-resource-response-x.s3.eu-central-1.amazonaws.com/a",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:9/",
        "https://127.0.0.1/",
    ],
)
def test_a_url_that_is_not_cloudformations_is_never_asked_and_nothing_is_done(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, url: object
) -> None:
    """CR-29."""
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("asked"))
    event = saved("cfn_create") | {"ResponseURL": url}
    worked: list[bool] = []
    answer(event, Context(), noting(worked))
    assert (worked, endpoint.puts) == ([], [])


@pytest.mark.parametrize("event", [None, [], "text", 3, {}, {"Records": []}])
def test_an_event_without_a_url_is_ignored(event: object) -> None:
    """CR-28, CR-29."""
    worked: list[bool] = []
    answer(event, Context(), noting(worked))
    assert worked == []


@pytest.mark.parametrize(
    "endpoint_url",
    [
        None,
        "",
        "nonsense",
        "https://127.0.0.1:{port}",
        "http://localhost:{port}",
        "http://127.0.0.1:9",
    ],
)
def test_only_the_very_origin_that_the_setting_names_is_answered_without_tls(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, endpoint_url: str | None
) -> None:
    """CR-29."""
    if endpoint_url is None:
        monkeypatch.delenv("FOOTHOLD_RESPONSE_ORIGIN")
    else:
        monkeypatch.setenv("FOOTHOLD_RESPONSE_ORIGIN", endpoint_url.format(port=endpoint.port))
    worked: list[bool] = []
    answer(saved("cfn_create", endpoint), Context(), noting(worked))
    assert (worked, endpoint.puts) == ([], [])


@pytest.mark.parametrize(
    "host",
    [
        "cloudformation-custom-resource-response-useast1.s3.amazonaws.com",
        "cloudformation-custom-resource-response-cnnorth1.s3.cn-north-1.amazonaws.com.cn",
        "cloudformation-custom-resource-response-eusc.s3.eusc-de-east-1.amazonaws.eu",
        "CloudFormation-Custom-Resource-Response-UsEast1.S3.AmazonAWS.com",
    ],
)
def test_every_partitions_own_hosts_are_answered(host: str) -> None:
    """CR-29."""
    assert cfn_reply._destination(f"https://{host}/a?b") is not None
    assert cfn_reply._destination(f"https://{host}:443/a?b") is not None


@pytest.mark.parametrize(
    "place",
    [
        "s3.eu-central-1.amazonaws.com",
        "s3-eu-west-1.amazonaws.com",
        "s3.amazonaws.com",
        "s3-external-1.amazonaws.com",
        "s3.dualstack.us-west-2.amazonaws.com",
        "s3-fips.us-gov-west-1.amazonaws.com",
        "s3-fips.dualstack.us-gov-east-1.amazonaws.com",
        "s3.cn-north-1.amazonaws.com.cn",
    ],
)
def test_s3_may_be_asked_by_any_of_its_endpoints_with_the_bucket_before_or_behind(
    place: str,
) -> None:
    bucket = "cloudformation-custom-resource-response-uswest2"
    assert cfn_reply._destination(f"https://{bucket}.{place}/a%7Cb?c") is not None
    assert cfn_reply._destination(f"https://{place}/{bucket}/a%7Cb?c") is not None


def test_where_the_sdk_is_pointed_at_says_nothing_of_where_a_stack_waits(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOOTHOLD_RESPONSE_ORIGIN")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.origin)
    worked: list[bool] = []
    answer(saved("cfn_create", endpoint), Context(), noting(worked))
    assert (worked, endpoint.puts) == ([], [])


# --- When the network fails --------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [[403], [500], [503], [429], [503, 500, 429, 403], ["reset"], ["reset", 503, "reset"]],
)
def test_a_put_that_may_go_through_later_is_put_again(
    endpoint: Endpoint, script: list[int | str]
) -> None:
    """CR-22: 403, 500, 503, a connection that is cut."""
    endpoint.script.extend(script)
    answer(saved("cfn_create", endpoint), Context(), done)
    assert endpoint.answer["Status"] == "SUCCESS"
    assert len(endpoint.puts) == len(script) + 1
    assert len({put.body for put in endpoint.puts}) == 1


def test_an_answer_that_drips_in_does_not_hold_the_function_up(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CR-22: slower than slow, but never so slow that a socket's own time-out would end it."""
    monkeypatch.setattr(cfn_reply, "ATTEMPT", 0.5)
    endpoint.script.append("drip")
    answer(saved("cfn_create", endpoint), Context(), done)
    assert endpoint.answer["Status"] == "SUCCESS"
    assert len(endpoint.puts) == 2


def test_an_answer_that_was_taken_and_whose_receipt_was_lost_is_put_again_unchanged(
    endpoint: Endpoint,
) -> None:
    """CR-23."""
    endpoint.script.append("lose the answer")
    answer(saved("cfn_create", endpoint), Context(), done)
    first, second = endpoint.answers
    assert first == second


def test_a_url_that_has_expired_is_tried_twice_and_left_to_lambda(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """CR-24: the error makes Lambda count it, and send the event to the failure destination."""
    endpoint.script.extend([403] * 9)
    with pytest.raises(TemporaryError, match=r"answered: HTTP 403$"):
        answer(saved("cfn_create", endpoint), Context(), done)
    assert len(endpoint.puts) == 2
    assert "reply not delivered" in caplog.messages


@pytest.mark.parametrize("status", [400, 404, 409, 411])
def test_any_other_refusal_is_tried_once_more_for_s3_says_it_of_what_passes(
    endpoint: Endpoint, status: int
) -> None:
    endpoint.script.append(status)
    answer(saved("cfn_create", endpoint), Context(), done)
    assert endpoint.answer["Status"] == "SUCCESS"
    endpoint.script.extend([status] * 9)
    with pytest.raises(TemporaryError, match=f"HTTP {status}"):
        answer(saved("cfn_create", endpoint), Context(), done)
    assert len(endpoint.puts) == 2 + 2


@pytest.mark.parametrize("status", [301, 307])
def test_no_redirect_is_followed(endpoint: Endpoint, status: int) -> None:
    endpoint.script.append(status)
    with pytest.raises(TemporaryError, match=f"HTTP {status}"):
        answer(saved("cfn_create", endpoint), Context(), done)
    assert len(endpoint.puts) == 1


@pytest.mark.parametrize("todo", [503, "reset"])
def test_a_put_that_never_goes_through_is_given_up_before_lambda_ends_the_function(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, todo: int | str
) -> None:
    """CR-24."""
    time = StillTime()
    monkeypatch.setattr(cfn_reply, "time", time)
    endpoint.script.extend([todo] * 999)
    context = Context(1.5, time.monotonic)
    with pytest.raises(TemporaryError):
        answer(saved("cfn_create", endpoint), context, done)
    assert len(endpoint.puts) > 2
    assert context.get_remaining_time_in_millis() > 0


def test_a_name_that_does_not_resolve_is_looked_up_again(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CR-22: DNS failure."""
    real = socket.create_connection
    failures = iter([socket.gaierror(-2, "Name or service not known")])

    def connect(*args: Any, **kwargs: Any) -> socket.socket:
        for error in failures:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", connect)
    answer(saved("cfn_create", endpoint), Context(), done)
    assert endpoint.answer["Status"] == "SUCCESS"


def test_aws_is_answered_over_tls(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, aws_here: Callable[[Endpoint], None]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(certificate) as endpoint:
        aws_here(endpoint)
        answer(saved("cfn_create"), Context(), done)
        assert endpoint.answer["Status"] == "SUCCESS"
        (put,) = endpoint.puts
        assert put.headers["host"] == AT_AWS


def test_a_certificate_that_is_not_trusted_gets_no_answer(
    certificate: Path, aws_here: Callable[[Endpoint], None]
) -> None:
    """CR-22: TLS error."""
    with serving(certificate) as endpoint:
        aws_here(endpoint)
        with pytest.raises(TemporaryError, match=ssl.SSLCertVerificationError.__name__):
            answer(saved("cfn_create"), Context(1), done)
        assert endpoint.puts == []


# --- When time runs out ------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [20, 5, 1, 0.4, 0])
def test_however_little_time_is_left_there_is_one_answer(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """CR-25: half a second is enough for work that takes no time, on however slow a machine."""
    wait = concurrent.futures.wait
    monkeypatch.setattr(
        cfn_reply, "wait", lambda given, timeout: wait(given, None if timeout >= 0.5 else timeout)
    )
    answer(saved("cfn_create", endpoint), Context(seconds), done)
    assert endpoint.answer["Status"] in (("SUCCESS",) if seconds >= 1 else ("SUCCESS", "FAILED"))


def test_work_that_takes_too_long_is_answered_in_time_and_its_late_result_is_not_told(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CR-26."""
    at_work, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    wait = concurrent.futures.wait

    def slow() -> dict[str, str]:
        at_work.set()
        go_on.wait()
        ended.set()
        return {"Bucket": "too-late"}

    def time_passes(futures: Any, timeout: float) -> Any:
        monkeypatch.setattr(cfn_reply, "wait", wait)
        at_work.wait()
        return wait(futures, timeout * 0)

    monkeypatch.setattr(cfn_reply, "wait", time_passes)
    context = Context()
    answer(saved("cfn_create", endpoint), context, slow)
    assert at_work.is_set()
    assert not ended.is_set()
    assert context.get_remaining_time_in_millis() > 0
    assert endpoint.answer["Reason"] == (
        "not ready after 45 seconds. Nothing is lost: repeat the stack operation, and it goes on "
        "from there"
    )
    go_on.set()
    ended.wait()
    for thread in threading.enumerate():
        if thread.daemon and "run" in thread.name:
            thread.join()
    assert len(endpoint.puts) == 1


def test_the_margin_is_kept_for_the_answer_and_shrinks_with_the_time(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CR-25: 240 seconds leave 225 for the work; 20 leave 10; nothing leaves nothing."""
    given_to_work = []

    def within(seconds: float, work: Callable[[], Any]) -> Any:
        given_to_work.append(round(seconds))
        return work()

    monkeypatch.setattr(cfn_reply, "_within", within)
    for seconds in (240, 20, 0):
        answer(saved("cfn_create", endpoint), Context(seconds), done)
    assert given_to_work[::2] == [225, 10, 0]
    assert given_to_work[1::2] == [5, 5, 0]


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    event=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    fields=st.dictionaries(
        st.sampled_from([
            "RequestType", "RequestId", "StackId", "LogicalResourceId", "PhysicalResourceId",
            "ResourceType", "ResourceProperties", "OldResourceProperties",
        ]),
        st.none() | st.text() | st.integers() | st.dictionaries(st.text(), st.text(), max_size=2),
    ),
    error=st.none() | st.builds(PermanentError, st.text()) | st.builds(KeyError, st.text()),
)  # fmt: skip
def test_any_event_with_a_usable_url_gets_exactly_one_answer(
    endpoint: Endpoint, event: Any, fields: dict[str, Any], error: Exception | None
) -> None:
    """CR-18, CR-28."""
    endpoint.taken.clear()
    work = raising(error) if error else done
    if isinstance(event, dict) and "ResponseURL" not in event:
        fields = event | fields
    answer(saved("cfn_create", endpoint) | fields, Context(), work)
    assert endpoint.answer["Status"] in ("SUCCESS", "FAILED")
    worked: list[bool] = []
    answer(event, Context(), noting(worked))
    assert worked == []
