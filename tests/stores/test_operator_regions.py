"""What an operator sees and does, told in parameters and one event."""

from collections.abc import Sequence
from functools import partial

import pytest

from foothold.errors import PermanentError, TemporaryError
from foothold.stores.operator.regions import OperatorRegions, State
from foothold.stores.published import Published
from foothold.stores.register import ArtifactStore, Names, Phase, Retirement
from foothold.stores.steps import KeepVerb
from foothold.stores.trust import PublishedStores, Trust, read_where_deployed
from foothold.stores.wanted import OpenRequest, RegionPolicy
from proof.cloud import STRANGER
from tests.stores.worlds import ACCOUNT, HOME, PLANE, STATUSES, InMemory, in_memory

LIST = (HOME, "/foothold/regions")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/abc"


class RecordedRequests:
    def __init__(self) -> None:
        self.made: list[list[str]] = []

    def request(self, regions: Sequence[str]) -> None:
        self.made.append(list(regions))


@pytest.fixture
def world() -> InMemory:
    world = in_memory()
    world.parameters.put(HOME, "/foothold/service-token", "arn:aws:lambda:...")
    return world


@pytest.fixture
def requests() -> RecordedRequests:
    return RecordedRequests()


@pytest.fixture
def kept(world: InMemory, requests: RecordedRequests) -> OperatorRegions:
    return OperatorRegions(HOME, stores(world), world.parameters, world.regions, requests)


def stores(world: InMemory) -> PublishedStores:
    return PublishedStores(
        partial(read_where_deployed, world.parameters, HOME, Names("/foothold")),
        Trust(HOME, world.store_buckets, lambda: ACCOUNT),
    )


def publish(world: InMemory, region: str) -> None:
    key = KEY.replace("eu-west-1", region)
    world.parameters.put(HOME, f"/foothold/artifact-stores/{region}/bucket", f"b-{region}")
    world.parameters.put(HOME, f"/foothold/artifact-stores/{region}/key-arn", key)
    world.add_bucket(f"b-{region}", region, key, PLANE.spec(region).tags)


def test_adding_a_region_lists_it_and_asks_for_it(
    kept: OperatorRegions, world: InMemory, requests: RecordedRequests
) -> None:
    assert kept.add(["eu-west-1", "us-east-1", "eu-west-1"]) == ("eu-west-1", "us-east-1")
    kept.request(kept.asked_for(["eu-west-1", "us-east-1", "eu-west-1"]))
    assert world.cloud.parameters[LIST] == ("eu-west-1,us-east-1", "StringList")
    assert requests.made == [["eu-west-1", "us-east-1"]]


def test_adding_a_listed_region_again_asks_again_and_writes_nothing(
    kept: OperatorRegions, world: InMemory, requests: RecordedRequests
) -> None:
    for _ in range(2):
        world.begin_anew()
        kept.add(["eu-west-1"])
        kept.request(["eu-west-1"])
    assert "PutParameter" not in world.calls
    assert requests.made == [["eu-west-1"], ["eu-west-1"]]


def test_all_enabled_can_be_listed_beside_names(kept: OperatorRegions, world: InMemory) -> None:
    kept.add(["all-enabled"])
    assert world.cloud.parameters[LIST] == ("all-enabled", "StringList")


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("europe", "not the name of an AWS region"),
        ("eu-west-9", "not a region that this account knows"),
        ("af-south-1", "enable it with `aws account enable-region --region-name af-south-1`"),
    ],
)
def test_a_region_that_cannot_be_used_is_refused_before_anything_is_written(
    kept: OperatorRegions, world: InMemory, requests: RecordedRequests, region: str, words: str
) -> None:
    with pytest.raises(PermanentError, match=words):
        kept.add(["eu-west-1", region])
    assert LIST not in world.cloud.parameters
    assert requests.made == []


