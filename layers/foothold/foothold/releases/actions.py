"""The door that CodePipeline comes in by: the actions between a stage's change sets and the next
stage. Each is one call for one job, and may be called twice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field

from foothold.errors import PermanentError, TemporaryError
from foothold.jobs.answer import answer_job
from foothold.jobs.messages import InvalidRequestError, Job, Model, checked
from foothold.jobs.ports import JobResult, Jobs
from foothold.observability import FunctionAnswer, logger
from foothold.partitions import partition_of
from foothold.reading import CLOSED
from foothold.releases.changes import ChangeSet
from foothold.releases.holds import all_held
from foothold.releases.keeping import own_names
from foothold.releases.model import (
    MANIFEST,
    RELEASE_ID,
    RELEASE_TAG,
    Cell,
    OnFailure,
    ReleaseTarget,
    ReleaseTargets,
    change_set_name,
    releases_prefix,
    review_prefix,
    sharing_waves,
)
from foothold.releases.page import html
from foothold.releases.ports import ChangeSetReader, Records, StackState
from foothold.releases.review import (
    REVIEW,
    Review,
    differences,
    fold,
)
from foothold.releases.rollout import Rollouts
from foothold.releases.rollout_plan import (
    Before,
    Past,
    Watch,
    Watched,
    baked_until,
    ran,
    ran_before,
    waves_of,
)
from foothold.releases.shown import markdown
from foothold.stores.published import Published, Stores
from foothold.stores.register import ArtifactStore, Names

THREADS = 32  # stacks that are looked at at a time
WRITES = 3  # how often a review is begun anew because another call was at work
HELP = "Foothold writes them when it expands a pipeline: deploy the pipeline's stack again"

# What a project, a target and an execution are called: each is a part of an object's key.
Part = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class _Action(BaseModel):
    """UserParameters. `target` names the first of the targets that run together; `targets` is the
    digest of all that the pipeline was deployed with."""

    model_config = CLOSED

    project: Part
    target: Part
    execution: Part
    targets: str


class ReviewAction(_Action):
    do: Literal["review", "guard"]


class BakeAction(_Action):
    """`wave` is the one that was just deployed, from 1."""

    do: Literal["bake"]
    wave: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class Reviews:
    """What the review function does. `parameters` reads those below a path at home, `state_of`
    looks at a stack."""

    names: Names
    parameters: Callable[[str], Mapping[str, str]]
    stores: Stores
    records: Records
    change_sets: ChangeSetReader
    state_of: Callable[[Cell], StackState | None]

    def review(self, asked: ReviewAction) -> JobResult:
        """Read all change sets, and leave the review where the guard and people find it.

        The newest reading is kept: whoever meets another call at work reads again. Raises
        PermanentError and TemporaryError; a change set that cannot be read is no error, the review
        says so.
        """
        published, targets, together = self._asked(asked)
        files = _Files(self.records, home_of(published, targets), asked)
        for _ in range(WRITES):
            there = files.read()
            sets = self._read(asked, together)
            release = _release_of(sets)
            names = own_names(published.stores, self._manifest(files.home, asked.project, release))
            review = fold(asked.project, asked.target, asked.execution, sets, release, names)
            before = self._before(together, release, there[BEFORE])
            if files.written(review, before, there):
                self._refuse_held(files.home, asked, together)
                return JobResult(review.summary, self._variables(review, together, files))
        raise TemporaryError("other calls write this review all the time: retry the stage")

    def guard(self, asked: ReviewAction) -> JobResult:
        """Compare the change sets with those that were reviewed in this execution. Raises
        PermanentError where anything is otherwise, or where nothing was reviewed."""
        published, targets, together = self._asked(asked)
        files = _Files(self.records, home_of(published, targets), asked)
        self._refuse_held(files.home, asked, together)
        reviewed = files.review()
        found = differences(reviewed, self._read(asked, together))
        if found:
            raise PermanentError(
                f"nothing was executed, because this is not what was reviewed: {'; '.join(found)}; "
                "start the pipeline again, which makes new change sets and reviews them"
            )
        return JobResult(f"as it was reviewed: {reviewed.summary}")

    def _refuse_held(
        self, home: ArtifactStore, asked: ReviewAction, together: Sequence[ReleaseTarget]
    ) -> None:
        """A stage's change sets are executed together or not at all: one that is held holds all."""
        names = [target.name for target in together]
        if held := all_held(self.records, home, asked.project, names):
            lines = "; ".join(hold.line for hold in held)
            raise PermanentError(f"nothing was executed: {lines}; then retry the stage")

    def _asked(
        self, asked: ReviewAction
    ) -> tuple[Published, ReleaseTargets, Sequence[ReleaseTarget]]:
        return self.stores.ready(), *published_targets(self.names, self.parameters, asked)

    def _manifest(self, home: ArtifactStore, project: str, release: str) -> bytes | None:
        """The release's, which says what is the same in all regions; None where there is none, or
        S3 does not tell: then more is shown as different than is."""
        if not RELEASE_ID.fullmatch(release):
            return None
        try:
            found = self.records.read(home, f"{releases_prefix(project)}{release}/{MANIFEST}")
        except PermanentError:
            return None
        return found[0] if found else None

    def _before(
        self, together: Sequence[ReleaseTarget], release: str, there: tuple[bytes, str] | None
    ) -> Before:
        """What the stacks run now, where somebody may want to go back to it."""
        cells = [
            cell
            for target in together
            if target.on_failure is OnFailure.ROLLBACK
            for cell in target.cells
        ]
        if not cells:
            return {}

        def running(cell: Cell) -> str | None:
            try:
                return ran(self.state_of(cell))
            except PermanentError:
                return ""  # what it runs is not known

        with ThreadPoolExecutor(THREADS) as pool:
            observed = dict(zip(cells, pool.map(running, cells), strict=True))
        earlier = parse_before(there[0]) if there else {}
        if not release:
            return {**observed, **earlier}  # nobody knows what has come since
        return ran_before(observed, release, Past(release, back=False, before=(*earlier.items(),)))

    def _read(self, asked: ReviewAction, together: Sequence[ReleaseTarget]) -> list[ChangeSet]:
        name = change_set_name(asked.project, asked.execution)
        cells = [cell for target in together for cell in target.cells]
        return self.change_sets.read_all(cells, name)

    @staticmethod
    def _variables(
        review: Review, together: Sequence[ReleaseTarget], files: "_Files"
    ) -> Mapping[str, str]:
        asks = any(target.approval and review.ask(target.approval) for target in together)
        return {
            "summary": review.summary,
            "link": console_link(files.home, f"{files.prefix}review.html"),
            "ask": "yes" if asks else "no",
            "release": review.release or "unknown",
        }


