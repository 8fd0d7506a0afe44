"""What the actions of a pipeline do between its change sets and their execution."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from foothold.errors import PermanentError, TemporaryError
from foothold.jobs.messages import InvalidRequestError
from foothold.jobs.ports import JobResult
from foothold.releases.actions import Reviews, answer_review, console_link
from foothold.releases.changes import Action, ChangeSet, ResourceChange, SetState
from foothold.releases.holds import Hold, write_hold
from foothold.releases.model import RELEASE_TAG, Cell, ReleaseTarget, ReleaseTargets, When
from foothold.releases.review import Review
from foothold.stores.register import ArtifactStore, Names
from tests.jobs.told import Told
from tests.releases.memory import HOME, MemoryRecords, store

EVENTS = Path(__file__).parents[2] / "events"
EXECUTION = "11111111-aaaa-2222-bbbb-333333333333"
PREFIX = f"orders/reviews/Test/{EXECUTION}/"
RELEASE = "0123456789abcdef"


def target(name: str, account: str, **more: Any) -> ReleaseTarget:
    waves = (("eu-west-1",), ("us-east-1",))
    return ReleaseTarget(name, account, "orders", waves, approval=When.CHANGES, **more)


TARGETS = ReleaseTargets(
    "orders",
    HOME,
    (
        target("Test", "222222222222"),
        target("Beside", "333333333333", joins="Test"),
        target("Production", "444444444444"),
    ),
)


@dataclass
class FakeChangeSets:
    """`releases.ports.ChangeSetReader`: every change set adds a queue, but where `otherwise` says
    what is read instead. `meanwhile` happens once, while they are read."""

    otherwise: dict[Cell, ChangeSet] = field(default_factory=dict)
    asked: set[tuple[str, str, str]] = field(default_factory=set)
    meanwhile: list[Callable[[], None]] = field(default_factory=list)

    def read(self, cell: Cell, name: str) -> ChangeSet:
        self.asked.add((cell.account, cell.region, name))
        while self.meanwhile:
            self.meanwhile.pop()()
        return self.otherwise.get(cell) or self.ready(cell)

    def read_all(self, cells: Sequence[Cell], name: str) -> list[ChangeSet]:
        return [self.read(cell, name) for cell in cells]

    def ready(self, cell: Cell, mark: str = "") -> ChangeSet:
        queue = ResourceChange(Action.ADD, "Queue", "AWS::SQS::Queue")
        return ChangeSet(
            cell,
            SetState.READY,
            id=f"arn:{cell.account}:{cell.region}:{mark}",
            changes=(queue,),
            tags={RELEASE_TAG: RELEASE},
            template_sha256=f"digest{mark}",
        )


@dataclass
class World:
    records: MemoryRecords = field(default_factory=MemoryRecords)
    change_sets: FakeChangeSets = field(default_factory=FakeChangeSets)
    published: ReleaseTargets = TARGETS
    told: Told = field(default_factory=Told)

    def reviews(self) -> Reviews:
        return Reviews(
            Names("/foothold"),
            self.parameters,
            self.records,
            self.records,
            self.change_sets,
            lambda _: pytest.fail("nobody wants to go back"),
        )

    def parameters(self, path: str) -> Mapping[str, str]:
        assert path == "/foothold/pipelines/orders"
        return {f"{path}/1": self.published.text}

    def call(self, do: str, /, **changes: Any) -> None:
        """CodePipeline hands in the saved job, of what this pipeline was deployed with."""
        event = json.loads((EVENTS / f"codepipeline_{do}.json").read_text())
        configuration = event["CodePipeline.job"]["data"]["actionConfiguration"]["configuration"]
        given = json.loads(configuration["UserParameters"])
        assert given["do"] == do
        given |= {"targets": TARGETS.digest, **changes}
        configuration["UserParameters"] = json.dumps(given)
        answer_review(event, self.reviews, self.told, 300)

    def succeeded(self) -> JobResult:
        (kind, _, result), *others = self.told.answers
        assert (kind, others) == ("succeeded", [])
        assert isinstance(result, JobResult)
        self.told.answers.clear()
        return result

    def failed(self) -> tuple[str, str]:
        (kind, _, reason, message), *others = self.told.answers
        assert (kind, others) == ("failed", [])
        self.told.answers.clear()
        return reason, message

    def reviewed(self) -> Review:
        body = self.records.below(HOME, PREFIX)["review.json"]
        return Review.parse(body, "the review")


@pytest.fixture
def world() -> World:
    return World()


ONE = TARGETS.named("Test").cell("eu-west-1")


# --- review -------------------------------------------------------------------------------------


def test_all_change_sets_of_targets_that_run_together_become_one_review(world: World) -> None:
    world.call("review")
    world.succeeded()
    name = f"foothold-orders-{EXECUTION}"
    assert world.change_sets.asked == {
        (account, region, name)
        for account in ("222222222222", "333333333333")
        for region in ("eu-west-1", "us-east-1")
    }
    review = world.reviewed()
    assert (review.project, review.target, review.execution) == ("orders", "Test", EXECUTION)
    assert len(review.reviewed) == 4
    assert len(review.groups) == 1


def test_a_review_is_kept_for_machines_and_for_people(world: World) -> None:
    world.call("review")
    written = {name: body.decode() for name, body in world.records.below(HOME, PREFIX).items()}
    assert list(written) == ["review.json", "review.md", "review.html"]
    assert json.loads(written["review.json"])["release"] == RELEASE
    assert "Queue" in written["review.md"]
    assert written["review.html"].startswith("<!doctype html>")


def test_a_review_hands_its_summary_its_place_and_its_release_on(world: World) -> None:
    world.call("review")
    result = world.succeeded()
    assert result.variables == {
        "summary": world.reviewed().summary,
        "link": (
            f"https://{HOME}.console.aws.amazon.com/s3/object/foothold-111111111111-{HOME}-an"
            f"?region={HOME}&prefix={PREFIX}review.html"
        ),
        "ask": "yes",
        "release": RELEASE,
    }
    assert result.summary == result.variables["summary"]


@pytest.mark.parametrize(
    ("when", "is_empty", "ask"),
    [
        (When.ALWAYS, True, "yes"),
        (When.CHANGES, True, "no"),
        (When.CHANGES, False, "yes"),
        (When.RISK, False, "no"),
        (None, False, "no"),
    ],
)
def test_a_person_is_asked_when_the_target_says_so(
    world: World, when: When | None, is_empty: bool, ask: str
) -> None:
    targets = tuple(replace(one, approval=when) for one in TARGETS.targets)
    world.published = replace(TARGETS, targets=targets)
    if is_empty:
        cells = [cell for one in targets for cell in one.cells]
        world.change_sets.otherwise = {cell: ChangeSet(cell, SetState.EMPTY) for cell in cells}
    world.call("review", targets=world.published.digest)
    assert world.succeeded().variables["ask"] == ask


@pytest.mark.parametrize("state", [SetState.UNREAD, SetState.FAILED, SetState.MISSING])
def test_what_could_not_be_read_is_said_in_the_review_and_is_no_failure(
    world: World, state: SetState
) -> None:
    world.change_sets.otherwise[ONE] = ChangeSet(ONE, state, reason="why")
    world.call("review")
    assert "INCOMPLETE" in world.succeeded().variables["summary"]
    assert not world.reviewed().is_complete


def test_the_release_is_unknown_where_the_change_sets_do_not_agree(world: World) -> None:
    another = replace(world.change_sets.ready(ONE), tags={RELEASE_TAG: "f" * 16})
    world.change_sets.otherwise[ONE] = another
    world.call("review")
    assert world.succeeded().variables["release"] == "unknown"


def test_the_same_review_may_be_asked_for_twice(world: World) -> None:
    world.call("review")
    first, written = world.succeeded(), world.records.below(HOME, PREFIX)
    world.call("review")
    assert world.succeeded() == first
    assert world.records.below(HOME, PREFIX) == written


def test_a_later_reading_of_the_same_execution_takes_the_place_of_the_one_before(
    world: World,
) -> None:
    world.call("review")
    before = world.reviewed()
    world.change_sets.otherwise[ONE] = world.change_sets.ready(ONE, "again")
    world.call("review")
    assert world.reviewed().digest != before.digest


def test_an_earlier_reading_never_takes_the_place_of_a_later_one(world: World) -> None:
    """A call that was held up reads again, instead of writing down what is no longer so."""
    later = World(world.records)

    def another_call() -> None:
        later.change_sets.otherwise[ONE] = later.change_sets.ready(ONE, "again")
        later.call("review")
        world.change_sets.otherwise[ONE] = later.change_sets.ready(ONE, "again")

    stale = world.change_sets.ready(TARGETS.named("Test").cell("us-east-1"))
    world.change_sets.otherwise[stale.cell] = stale
    world.change_sets.meanwhile = [another_call]
    world.call("review")
    world.succeeded()
    later.succeeded()
    assert world.reviewed().reviewed[0].template_sha256 == "digestagain"
    later.call("guard")
    assert later.succeeded().summary.startswith("as it was reviewed")


def test_a_review_that_never_comes_to_be_written_may_be_tried_again(world: World) -> None:
    def busy(operation: str, _region: str, key: str) -> None:
        if operation == "create" and key.endswith("review.json"):
            bucket = store(HOME).bucket
            world.records.objects[bucket, key] = b"{}"
        if operation == "replace":
            world.records.objects[store(HOME).bucket, key] += b" "

    world.records.before = busy
    world.call("review")
    assert world.failed()[0] == "SystemUnavailable"


def test_without_a_store_at_home_there_is_nowhere_to_keep_a_review(world: World) -> None:
    world.records.regions = ("eu-west-1",)
    world.records.refused = {HOME: f"{HOME}: its bucket is another account's"}
    world.call("review")
    assert world.failed() == ("JobFailed", f"{HOME}: its bucket is another account's")


# --- guard --------------------------------------------------------------------------------------


def test_what_is_as_it_was_reviewed_may_be_executed(world: World) -> None:
    world.call("review")
    world.succeeded()
    world.call("guard")
    assert world.succeeded().variables == {}


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (lambda sets: sets.ready(ONE, "x"), "its change set is another one than was reviewed"),
        (
            lambda sets: replace(sets.ready(ONE), template_sha256="x"),
            "its change set has another template than was reviewed",
        ),
        (
            lambda _: ChangeSet(ONE, SetState.MISSING),
            "its change set was ready when it was reviewed, and is missing",
        ),
        (
            lambda _: ChangeSet(ONE, SetState.UNREAD),
            "its change set was ready when it was reviewed, and is unread",
        ),
    ],
)
def test_what_is_otherwise_than_it_was_reviewed_is_not_executed(
    world: World, now: Callable[[FakeChangeSets], ChangeSet], line: str
) -> None:
    world.call("review")
    world.succeeded()
    world.change_sets.otherwise[ONE] = now(world.change_sets)
    world.call("guard")
    kind, message = world.failed()
    assert kind == "JobFailed"
    assert f"orders in eu-west-1 of 222222222222: {line}" in message
    assert message.endswith(
        "start the pipeline again, which makes new change sets and reviews them"
    )


def test_every_difference_is_named(world: World) -> None:
    world.call("review")
    world.succeeded()
    cells = TARGETS.named("Test").cells
    world.change_sets.otherwise = {cell: ChangeSet(cell, SetState.MISSING) for cell in cells}
    world.call("guard")
    message = world.failed()[1]
    assert all(str(cell) in message for cell in cells)


def test_nothing_is_executed_that_was_never_reviewed(world: World) -> None:
    world.call("guard")
    kind, message = world.failed()
    assert kind == "JobFailed"
    assert "there is no review of this execution" in message


def test_the_review_of_another_execution_approves_nothing(world: World) -> None:
    world.call("review", execution="another")
    world.succeeded()
    world.call("guard")
    assert "there is no review of this execution" in world.failed()[1]


def test_what_could_not_be_read_was_approved_by_nobody(world: World) -> None:
    world.change_sets.otherwise[ONE] = ChangeSet(ONE, SetState.UNREAD)
    world.call("review")
    world.succeeded()
    world.change_sets.otherwise = {}
    world.call("guard")
    assert "was unread when it was reviewed" in world.failed()[1]


def test_a_review_that_somebody_changed_approves_nothing(world: World) -> None:
    world.call("review")
    world.succeeded()
    place = (store(HOME).bucket, f"{PREFIX}review.json")
    value = json.loads(world.records.objects[place])
    value["reviewed"][0]["template_sha256"] = "x"
    world.records.objects[place] = json.dumps(value).encode()
    world.call("guard")
    assert "its digest is another" in world.failed()[1]


# --- both ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("do", ["review", "guard"])
def test_a_pipeline_whose_targets_were_published_anew_is_to_be_started_again(
    world: World, do: str
) -> None:
    world.published = replace(TARGETS, branch="another")
    world.call(do)
    kind, message = world.failed()
    assert kind == "JobFailed"
    assert "not those that this pipeline was deployed with: start the pipeline again" in message
    assert world.change_sets.asked == set()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"do": "bake"}, "do: Input should be 'review' or 'guard'"),
        ({"target": ""}, "target: String should match pattern"),
        ({"project": "../orders"}, "project: String should match pattern"),
        ({"execution": "a/b"}, "execution: String should match pattern"),
        ({"wave": 1}, "wave: Extra inputs are not permitted"),
    ],
)
def test_user_parameters_that_foothold_did_not_write_are_refused(
    world: World, changes: dict[str, Any], line: str
) -> None:
    world.call("review", **changes)
    kind, message = world.failed()
    assert kind == "ConfigurationError"
    assert line in message
    assert "a/b" not in message


def test_a_target_that_there_is_not_is_named(world: World) -> None:
    world.call("review", target="Prod")
    assert world.failed() == (
        "JobFailed",
        "orders has no target Prod; it has Test, Beside, Production",
    )


@pytest.mark.parametrize("event", [{}, [], {"CodePipeline.job": {}}])
def test_what_is_no_job_is_refused(world: World, event: Any) -> None:
    with pytest.raises(InvalidRequestError):
        answer_review(event, world.reviews, world.told, 300)
    assert world.told.answers == []


@pytest.mark.parametrize("error", [PermanentError("x"), TemporaryError("x")])
def test_an_app_that_cannot_be_made_is_answered(world: World, error: Exception) -> None:
    def broken() -> Reviews:
        raise error

    event = json.loads((EVENTS / "codepipeline_review.json").read_text())
    answer_review(event, broken, world.told, 300)
    assert world.failed()[1] == "x"


@pytest.mark.parametrize(
    ("region", "link"),
    [
        (
            "eu-west-1",
            "https://eu-west-1.console.aws.amazon.com/s3/object/b?region=eu-west-1&prefix=a%20b/c",
        ),
        ("cn-north-1", "https://console.amazonaws.cn/s3/object/b?region=cn-north-1&prefix=a%20b/c"),
        (
            "us-gov-west-1",
            "https://console.amazonaws-us-gov.com/s3/object/b?region=us-gov-west-1&prefix=a%20b/c",
        ),
        ("eusc-de-east-1", "https://s3.eusc-de-east-1.amazonaws.eu/b/a%20b/c"),
    ],
)
def test_a_link_leads_to_the_console_of_the_regions_partition(region: str, link: str) -> None:
    assert console_link(ArtifactStore(region, "b", "k"), "a b/c") == link


# --- holds --------------------------------------------------------------------------------------


def test_a_target_that_is_held_is_reviewed_and_goes_no_further(world: World) -> None:
    """One of those that run together is enough: their change sets are executed as one."""
    hold = Hold("orders", "Beside", held=True, by="me", since=0.0)
    world.call("review")
    world.succeeded()
    write_hold(world.records, store(HOME), hold)
    for do in ("review", "guard"):
        world.call(do)
        reason, message = world.failed()
        assert reason == "JobFailed"
        assert message.startswith("nothing was executed: Beside of orders is held since")
    assert world.reviewed().target == "Test"
    write_hold(world.records, store(HOME), replace(hold, held=False))
    world.call("guard")
    world.succeeded()