def test_removing_a_region_takes_it_off_the_list_and_keeps_its_store(
    kept: OperatorRegions, world: InMemory
) -> None:
    publish(world, "eu-west-1")
    kept.add(["eu-west-1", "us-east-1"])
    assert kept.remove(["eu-west-1"]) == ("us-east-1",)
    (first, *_) = kept.status()
    assert (first.region, first.wanted.on_the_list) == ("eu-west-1", False)
    assert first.store is not None


def test_removing_the_last_region_removes_the_list(kept: OperatorRegions, world: InMemory) -> None:
    kept.add(["eu-west-1"])
    assert kept.remove(["eu-west-1"]) == ()
    assert LIST not in world.cloud.parameters


def test_removing_what_is_not_listed_names_what_is(kept: OperatorRegions) -> None:
    kept.add(["eu-west-1"])
    with pytest.raises(PermanentError, match="us-east-1 is not on the list, which holds eu-west-1"):
        kept.remove(["us-east-1"])


def test_the_status_tells_who_wants_a_region(kept: OperatorRegions, world: InMemory) -> None:
    publish(world, "eu-west-1")
    world.parameters.put(HOME, "/foothold/claims/eu-west-1/app-1-Store", "x")
    world.parameters.put(HOME, "/foothold/claims/us-east-1/app-1-Store", "x")
    world.parameters.put(*LIST, "eu-west-1")
    first, second = kept.status()
    assert first.store == ArtifactStore("eu-west-1", "b-eu-west-1", KEY)
    assert (first.wanted.on_the_list, first.wanted.claims) == (True, ("app-1-Store",))
    assert (second.region, second.store, second.wanted.on_the_list) == ("us-east-1", None, False)


def test_all_enabled_shows_every_usable_region_as_listed(
    kept: OperatorRegions, world: InMemory
) -> None:
    world.parameters.put(*LIST, "all-enabled")
    usable = {name for name, status in STATUSES.items() if status.startswith("ENABLED")}
    assert {status.region for status in kept.status() if status.wanted.on_the_list} == usable


def test_half_a_store_is_not_ready(world: InMemory) -> None:
    world.parameters.put(HOME, "/foothold/artifact-stores/eu-west-1/bucket", "b")
    assert stores(world).ready() == Published({})


def test_without_a_control_plane_everything_says_so(kept: OperatorRegions, world: InMemory) -> None:
    world.cloud.parameters.clear()
    for work in (kept.status, stores(world).ready, lambda: kept.add(["eu-west-1"])):
        with pytest.raises(PermanentError, match="not deployed in eu-central-1"):
            work()


def test_all_enabled_but_for_some_is_one_list(kept: OperatorRegions, world: InMemory) -> None:
    kept.add(["all-enabled", "us-east-1"], ["me-south-1"])
    assert world.cloud.parameters[LIST] == ("us-east-1,all-enabled,-me-south-1", "StringList")
    listed = {status.region for status in kept.status() if status.wanted.on_the_list}
    assert listed == {HOME, "eu-west-1", "us-east-1", "ap-east-1"}
    assert set(kept.asked_for(["all-enabled"])) == listed


def test_a_region_that_was_left_out_can_be_added_and_the_other_way_round(
    kept: OperatorRegions,
) -> None:
    kept.add(["all-enabled"], ["eu-west-1"])
    assert kept.add(["eu-west-1"]) == ("eu-west-1", "all-enabled")
    assert kept.add(["all-enabled"], ["eu-west-1"]) == ("all-enabled", "-eu-west-1")
    assert kept.remove(["all-enabled"]) == ()


def test_removing_what_all_enabled_stands_for_says_how_to_leave_it_out(
    kept: OperatorRegions,
) -> None:
    kept.add(["all-enabled"])
    with pytest.raises(PermanentError, match="add all-enabled --except eu-west-1` leaves it out"):
        kept.remove(["eu-west-1"])


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (RegionPolicy(("us-*",)), "AllowedRegions, which holds us-\\*: ask for another region"),
        (RegionPolicy(most=2), "one more than the stack parameter MaxRegions \\(2\\) allows"),
    ],
)
def test_what_the_stack_does_not_allow_is_refused_before_anything_is_written(
    kept: OperatorRegions, world: InMemory, policy: RegionPolicy, words: str
) -> None:
    world.parameters.put(HOME, "/foothold/region-policy", policy.text)
    publish(world, "us-east-1")
    with pytest.raises(PermanentError, match=words):
        kept.add(["eu-west-1"])
    assert LIST not in world.cloud.parameters
    assert kept.add([HOME]) == (HOME,)  # always allowed


