"""Parameters in SSM Parameter Store."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from foothold.aws.clients import Clients, aws_call
from foothold.aws.pace import Pace

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_ssm.type_defs import TagTypeDef

NAMES_A_CALL = 10  # SSM API Reference, "GetParameters" and "DeleteParameters"


# What AWS Support names as PutParameter's own limit, below the documented throughput of 40 calls
# a second that all of Parameter Store shares (github-aws-runners/terraform-aws-github-runner#2944).
PUTS_A_SECOND = 3


class SsmParameters:
    """`stores.ports.Parameters` on AWS. `pace` keeps the writes in one region within it; `tags`
    are what the control plane's parameters have."""

    def __init__(
        self,
        clients: Clients,
        pace: Pace | None = None,
        tags: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._clients = clients
        self._pace = pace
        self._tags: list[TagTypeDef] = [{"Key": name, "Value": value} for name, value in tags]

    def _ssm(self, region: str) -> "SSMClient":
        return self._clients.get("ssm", region)

    def get(self, region: str, names: tuple[str, ...]) -> Mapping[str, str]:
        with aws_call(f"read the parameters {', '.join(names)} in {region}"):
            answer = self._ssm(region).get_parameters(Names=list(names))
        return {found["Name"]: found["Value"] for found in answer["Parameters"]}

    def below(self, region: str, path: str) -> Mapping[str, str]:
        with aws_call(f"read the parameters below {path} in {region}"):
            pages = self._ssm(region).get_paginator("get_parameters_by_path")
            return {
                found["Name"]: found["Value"]
                for page in pages.paginate(Path=path, Recursive=True)
                for found in page["Parameters"]
            }

    def dated(self, region: str, path: str) -> Mapping[str, tuple[str, float]]:
        with aws_call(f"read the parameters below {path} in {region}"):
            pages = self._ssm(region).get_paginator("get_parameters_by_path")
            return {
                found["Name"]: (found["Value"], found["LastModifiedDate"].timestamp())
                for page in pages.paginate(Path=path, Recursive=True)
                for found in page["Parameters"]
            }

    def put(self, region: str, name: str, value: str) -> None:
        """With tags a parameter is made first, and only then written over: one call takes either
        tags or leave to overwrite (SSM API Reference, "PutParameter": Tags)."""
        ssm = self._writing(region)
        with aws_call(f"write the parameter {name} in {region}"):
            if self._tags:
                try:
                    ssm.put_parameter(Name=name, Value=value, Type="String", Tags=self._tags)
                except ssm.exceptions.ParameterAlreadyExists:
                    self._writing(region)
                else:
                    return
            ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
        self.tag(region, (name,))

    def tag(self, region: str, names: tuple[str, ...]) -> None:
        for name in names if self._tags else ():
            ssm = self._writing(region)
            with (
                aws_call(f"tag the parameter {name} in {region}"),
                suppress(
                    ssm.exceptions.InvalidResourceId  # it is gone
                ),
            ):
                ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=name, Tags=self._tags)

    def _writing(self, region: str) -> "SSMClient":
        if self._pace:
            self._pace.wait(region)
        return self._ssm(region)

    def put_list(self, region: str, name: str, values: tuple[str, ...]) -> None:
        """Write a StringList parameter; `values` hold no comma and are not empty."""
        with aws_call(f"write the parameter {name} in {region}"):
            self._ssm(region).put_parameter(
                Name=name, Value=",".join(values), Type="StringList", Overwrite=True
            )

    def delete(self, region: str, names: tuple[str, ...]) -> None:
        for first in range(0, len(names), NAMES_A_CALL):
            chunk = list(names[first : first + NAMES_A_CALL])
            with aws_call(f"delete the parameters {', '.join(chunk)} in {region}"):
                self._ssm(region).delete_parameters(Names=chunk)


class SsmNumberedParameter:
    """`stores.ports.NumberedParameter` on AWS: a parameter's version goes up by one with each
    write, and a write returns its own (SSM API Reference, "PutParameter")."""

    def __init__(self, clients: Clients, region: str, name: str) -> None:
        self._clients = clients
        self._region = region
        self._name = name

    def read(self) -> tuple[int, str]:
        with aws_call(f"read the parameter {self._name} in {self._region}"):
            answer = self._clients.get("ssm", self._region).get_parameters(Names=[self._name])
        for found in answer["Parameters"]:
            return found["Version"], found["Value"]
        return 0, ""

    def write(self, value: str) -> int:
        with aws_call(f"write the parameter {self._name} in {self._region}"):
            answer = self._clients.get("ssm", self._region).put_parameter(
                Name=self._name, Value=value, Type="String", Overwrite=True
            )
        return answer["Version"]
