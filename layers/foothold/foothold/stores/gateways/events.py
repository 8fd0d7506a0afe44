"""Events on the default bus of Amazon EventBridge."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from foothold.aws.clients import Clients, aws_call
from foothold.errors import TemporaryError
from foothold.stores.register import ArtifactStore


class RegionRequests:
    """`stores.ports.Requests` on AWS."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients = clients
        self._region = region

    def request(self, regions: Sequence[str]) -> None:
        _put(self._clients, self._region, "Regions Requested", {"regions": list(regions)})


class StoreAnnouncements:
    """`stores.ports.Announcements` on AWS: the event "Artifact Store Replaced"."""

    def __init__(self, clients: Clients, region: str) -> None:
        self._clients = clients
        self._region = region

    def replaced(self, store: ArtifactStore) -> None:
        detail = {"region": store.region, "bucket": store.bucket, "keyArn": store.key_arn}
        _put(self._clients, self._region, "Artifact Store Replaced", detail)


def _put(clients: Clients, region: str, detail_type: str, detail: Mapping[str, Any]) -> None:
    with aws_call(f"send the event {detail_type} in {region}"):
        answer = clients.get("events", region).put_events(
            Entries=[
                {"Source": "foothold", "DetailType": detail_type, "Detail": json.dumps(detail)}
            ]
        )
    if answer["FailedEntryCount"]:
        reason = answer["Entries"][0].get("ErrorCode", "no reason given")
        raise TemporaryError(f"EventBridge took no event in {region}: {reason}")
