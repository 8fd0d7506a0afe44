"""The door that CodePipeline comes in by: the actions between a stage's change sets and the next
stage. Each is one call for one job, and may be called twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from foothold.releases.model import (
    RELEASE_TAG,
    ReleaseTarget,
    ReleaseTargets,
    change_set_name,
)
from foothold.releases.page import html
from foothold.releases.ports import ChangeSetReader, Records
from foothold.releases.review import Review, differences, fold
from foothold.releases.shown import markdown
from foothold.stores.published import Published, Stores
from foothold.stores.register import ArtifactStore, Names

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


@dataclass(frozen=True, slots=True)
class Reviews:
    """What the review function does. `parameters` reads those below a path at home."""

    names: Names
    parameters: Callable[[str], Mapping[str, str]]
    stores: Stores
    records: Records
    change_sets: ChangeSetReader

    def review(self, asked: ReviewAction) -> JobResult:
        """Read all change sets, and leave the review where the guard and people find it.

        The newest reading is kept: whoever meets another call at work reads again. Raises
        PermanentError and TemporaryError; a change set that cannot be read is no error, the review
        says so.
        """
        published, targets, together = self._asked(asked)
        home = self._home(published, targets)
        files = _Files(self.records, home, asked)
        for _ in range(WRITES):
            there = files.read()
            sets = self._read(asked, together)
            review = fold(
                asked.project,
                asked.target,
                asked.execution,
                sets,
                _release_of(sets),
                {each.region: (each.bucket, each.key_arn) for each in published.stores.values()},
            )
            if files.written(review, there):
                return JobResult(review.summary, self._variables(review, together, files))
        raise TemporaryError("other calls write this review all the time: retry the stage")

    def guard(self, asked: ReviewAction) -> JobResult:
        """Compare the change sets with those that were reviewed in this execution. Raises
        PermanentError where anything is otherwise, or where nothing was reviewed."""
        published, targets, together = self._asked(asked)
        files = _Files(self.records, self._home(published, targets), asked)
        reviewed = files.review()
        found = differences(reviewed, self._read(asked, together))
        if found:
            raise PermanentError(
                f"nothing was executed, because this is not what was reviewed: {'; '.join(found)}; "
                "start the pipeline again, which makes new change sets and reviews them"
            )
        return JobResult(f"as it was reviewed: {reviewed.summary}")

    def _asked(
        self, asked: ReviewAction
    ) -> tuple[Published, ReleaseTargets, Sequence[ReleaseTarget]]:
        return self.stores.ready(), *published_targets(self.names, self.parameters, asked)

    @staticmethod
    def _home(published: Published, targets: ReleaseTargets) -> ArtifactStore:
        region = targets.home_region
        if region not in published.stores:
            raise PermanentError(
                published.refused.get(region, f"{region} has no artifact store to keep reviews in")
            )
        return published.stores[region]

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


def published_targets(
    names: Names, parameters: Callable[[str], Mapping[str, str]], asked: _Action
) -> tuple[ReleaseTargets, Sequence[ReleaseTarget]]:
    """What the pipeline was deployed with, and of it the targets that run together. Raises
    PermanentError where another deployment has published something else since."""
    path = names.pipeline(asked.project)
    targets = ReleaseTargets.published(parameters(path), path, asked.targets)
    first = targets.named(asked.target)
    return targets, (first, *(each for each in targets.targets if each.joins == first.name))


def _release_of(sets: Sequence[ChangeSet]) -> str:
    """The release that the change sets deploy; empty where they do not say the same."""
    found = {one.tags.get(RELEASE_TAG, "") for one in sets if one.tags}
    return found.pop() if len(found) == 1 else ""


class _Files:
    """The files of one execution's review, in the home region's store."""

    def __init__(self, records: Records, home: ArtifactStore, asked: _Action) -> None:
        self._records = records
        self.home = home
        self.prefix = f"{asked.project}/reviews/{asked.target}/{asked.execution}/"

    def read(self) -> Mapping[str, tuple[bytes, str] | None]:
        return {name: self._records.read(self.home, self.prefix + name) for name in RENDERED}

    def written(self, review: Review, there: Mapping[str, tuple[bytes, str] | None]) -> bool:
        """Whether the review stands there now, in the place of what was there when its reading
        began; not where something else was written since."""
        for name, render in RENDERED.items():
            key, body, before = self.prefix + name, render(review), there[name]
            if before is None:
                if not self._records.create(self.home, key, body):
                    return False
            elif before[0] != body and not self._records.replace(self.home, key, body, before[1]):
                return False
        return True

    def review(self) -> Review:
        key = f"{self.prefix}review.json"
        found = self._records.read(self.home, key)
        if found is None:
            raise PermanentError(
                f"there is no review of this execution ({key} in {self.home.bucket}), so nothing "
                "was approved: start the pipeline again"
            )
        return Review.parse(found[0], f"{key} in {self.home.bucket}")


# The guard's own is the first, so that nobody's page says more than was reviewed.
RENDERED: Mapping[str, Callable[[Review], bytes]] = {
    "review.json": Review.render,
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
