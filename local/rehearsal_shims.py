"""What the rehearsal needs of AWS beyond what MiniStack has: two shims for local/shims.py.

MiniStack has no CodePipeline; the two calls of a job worker are answered here with AWS's own
errors, under the caller's signature and IAM policies. And it leaves the transforms of nested
stacks undone.
"""

import json
import os
import re
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.services.cloudformation import engine, provisioners

JOBS_PATH = "/_rehearsal/jobs/"
JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MESSAGE_LENGTH = 5000
FAILURE_TYPES = frozenset(
    {
        "JobFailed",
        "ConfigurationError",
        "PermissionError",
        "RevisionOutOfSync",
        "RevisionUnavailable",
        "SystemUnavailable",
    }
)

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
HEADERS = {"Content-Type": "application/x-amz-json-1.1"}


def pipeline_jobs() -> None:
    """A job worker of CodePipeline can say how its job went, once.

    The rehearsal opens a job, and asks after it, on a path of its own that AWS does not have (AWS
    CodePipeline API Reference, "PutJobSuccessResult" and "PutJobFailureResult").
    """
    jobs: dict[str, dict[str, str]] = {}
    router.SERVICE_PATTERNS["codepipeline"] = {"target_prefixes": ["CodePipeline_20150709"]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE["codepipeline"] = "codepipeline"

    async def put_job_result(
        _method: str, _path: str, headers: dict[str, str], body: bytes, _query: dict[str, Any]
    ) -> Answer:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        return _put_job_result(jobs, operation, json.loads(body or b"{}"))

    app.SERVICE_HANDLERS["codepipeline"] = put_job_result
    serve = app.app

    async def with_jobs(
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(JOBS_PATH):
            await serve(scope, receive, send)
            return
        job = scope["path"].removeprefix(JOBS_PATH)
        if scope["method"] == "POST":
            jobs[job] = {"status": "InProgress"}
        status = 200 if job in jobs else 404
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(jobs.get(job)).encode()})

    app.app = with_jobs


def nested_transforms() -> None:
    """The template of a nested stack may use transforms, as its parent's may (AWS SAM Developer
    Guide, "AWS::Serverless::Application").

    Upstream applies them to the templates of its API calls only. Here they are applied when a
    nested stack's parameters are resolved, which is after its capabilities were checked against
    the template as it was written.
    """
    deploy = provisioners._cfn_nested_stack_deploy  # noqa: SLF001  # a shim
    transform, resolve = engine._apply_transforms, engine._resolve_parameters  # noqa: SLF001  # a shim
    waiting: ContextVar[bool] = ContextVar("waiting", default=False)
    # Upstream hands the region to the SAM translator through the environment, and nested stacks
    # are deployed in threads: one at a time, and the variable is never gone.
    alone = threading.Lock()
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

    def deploy_nested_stack(*args: Any, **kwargs: Any) -> Any:
        waiting.set(True)
        return deploy(*args, **kwargs)

    def transform_and_resolve(template: Json, provided: list[Json], *args: Any) -> Any:
        if waiting.get():
            waiting.set(False)  # a transform resolves parameters itself
            with alone:
                transformed = dict(transform(template, provided))
            template.clear()
            template.update(transformed)
        return resolve(template, provided, *args)

    provisioners._cfn_nested_stack_deploy = deploy_nested_stack  # noqa: SLF001  # a shim
    engine._resolve_parameters = transform_and_resolve  # noqa: SLF001  # a shim


def _put_job_result(jobs: dict[str, dict[str, str]], operation: str, body: Any) -> Answer:
    job = str(body.get("jobId", ""))
    details = body.get("failureDetails") or {}
    message, kind = str(details.get("message", "")), str(details.get("type", ""))
    succeeded = operation == "PutJobSuccessResult"
    refused = None
    if operation not in {"PutJobSuccessResult", "PutJobFailureResult"}:
        refused = "UnknownOperationException", operation
    elif not JOB_ID.fullmatch(job):
        refused = "ValidationException", "jobId does not have a job id's form"
    elif not succeeded and not (1 <= len(message) <= MESSAGE_LENGTH and kind in FAILURE_TYPES):
        refused = "ValidationException", "failureDetails has no valid type and message"
    elif job not in jobs:
        refused = "JobNotFoundException", f"job {job} does not exist"
    elif jobs[job]["status"] != "InProgress":
        refused = "InvalidJobStateException", f"job {job} is {jobs[job]['status']}"
    if refused:
        code, reason = refused
        return 400, dict(HEADERS), json.dumps({"__type": code, "message": reason}).encode()
    jobs[job] = (
        {"status": "Succeeded"}
        if succeeded
        else {"status": "Failed", "type": kind, "message": message}
    )
    return 200, dict(HEADERS), b""
