"""CodePipeline, of which MiniStack has nothing: the calls that Foothold and a rehearsal make.

They are answered under the caller's signature and IAM policies, with AWS's own errors.
"""

import json
import re
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import get_account_id, get_region

from local.aws.shims.iam import authorize_on

JOBS_PATH = "/_rehearsal/jobs/"
EXECUTIONS_PATH = "/_rehearsal/executions/"
JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# AWS CodePipeline API Reference, "FailureDetails" and "PutJobSuccessResult".
MESSAGE_LENGTH = 5000
TOKEN_LENGTH = 2048
VARIABLE_NAME = re.compile(r"[A-Za-z0-9@\-_]+")
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


class RefusedError(Exception):
    """A call that CodePipeline refuses: the error's code, and its message."""


def codepipeline() -> None:
    """CodePipeline keeps pipelines, and a job worker can say how its job went, once.

    Who wants to know which artifact stores the pipelines use, can; and what an execution's actions
    gave. The rehearsal opens a job, asks after it, and notes what an action gave, on paths of its
    own that AWS does not have (AWS CodePipeline API Reference).
    """
    pipelines: dict[tuple[str, str], Json] = {}
    jobs: dict[str, Json] = {}
    executions: dict[str, list[Json]] = {}
    router.SERVICE_PATTERNS["codepipeline"] = {"target_prefixes": ["CodePipeline_20150709"]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE["codepipeline"] = "codepipeline"
    # The API's own pattern where no pipeline is named (AWS CodePipeline User Guide, "CodePipeline
    # permissions reference").
    authorize_on("codepipeline", lambda *asked: f"arn:aws:codepipeline:{asked[-2]}:{asked[-1]}:*")

    async def answer(
        _method: str, _path: str, headers: dict[str, str], body: bytes, _query: Json
    ) -> Answer:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        asked = json.loads(body or b"{}")
        try:
            status = 200
            if operation in {"PutJobSuccessResult", "PutJobFailureResult"}:
                found = _put_job_result(jobs, operation, asked)
            elif operation == "ListActionExecutions":
                found = _of_executions(executions, asked)
            else:
                found = _of_pipelines(pipelines, operation, asked)
        except RefusedError as error:
            code, message = error.args
            status, found = 400, {"__type": code, "message": message}
        text = json.dumps(found).encode() if found else b""
        return status, {"Content-Type": "application/x-amz-json-1.1"}, text

    app.SERVICE_HANDLERS["codepipeline"] = answer
    serve = app.app

    async def with_jobs(scope: Json, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith((JOBS_PATH, EXECUTIONS_PATH)):
            await serve(scope, receive, send)
            return
        found: Json | None = {}
        if scope["path"].startswith(EXECUTIONS_PATH):
            pipeline = scope["path"].removeprefix(EXECUTIONS_PATH)
            executions.setdefault(pipeline, []).append(json.loads(await _body(receive)))
        else:
            job = scope["path"].removeprefix(JOBS_PATH)
            if scope["method"] == "POST":
                jobs[job] = {"status": "InProgress"}
            found = jobs.get(job)
        status = 404 if found is None else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(found).encode()})

    app.app = with_jobs


async def _body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _of_executions(executions: dict[str, list[Json]], asked: Json) -> Json:
    """What the actions of an execution gave, the latest first."""
    execution = (asked.get("filter") or {}).get("pipelineExecutionId")
    found = [
        detail
        for detail in reversed(executions.get(asked.get("pipelineName", ""), ()))
        if execution in (None, detail["pipelineExecutionId"])
    ]
    return {"actionExecutionDetails": found}


def _of_pipelines(pipelines: dict[tuple[str, str], Json], operation: str, asked: Json) -> Json:
    account = get_account_id()
    name = asked.get("name") or str(asked.get("resourceArn", "")).rpartition(":")[2]
    if operation == "CreatePipeline":
        pipelines[account, asked["pipeline"]["name"]] = asked
        return {"pipeline": asked["pipeline"], "tags": asked.get("tags", [])}
    if operation == "ListPipelines":
        names = sorted(each for owner, each in pipelines if owner == account)
        return {"pipelines": [{"name": each, "version": 1} for each in names]}
    if operation not in {"DeletePipeline", "GetPipeline", "ListTagsForResource"}:
        raise RefusedError("UnknownOperationException", operation)
    found = pipelines.get((account, name))
    if found is None:
        raise RefusedError("PipelineNotFoundException", name)
    if operation == "DeletePipeline":
        del pipelines[account, name]
        return {}
    if operation == "GetPipeline":
        arn = f"arn:aws:codepipeline:{get_region()}:{account}:{name}"
        return {"pipeline": found["pipeline"], "metadata": {"pipelineArn": arn}}
    return {"tags": found.get("tags", [])}


def _put_job_result(jobs: dict[str, Json], operation: str, asked: Json) -> Json:
    job = str(asked.get("jobId", ""))
    if not JOB_ID.fullmatch(job):
        raise RefusedError("ValidationException", "jobId does not have a job id's form")
    status = _success(asked) if operation == "PutJobSuccessResult" else _failure(asked)
    if job not in jobs:
        raise RefusedError("JobNotFoundException", f"job {job} does not exist")
    if jobs[job]["status"] != "InProgress":
        raise RefusedError("InvalidJobStateException", f"job {job} is {jobs[job]['status']}")
    jobs[job] = status
    return {}


def _success(asked: Json) -> Json:
    """An action that goes on is called again, with a job and an id of its own."""
    token, variables = asked.get("continuationToken", ""), asked.get("outputVariables") or {}
    if len(token) > TOKEN_LENGTH:
        raise RefusedError("ValidationException", "continuationToken is too long")
    if token and variables:
        raise RefusedError("ValidationException", "outputVariables with a continuationToken")
    if wrong := [name for name in variables if not VARIABLE_NAME.fullmatch(name)]:
        raise RefusedError("ValidationException", f"outputVariables has the name {wrong[0]}")
    told = {"continuationToken": token, "outputVariables": variables}
    return {"status": "Succeeded", **{name: value for name, value in told.items() if value}}


def _failure(asked: Json) -> Json:
    details = asked.get("failureDetails") or {}
    message, kind = str(details.get("message", "")), str(details.get("type", ""))
    if not (1 <= len(message) <= MESSAGE_LENGTH and kind in FAILURE_TYPES):
        raise RefusedError("ValidationException", "failureDetails has no valid type and message")
    return {"status": "Failed", "type": kind, "message": message}