def home_of(published: Published, targets: ReleaseTargets) -> ArtifactStore:
    """The store that reviews and rollouts are kept in. Raises PermanentError where there is none
    that may be used."""
    region = targets.home_region
    return published.usable(region, f"{region} has no artifact store to keep reviews in")


def published_targets(
    names: Names, parameters: Callable[[str], Mapping[str, str]], asked: _Action
) -> tuple[ReleaseTargets, Sequence[ReleaseTarget]]:
    """What the pipeline was deployed with, and of it the targets that run together. Raises
    PermanentError where another deployment has published something else since."""
    path = names.pipeline(asked.project)
    targets = ReleaseTargets.published(parameters(path), path, asked.targets)
    first = targets.named(asked.target)
    return targets, sharing_waves(first, targets.targets)


def _release_of(sets: Sequence[ChangeSet]) -> str:
    """The release that the change sets deploy; empty where they do not say the same."""
    found = {one.tags.get(RELEASE_TAG, "") for one in sets if one.tags}
    return found.pop() if len(found) == 1 else ""


class _Files:
    """The files of one execution's review, in the home region's store."""

    def __init__(self, records: Records, home: ArtifactStore, asked: _Action) -> None:
        self._records = records
        self.home = home
        self.prefix = review_prefix(asked.project, asked.target, asked.execution)

    def read(self) -> Mapping[str, tuple[bytes, str] | None]:
        names = (*RENDERED, BEFORE)
        return {name: self._records.read(self.home, self.prefix + name) for name in names}

    def written(
        self, review: Review, before: Before, there: Mapping[str, tuple[bytes, str] | None]
    ) -> bool:
        """Whether the review stands there now, in the place of what was there when its reading
        began; not where something else was written since."""
        bodies = {name: render(review) for name, render in RENDERED.items()}
        if before:
            bodies[BEFORE] = render_before(before)
        return all(
            replaced(self._records, self.home, self.prefix + name, body, there[name])
            for name, body in bodies.items()
        )

    def before(self) -> Before:
        found = self._records.read(self.home, self.prefix + BEFORE)
        if found is None:
            raise PermanentError("it is not known what its stacks ran before, so they stay as is")
        return parse_before(found[0])

    def review(self) -> Review:
        key = f"{self.prefix}review.json"
        found = self._records.read(self.home, key)
        if found is None:
            raise PermanentError(
                f"there is no review of this execution ({key} in {self.home.bucket}), so nothing "
                "was approved: start the pipeline again"
            )
        return Review.parse(found[0], f"{key} in {self.home.bucket}")


