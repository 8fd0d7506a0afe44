"""Events on the default bus of Amazon EventBridge."""

import json
from collections.abc import Sequence

from foothold.domain.errors import TemporaryError
from foothold.gateways.aws import Clients, aws_call


class RegionRequests:
    """`services.regions.Requests` on AWS."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients = clients
        self._region = region

    def request(self, regions: Sequence[str]) -> None:
        with aws_call(f"send the event Regions Requested in {self._region}"):
            answer = self._clients.get("events", self._region).put_events(
                Entries=[
                    {
                        "Source": "foothold",
                        "DetailType": "Regions Requested",
                        "Detail": json.dumps({"regions": list(regions)}),
                    }
                ]
            )
        if answer["FailedEntryCount"]:
            reason = answer["Entries"][0].get("ErrorCode", "no reason given")
            raise TemporaryError(f"EventBridge took no event in {self._region}: {reason}")
