"""What is run after a wave: CodeBuild projects and Lambda functions of our own account."""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from foothold.aws.clients import aws_call
from foothold.errors import PermanentError
from foothold.releases.model import Trial
from foothold.releases.ports import TrialRun

SUCCEEDED, GOING_ON = "SUCCEEDED", "IN_PROGRESS"
LONGEST_REASON = 500


class OwnTrials:
    """`releases.ports.Trials`. `client_of` gives the client for a service and a region; that for
    Lambda has to wait as long as a function may run, and to send nothing twice.

    A build has the outputs as environment variables, a function as its payload, and fails where
    it raises.
    """

    def __init__(self, client_of: Callable[[str, str], Any]) -> None:
        self._client_of = client_of

    def start(
        self, trial: Trial, region: str, environment: Mapping[str, str], token: str
    ) -> TrialRun:
        with aws_call(f"start {trial.project or trial.function} in {region}"):
            if trial.function:
                return self._invoked(trial, region, environment)
            build = self._client_of("codebuild", region).start_build(
                projectName=trial.project,
                environmentVariablesOverride=[
                    {"name": name, "value": value, "type": "PLAINTEXT"}
                    for name, value in environment.items()
                ],
                # Good for five minutes (AWS CodeBuild API Reference, "StartBuild").
                idempotencyToken=hashlib.sha256(token.encode()).hexdigest(),
            )["build"]
        return TrialRun(build["id"])

    def look(self, trial: Trial, region: str, run_id: str) -> TrialRun:
        if trial.function:
            return TrialRun(run_id, passed=True)  # else it would have failed when it was started
        with aws_call(f"look at build {run_id} in {region}"):
            found = self._client_of("codebuild", region).batch_get_builds(ids=[run_id])["builds"]
        if not found:
            raise PermanentError(f"build {run_id} in {region} is gone")
        status = found[0]["buildStatus"]
        if status == GOING_ON:
            return TrialRun(run_id)
        return TrialRun(run_id, passed=status == SUCCEEDED, line=f"build {run_id} is {status}")

    def _invoked(self, trial: Trial, region: str, environment: Mapping[str, str]) -> TrialRun:
        answer = self._client_of("lambda", region).invoke(
            FunctionName=trial.function, Payload=json.dumps(dict(environment)).encode()
        )
        with closing(answer["Payload"]) as body:
            said = body.read()[:LONGEST_REASON].decode(errors="replace")
        failed = "FunctionError" in answer
        return TrialRun("invoked", passed=not failed, line=said if failed else "")
