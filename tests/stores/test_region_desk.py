"""What an operator sees and does, told in parameters and one event."""

from collections.abc import Sequence

import pytest

from foothold.domain.errors import PermanentError, TemporaryError
from foothold.domain.models import ArtifactStore
from foothold.domain.retirement import Phase, Retirement
from foothold.services.regions import RegionDesk
from tests.fakes import FakeParameters, FakeRegions, FakeWorld
from tests.stores.worlds import HOME, STATUSES

LIST = (HOME, "/foothold/regions")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/abc"


class RecordedRequests:
    def __init__(self) -> None:
        self.made: list[list[str]] = []

    def request(self, regions: Sequence[str]) -> None:
        self.made.append(list(regions))


@pytest.fixture
def world() -> FakeWorld:
    world = FakeWorld(statuses=dict(STATUSES))
    world.parameters[HOME, "/foothold/service-token"] = "arn:aws:lambda:..."
    return world


@pytest.fixture
def requests() -> RecordedRequests:
    return RecordedRequests()


@pytest.fixture
def desk(world: FakeWorld, requests: RecordedRequests) -> RegionDesk:
    return RegionDesk(HOME, "/foothold", FakeParameters(world), FakeRegions(world), requests)


def publish(world: FakeWorld, region: str) -> None:
    world.parameters[HOME, f"/foothold/artifact-stores/{region}/bucket"] = f"b-{region}"
    world.parameters[HOME, f"/foothold/artifact-stores/{region}/key-arn"] = KEY


def test_adding_a_region_lists_it_and_asks_for_it(
    desk: RegionDesk, world: FakeWorld, requests: RecordedRequests
) -> None:
    assert desk.add(["eu-west-1", "us-east-1", "eu-west-1"]) == ("eu-west-1", "us-east-1")
    assert world.parameters[LIST] == "eu-west-1,us-east-1"
    assert requests.made == [["eu-west-1", "us-east-1"]]


def test_adding_a_listed_region_again_asks_again_and_writes_nothing(
    desk: RegionDesk, world: FakeWorld, requests: RecordedRequests
) -> None:
    desk.add(["eu-west-1"])
    world.calls.clear()
    desk.add(["eu-west-1"])
    assert "put parameter" not in world.calls
    assert requests.made == [["eu-west-1"], ["eu-west-1"]]


def test_all_enabled_can_be_listed_beside_names(desk: RegionDesk, world: FakeWorld) -> None:
    desk.add(["all-enabled"])
    assert world.parameters[LIST] == "all-enabled"


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("europe", "not the name of an AWS region"),
        ("eu-west-9", "not a region that this account knows"),
        ("af-south-1", "enable it with `aws account enable-region --region-name af-south-1`"),
    ],
)
def test_a_region_that_cannot_be_used_is_refused_before_anything_is_written(
    desk: RegionDesk, world: FakeWorld, requests: RecordedRequests, region: str, words: str
) -> None:
    with pytest.raises(PermanentError, match=words):
        desk.add(["eu-west-1", region])
    assert LIST not in world.parameters
    assert requests.made == []


def test_removing_a_region_takes_it_off_the_list_and_keeps_its_store(
    desk: RegionDesk, world: FakeWorld
) -> None:
    publish(world, "eu-west-1")
    desk.add(["eu-west-1", "us-east-1"])
    assert desk.remove(["eu-west-1"]) == ("us-east-1",)
    (kept, *_) = desk.status()
    assert (kept.region, kept.listed) == ("eu-west-1", False)
    assert kept.store is not None


def test_removing_the_last_region_removes_the_list(desk: RegionDesk, world: FakeWorld) -> None:
    desk.add(["eu-west-1"])
    assert desk.remove(["eu-west-1"]) == ()
    assert LIST not in world.parameters


def test_removing_what_is_not_listed_names_what_is(desk: RegionDesk) -> None:
    desk.add(["eu-west-1"])
    with pytest.raises(PermanentError, match="us-east-1 is not on the list, which holds eu-west-1"):
        desk.remove(["us-east-1"])


def test_the_status_tells_who_wants_a_region(desk: RegionDesk, world: FakeWorld) -> None:
    publish(world, "eu-west-1")
    world.parameters[HOME, "/foothold/claims/eu-west-1/app-1-Store"] = "x"
    world.parameters[HOME, "/foothold/claims/us-east-1/app-1-Store"] = "x"
    world.parameters[LIST] = "eu-west-1"
    first, second = desk.status()
    assert first.store == ArtifactStore("eu-west-1", "b-eu-west-1", KEY)
    assert (first.listed, first.claims) == (True, ("app-1-Store",))
    assert (second.region, second.store, second.listed) == ("us-east-1", None, False)


def test_all_enabled_shows_every_usable_region_as_listed(
    desk: RegionDesk, world: FakeWorld
) -> None:
    world.parameters[LIST] = "all-enabled"
    usable = {name for name, status in STATUSES.items() if status.startswith("ENABLED")}
    assert {status.region for status in desk.status() if status.listed} == usable


def test_half_a_store_is_not_ready(desk: RegionDesk, world: FakeWorld) -> None:
    world.parameters[HOME, "/foothold/artifact-stores/eu-west-1/bucket"] = "b"
    assert desk.ready() == {}


def test_without_a_control_plane_everything_says_so(desk: RegionDesk, world: FakeWorld) -> None:
    world.parameters.clear()
    for work in (desk.status, desk.ready, lambda: desk.add(["eu-west-1"])):
        with pytest.raises(PermanentError, match="not deployed in eu-central-1"):
            work()


def test_waiting_ends_when_every_store_is_published(desk: RegionDesk, world: FakeWorld) -> None:
    seen: list[str] = []
    missing = ["eu-west-1", "us-east-1"]
    publish(world, "eu-west-1")
    desk.wait(missing, lambda _: publish(world, "us-east-1"), lambda s: seen.append(s.region))
    assert seen == missing


def test_waiting_in_vain_names_the_region_and_the_log(desk: RegionDesk) -> None:
    with pytest.raises(TemporaryError, match="us-east-1 not ready after 300 s; the log"):
        desk.wait(["us-east-1"], lambda _: None, lambda _: None)


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        (Retirement(Phase.RETIRING, 0).text, "retiring"),
        (Retirement(Phase.RESTORING, 0).text, "restoring"),
        ("garbage", "unreadable"),
    ],
)
def test_a_retirement_under_way_is_seen_in_the_status(
    desk: RegionDesk, world: FakeWorld, text: str, phase: str
) -> None:
    world.parameters[HOME, "/foothold/artifact-stores/eu-west-1/retired"] = text
    (status,) = desk.status()
    assert (status.region, status.store, status.phase) == ("eu-west-1", None, phase)


def test_a_region_that_is_retired_is_not_shown(desk: RegionDesk, world: FakeWorld) -> None:
    retired = Retirement(Phase.RETIRED, 0).text
    world.parameters[HOME, "/foothold/artifact-stores/eu-west-1/retired"] = retired
    assert desk.status() == ()
