"""Always answer CloudFormation: exactly one reply to a request, before the function is killed.

A stack waits an hour for a function that says nothing. So this module needs the standard
library only, does the work in a thread that it can leave behind, and keeps enough time for the
reply. Only the thread that was asked ever sends: work that ends late speaks to nobody.
"""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from threading import Thread
from typing import Any, Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit

from foothold.errors import PermanentError, TemporaryError
from foothold.partitions import PARTITIONS
from foothold.stores.register import ArtifactStore

# AWS CloudFormation User Guide, "Custom resource reference": in bytes.
REPLY_LIMIT = 4096
PHYSICAL_ID_LIMIT = 1024

STACK_ID = re.compile(
    r"arn:(?P<partition>[a-z-]+):cloudformation:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):"
    r"stack/(?P<stack>[A-Za-z][A-Za-z0-9-]{0,127})/(?P<uuid>[A-Za-z0-9-]{1,64})"
)
LOGICAL_ID = re.compile(r"[A-Za-z0-9]{1,255}")

# Seconds. Of the time that the function has left, the margin is kept for the reply, and of that
# the reserve for what Lambda itself does when a function returns.
MARGIN = 15.0
RESERVE = 1.0
ATTEMPT = 5.0
SHORTEST_ATTEMPT = 0.5
FIRST_PAUSE = 0.1

PRINTABLE = re.compile(r"[!-~]+")
HOST = re.compile(r"[a-z0-9.-]+")
# Where CloudFormation waits: a bucket of its own in the stack's region (AWS CloudFormation User
# Guide, "Set up VPC endpoints", names it for custom resources), at one of S3's endpoints (AWS
# General Reference, "Amazon S3 endpoints and quotas"), with the bucket in the host or in the path.
SUFFIXES = "|".join(sorted({re.escape(partition.dns_suffix) for partition in PARTITIONS}))
BUCKET = "cloudformation-custom-resource-response-[a-z0-9-]+"
REGION = "[a-z]{2,5}(?:-[a-z]+)+-[0-9]{1,2}"
S3 = rf"s3(?:-fips)?(?:\.dualstack)?(?:[.-](?:{REGION}|external-1))?\.(?:{SUFFIXES})"
WAITS_AT = re.compile(rf"{BUCKET}\.{S3}/.*|{S3}/{BUCKET}/.*", re.DOTALL)
# The one other origin that is answered: an AWS that is none, and that says so at deployment.
OTHER_ORIGIN = "FOOTHOLD_RESPONSE_ORIGIN"
# Nothing else of a request is logged: whoever holds its ResponseURL can answer in our name.
LOGGED = ("RequestType", "RequestId", "StackId", "LogicalResourceId")
DEFAULT_PORTS = {"https": 443, "http": 80}
TAKEN = range(200, 300)
# 403 is a clock that is off for a moment, or a URL that has expired: a second try tells which.
# S3 also says 400 (RequestTimeout), 404 and 409 of what may pass (Amazon S3 API Reference, "Error
# responses"); and Lambda does not ask this function again.
ONLY_ONCE = frozenset(range(400, 500)) - {429}
AGAIN = ONLY_ONCE | {429, *range(500, 600)}

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Context(Protocol):
    """What is needed of Lambda's context (AWS Lambda Developer Guide, "Context object")."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


class OverrunError(Exception):
    """Something has not ended in the time it was given."""


def answer(event: Any, context: Context, work: Callable[[], Mapping[str, str]]) -> None:
    """Do `work`, and tell the stack what it returned or why it failed.

    A request without a URL that CloudFormation could have made is ignored: no work, no reply.
    Whatever `work` raises, and work that takes too long, is a FAILED reply. Raises
    TemporaryError only where no reply could be delivered, for Lambda to try the event again.
    """
    left = context.get_remaining_time_in_millis() / 1000
    end = time.monotonic() + left - min(RESERVE, left / 10)
    url = _destination(event.get("ResponseURL")) if isinstance(event, Mapping) else None
    if url is None:
        logger.warning("request ignored: it has no ResponseURL of CloudFormation's")
        return
    about = {name: event[name] for name in LOGGED if isinstance(event.get(name), str)}
    margin = min(MARGIN, left / 2)
    try:
        body = success(event, _within(left - margin, work))
        logger.info("request fulfilled", extra=about)
    except BaseException as error:  # noqa: BLE001  whatever it is, the stack is told
        reason = _reason(error, left - margin, context)
        logger.warning("request failed", extra=about | {"reason": reason})
        body = failure(event, reason)
    _deliver(url, body, end)


def _within(seconds: float, work: Callable[[], Result]) -> Result:
    """What `work` returns or raises. Raises OverrunError when it takes longer; it is then left to
    itself, and what becomes of it goes unread."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  handed on to whoever waits
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    if not wait([future], timeout=seconds).done:
        raise OverrunError
    return future.result()


def _reason(error: BaseException, seconds: float, context: Context) -> str:
    match error:
        case OverrunError():
            return (
                f"not ready after {seconds:.0f} seconds. Nothing is lost: repeat the stack "
                "operation, and it goes on from there"
            )
        case TemporaryError():
            return f"{error} (this may pass: repeat the stack operation)"
        case PermanentError():
            return str(error)
        case ImportError():
            return f"Foothold's function cannot start: {error}; deploy the control plane again"
        case _:
            logger.error("unexpected error", exc_info=error)
            return (
                f"unexpected {type(error).__name__} in Foothold; the function's log says more "
                f"under request {context.aws_request_id}"
            )


