"""What the life of a store needs of the embedded AWS: pipelines kept, events told apart."""

# ruff: noqa: SLF001 - what MiniStack does not do, it offers no hook for

import json
from contextvars import ContextVar
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core import iam_evaluator as iam
from ministack.core.responses import get_account_id, get_region

Answer = tuple[int, dict[str, str], bytes]
JSON = {"Content-Type": "application/x-amz-json-1.1"}
CALLS = frozenset(
    {"CreatePipeline", "DeletePipeline", "GetPipeline", "ListPipelines", "ListTagsForResource"}
)


def pipeline_registry() -> None:
    """CodePipeline keeps pipelines: who wants to know which artifact stores they use, can.

    Upstream has no CodePipeline. Whoever answers its other calls goes on doing so (AWS
    CodePipeline API Reference).
    """
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    router.SERVICE_PATTERNS["codepipeline"] = {"target_prefixes": ["CodePipeline_20150709"]}
    iam_actions.SERVICE_TO_IAM_NAMESPACE["codepipeline"] = "codepipeline"
    others = app.SERVICE_HANDLERS.get("codepipeline")

    async def answer(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Answer:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation in CALLS:
            status, found = _answer(kept, operation, json.loads(body or b"{}"))
            return status, dict(JSON), json.dumps(found).encode()
        if others is None:
            return 400, dict(JSON), b'{"__type": "UnknownOperationException"}'
        refused: Answer = await others(method, path, headers, body, query)
        return refused

    app.SERVICE_HANDLERS["codepipeline"] = answer
    extract = iam_actions.extract_resource_arn

    def extract_resource_arn(service: str, *request: Any) -> str:
        found: str = extract(service, *request)
        region, account = request[-2:]
        # The API's own pattern where no pipeline is named (AWS CodePipeline User Guide,
        # "CodePipeline permissions reference").
        return f"arn:aws:codepipeline:{region}:{account}:*" if service == "codepipeline" else found

    iam_actions.extract_resource_arn = extract_resource_arn


def _answer(
    kept: dict[tuple[str, str], dict[str, Any]], operation: str, body: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    account = get_account_id()
    name = body.get("name") or str(body.get("resourceArn", "")).rpartition(":")[2]
    if operation == "CreatePipeline":
        kept[account, body["pipeline"]["name"]] = body
        return 200, {"pipeline": body["pipeline"], "tags": body.get("tags", [])}
    if operation == "ListPipelines":
        names = sorted(each for owner, each in kept if owner == account)
        return 200, {"pipelines": [{"name": each, "version": 1} for each in names]}
    found = kept.get((account, name))
    if found is None:
        return 400, {"__type": "PipelineNotFoundException", "message": name}
    if operation == "DeletePipeline":
        del kept[account, name]
        return 200, {}
    if operation == "GetPipeline":
        arn = f"arn:aws:codepipeline:{get_region()}:{account}:{name}"
        return 200, {"pipeline": found["pipeline"], "metadata": {"pipelineArn": arn}}
    return 200, {"tags": found.get("tags", [])}


def event_conditions() -> None:
    """A policy sees the source and the type of an event that is put, and the bus it is put on.

    Upstream asks about any bus, and knows neither key (Service Authorization Reference, "Amazon
    EventBridge"). An entry that differs from the first is not seen.
    """
    entry: ContextVar[dict[str, str]] = ContextVar("entry")
    extract, resolve = iam_actions.extract_resource_arn, iam._resolve_condition_key
    fields = {"events:source": "Source", "events:detail-type": "DetailType"}

    def extract_resource_arn(service: str, *request: Any) -> str:
        found: str = extract(service, *request)
        _method, _path, headers, body, _params, region, account = request
        if service != "events" or not headers.get("x-amz-target", "").endswith(".PutEvents"):
            return found
        entry.set(json.loads(body)["Entries"][0])
        return f"arn:aws:events:{region}:{account}:event-bus/default"

    def resolve_condition_key(key: str, context: Any) -> Any:
        field = fields.get(key.lower())
        return entry.get({}).get(field) if field else resolve(key, context)

    iam_actions.extract_resource_arn = extract_resource_arn
    iam._resolve_condition_key = resolve_condition_key
