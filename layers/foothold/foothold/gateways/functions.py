"""Functions that are invoked directly."""

import json
from typing import Any

from foothold.command_messages import raise_refusal
from foothold.domain.errors import PermanentError
from foothold.gateways.aws import Clients, aws_call


class LambdaFunction:
    """`services.commands.ControlPlaneFunction` on AWS. The clients must wait as long as the
    function may take, and not ask twice."""

    def __init__(self, clients: Clients, name: str) -> None:
        self._clients = clients
        self._name = name

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        with aws_call(f"invoke the function {self._name}"):
            answer = self._clients.get("lambda", self._clients.home_region).invoke(
                FunctionName=self._name, Payload=json.dumps(command).encode()
            )
            text = answer["Payload"].read()
        if "FunctionError" in answer:
            raise PermanentError(f"the function {self._name} failed; its log says why")
        found: dict[str, Any] = json.loads(text)
        raise_refusal(found)
        return found
