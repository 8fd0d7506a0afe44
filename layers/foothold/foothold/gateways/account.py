"""The account's regions."""

from collections.abc import Mapping

from foothold.gateways.aws import Clients, aws_call


class AccountRegions:
    """`services.ports.Regions` on AWS."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def statuses(self) -> Mapping[str, str]:
        account = self._clients.get("account", self._clients.home_region)
        with aws_call("list the account's regions"):
            return {
                region["RegionName"]: region["RegionOptStatus"]
                for page in account.get_paginator("list_regions").paginate()
                for region in page["Regions"]
            }
