"""CloudFormation asks for artifact stores; whatever happens, the stack is answered.

A stack waits an hour for a function that cannot even start, so a failing import is answered
too: by the responder, which needs our own layer and the standard library only; or, where that
layer is the broken one, by the few lines at the end of this file.
"""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

try:
    from foothold.stores.custom_resource.reply import Context, answer
except Exception as error:  # noqa: BLE001  whatever it is, the stack is told
    broken_layer = f"{type(error).__name__}: {error}"

    def answer(
        event: Any,
        context: "Context",  # noqa: ARG001  the responder's own signature
        work: Callable[[], Mapping[str, str]],  # noqa: ARG001
    ) -> None:
        _last_word(event, broken_layer)


try:
    from foothold.app import App
    from foothold.observability import logger
    from foothold.stores.custom_resource.claims import fulfil
    from foothold.stores.custom_resource.request import parse_request
except Exception as error:  # noqa: BLE001  whatever it is, the stack is told
    broken = error

    def work(event: Any, _context: Any) -> Mapping[str, str]:  # noqa: ARG001  as below
        raise broken.with_traceback(None)

else:
    app = App()

    # The event holds the ResponseURL: never logged, whatever the environment asks for.
    @logger.inject_lambda_context(log_event=False)
    def work(event: Any, _context: Any) -> Mapping[str, str]:
        return fulfil(parse_request(event), app.claims)


def lambda_handler(event: Any, context: Any) -> None:
    answer(event, context, lambda: work(event, context))


# The physical id of what was refused before anything was made: its Delete has nothing to do.
NEVER_MADE = "foothold/never-made"


def _last_word(event: Any, why: str) -> None:
    """Answer once, with nothing but this file. Raises where the answer is not taken."""
    url = urlsplit(event["ResponseURL"])
    host = str(url.hostname)
    bucket = url.path.lstrip("/") if host.startswith("s3") else host
    at_aws = host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"))
    waits = bucket.startswith("cloudformation-custom-resource-response-")
    if url.scheme != "https" or not at_aws or not waits:
        raise ValueError("the event has no ResponseURL of CloudFormation's")
    physical_id = event.get("PhysicalResourceId") or NEVER_MADE
    nothing_to_do = event["RequestType"] == "Delete" and physical_id == NEVER_MADE
    body = {
        "Status": "SUCCESS" if nothing_to_do else "FAILED",
        "Reason": f"Foothold's function cannot start: {why[:200]}; deploy the control plane again",
        "PhysicalResourceId": physical_id,
        **{name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    connection = HTTPSConnection(str(url.hostname), timeout=10)
    try:
        connection.request("PUT", f"{url.path}?{url.query}", json.dumps(body), {"content-type": ""})
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != HTTPStatus.OK:
        raise ConnectionError(f"CloudFormation could not be answered: HTTP {status}")
