"""What a pipeline asks of AWS, taken from the rehearsal: its calls are noted, and answered here.

The code of local/rehearsal/actions.py runs, with roles assumed as in a rehearsal; in the place of
AWS stand answers with which all goes well, or with which every stack fails in the end.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from local.aws.embedded import HOME_REGION, SECRET, Embedded
from local.rehearsal.actions import Player, stores_of
from local.rehearsal.execution import ActionFailedError, Execution

Json = dict[str, Any]


@dataclass(frozen=True)
class RoleCall:
    """One API call, and the ARN of the role that makes it."""

    role: str
    region: str
    service: str
    operation: str
    params: Mapping[str, Any]


class Nowhere(Embedded):
    """An embedded AWS that does not run: no call gets as far as its address."""

    @property
    def endpoint(self) -> str:
        return "http://127.0.0.1:9"


class JobsDone(Player):
    """A player whose jobs their functions answer at once; a review has somebody asked."""

    def _jobs(self, job: str, method: str = "GET") -> Json:  # noqa: ARG002  as it is asked
        variables = {"summary": "1 of 1 changes", "link": "https://a.test", "ask": "yes"}
        return {"status": "Succeeded", "outputVariables": variables}

    def _note(self, detail: Json) -> None:
        """Nobody asks what the execution has found out."""


def rehearsed(definition: Json, project: Json, source: Path, work: Path) -> list[RoleCall]:
    """The calls of two executions of a pipeline: one that creates its stacks, and one that fails
    to update them.

    `definition` and `project` are the properties of the pipeline and of its build project, with
    nothing left to resolve; `source` stands for the repository, and `work` is a folder to make for
    the build. Raises ActionFailedError where an action of the first execution fails.
    """
    answers = Answers(definition)

    def answer(client: Any, operation: str, params: Json) -> Json:
        return answers(client, operation, params)

    work.mkdir()
    run = Execution(definition, HOME_REGION, source, work, lambda *_: True)
    player = JobsDone(Nowhere(work), run, project)
    with patch.object(BaseClient, "_make_api_call", answer):
        for action in _in_order(definition):
            player.play(action)
        answers.failing = True
        for action in _in_order(definition):
            with suppress(ActionFailedError):
                player.play(action)
    return answers.calls


def _in_order(definition: Json) -> Iterator[Json]:
    for stage in definition["Stages"]:
        yield from sorted(stage["Actions"], key=lambda action: int(action["RunOrder"]))


class Answers:
    """Notes each call of a role, and answers it."""

    def __init__(self, definition: Json) -> None:
        self.calls: list[RoleCall] = []
        self.failing = False
        self._regions = list(stores_of(definition, HOME_REGION))
        self._configurations = {
            action["Configuration"]["TemplateConfiguration"].partition("::")[2]
            for stage in definition["Stages"]
            for action in stage["Actions"]
            if "TemplateConfiguration" in action["Configuration"]
        }
        self._objects: dict[str, bytes] = {}
        self._stacks: dict[tuple[str, str], str] = {}

    def __call__(self, client: Any, operation: str, params: Json) -> Json:
        service, region = client.meta.service_model.service_name, client.meta.region_name
        # A role's credentials carry its ARN, see AssumeRole below.
        caller = client._request_signer._credentials.access_key  # noqa: SLF001  no other way to it
        # An account's root stands for AWS's services, which assume the roles, and for a person.
        if not caller.isdigit():
            self.calls.append(RoleCall(caller, region, service, operation, params))
        match service:
            case "sts":
                names = {"AccessKeyId": params["RoleArn"], "SecretAccessKey": SECRET}
                return {"Credentials": {**names, "SessionToken": SECRET}}
            case "s3":
                return self._s3(operation, params, region)
            case "lambda":
                return self._package(json.loads(params["Payload"])["CodePipeline.job"])
            case "cloudformation":
                return self._cloudformation(operation, (caller, region))
            case "ssm":
                return {"Parameters": [{"Value": "value"}]}
            case "secretsmanager":
                return {"SecretString": json.dumps({"key": "value"})}
            case _:
                raise LookupError(f"nobody answers {service}:{operation}")

    def _s3(self, operation: str, params: Json, region: str) -> Json:
        match operation:
            case "PutObject":
                self._objects[params["Key"]] = params["Body"]
                return {"VersionId": "1"}
            case "GetObject":
                return {"Body": io.BytesIO(self._objects[params["Key"]]), "VersionId": "1"}
            case "GetBucketLocation":
                return {"LocationConstraint": None if region == "us-east-1" else region}
            case _:
                return {"Status": "Enabled"}

    def _package(self, job: Json) -> Json:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for region in self._regions:
                archive.writestr(f"template-export-{region}.yml", "{}")
            for name in self._configurations:
                archive.writestr(name, json.dumps({"Tags": {"foothold:release": "1"}}))
        for artifact in job["data"]["outputArtifacts"]:
            where = artifact["location"]["s3Location"]
            self._objects[where["objectKey"]] = packed.getvalue()
        return {"Payload": io.BytesIO(b"null")}

    def _cloudformation(self, operation: str, stack: tuple[str, str]) -> Json:
        match operation:
            case "DescribeStacks" if stack not in self._stacks:
                message = "Stack does not exist"
                raise ClientError(
                    {"Error": {"Code": "ValidationError", "Message": message}}, operation
                )
            case "ExecuteChangeSet":
                done = "UPDATE_ROLLBACK_COMPLETE" if self.failing else "CREATE_COMPLETE"
                self._stacks[stack] = done
            case _:
                pass
        change = {"Action": "Add", "LogicalResourceId": "Any", "ResourceType": "Any"}
        return {
            "Stacks": [{"StackStatus": self._stacks.get(stack)}],
            "StackEvents": [],
            "Status": "CREATE_COMPLETE",
            "Changes": [{"ResourceChange": change}],
        }