def replaced(
    records: Records, store: ArtifactStore, key: str, body: bytes, there: tuple[bytes, str] | None
) -> bool:
    """Whether the body stands there now, in the place of what was `there`."""
    if there is None:
        return records.create(store, key, body)
    return there[0] == body or records.replace(store, key, body, there[1])


# What the stacks ran before this execution.
BEFORE = "before.json"


def render_before(before: Before) -> bytes:
    return json.dumps([[asdict(cell), release] for cell, release in before.items()]).encode()


def parse_before(body: bytes) -> Before:
    """Raises PermanentError for what `render_before` does not give."""
    try:
        return {Cell(**cell): release for cell, release in json.loads(body)}
    except (TypeError, ValueError):
        raise PermanentError(
            f"{BEFORE} is none that Foothold wrote: start the pipeline again"
        ) from None


# The guard's own is the first, so that nobody's page says more than was reviewed.
RENDERED: Mapping[str, Callable[[Review], bytes]] = {
    REVIEW: Review.render,
    "review.md": lambda review: markdown(review).encode(),
    "review.html": lambda review: html(review).encode(),
}


def console_link(store: ArtifactStore, key: str) -> str:
    """Where a browser opens an object, for who may read it: S3's page of it in the console."""
    partition, place = partition_of(store.region), quote(key)
    if not partition.console:
        return f"https://s3.{store.region}.{partition.dns_suffix}/{store.bucket}/{place}"
    host = partition.console
    host = f"{store.region}.{host}" if partition.name == "aws" else host
    return f"https://{host}/s3/object/{store.bucket}?region={store.region}&prefix={place}"


# --- Watching a wave ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Baking:
    """How far watching a wave is, from one call of CodePipeline to the next. `run` is the first
    call's job; with a `trouble` the wave is being taken back."""

    run: str
    watch: Watch
    trouble: str = ""

    def render(self) -> bytes:
        return json.dumps([self.run, self.watch.render(), self.trouble]).encode()

    @classmethod
    def parse(cls, body: bytes) -> "Baking":
        """Raises PermanentError for what `render` does not give."""
        try:
            run, watch, trouble = json.loads(body)
            return cls(str(run), Watch.parse(watch), str(trouble))
        except (TypeError, ValueError):
            raise PermanentError("the record of this wave is none that Foothold wrote") from None


