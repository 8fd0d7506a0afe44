"""A pipeline's wave is watched from call to call, and taken back where that was declared."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from foothold.errors import PermanentError, TemporaryError
from foothold.jobs.ports import JobResult
from foothold.releases.actions import Bakes, Reviews, answer_review, answer_rollout
from foothold.releases.model import (
    Cell,
    OnFailure,
    Release,
    ReleaseTarget,
    ReleaseTargets,
    Trial,
    change_set_name,
)
from foothold.releases.ports import StackState, TrialRun
from foothold.stores.register import Names
from tests.jobs.told import Told
from tests.releases.memory import HOME, store
from tests.releases.world import ALARM, World, made_for, watched

EVENTS = Path(__file__).parents[2] / "events"
EXECUTION = "11111111-aaaa-2222-bbbb-333333333333"
FAR, US = "eu-west-1", "us-east-1"
WAVES = ((HOME,), (FAR, US))
FIRST, *SECOND = (Cell("222222222222", region, "shop") for region in (HOME, FAR, US))
EACH = 30.0  # seconds between two calls of CodePipeline


@dataclass
class Pipeline:
    """A pipeline that has deployed `old`, and now deploys `new` wave by wave."""

    target: ReleaseTarget
    world: World = field(default_factory=World)
    told: Told = field(default_factory=Told)
    jobs: int = 0

    def __post_init__(self) -> None:
        self.old = self.world.keep(made_for(self.target, content="old"))
        self.new = self.world.keep(made_for(self.target, content="new"))
        for cell in (FIRST, *SECOND):
            self.world.set_alarm(cell, "OK", 0)
        self.world.deploy(self.old)
        self.published = ReleaseTargets("shop", HOME, (self.target,))
        for cell in (FIRST, *SECOND):
            self.change_set(cell, self.new)
        self.call("review")
        self.succeeded()

    def change_set(self, cell: Cell, what: Release) -> None:
        self.world.create_change_set(
            cell,
            change_set_name("shop", EXECUTION),
            template_url=f"{store(cell.region).bucket}/{what.prefix}template-export-{cell.region}.yml",
            configuration=self.target.configuration(cell.region, "shop", what.id),
            capabilities=(),
        )

    def execute(self, *cells: Cell) -> None:
        for cell in cells:
            found = self.world.read(cell, change_set_name("shop", EXECUTION))
            self.world.execute(cell, found.id)
        self.world.sleep(self.world.takes)

    def parameters(self, path: str) -> Mapping[str, str]:
        return {f"{path}/1": self.published.text}

    def call(self, do: str, token: str | None = None, job: str | None = None, **more: Any) -> None:
        """CodePipeline hands in the saved job, as a new one, with the token of the one before."""
        event = json.loads((EVENTS / f"codepipeline_{do}.json").read_text())
        configuration = event["CodePipeline.job"]["data"]["actionConfiguration"]["configuration"]
        given = json.loads(configuration["UserParameters"])
        given |= {"project": "shop", "target": "Prod", "targets": self.published.digest, **more}
        configuration["UserParameters"] = json.dumps(given)
        event["CodePipeline.job"]["data"]["continuationToken"] = token
        self.jobs += 1
        event["CodePipeline.job"]["id"] = job or f"{self.jobs:08}-abcd-1111-abcd-111111abcdef"
        at = (Names("/foothold"), self.parameters, self.world.records, self.world.records)
        if do == "bake":
            bakes = Bakes(*at, self.world.rollouts(), self.world.clock)
            answer_rollout(event, lambda: bakes, self.told, 300)
        else:
            reviews = Reviews(*at, self.world, self.world.state)
            answer_review(event, lambda: reviews, self.told, 300)

    def succeeded(self) -> JobResult:
        (kind, _, result) = self.told.answers.pop()
        assert kind == "succeeded", result
        assert isinstance(result, JobResult)
        return result

    def failed(self) -> str:
        (kind, _, reason, message) = self.told.answers.pop()
        assert (kind, reason) == ("failed", "JobFailed")
        return str(message)

    def bake(self, **more: Any) -> JobResult | str:
        """Every call of one action, until it ends: what it ended with."""
        token = None
        while True:
            self.call("bake", token, **more)
            if self.told.answers[-1][0] == "failed":
                return self.failed()
            result = self.succeeded()
            if not result.continuation:
                return result
            assert len(result.continuation) <= 2048
            token = result.continuation
            self.world.sleep(EACH)


def pipeline(on_failure: OnFailure = OnFailure.STOP, **more: Any) -> Pipeline:
    world = World(trials={"smoke": TrialRun("build:0", passed=True)})
    one = Pipeline(watched(WAVES, on_failure=on_failure, **more), world)
    world.given.clear()
    return one


def test_a_wave_is_watched_for_as_long_as_was_declared() -> None:
    one = pipeline()
    one.execute(FIRST)
    began = one.world.now
    ended = one.bake()
    assert isinstance(ended, JobResult)
    assert ended.summary == "watched for as long as was declared"
    assert 600 <= one.world.now - began < 600 + EACH


def test_how_far_watching_is_can_be_seen() -> None:
    one = pipeline()
    one.call("bake")
    first = one.succeeded()
    assert first.percent == 0
    one.world.sleep(300)
    one.call("bake", first.continuation)
    assert one.succeeded().percent == 50


def test_an_alarm_stops_the_wave_and_is_named() -> None:
    one = pipeline()
    one.world.bad = (FIRST, one.new.id)
    one.execute(FIRST)
    message = one.bake()
    assert message == (
        f"alarm {ALARM} in {HOME} of 222222222222 was raised; wave 1 stays as it is, and no later "
        "one begins"
    )
    assert one.world.runs()[FIRST] == one.new.id


def test_an_alarm_takes_the_wave_back_where_that_was_declared() -> None:
    one = pipeline(OnFailure.ROLLBACK)
    one.execute(FIRST)
    one.world.bad = (SECOND[0], one.new.id)
    one.execute(*SECOND)
    message = one.bake(wave=2)
    assert isinstance(message, str)
    assert message.startswith(f"alarm {ALARM} in {FAR} of 222222222222 was raised; taken back: ")
    assert all(str(cell) in message for cell in SECOND)
    runs = one.world.runs()
    assert [runs[cell] for cell in SECOND] == [one.old.id] * 2
    assert runs[FIRST] == one.new.id, "the wave before was watched to its end"


def test_a_stack_that_was_new_stays_and_that_is_said() -> None:
    target = watched(WAVES, on_failure=OnFailure.ROLLBACK)
    one = Pipeline(replace(target, waves=((HOME,), (US, FAR))))
    one.world.stacks[SECOND[0]] = StackState("REVIEW_IN_PROGRESS")
    one.call("review")
    one.succeeded()
    one.world.bad = (SECOND[0], one.new.id)
    one.execute(*SECOND)
    message = str(one.bake(wave=2))
    assert f"not {SECOND[0]}: is new, and is left: nothing is deleted" in message
    assert one.world.runs()[SECOND[1]] == one.old.id


@pytest.mark.parametrize("tagged", [True, False])
def test_a_review_after_the_wave_was_deployed_does_not_forget_what_ran_before(
    *, tagged: bool
) -> None:
    """A job that CodePipeline hands in late, and twice; also of change sets that do not say which
    release they bring."""
    one = pipeline(OnFailure.ROLLBACK)
    place = f"shop/reviews/Prod/{EXECUTION}/"
    written = one.world.records.below(HOME, place)["before.json"]
    assert json.loads(written)[0][1] == one.old.id
    one.execute(FIRST)
    assert one.world.runs()[FIRST] == one.new.id
    if not tagged:
        for each in one.world.sets.values():
            each.state = replace(each.state, tags=None)
    one.call("review")
    one.succeeded()
    assert one.world.records.below(HOME, place)["before.json"] == written


def test_what_another_execution_has_deployed_since_is_what_ran_before() -> None:
    """A stage that is tried again, after others went by."""
    one = pipeline(OnFailure.ROLLBACK)
    other = one.world.stacks[FIRST]
    one.world.stacks[FIRST] = replace(other, tags={"foothold:release": "f" * 16})
    one.call("review")
    one.succeeded()
    body = one.world.records.below(HOME, f"shop/reviews/Prod/{EXECUTION}/")["before.json"]
    assert [was for _, was in json.loads(body)] == ["f" * 16, one.old.id, one.old.id]


def test_without_a_note_of_what_ran_before_nothing_is_taken_back() -> None:
    one = pipeline(OnFailure.ROLLBACK)
    del one.world.records.objects[store(HOME).bucket, f"shop/reviews/Prod/{EXECUTION}/before.json"]
    one.world.bad = (FIRST, one.new.id)
    one.execute(FIRST)
    message = one.bake()
    assert isinstance(message, str)
    assert message.endswith("it is not known what its stacks ran before, so they stay as is")
    assert one.world.runs()[FIRST] == one.new.id


def test_a_test_runs_once_and_the_wave_ends_when_it_has_passed() -> None:
    one = pipeline(minutes=0, trials=(Trial("smoke", "smoke-project"),))
    one.world.trials["smoke"] = TrialRun("build:1")
    one.call("bake")
    first = one.succeeded()
    one.call("bake", first.continuation)
    assert one.succeeded().summary.startswith("tests run: Prod/smoke")
    one.world.trials["smoke"] = TrialRun("build:1", passed=True)
    one.call("bake", first.continuation)
    assert one.succeeded().continuation == ""
    assert len(one.world.given) == 1


def test_a_test_that_fails_stops_the_wave() -> None:
    one = pipeline(minutes=0, trials=(Trial("smoke", "smoke-project"),))
    one.world.trials["smoke"] = TrialRun("build:1", passed=False, line="build 1 is FAILED")
    message = one.bake()
    assert isinstance(message, str)
    assert "build 1 is FAILED; wave 1 stays as it is" in message


def test_a_call_that_aws_does_not_answer_is_followed_by_another_look() -> None:
    one = pipeline()

    def throttled(name: str, _: Cell | None) -> None:
        if name == "raised":
            raise TemporaryError("cannot look at the alarms: ThrottlingException")

    one.world.happens = throttled
    one.call("bake")
    result = one.succeeded()
    assert "ThrottlingException" in result.summary
    one.world.happens = lambda *_: None
    one.call("bake", result.continuation)
    assert one.succeeded().continuation == result.continuation


def test_a_job_that_is_handed_in_twice_is_one_watch() -> None:
    one = pipeline()
    job = "99999999-abcd-1111-abcd-111111abcdef"
    one.call("bake", job=job)
    first = one.succeeded()
    one.world.sleep(300)
    one.call("bake", job=job)
    again = one.succeeded()
    assert again.continuation == first.continuation
    assert again.percent == 50


def test_a_stage_that_is_retried_is_watched_anew_and_the_call_before_has_no_say() -> None:
    one = pipeline()
    one.call("bake")
    before = one.succeeded()
    one.world.sleep(300)
    one.call("bake")
    assert one.succeeded().percent == 0
    one.call("bake", before.continuation)
    assert "another call of this action took its place" in one.failed()


@pytest.mark.parametrize("wave", [0, 3])
def test_a_wave_that_there_is_not_is_refused(wave: int) -> None:
    one = pipeline()
    one.call("bake", wave=wave)
    kind, _, reason, message = one.told.answers.pop()
    assert kind == "failed"
    assert (reason, message) == (
        ("JobFailed", "Prod has 2 waves, and no 3") if wave else ("ConfigurationError", message)
    )


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'["run", "watch", ""]'])
def test_a_record_that_foothold_did_not_write_is_refused(body: bytes) -> None:
    one = pipeline()
    key = f"shop/rollouts/Prod/{EXECUTION}/wave-1.json"
    one.world.records.objects[store(HOME).bucket, key] = body
    one.call("bake")
    assert "none that Foothold" in one.failed()


def test_what_a_stack_runs_is_not_known_where_its_account_does_not_let_us_in() -> None:
    target = watched(WAVES, on_failure=OnFailure.ROLLBACK)
    one = Pipeline(target)

    def closed(name: str, _: Cell | None) -> None:
        if name == "state":
            raise PermanentError("no role")

    place = store(HOME).bucket, f"shop/reviews/Prod/{EXECUTION}/before.json"
    del one.world.records.objects[place]
    one.world.happens = closed
    one.call("review")
    one.succeeded()
    body = one.world.records.below(HOME, f"shop/reviews/Prod/{EXECUTION}/")["before.json"]
    assert [was for _, was in json.loads(body)] == [""] * 3
