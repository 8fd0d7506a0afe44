"""The functions of the control plane, in this process, on a cloud in memory.

Everything is entered as AWS does, with the events that AWS sends: the handlers of
`functions/`, and behind them the whole house.
"""

import gc
import importlib.util
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache, partial, wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import botocore.hooks
import botocore.session
from botocore.config import Config
from botocore.hooks import EventAliaser
from botocore.loaders import create_loader
from botocore.regions import EndpointRulesetResolver

from proof.cloud import ACCESS_KEY, ACCOUNT, HOME, STACK, Call, Cloud, Refused

JOBS_KEPT = 500
CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region_name")

ROOT = Path(__file__).resolve().parent.parent
EVENTS = ROOT / "events"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": "canary-secret-access-key",
    "AWS_SESSION_TOKEN": "canary-session-token",
    "AWS_REGION": HOME,
    "AWS_DEFAULT_REGION": HOME,
    "AWS_LAMBDA_FUNCTION_NAME": "foothold",
    "FOOTHOLD_ACCOUNT": ACCOUNT,
    "FOOTHOLD_STACK": STACK,
    "FOOTHOLD_NAME_PREFIX": "foothold",
    "FOOTHOLD_PARAMETER_ROOT": "/foothold",
    "FOOTHOLD_KEY_MAKER": f"{STACK}-key-maker",
    "FOOTHOLD_KEY_MAKER_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/foothold-key_maker",
    "FOOTHOLD_ORGANIZATION_IDS": "o-example",
    "FOOTHOLD_READER_ROLE_NAMES": "foothold-deploy,foothold-cloudformation",
    "FOOTHOLD_TAGS": "CostCenter=42,Owner=platform",
    "FOOTHOLD_STACK_READER_ROLE_ARNS": "arn:aws:iam::222222222222:role/foothold-stack-reader",
    "POWERTOOLS_SERVICE_NAME": "foothold",
    "POWERTOOLS_METRICS_NAMESPACE": "Foothold",
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_LOG_LEVEL": "DEBUG",
}


