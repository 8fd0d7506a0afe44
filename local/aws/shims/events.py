"""What a policy sees of an event that is put."""

import json
from contextvars import ContextVar
from typing import Any

from local.aws.shims.iam import authorize_on, condition_keys


def event_conditions() -> None:
    """A policy sees the source and the type of an event that is put, and the bus it is put on.

    Upstream asks about any bus, and knows neither key (Service Authorization Reference, "Amazon
    EventBridge"). An entry that differs from the first is not seen.
    """
    entry: ContextVar[dict[str, str]] = ContextVar("entry")
    fields = {"events:source": "Source", "events:detail-type": "DetailType"}

    def bus(*request: Any) -> str | None:
        _method, _path, headers, body, _params, region, account = request
        if not headers.get("x-amz-target", "").endswith(".PutEvents"):
            return None
        entry.set(json.loads(body)["Entries"][0])
        return f"arn:aws:events:{region}:{account}:event-bus/default"

    authorize_on("events", bus)
    condition_keys(lambda key, _context: entry.get({}).get(fields.get(key, "")))