@dataclass(frozen=True, slots=True)
class Bakes:
    """What the rollout function does: one look at a call, and no waiting within it. A token of
    CodePipeline holds 2,048 characters, and the trials of many regions more than that: so the
    token is only the run's name, and its record stands in the home store."""

    names: Names
    parameters: Callable[[str], Mapping[str, str]]
    stores: Stores
    records: Records
    rollouts: Rollouts
    clock: Callable[[], float]

    def bake(self, asked: BakeAction, job: str, token: str | None) -> JobResult:
        """Look at the wave, whose alarms count from the first look on. Raises PermanentError for
        one that an alarm or a trial has stopped: once it is taken back, where that was declared."""
        published = self.stores.ready()
        targets, together = published_targets(self.names, self.parameters, asked)
        waves = waves_of(together)
        if asked.wave > len(waves):
            raise PermanentError(f"{asked.target} has {len(waves)} waves, and no {asked.wave}")
        home = home_of(published, targets)
        key = f"{asked.project}/rollouts/{asked.target}/{asked.execution}/wave-{asked.wave}.json"
        there, run = self.records.read(home, key), token or job
        now = Baking.parse(there[0]) if there else None
        if now is None or now.run != run:
            if token:
                raise PermanentError("another call of this action took its place: retry the stage")
            now = Baking(run, Watch(self.clock(), self.clock()))
        look = _Look(asked, together, waves[asked.wave - 1], self.rollouts, self.clock())
        try:
            after, line = look.at(now, _Files(self.records, home, asked).before)
        except TemporaryError as error:
            after, line = now, str(error)
        if after is None:
            return JobResult(line)
        # Whoever wrote meanwhile is another call of the same job: the next one goes on from there.
        replaced(self.records, home, key, after.render(), there)
        return JobResult(line, continuation=run, percent=look.percent(after))


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a wave."""

    asked: BakeAction
    together: Sequence[ReleaseTarget]
    cells: Sequence[Cell]
    rollouts: Rollouts
    time: float

    def at(self, now: Baking, before: Callable[[], Before]) -> tuple[Baking | None, str]:
        """How it goes on, None where it has ended well, and a line about it."""
        attempt = f"{self.asked.execution}-{now.run[:8]}"
        if not now.trouble:
            seen = self.rollouts.watch(self.together, self.cells, now.watch, attempt)
            if seen.state is Watched.DONE:
                return None, seen.line
            now = replace(now, watch=seen.watch)
            if seen.state is Watched.GO_ON:
                return now, seen.line
            if all(one.on_failure is OnFailure.STOP for one in self.together):
                raise PermanentError(
                    f"{seen.line}; wave {self.asked.wave} stays as it is, and no later one begins"
                )
            now = replace(now, trouble=seen.line)
        try:
            taken = self.rollouts.take_back(self.asked.project, self.cells, before(), attempt)
        except PermanentError as error:
            raise PermanentError(f"{now.trouble}; {error}") from error
        if not taken.is_done:
            return now, f"{now.trouble}: wave {self.asked.wave} is being taken back"
        back = ", ".join(map(str, taken.back)) or "nothing"
        left = "".join(f"; not {cell}: {why}" for cell, why in taken.could_not.items())
        raise PermanentError(f"{now.trouble}; taken back: {back}{left}")

    def percent(self, now: Baking) -> int:
        """How much of the time is over."""
        until = baked_until(self.together, now.watch.baking)
        whole = max(1.0, until - now.watch.baking)
        return min(99, int(100 * (self.time - now.watch.baking) / whole))


# --- The functions ------------------------------------------------------------------------------


def answer_review(
    event: object, reviews: Callable[[], Reviews], jobs: Jobs, seconds_left: float
) -> FunctionAnswer:
    """Review or guard what a job asks for, and answer it, whatever happens.

    Raises InvalidRequestError for what is no job, and what `answer_job` raises.
    """

    def work(job: Job) -> JobResult:
        action = _action(job, ReviewAction)
        return reviews().review(action) if action.do == "review" else reviews().guard(action)

    return _answered(event, jobs, work, seconds_left, "review")


def answer_rollout(
    event: object, bakes: Callable[[], Bakes], jobs: Jobs, seconds_left: float
) -> FunctionAnswer:
    """Look at the wave that a job is about, and answer it, whatever happens; the same otherwise as
    `answer_review`."""

    def work(job: Job) -> JobResult:
        action = _action(job, BakeAction)
        return bakes().bake(action, job.id, job.data().continuation_token)

    return _answered(event, jobs, work, seconds_left, "rollout")


def _action(job: Job, model: type[Model]) -> Model:
    return checked(model, job.data().user_parameters(HELP), f"UserParameters; {HELP}")


def _answered(
    event: object,
    jobs: Jobs,
    work: Callable[[Job], JobResult],
    seconds_left: float,
    function: str,
) -> FunctionAnswer:
    if not isinstance(event, Mapping):
        raise InvalidRequestError("the request is no JSON object")
    given = answer_job(
        Job.of(event.get("CodePipeline.job")),
        jobs,
        work,
        seconds_left,
        function=function,
        too_late=f"the {function} function's time was up before its work was: retry the stage",
    )
    (logger.error if given["failed"] else logger.info)("answered", result=dict(given))
    return FunctionAnswer(given)
