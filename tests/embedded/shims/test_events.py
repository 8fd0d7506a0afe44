"""A policy sees which event is put."""

from typing import Any

from local.aws.embedded import TOOLS, Embedded
from tests.embedded.shims.world import CLOSED, HERE, make_role, may, outcome


def put(aws: Embedded, role: str, detail_type: str) -> str:
    """What stops a role that may put one type of event only from putting an event of this type."""
    one = {"events:source": "foothold", "events:detail-type": "Artifact Store Replaced"}
    statement = may("events:PutEvents", Condition={"StringEquals": one})
    bus = f"arn:aws:events:{HERE}:{TOOLS}:event-bus/default"
    events = make_role(aws, TOOLS, role, {**statement, "Resource": bus}).client("events")
    entry: Any = {"Source": "foothold", "DetailType": detail_type, "Detail": "{}"}
    return outcome(lambda: events.put_events(Entries=[entry]))


def test_a_policy_sees_the_source_and_type_of_an_event(embedded: Embedded) -> None:
    assert put(embedded, "publisher", "Artifact Store Replaced") == ""
    assert put(embedded, "other-publisher", "Regions Requested") == "AccessDeniedException"


def test_upstream_shows_a_policy_neither(ministack: Embedded) -> None:
    refused = put(ministack, "publisher", "Artifact Store Replaced")
    assert refused == "AccessDeniedException", CLOSED
    other = put(ministack, "other-publisher", "Regions Requested")
    assert other == "AccessDeniedException"