class Context:
    """What Lambda hands over (AWS Lambda Developer Guide, "Context object")."""

    aws_request_id = "the-invocation"
    function_name = "foothold"
    memory_limit_in_mb = 256
    invoked_function_arn = f"arn:aws:lambda:{HOME}:{ACCOUNT}:function:foothold"

    def __init__(self, seconds: float = 60.0) -> None:
        self._milliseconds = int(seconds * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


class CloudConnection:
    """`http.client.HTTPSConnection` that leads to the cloud in use: an answer is a call too."""

    def __init__(self, host: str, _port: int | None = None, timeout: float = 0.0) -> None:
        self.host, self.timeout, self.status = host, timeout, 0

    def request(self, method: str, target: str, body: bytes, _headers: Mapping[str, str]) -> None:
        asked = {"Method": method, "Host": self.host, "Target": target, "Body": body}
        cloud = Cloud.current
        assert cloud is not None
        try:
            cloud.receive(Call("cloudformation", "Answer", HOME, asked))
            self.status = 200
        except Refused as refused:
            self.status = refused.status

    def getresponse(self) -> "CloudConnection":
        return self

    def close(self) -> None: ...


class Log(logging.Handler):
    """Everything that a process logs, with all its fields, as text."""

    def __init__(self) -> None:
        super().__init__()
        self.text = io.StringIO()

    def emit(self, record: logging.LogRecord) -> None:
        self.text.write(record.getMessage())
        self.text.write(repr({k: v for k, v in vars(record).items() if k != "exc_info"}))
        if record.exc_info:
            self.text.write(logging.Formatter().formatException(record.exc_info))
        self.text.write("\n")


def handler(name: str) -> Callable[[Any, Any], Any]:
    """The handler of the function `name`."""
    handler: Callable[[Any, Any], Any] = load(name).lambda_handler
    return handler


# What the functions of a house work with, by name and settings; `_make_app` makes one of its
# settings, where there is a house.
_apps: dict[Any, Any] = {}
_make_app: Callable[[Mapping[str, str]], Any] | None = None


def load(name: str) -> Any:
    """The module of the function `name`, loaded from its own file as Lambda does."""
    module = _module(name)
    if _make_app:
        settings = {variable: os.environ[variable] for variable in os.environ if _sets(variable)}
        with_these = (name, *settings.items())
        if with_these not in _apps:
            _apps[with_these] = _make_app(settings)
        module.app = _apps[with_these]
    return module


def _sets(variable: str) -> bool:
    return variable == "AWS_REGION" or variable.startswith("FOOTHOLD_")


@lru_cache
def _module(name: str) -> Any:
    path = ROOT / "functions" / name / "app.py"
    spec = importlib.util.spec_from_file_location(f"proof_door_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with patch.dict(os.environ, ENVIRONMENT):
        spec.loader.exec_module(module)
    return module


@contextmanager
def house(
    *, pace: Callable[[int], Any] = lambda _most: None, threads: bool = False
) -> Iterator[Log]:
    """The process of a warm function: its environment, its clients, and what it writes.

    Many clouds may be used inside, one after the other. Without a `pace` nobody waits for a
    service's rates. Without `threads` regions come one after the other, so that the n-th call of
    a flow is the same one in every run.
    """
    with patch.dict(os.environ, ENVIRONMENT), redirect_stdout(io.StringIO()) as written:
        from foothold.app import App
        from foothold.observability import logger
        from foothold.stores.custom_resource import reply as cfn_reply

        # Nobody's pauses are left to chance, so that every run takes the same time.
        app = partial(App, session=_session, clock=_Clock(), pace=pace, chance=lambda: 0.5)
        _begin(app)
        log = Log()
        log.text = written  # one text: what is logged and what is printed
        root, level = logging.getLogger(), logging.getLogger().level
        # Most of the time goes to looking for garbage among the SDK's models otherwise.
        thresholds = gc.get_threshold()
        gc.set_threshold(100_000, 20, 100)
        root.addHandler(log)
        root.setLevel(logging.INFO)
        told = logger.log_level
        logger.setLevel(logging.DEBUG)
        streams = [h for h in logger.handlers if isinstance(h, logging.StreamHandler)]
        outputs = [handler.setStream(written) for handler in streams]
        submit = ThreadPoolExecutor.submit if threads else _at_once
        with (
            patch.object(ThreadPoolExecutor, "submit", submit),
            patch.object(boto3, "Session", _Session),
            patch.object(EndpointRulesetResolver, "construct_endpoint", _endpoint),
            patch.object(EventAliaser, "_alias_event_name", _alias),
            patch.object(botocore.hooks, "accepts_kwargs", _accepts_kwargs),
            patch.object(cfn_reply, "HTTPSConnection", CloudConnection),
            patch.object(cfn_reply, "FIRST_PAUSE", 0.0),
            patch.dict(Cloud.functions, {ENVIRONMENT["FOOTHOLD_KEY_MAKER"]: _make_key}),
        ):
            try:
                yield log
            finally:
                for handler, output in zip(streams, outputs, strict=True):
                    handler.setStream(output or sys.__stdout__)
                gc.set_threshold(*thresholds)
                logger.setLevel(told)
                root.removeHandler(log)
                root.setLevel(level)
                _begin(None)


def _begin(make_app: Callable[[Mapping[str, str]], Any] | None) -> None:
    """Every function that is loaded from now on works with an app of its own."""
    global _make_app  # noqa: PLW0603  one house stands at a time
    _make_app = make_app
    _apps.clear()
    _worlds.clear()


_worlds: dict[Any, Cloud] = {}


def once(make: Callable[..., Cloud]) -> Callable[..., Cloud]:
    """Each house makes such a world once, with its own functions, and begins in copies of it."""

    @wraps(make)
    def copied(*args: str) -> Cloud:
        if (make, args) not in _worlds:
            _worlds[make, args] = make(*args)
        return _worlds[make, args].copy()

    return copied


def _make_key(event: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = handler("key_maker")(event, Context())
    return made


def _at_once(_pool: Any, work: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
    """`ThreadPoolExecutor.submit` without threads."""
    future: Future[Any] = Future()
    try:
        future.set_result(work(*args, **named))
    except BaseException as error:  # noqa: BLE001  as a pool does: it belongs to whoever asks
        future.set_exception(error)
    return future


_RealSession = boto3.Session


@lru_cache(JOBS_KEPT)
def _borrowed(*credentials: str, **named: Any) -> boto3.Session:
    """The session of these credentials, such as a job's, and its clients are kept: to make them is
    no call, and takes longer than all calls."""
    session = _session(**dict(zip(CREDENTIALS, credentials, strict=False)) | named)
    session.client = lru_cache(session.client)  # type: ignore[method-assign]  # the same, kept
    return session


class _Session(_RealSession):
    """A class, because the SAM translator names it in its types."""

    # What it makes is borrowed, and none of its own.
    def __new__(cls, *credentials: str, **named: Any) -> boto3.Session:  # type: ignore[misc]
        return _borrowed(*credentials, **named)


@lru_cache
def _loader() -> Any:
    return create_loader()


def _session(**named: Any) -> boto3.Session:
    """A session that shares the service models, which are read once for all."""
    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    session.set_default_client_config(Config(user_agent="proof"))
    return _RealSession(botocore_session=session, **{"region_name": HOME, **named})


_alias_event_name: Any = vars(EventAliaser)["_alias_event_name"]
_aliases: dict[str, str] = {}


def _alias(aliaser: Any, event_name: str) -> str:
    """The SDK's name of an event: it is worked out anew for each client, and always the same."""
    if event_name not in _aliases:
        _aliases[event_name] = _alias_event_name(aliaser, event_name)
    return _aliases[event_name]


_look_for_kwargs = botocore.hooks.accepts_kwargs
_kwargs: dict[Any, bool] = {}


def _accepts_kwargs(handler: Any) -> bool:
    """Whether a handler takes more than it names: its code tells, and each copy has the same."""
    code = getattr(getattr(handler, "__func__", handler), "__code__", None)
    if code is None:
        return bool(_look_for_kwargs(handler))
    if code not in _kwargs:
        _kwargs[code] = bool(_look_for_kwargs(handler))
    return _kwargs[code]


_construct_endpoint: Any = EndpointRulesetResolver.construct_endpoint


def _endpoint(resolver: Any, operation_model: Any, **asked: Any) -> Any:
    """The SDK's choice of a host: but for S3, a client's is always the same."""
    if operation_model.service_model.service_name == "s3":
        return _construct_endpoint(resolver, operation_model, **asked)
    kept = vars(resolver)
    if "proof_endpoint" not in kept:
        kept["proof_endpoint"] = _construct_endpoint(resolver, operation_model, **asked)
    return kept["proof_endpoint"]


class _Clock:
    """The module `time`, as the app uses it, on the clock of the cloud in use."""

    def time(self) -> float:
        assert Cloud.current is not None
        return Cloud.current.clock

    def monotonic(self) -> float:
        return self.time()

    def sleep(self, seconds: float) -> None:
        assert Cloud.current is not None
        Cloud.current.clock += seconds


def saved(name: str, **changes: Any) -> dict[str, Any]:
    """The saved event of this name, with these fields instead."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event | changes