def test_all_enabled_shows_what_the_stack_allows_only(
    kept: OperatorRegions, world: InMemory
) -> None:
    world.parameters.put(HOME, "/foothold/region-policy", RegionPolicy(("eu-*",)).text)
    world.parameters.put(*LIST, "all-enabled")
    assert [status.region for status in kept.status()] == [HOME, "eu-west-1"]


def noted(world: InMemory, region: str, *, asked: bool = True) -> OpenRequest:
    request = OpenRequest(1_800_000_000, "cannot create bucket b: AccessDenied", asked)
    world.parameters.put(HOME, f"/foothold/requests/{region}", request.text)
    return request


def test_what_was_asked_for_in_vain_is_shown_with_its_reason(
    kept: OperatorRegions, world: InMemory
) -> None:
    request = noted(world, "us-east-1")
    (status,) = kept.status()
    assert (status.region, status.store, status.request) == ("us-east-1", None, request)
    assert status.judged(None) == (State.REFUSED, (request.reason,))


def test_removing_a_region_drops_what_an_event_asked_for(
    kept: OperatorRegions, world: InMemory
) -> None:
    noted(world, "us-east-1")
    assert kept.remove(["us-east-1"]) == ()
    assert kept.status() == ()


STEP = {"step": "set the bucket policy", "reason": "it is not set", "left_to_a_person": False,
        "command": None}  # fmt: skip
SPARE = STEP | {"step": "schedule the deletion of the spare key"}
LEFT = STEP | {"left_to_a_person": True, "command": "aws s3api ..."}


@pytest.mark.parametrize(
    ("published", "found", "state", "words"),
    [
        (True, {"steps": []}, State.READY, ""),
        (True, {"steps": [SPARE]}, State.READY, ""),
        (True, {"steps": [LEFT]}, State.READY, "run `aws s3api ...`"),
        (True, {"steps": [STEP]}, State.BROKEN, "set the bucket policy: it is not set"),
        (True, {"error": "no", "temporary": False}, State.BROKEN, "no"),
        (True, {"error": "wait", "temporary": True}, State.BROKEN, "wait"),
        (True, None, State.READY, ""),
        (False, {"steps": [STEP]}, State.PENDING, "it is not made yet"),
        (False, {"error": "no", "temporary": False}, State.REFUSED, "no"),
        (False, {"error": "wait", "temporary": True}, State.PENDING, "wait"),
        (False, None, State.PENDING, ""),
    ],
)
def test_the_state_of_a_region_is_what_was_found_there(
    kept: OperatorRegions,
    world: InMemory,
    *,
    published: bool,
    found: dict[str, object] | None,
    state: State,
    words: str,
) -> None:
    world.parameters.put(*LIST, "eu-west-1")
    if published:
        publish(world, "eu-west-1")
    (status,) = kept.status()
    judged, why = status.judged(found)
    assert judged is state
    assert words in "\n".join(why)


def test_a_store_that_could_not_be_repaired_is_broken_and_says_since_when_and_why(
    kept: OperatorRegions, world: InMemory
) -> None:
    publish(world, "eu-west-1")
    request = noted(world, "eu-west-1", asked=False)
    (status,) = kept.status()
    assert status.judged(None) == (State.BROKEN, (request.reason,))
    assert status.judged({"steps": [STEP]})[1][0] == request.reason
    assert status.judged({"steps": []}) == (State.READY, ())


def test_waiting_ends_as_soon_as_a_refusal_is_written_down(
    kept: OperatorRegions, world: InMemory
) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        noted(world, "us-east-1")

    with pytest.raises(PermanentError, match="us-east-1: cannot create bucket b: AccessDenied"):
        kept.wait(["us-east-1"], sleep, lambda _: None)
    assert len(looks) == 1


