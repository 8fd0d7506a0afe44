"""Which roles a pipeline uses, and what an execution said, read from CodePipeline."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foothold.aws.clients import Clients, aws_call
from foothold.explain.ports import PipelineAction


class CodePipelineRoles:
    """`explain.ports.PipelineReader` on AWS."""

    def __init__(self, clients: Clients, home_region: str) -> None:
        self._clients = clients
        self._home = home_region
        self._read: dict[str, Mapping[str, Any]] = {}

    def role_of(self, pipeline: str) -> str:
        return str(self._pipeline(pipeline)["roleArn"])

    def actions(self, pipeline: str) -> Sequence[PipelineAction]:
        return list(self._actions(pipeline))

    def failed(self, pipeline: str, execution: str) -> Sequence[PipelineAction]:
        known = {action.name: action for action in self._actions(pipeline, every=True)}
        failed = []
        with aws_call(f"read execution {execution} of pipeline {pipeline}"):
            client = self._clients.get("codepipeline", self._home)
            pages = client.get_paginator("list_action_executions").paginate(
                pipelineName=pipeline, filter={"pipelineExecutionId": execution}
            )
            details = [one for page in pages for one in page["actionExecutionDetails"]]
        for each in details:
            name = f"{each['stageName']}/{each['actionName']}"
            if each["status"] == "Failed" and name in known:
                action = known[name]
                failed.append(PipelineAction(name, action.role_arns, action.region, _message(each)))
        return failed

    def _pipeline(self, name: str) -> Mapping[str, Any]:
        if name not in self._read:
            with aws_call(f"read pipeline {name}"):
                client = self._clients.get("codepipeline", self._home)
                self._read[name] = client.get_pipeline(name=name)["pipeline"]
        return self._read[name]

    def _actions(self, pipeline: str, *, every: bool = False) -> Iterator[PipelineAction]:
        """Those that act as a role of their own; `every`: also those that act as the pipeline."""
        declared = self._pipeline(pipeline)
        for stage in declared["stages"]:
            for action in stage["actions"]:
                own = action.get("roleArn")
                handed = action.get("configuration", {}).get("RoleArn")
                roles = tuple(role for role in (own, handed) if role)
                if not roles and every:
                    roles = (declared["roleArn"],)
                if roles:
                    region = action.get("region", self._home)
                    yield PipelineAction(f"{stage['name']}/{action['name']}", roles, region)


def _message(detail: Mapping[str, Any]) -> str:
    result = detail.get("output", {}).get("executionResult", {})
    told = result.get("errorDetails", {}).get("message") or ""
    return f"{result.get('externalExecutionSummary') or ''} {told}".strip()
