"""Who asks for artifact stores: a stack's resource, its claim, and the reply that it gets.

The standard library only, so that a function whose other imports fail can still reply. The
numbers are those of the AWS CloudFormation User Guide, "Custom resource reference".
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foothold.errors import PermanentError
from foothold.stores.register import ArtifactStore

REPLY_LIMIT = 4096
PHYSICAL_ID_LIMIT = 1024

STACK_ID = re.compile(
    r"arn:(?P<partition>[a-z-]+):cloudformation:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):"
    r"stack/(?P<stack>[A-Za-z][A-Za-z0-9-]{0,127})/(?P<uuid>[A-Za-z0-9-]{1,64})"
)
LOGICAL_ID = re.compile(r"[A-Za-z0-9]{1,255}")


@dataclass(frozen=True, slots=True)
class Claim:
    """That one resource of one stack wants a store.

    `name` is unique to the resource, and made of letters, digits, hyphens and dots, as a part
    of a parameter's name is; `value` says to a person whose claim it is. `place` is the
    partition, region and account of the stack, None for a claim of the control plane's own.
    """

    name: str
    value: str
    place: tuple[str, str, str] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, stack_id: str, logical_id: str) -> "Claim":
        """The claim of the resource `logical_id` in the stack with the ARN `stack_id`. Raises
        PermanentError where they are not what CloudFormation sends."""
        stack = STACK_ID.fullmatch(stack_id)
        if not stack:
            raise PermanentError("StackId is not the ARN of a stack")
        if not LOGICAL_ID.fullmatch(logical_id):
            raise PermanentError("LogicalResourceId is not the name of a stack's resource")
        return cls(
            f"{stack['stack']}.{stack['uuid']}.{logical_id}",
            f"{stack_id} {logical_id}",
            (stack["partition"], stack["region"], stack["account"]),
        )


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """A claim as it stands in a parameter, written `since` (seconds since the epoch). `stack_id`
    is None where the value does not say whose it is. `gone` says that the stack is known not to
    exist any more, `gone_since` when it went, None where nobody remembers."""

    region: str
    name: str
    stack_id: str | None
    resource: str
    since: float
    gone: bool = False
    gone_since: float | None = None

    @classmethod
    def read(cls, region: str, name: str, value: str, since: float) -> "HeldClaim":
        """The claim that the parameter `<claims>/<region>/<name>` holds."""
        stack_id, _, resource = value.partition(" ")
        known = STACK_ID.fullmatch(stack_id) is not None
        return cls(region, name, stack_id if known else None, resource, since)

    @property
    def stack(self) -> str:
        """The name of its stack, as far as anything tells it."""
        found = STACK_ID.fullmatch(self.stack_id or "")
        return found["stack"] if found else self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class StoresWanted:
    """Create or Update: converge these regions, and let the claim stand for exactly them."""

    regions: tuple[str, ...]
    claim: Claim
    singular: bool


@dataclass(frozen=True, slots=True)
class ClaimDropped:
    """Delete: nobody needs the claim any more. The stores stay."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class NothingClaimed:
    """Delete of something that is not ours: there is nothing to do."""


Request = StoresWanted | ClaimDropped | NothingClaimed


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
