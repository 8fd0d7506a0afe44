"""Functions that are invoked directly."""

import json
from typing import Any

from botocore.exceptions import ClientError

from foothold.aws.clients import Clients, aws_call, error_code, translate
from foothold.errors import BusyError, NotReachedError, PermanentError, raise_refusal
from foothold.stores.model import StoreSpec, Use

# AWS Lambda API Reference, "Invoke": a throttled invocation has not run, whichever limit it met.
THROTTLED = "TooManyRequestsException"
NOT_REACHED = frozenset({"AccessDenied", "AccessDeniedException", "ResourceNotFoundException"})


class KeyMaker:
    """The function that makes keys. Whoever tags a new key could tag any other (AWS KMS Developer
    Guide, "Controlling access to tags"), so nobody who may change keys by their tags does it."""

    def __init__(self, clients: Clients, name: str) -> None:
        self._function = LambdaFunction(clients, name)

    def make(self, spec: StoreSpec, use: Use) -> str:
        """Make a key for the region of the spec, of its own control plane; return its ARN."""
        return str(self._function.ask({"region": spec.region, "use": use.value})["key_arn"])


class LambdaFunction:
    """`stores.ports.ControlPlaneFunction` on AWS. The clients must wait as long as the
    function may take, and not ask twice."""

    def __init__(self, clients: Clients, name: str) -> None:
        self._clients = clients
        self._name = name

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        doing = f"invoke the function {self._name}"
        with aws_call(doing):
            try:
                answer = self._clients.get("lambda", self._clients.home_region).invoke(
                    FunctionName=self._name, Payload=json.dumps(command).encode()
                )
            except ClientError as error:
                if error_code(error) == THROTTLED:
                    raise BusyError(str(translate(error, doing))) from error
                if error_code(error) in NOT_REACHED:
                    raise NotReachedError(str(translate(error, doing))) from error
                raise
            text = answer["Payload"].read()
        if "FunctionError" in answer:
            raise PermanentError(f"the function {self._name} failed; its log says why")
        found: dict[str, Any] = json.loads(text)
        raise_refusal(found)
        return found