def _destination(text: Any) -> SplitResult | None:
    """The URL to answer to, if CloudFormation waits there, over TLS; or if it leads to the one
    origin that the environment names beside."""
    if not isinstance(text, str) or not PRINTABLE.fullmatch(text):
        return None
    origin = _origin(text)
    if origin is None:
        return None
    url = urlsplit(text)
    over_tls = origin[0] == "https" and origin[2] == DEFAULT_PORTS["https"]
    if over_tls and WAITS_AT.fullmatch(f"{origin[1]}{url.path or '/'}"):
        return url
    return url if origin == _origin(os.environ.get(OTHER_ORIGIN, "")) else None


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    if "@" in parts.netloc or not HOST.fullmatch(parts.hostname or ""):
        return None
    return parts.scheme, str(parts.hostname), port


def _deliver(url: SplitResult, body: bytes, end: float) -> None:
    """PUT the reply, again and again until it is taken or `end` is near.

    The same bytes may so arrive twice, where the first PUT was taken and its answer lost.
    """
    pause = FIRST_PAUSE
    again = AGAIN
    while True:
        seconds = max(SHORTEST_ATTEMPT, min(ATTEMPT, end - time.monotonic()))
        try:
            status = _within(seconds, partial(_put, url, body, seconds))
        except Exception as error:  # noqa: BLE001  networks fail in every way
            cause = type(error).__name__
        else:
            cause = f"HTTP {status}"
            if status in TAKEN:
                return
            if status not in again:
                break
            again -= ONLY_ONCE & {status}
        if time.monotonic() + pause + SHORTEST_ATTEMPT > end:
            break
        time.sleep(pause)
        pause = min(2 * pause, ATTEMPT)
    logger.error("reply not delivered", extra={"cause": cause})
    raise TemporaryError(f"CloudFormation could not be answered: {cause}") from None


def _put(url: SplitResult, body: bytes, timeout: float) -> int:
    """The HTTP status that the endpoint gives; redirects are not followed.

    The URL is signed for an empty content type, as CloudFormation's own cfn-response sends it.
    """
    connect = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = connect(str(url.hostname), url.port, timeout=timeout)
    try:
        query = f"?{url.query}" if url.query else ""
        connection.request("PUT", f"{url.path or '/'}{query}", body, {"content-type": ""})
        return connection.getresponse().status
    finally:
        connection.close()


# --- The body


def physical_id(stack_id: str, logical_id: str) -> str:
    """The physical id of a resource: the same for every request, in success and in failure, so
    that CloudFormation never takes an update for a replacement."""
    stack = STACK_ID.fullmatch(stack_id)
    if stack and LOGICAL_ID.fullmatch(logical_id):
        return f"foothold/{stack['account']}/{stack['uuid']}/{logical_id}"
    malformed = f"{stack_id} {logical_id}".encode("utf-8", "backslashreplace")
    return f"foothold/{hashlib.sha256(malformed).hexdigest()}"


def attributes(stores: Mapping[str, ArtifactStore], *, singular: bool) -> dict[str, str]:
    """What Fn::GetAtt gives. `stores` is by region, and holds one store where `singular`."""
    if singular:
        (store,) = stores.values()
        return {
            "Bucket": store.bucket,
            "BucketArn": store.bucket_arn,
            "KeyArn": store.key_arn,
            "Region": store.region,
        }
    return {f"Bucket.{region}": store.bucket for region, store in stores.items()} | {
        f"KeyArn.{region}": store.key_arn for region, store in stores.items()
    }


def success(event: Mapping[str, Any], data: Mapping[str, str]) -> bytes:
    """The body of a reply that carries `data`.

    Raises PermanentError where it is longer than CloudFormation takes, and TypeError or
    ValueError where `data` is not JSON.
    """
    body = json.dumps(_envelope(event, "SUCCESS") | {"Data": dict(data)}, allow_nan=False)
    if len(body) > REPLY_LIMIT:
        raise PermanentError(
            f"the answer would be {len(body)} bytes long, and CloudFormation takes {REPLY_LIMIT}"
        )
    return body.encode("ascii")


def failure(event: Mapping[str, Any], reason: str) -> bytes:
    """The body of a reply that says in one line why not, cut to what CloudFormation takes."""
    line = " ".join(reason[:REPLY_LIMIT].split()) or "unknown"
    body = _envelope(event, "FAILED") | {"Reason": line}
    while (excess := len(json.dumps(body)) - REPLY_LIMIT) > 0:
        # The reason, unless the request itself is garbage. No character takes more than the
        # 12 bytes of two escapes, so this cuts no character too many.
        longest = max(body, key=lambda name: len(body[name]))
        body[longest] = body[longest][: -max(1, excess // 12)]
    return json.dumps(body).encode("ascii")


def _envelope(event: Mapping[str, Any], status: str) -> dict[str, str]:
    echoed = {
        name: _text(event.get(name)) for name in ("StackId", "RequestId", "LogicalResourceId")
    }
    given = _text(event.get("PhysicalResourceId"))
    if not given or len(given.encode("utf-8", "surrogatepass")) > PHYSICAL_ID_LIMIT:
        given = physical_id(echoed["StackId"], echoed["LogicalResourceId"])
    return {"Status": status, "PhysicalResourceId": given, **echoed}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
