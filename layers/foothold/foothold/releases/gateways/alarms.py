"""CloudWatch alarms in target accounts: whether one is raised, or was."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from foothold.aws.clients import aws_call
from foothold.errors import PermanentError

# How many names DescribeAlarms takes (Amazon CloudWatch API Reference, "DescribeAlarms").
MOST_NAMES = 100
ALARM = "ALARM"
TYPES = ["MetricAlarm", "CompositeAlarm"]  # each call knows only metric alarms unless told


class TargetAlarms:
    """`releases.ports.Alarms` on CloudWatch. `client_of` gives the client for an account and a
    region, as the account's reader role."""

    def __init__(self, client_of: Callable[[str, str], Any]) -> None:
        self._client_of = client_of

    def raised(self, account: str, region: str, names: Sequence[str], since: float) -> str | None:
        """An alarm without data is in INSUFFICIENT_DATA, which is none. One whose state was not
        updated since then was not raised since then either, and its history is not read."""
        where = f"in {region} of {account}"
        with aws_call(f"look at the alarms {where}"):
            client = self._client_of(account, region)
            found = {one["AlarmName"]: one for one in _described(client, names)}
            missing = [name for name in names if name not in found]
            if missing:
                raise PermanentError(
                    f"there is no alarm {', '.join(missing)} {where}: create it, or take it out "
                    "of Bake"
                )
            for name, alarm in found.items():
                if alarm["StateValue"] == ALARM:
                    return f"alarm {name} {where} is raised: {alarm.get('StateReason', '')}"
                if alarm["StateUpdatedTimestamp"].timestamp() >= since:
                    for at in _raised_at(client, name, since):
                        return f"alarm {name} {where} was raised at {at}"
        return None


def _described(client: Any, names: Sequence[str]) -> Iterator[Any]:
    for first in range(0, len(names), MOST_NAMES):
        asked = {"AlarmNames": list(names[first : first + MOST_NAMES]), "AlarmTypes": TYPES}
        for page in client.get_paginator("describe_alarms").paginate(**asked):
            yield from page.get("MetricAlarms", ())
            yield from page.get("CompositeAlarms", ())


def _raised_at(client: Any, name: str, since: float) -> Iterator[str]:
    """When the alarm came into its state of alarm, or left it."""
    pages = client.get_paginator("describe_alarm_history").paginate(
        AlarmName=name,
        AlarmTypes=TYPES,
        HistoryItemType="StateUpdate",
        StartDate=datetime.fromtimestamp(since, UTC),
    )
    for page in pages:
        for item in page.get("AlarmHistoryItems", ()):
            data = json.loads(item.get("HistoryData") or "{}")
            values = {data.get(state, {}).get("stateValue") for state in ("oldState", "newState")}
            if ALARM in values:
                yield item["Timestamp"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
