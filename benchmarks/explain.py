"""An explanation, measured: `make bench-explain`.

Questions about the deploy role of another account, through the SDK's own clients, which are made
anew for each as a command makes them; every call takes DELAY_SECONDS and then answers as AWS does.
Of the time of one machine it is told how much is its own work; the rest are counts.
"""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from rich.console import Console
from rich.table import Table

from foothold.caller import Caller
from foothold.explain.chain import Chain
from foothold.explain.principal import Purpose
from proof.cloud import HOME
from proof.decisions import ORGANIZATION, TOOLS
from proof.explained import ROLES, World, healthy
from proof.house import ENVIRONMENT

DELAY_SECONDS = 0.1
ROOT = "/foothold"
CALLS_OF_THE_CALLER = {"GetCallerIdentity", "AssumeRole"}  # who asks, and in which role
READS = ("Get", "List", "Describe", "Head", "Simulate")
DEPLOY = ROLES[Purpose.DEPLOY]


class Aws:
    """Answers every call about one world after a while, and keeps when each began and ended."""

    def __init__(self, world: World) -> None:
        self.calls: list[tuple[str, float, float]] = []
        self._world = world
        self._lock = threading.Lock()

    def session(self) -> boto3.Session:
        session = boto3.Session("key", "secret", region_name=HOME)
        events: Any = session.events  # a handler of before-call may answer
        events.register("before-call", self.answer)
        return session

    def answer(self, model: Any, params: Any, **_: Any) -> Any:
        began = time.perf_counter()
        time.sleep(DELAY_SECONDS)
        found = self._found(model.name, params)
        with self._lock:
            self.calls.append((model.name, began, time.perf_counter()))
        nothing: Any = {}
        return AWSResponse("", 200, nothing, None), found

    def _found(self, operation: str, params: Any) -> Mapping[str, Any]:
        world = self._world
        key = world.keys[world.store_key]
        body = params["body"]
        asked = json.loads(body) if isinstance(body, bytes) and body else body
        answers: dict[str, Any] = {
            "GetCallerIdentity": {
                "Account": TOOLS,
                "Arn": f"arn:aws:sts::{TOOLS}:assumed-role/me/1",
            },
            "AssumeRole": {
                "Credentials": {"AccessKeyId": "A", "SecretAccessKey": "s", "SessionToken": "t"}
            },
            "GetRole": {
                "Role": {"Arn": DEPLOY, "AssumeRolePolicyDocument": json.dumps(world.trust)}
            },
            "ListRolePolicies": {"PolicyNames": list(world.policies)},
            "ListAttachedRolePolicies": {"AttachedPolicies": []},
            "DescribeOrganization": {"Organization": {"Id": ORGANIZATION}},
            "GetBucketPolicy": {"Policy": json.dumps(world.bucket_policy)},
            "HeadObject": {"SSEKMSKeyId": world.store_key},
            "DescribeKey": {"KeyMetadata": {"Arn": world.store_key, "KeyState": key["state"]}},
            "GetKeyPolicy": {"Policy": json.dumps(key["policy"])},
            "GetFunctionConfiguration": {"Environment": {"Variables": ENVIRONMENT}},
            "ListGrants": {"Grants": []},
        }
        if operation == "GetRolePolicy":
            return {"PolicyDocument": json.dumps(world.policies[asked["PolicyName"]])}
        if operation == "GetParameters":
            return {"Parameters": list(self._parameters(asked["Names"]))}
        if operation == "SimulatePrincipalPolicy":
            return {"EvaluationResults": list(_simulated(asked))}
        found: Mapping[str, Any] = answers[operation]
        return found

    def _parameters(self, names: list[str]) -> Any:
        for name in names:
            value = "reconcile" if name.endswith("reconcile-function") else None
            for leaf, known in (("bucket", self._world.bucket), ("key-arn", self._world.store_key)):
                value = known if name.endswith(f"/{leaf}") else value
            if value:
                yield {"Name": name, "Value": value}

    @property
    def in_turn(self) -> int:
        """The most calls of which each began after the one before had ended."""
        count, free = 0, 0.0
        for _, began, ended in sorted(self.calls, key=lambda call: call[2]):
            if began >= free:
                count, free = count + 1, ended
        return count


def _simulated(asked: Mapping[str, str]) -> Any:
    resources = [value for name, value in asked.items() if name.startswith("ResourceArns")]
    for name, action in asked.items():
        for resource in resources if name.startswith("ActionNames") else ():
            pair = {"EvalActionName": action, "EvalResourceName": resource}
            yield {**pair, "EvalDecision": "allowed"}


def open_to_the_organization() -> World:
    """Nothing hangs on the path of the account, which only the management account may tell."""
    world = healthy(Purpose.DEPLOY, 1)
    world.plane = replace(world.plane, reader_org_paths=(), reader_accounts=())
    world.converge()
    return world


def asked(world: World, artifact: str | None, *, holds: bool) -> tuple[Chain, Aws, float, float]:
    aws = Aws(world)
    began, worked = time.perf_counter(), time.process_time()
    explanations = Caller(ROOT, aws.session).explanations(None, None)
    chain = explanations.ask(DEPLOY, of=artifact, region=world.region)
    whole, worked = time.perf_counter() - began, time.process_time() - worked
    if chain.holds != holds:
        told = [f"{link.name}: {link.says}" for link in (*chain.broken, *chain.unknown)]
        raise SystemExit(f"not measured: {told}")
    return chain, aws, whole, worked


def main() -> None:
    table = Table(title=f"An explanation, with {DELAY_SECONDS * 1000:.0f} ms added to every call")
    for name in ("question", "measured", "own work", "reads", "in turn", "other calls", "writes"):
        table.add_column(name)
    table.add_row("goal", "<= 2 s", "", "<= 12", "", "", "0")
    sound, refused = open_to_the_organization(), open_to_the_organization()
    refused.bucket_policy = {"Statement": []}
    artifact = f"s3://{sound.bucket}/{sound.key}"
    for name, world, of in (
        ("any artifact of a region", sound, None),
        ("one artifact", sound, artifact),
        ("one artifact, refused by the bucket", refused, artifact),
    ):
        _, aws, whole, worked = asked(world, of, holds=world is sound)
        names = [operation for operation, *_ in aws.calls]
        others = [operation for operation in names if operation in CALLS_OF_THE_CALLER]
        writes = [operation for operation in names if not operation.startswith(READS)]
        table.add_row(
            name,
            f"{whole:.1f} s",
            f"{worked:.1f} s",
            str(len(names) - len(others)),
            str(aws.in_turn),
            str(len(others)),
            str(len(writes) - writes.count("AssumeRole")),
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
