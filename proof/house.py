"""The functions of the control plane, in this process, on a cloud in memory.

Everything is entered by the doors that AWS uses, with the events that AWS sends: the handlers of
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
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar
from unittest.mock import patch

import boto3
import botocore.session
from botocore.loaders import create_loader
from botocore.regions import EndpointRulesetResolver
from botocore.useragent import UserAgentString

from proof.cloud import ACCESS_KEY, ACCOUNT, HOME, STACK, Call, Cloud, Refused

JOBS_KEPT = 500

_create_loader = lru_cache(create_loader)

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


def door(name: str) -> Callable[[Any, Any], Any]:
    """The handler of the function `name`, loaded from its own file as Lambda does."""
    return load(name).lambda_handler  # type: ignore[no-any-return]  # a module's attribute


@lru_cache
def load(name: str) -> ModuleType:
    path = ROOT / "functions" / name / "app.py"
    spec = importlib.util.spec_from_file_location(f"proof_door_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def house(*, paced: bool = False, threads: bool = False) -> Iterator[Log]:
    """The process of a warm function: its environment, its clients, and what it writes.

    Many clouds may be used inside, one after the other. Without `paced` nobody waits for a
    service's rates. Without `threads` regions come one after the other, so that the n-th call of
    a flow is the same one in every run.
    """
    with patch.dict(os.environ, ENVIRONMENT), redirect_stdout(io.StringIO()) as written:
        from foothold import bootstrap, bootstrap_operations
        from foothold.aws import pace
        from foothold.aws.patience import Patience
        from foothold.observability import logger, metrics
        from foothold.stores.custom_resource import reply as cfn_reply
        from foothold.stores.gateways import account
        from foothold.stores.reconcile import Reconciler

        _forget()
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
        wait = pace.Pace.wait if paced else lambda _pace, _region: None
        submit = ThreadPoolExecutor.submit if threads else _at_once
        with (
            patch.object(ThreadPoolExecutor, "submit", submit),
            # Service models are read once for all sessions: reading them is no call.
            patch.object(botocore.session, "create_loader", _create_loader),
            # Whoever imported them before this environment stood had others.
            patch.object(
                metrics.provider, "namespace", ENVIRONMENT["POWERTOOLS_METRICS_NAMESPACE"]
            ),
            patch.object(metrics.provider, "service", ENVIRONMENT["POWERTOOLS_SERVICE_NAME"]),
            patch.object(boto3, "Session", _Session),
            patch.object(EndpointRulesetResolver, "construct_endpoint", _endpoint),
            patch.object(UserAgentString, "to_string", lambda _string: "proof"),
            patch.object(cfn_reply, "HTTPSConnection", CloudConnection),
            patch.dict(Cloud.functions, {ENVIRONMENT["FOOTHOLD_KEY_MAKER"]: _make_key}),
            patch.object(cfn_reply, "FIRST_PAUSE", 0.0),
            patch.object(pace.Pace, "wait", wait),
            patch.object(account.AccountCapacity, "missing_services", _missing_services()),
            patch.object(bootstrap, "time", _Clock()),
            # Nobody's pauses are left to chance, so that every run takes the same time.
            patch.object(bootstrap, "Patience", partial(Patience, chance=lambda: 0.5)),
            patch.object(bootstrap_operations, "time", _Clock()),
            patch.dict(Reconciler.__init__.__kwdefaults__, clock=_Clock().time),
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
                _forget()


def _make_key(event: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = door("key_maker")(event, Context())
    return made


@lru_cache
def _missing_services() -> Callable[[Any, str], tuple[str, ...]]:
    """The SDK's list of endpoints, read once: it is no call, and takes longer than all calls."""
    from foothold.stores.gateways.account import AccountCapacity

    return lru_cache(AccountCapacity.missing_services)


def _at_once(_pool: Any, work: Callable[..., Any], /, *args: Any, **named: Any) -> "Future[Any]":
    """`ThreadPoolExecutor.submit` without threads."""
    future: Future[Any] = Future()
    try:
        future.set_result(work(*args, **named))
    except BaseException as error:  # noqa: BLE001  as a pool does: it belongs to whoever asks
        future.set_exception(error)
    return future


class _Session(boto3.Session):
    """Keeps the clients of jobs' credentials: making one is no call, and takes longer than all."""

    kept: ClassVar[dict[Any, Any]] = {}

    def client(self, service: str, **named: Any) -> Any:  # type: ignore[override]  # one for all
        make = super().client
        used = self.get_credentials()
        if used is None or used.method != "explicit" or len(self.kept) > JOBS_KEPT:
            return make(service, **named)  # type: ignore[call-overload]  # one for all
        name = (service, self.region_name, used.access_key, used.secret_key, used.token)
        if name not in self.kept:
            self.kept[name] = make(service, **named)  # type: ignore[call-overload]  # one for all
        return self.kept[name]


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
    """The module `time`, as bootstrap uses it, on the clock of the cloud in use."""

    def time(self) -> float:
        assert Cloud.current is not None
        return Cloud.current.clock

    def monotonic(self) -> float:
        return self.time()

    def sleep(self, seconds: float) -> None:
        assert Cloud.current is not None
        Cloud.current.clock += seconds


def _forget() -> None:
    """Every composition root makes its objects anew."""
    for name, module in list(sys.modules.items()):
        if name.startswith("foothold.bootstrap"):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def saved(name: str, **changes: Any) -> dict[str, Any]:
    """The saved event of this name, with these fields instead."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event | changes