def test_a_store_that_may_not_be_used_is_shown_with_the_reason(
    kept: OperatorRegions, world: InMemory
) -> None:
    publish(world, "eu-west-1")
    world.cloud.buckets["b-eu-west-1"].owner = STRANGER
    (status,) = kept.status()
    assert status.store is None
    assert f"is not open to account {ACCOUNT}" in str(status.refused)
    assert status.judged(None) == (State.BROKEN, (status.refused,))
    # What the control plane itself finds counts for more: its parameters are as they should be.
    assert status.judged({"steps": []}) == (State.READY, (status.refused,))
    state, why = status.judged({"steps": [STEP]})
    assert (state, status.refused in why) == (State.BROKEN, True)


def test_waiting_for_a_store_that_may_not_be_used_says_why(
    kept: OperatorRegions, world: InMemory
) -> None:
    publish(world, "eu-west-1")
    world.cloud.buckets["b-eu-west-1"].owner = STRANGER
    words = f"bucket b-eu-west-1, which its parameter names, is not open to account {ACCOUNT}"
    with pytest.raises(TemporaryError, match=words):
        kept.wait(["eu-west-1"], lambda _: None, lambda _: None)


def test_waiting_ends_when_every_store_is_published(kept: OperatorRegions, world: InMemory) -> None:
    seen: list[str] = []
    missing = ["eu-west-1", "us-east-1"]
    publish(world, "eu-west-1")
    kept.wait(missing, lambda _: publish(world, "us-east-1"), lambda s: seen.append(s.region))
    assert seen == missing


def test_waiting_in_vain_names_the_region_and_the_log(kept: OperatorRegions) -> None:
    with pytest.raises(TemporaryError, match="us-east-1 not ready after 300 s; the log"):
        kept.wait(["us-east-1"], lambda _: None, lambda _: None)


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        (Retirement(Phase.RETIRING, 0).text, "retiring"),
        (Retirement(Phase.RESTORING, 0).text, "restoring"),
        ("garbage", "unreadable"),
    ],
)
def test_a_retirement_under_way_is_seen_in_the_status(
    kept: OperatorRegions, world: InMemory, text: str, phase: str
) -> None:
    world.parameters.put(HOME, "/foothold/artifact-stores/eu-west-1/retired", text)
    (status,) = kept.status()
    assert (status.region, status.store, status.phase) == ("eu-west-1", None, phase)


def test_a_region_that_is_retired_is_not_shown(kept: OperatorRegions, world: InMemory) -> None:
    retired = Retirement(Phase.RETIRED, 0).text
    world.parameters.put(HOME, "/foothold/artifact-stores/eu-west-1/retired", retired)
    assert kept.status() == ()


def record(world: InMemory, retirement: Retirement) -> None:
    publish(world, "eu-west-1")
    world.parameters.put(HOME, "/foothold/artifact-stores/eu-west-1/retired", retirement.text)


def test_the_status_says_why_a_retirement_was_called_off(
    kept: OperatorRegions, world: InMemory
) -> None:
    record(world, Retirement(Phase.CALLED_OFF, 0, reason="it is used by stack 1/late"))
    (status,) = kept.status()
    assert status.judged({"steps": []}) == (
        State.READY,
        ("its retirement was called off: it is used by stack 1/late",),
    )


@pytest.mark.parametrize("phase", [Phase.RETIRING, Phase.RETIRED, Phase.ASKED])
def test_a_record_that_nothing_proves_is_no_retirement_in_the_status(
    kept: OperatorRegions, world: InMemory, phase: Phase
) -> None:
    record(world, Retirement(phase, 0, reason="forged"))
    (status,) = kept.status()
    step = {"step": KeepVerb.DISTRUST.value, "reason": "who wrote it?", "left_to_a_person": False,
            "command": None}  # fmt: skip
    state, (line,) = status.judged({"steps": [step]})
    assert (state, line) == (State.BROKEN, f"{KeepVerb.DISTRUST}: who wrote it?")
