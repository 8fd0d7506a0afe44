"""A release on its way through a target: change sets, review, guard, waves, bake, rollback.

Every step looks first at what is there, so a rollout that was killed at any call goes on when it
is asked for again. One at a time works on a target: its record is the lock, too.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from foothold.errors import BusyError, FootholdError, PermanentError, TemporaryError
from foothold.releases.changes import ChangeSet, SetState
from foothold.releases.holds import all_held
from foothold.releases.keeping import Releases, own_names, stores_of
from foothold.releases.model import (
    MANIFEST,
    Cell,
    OnFailure,
    Release,
    ReleaseTarget,
    Trial,
    change_set_name,
    configuration_name,
    review_prefix,
)
from foothold.releases.ports import (
    Alarms,
    ChangeSetReader,
    Records,
    SetStanding,
    StackState,
    TargetStacks,
    TrialRun,
    Trials,
)
from foothold.releases.review import (
    REVIEW,
    Review,
    differences,
    fold,
)
from foothold.releases.rollout_plan import (
    Before,
    CellOutcome,
    CellState,
    Ended,
    Next,
    Past,
    Rollout,
    RolloutOutcome,
    Watch,
    Watched,
    Watching,
    alarms_of,
    baked_until,
    cell_state,
    first_wave,
    is_at_work,
    next_step,
    previous_release,
    ran,
    ran_before,
    runs,
    together,
    unusable,
    waves_of,
)
from foothold.stores.published import Published, Stores
from foothold.stores.register import ArtifactStore

LEASE_SECONDS = 300
RENEW_SECONDS = 60
LOOK_SECONDS = 5
BAKE_LOOK_SECONDS = 60
CLAIMS = 4  # looks at a record that others may be writing at the same moment

Approve = Callable[[Review], bool]
Say = Callable[[str], None]
# Of a release and some of its regions, a line for each region in which some of it is gone.
Gone = Callable[[Release, Collection[str]], Iterable[str]]
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def rollout_key(project: str, target: str) -> str:
    """The record of a target's rollouts, in the home store."""
    return f"{project}/rollouts/{target}/rollout.json"


def review_key(project: str, target: str, execution: str) -> str:
    """The review that an approval is bound to, in the home store."""
    return f"{review_prefix(project, target, execution)}{REVIEW}"


class _Record:
    """A rollout's record while this process holds it."""

    def __init__(self, records: Records, store: ArtifactStore, clock: Callable[[], float]) -> None:
        self._records = records
        self.store = store
        self._clock = clock
        self._etag = ""
        self.now: Rollout

    def claim(self, wanted: Rollout) -> None:
        """Hold the record for `wanted`, or for what goes on in its place. Raises BusyError while
        another rollout lives."""
        key = rollout_key(wanted.project, wanted.target)
        for _ in range(CLAIMS):
            found = self._records.read(self.store, key)
            if found is None:
                self._written(lambda: self._records.create(self.store, key, wanted.render()))
                continue
            there, etag = Rollout.parse(found[0], f"{key} in {self.store.bucket}"), found[1]
            if there.holder == wanted.holder:
                self.now, self._etag = there, etag
                return
            if there.lives(self._clock()):
                raise _busy(there)
            body = continued(there, wanted).render()
            self._written(partial(self._records.replace, self.store, key, body, etag))
        raise BusyError(f"others write {key} in {self.store.bucket} at this moment; ask again")

    @staticmethod
    def _written(write: Callable[[], bool]) -> bool:
        """Whether it may have been written: a lost reply is looked for."""
        try:
            return write()
        except TemporaryError:
            return False

    def write(self, **changes: Any) -> None:
        """Change the record, and hold it for longer. Raises BusyError where somebody else holds
        it by now."""
        wanted = replace(self.now, expires=self._clock() + LEASE_SECONDS, **changes)
        self._put(wanted)

    def _put(self, wanted: Rollout) -> None:
        key, body = rollout_key(wanted.project, wanted.target), wanted.render()
        for _ in range(CLAIMS):
            written = self._written(
                lambda: self._records.replace(self.store, key, body, self._etag)
            )
            found = self._records.read(self.store, key)
            if found is None:
                raise PermanentError(f"{key} in {self.store.bucket} is gone: somebody deleted it")
            there = Rollout.parse(found[0], f"{key} in {self.store.bucket}")
            if there.holder != wanted.holder:
                raise _busy(there)
            self._etag = found[1]
            if written or found[0] == body:
                self.now = wanted
                return
        raise BusyError(f"{key} in {self.store.bucket} could not be written; ask again")

    def renew(self) -> None:
        if self.now.expires - self._clock() < LEASE_SECONDS - RENEW_SECONDS:
            self.write()

    def end(self, state: Ended, trouble: str = "") -> None:
        self.write(ended=state, trouble=trouble or self.now.trouble)

    def let_go(self) -> None:
        """Whoever comes next need not wait."""
        self._put(replace(self.now, expires=self._clock()))


def continued(there: Rollout, wanted: Rollout) -> Rollout:
    """What goes on where a rollout is asked for and an earlier one's record is there: that one,
    where it is the same and has not ended. Pure."""
    same = (there.release, there.back) == (wanted.release, wanted.back)
    if there.ended is None and same:
        return replace(there, holder=wanted.holder, owner=wanted.owner, expires=wanted.expires)
    return replace(wanted, past=there.last)


def _busy(there: Rollout) -> BusyError:
    until = datetime.fromtimestamp(there.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return BusyError(
        f"{there.owner} rolls release {there.release} of {there.project} out to {there.target} "
        f"(run {there.run}), until {until} at least: wait for it"
    )


@dataclass
class _AtWork:
    """One rollout at work: what does not change, and the record."""

    release: Release
    targets: tuple[ReleaseTarget, ...]
    waves: tuple[tuple[Cell, ...], ...]
    left: Mapping[Cell, str]
    record: _Record
    ids: dict[Cell, str] = field(default_factory=dict)
    lines: dict[Cell, str] = field(default_factory=dict)

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(cell for wave in self.waves for cell in wave)

    @property
    def wave(self) -> tuple[Cell, ...]:
        return self.waves[self.record.now.wave - 1]


@dataclass(frozen=True, slots=True)
class _TrialAt:
    """A trial, where it runs, and the cell whose outputs it is given."""

    trial: Trial
    region: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class TakingBack:
    """How far a wave has been taken back: `back` are the cells that run what they ran before,
    `could_not` says of each other one why it does not. `is_done` where nothing is under way."""

    is_done: bool
    back: tuple[Cell, ...]
    could_not: Mapping[Cell, str]


class Rollouts:
    """Releases on their way, over ports.

    `owner` says who it is, `new_id` makes ids, `url_of` gives the URL of an object that a deploy
    role reads, `clock` tells seconds since 1970, `say` takes lines on how it goes, `gone` knows
    what of a release was cleaned away. `threads` is how many cells are looked at at a time.
    """

    def __init__(
        self,
        *,
        releases: Releases,
        records: Records,
        stores: Stores,
        reader: ChangeSetReader,
        stacks: TargetStacks,
        alarms: Alarms,
        trials: Trials,
        home_region: str,
        url_of: Callable[[ArtifactStore, str], str],
        owner: Callable[[], str],
        new_id: Callable[[], str],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        say: Say = lambda _: None,
        gone: Gone = lambda *_: (),
        threads: int = 32,
    ) -> None:
        self._gone = gone
        self._releases = releases
        self._records = records
        self._stores = stores
        self._reader = reader
        self._stacks = stacks
        self._alarms = alarms
        self._trials = trials
        self._home_region = home_region
        self._url_of = url_of
        self._owner = owner
        self._new_id = new_id
        self._clock = clock
        self._sleep = sleep
        self._say = say
        self._threads = threads

    # The two doors of the command line

    def deploy(
        self, release: Release, target: str, *, run: str, approve: Approve
    ) -> RolloutOutcome:
        """Bring a release to a target and to those that share its waves, or go on with it.

        `run` is this rollout's own id where none goes on; `approve` is asked where the target
        says so. Raises BusyError while another rollout is at work, PermanentError where it
        cannot begin, TemporaryError where it can go on later.
        """
        targets = together(release, target)
        ready = self._stores.ready()
        for region in {cell.region: None for one in targets for cell in one.cells}:
            if line := _unserved(release, region, ready.stores, ready.refused):
                raise PermanentError(f"release {release.id} cannot go to {target}: {line}")
        home = self._home(ready)
        left = self._held(home, release.project, targets)
        return self._roll_out(
            home, release, targets, left=left, run=run, approve=approve, back=False
        )

    def rollback(
        self, project: str, target: str, *, run: str, approve: Approve, to: str = ""
    ) -> RolloutOutcome:
        """Bring back the release that a target had before its last rollout, or `to`. What that
        release does not serve, or has no artifact store any more, is left alone and named. No
        alarm is watched.

        Raises what `deploy` raises, and PermanentError where no earlier release is known.
        """
        ready = self._stores.ready()
        home = self._home(ready)
        there = self._record_in(home, project, target)
        last = there.last if there else None
        release = self._releases.read(project, to or _goes_back_to(there, last, project, target))
        targets = together(release, target)
        left = self._held(home, project, targets)
        for cell in (cell for one in targets for cell in one.cells):
            if line := _unserved(release, cell.region, ready.stores, ready.refused):
                left[cell] = line
        served = {cell for one in targets for cell in one.cells}
        for cell, _ in last.before if last else ():
            if cell not in served:
                left[cell] = f"release {release.id} does not serve it"
        if served <= left.keys():
            raise PermanentError(f"nothing of {target} can go back: {_reasons(left)}")
        return self._roll_out(
            home, release, targets, left=left, run=run, approve=approve, back=True
        )

    def _held(
        self, home: ArtifactStore, project: str, targets: Sequence[ReleaseTarget]
    ) -> dict[Cell, str]:
        """The cells that are passed by because their targets are held, and why. Raises
        PermanentError where that is all of them."""
        names = [target.name for target in targets]
        lines = {one.target: one.line for one in all_held(self._records, home, project, names)}
        if len(lines) == len(targets):
            raise PermanentError("; ".join(lines.values()))
        for line in lines.values():
            self._say(f"passed by: {line}")
        return {cell: lines[one.name] for one in targets if one.name in lines for cell in one.cells}

    def record(self, project: str, target: str) -> Rollout | None:
        """The record of a target's last rollout, ended or not."""
        return self._record_in(self._home(self._stores.ready()), project, target)

    def _record_in(self, home: ArtifactStore, project: str, target: str) -> Rollout | None:
        key = rollout_key(project, target)
        found = self._records.read(home, key)
        return Rollout.parse(found[0], key) if found else None

    def _home(self, ready: Published) -> ArtifactStore:
        home = self._home_region
        nothing = (
            f"{home} has no artifact store, where rollouts are recorded: run `foothold regions add "
            f"{home}`"
        )
        return ready.usable(home, nothing)

    def _roll_out(
        self,
        home: ArtifactStore,
        release: Release,
        targets: tuple[ReleaseTarget, ...],
        *,
        left: Mapping[Cell, str],
        run: str,
        approve: Approve,
        back: bool,
    ) -> RolloutOutcome:
        now = self._clock()
        record = _Record(self._records, home, self._clock)
        record.claim(
            Rollout(
                release.project,
                targets[0].name,
                release.id,
                run,
                self._new_id(),
                self._owner(),
                now,
                now + LEASE_SECONDS,
                back,
            )
        )
        waves = tuple(
            tuple(cell for cell in wave if cell not in left) for wave in waves_of(targets)
        )
        work = _AtWork(release, targets, waves, left, record)
        if record.now.run != run:
            self._say(f"going on with run {record.now.run}, which {_day(record.now.began)} began")
        try:
            return self._steps(work, approve)
        except (FootholdError, KeyboardInterrupt) as error:
            with suppress(FootholdError):  # else whoever comes next waits until it expires
                if isinstance(error, PermanentError) and not record.now.wave:
                    record.end(Ended.REFUSED, str(error))
                elif not isinstance(error, BusyError):
                    record.let_go()
            raise

    def _steps(self, work: _AtWork, approve: Approve) -> RolloutOutcome:
        record = work.record
        if not record.now.wave:
            if ended := self._prepare(work, approve):
                return ended
        else:
            self._bind(work, self._kept_review(record))
        while not record.now.trouble:
            if trouble := self._wave(work):
                record.write(trouble=trouble)
            elif record.now.wave == len(work.waves):
                return self._ended(work, Ended.DONE, f"release {work.release.id} runs everywhere")
            else:
                self._begin(work, record.now.wave + 1)
        return self._after_trouble(work)

    # Before the first wave

    def _prepare(self, work: _AtWork, approve: Approve) -> RolloutOutcome | None:
        """Make, review, approve and guard the change sets, and begin the first wave; an outcome
        where it ends here."""
        record = work.record
        states = dict(zip(work.cells, self._each(self._stacks.state, work.cells), strict=True))
        need = [cell for cell, state in states.items() if not runs(state, work.release.id)]
        observed = {cell: ran(state) for cell, state in states.items()}
        before = ran_before(observed, work.release.id, record.now.last)
        if not need:
            record.write(before=tuple(before.items()))
            line = f"release {work.release.id} runs everywhere already"
            return self._ended(work, Ended.DONE, line)
        if record.now.digest:
            review = self._kept_review(record)
        else:
            _refuse(unusable(cell, states[cell]) for cell in need)
            _refuse(
                f"release {work.release.id} is not whole any more: {line}; package it again"
                for line in self._gone(work.release, {cell.region for cell in need})
            )
            if not record.now.back:
                there = [cell for cell in work.cells if observed[cell] is not None]
                self._look_at_alarms(work.targets, there)
            record.write(before=tuple(before.items()))
            review = self._reviewed(work, need)
            if not self._approved(work, review, approve):
                return self._ended(work, Ended.REFUSED, "it was not approved")
        self._guard(record.now, review)
        self._bind(work, review)
        self._begin(work, first_wave(work.waves, set(work.cells) - set(need)))
        return None

    def _look_at_alarms(self, targets: Iterable[ReleaseTarget], cells: Sequence[Cell]) -> None:
        """Every alarm has to be there, and none raised. A stack that is new may bring its own."""

        def look(one: tuple[str, str, tuple[str, ...]]) -> str:
            try:
                line = self._alarms.raised(*one, since=self._clock())
            except PermanentError as error:
                return str(error)
            return f"{line}: see to it first" if line else ""

        _refuse(self._each(look, alarms_of(targets, cells)))

    def _reviewed(self, work: _AtWork, cells: Sequence[Cell]) -> Review:
        """The review of the change sets of these cells, which are made where they are missing."""
        record = work.record
        run = record.now.run
        self._say(f"making {len(cells)} change set{'' if len(cells) == 1 else 's'}")
        made = self._each(lambda cell: self._change_set(work.release, cell, run), cells)
        waiting = dict(zip(cells, made, strict=True))
        while waiting := {
            cell: id_
            for (cell, id_), standing in zip(
                waiting.items(),
                self._each(lambda one: self._stacks.standing(*one), list(waiting.items())),
                strict=True,
            )
            if standing is SetStanding.MAKING
        }:
            record.renew()
            self._sleep(LOOK_SECONDS)
        sets = self._read(cells, change_set_name(work.release.project, run))
        _refuse(self._each(self._why_unfit, sets))
        names = own_names(stores_of(work.release), self._releases.file(work.release, MANIFEST))
        return fold(work.release.project, work.targets[0].name, run, sets, work.release.id, names)

    def _change_set(self, release: Release, cell: Cell, run: str) -> str:
        """Ask for the change set that brings a release to a cell."""
        target = next(one for one in release.targets if cell in one.cells)
        store = stores_of(release)[cell.region]
        template = f"{release.prefix}template-export-{cell.region}.yml"
        key = f"{release.prefix}{configuration_name(target.name, cell.region)}"
        found = self._records.read(store, key)
        gone = template if not self._records.has(store, template) else "" if found else key
        if found is None or gone:
            raise PermanentError(
                f"release {release.id} of {release.project} is not whole any more: {gone} in "
                f"{store.bucket} is gone; package it again"
            )
        return self._stacks.create_change_set(
            cell,
            change_set_name(release.project, run),
            template_url=self._url_of(store, template),
            configuration=json.loads(found[0]),
            capabilities=target.capabilities,
        )

    def _read(self, cells: Sequence[Cell], name: str) -> list[ChangeSet]:
        return list(self._reader.read_all(cells, name))

    def _why_unfit(self, one: ChangeSet) -> str:
        """Why a change set cannot be approved; empty where it can."""
        if one.state in {SetState.READY, SetState.EMPTY}:
            return ""
        more = ""
        if one.state is SetState.FAILED and one.id:
            more = self._stacks.why_failed(one.cell, one.id)
        return f"{one.cell}: its change set is {one.state}: {more or one.reason}"

    def _approved(self, work: _AtWork, review: Review, approve: Approve) -> bool:
        """Whether it may be done; what is kept of it is what was shown."""
        record = work.record
        whens = [target.approval for target in work.targets if target.approval is not None]
        asked = any(review.ask(when) for when in whens)
        self._say(review.summary)
        if asked and not approve(review):
            return False
        key = review_key(review.project, review.target, review.execution)
        store, body = record.store, review.render()
        found = self._records.read(store, key)
        if found is None:
            self._records.create(store, key, body)
        elif found[0] != body:
            self._records.replace(store, key, body, found[1])
        by = record.now.owner if asked else "nobody, as the target says"
        record.write(digest=review.digest, approved_by=by)
        return True

    def _kept_review(self, record: _Record) -> Review:
        """What was approved, in this run."""
        now = record.now
        key = review_key(now.project, now.target, now.run)
        found = self._records.read(record.store, key)
        if found is None:
            raise PermanentError(f"{key}, what was approved, is gone: deploy the release anew")
        review = Review.parse(found[0], key)
        if review.digest != now.digest:
            raise PermanentError(f"{key} is not what was approved: deploy the release anew")
        return review

    def _guard(self, now: Rollout, review: Review) -> None:
        """Raise PermanentError unless the change sets are those that were reviewed."""
        cells = [one.cell for one in review.reviewed]
        found = differences(review, self._read(cells, change_set_name(now.project, now.run)))
        if found:
            raise PermanentError(
                f"nothing was executed, for it is not what was reviewed: {'; '.join(found)}"
            )

    @staticmethod
    def _bind(work: _AtWork, review: Review) -> None:
        """From now on only these change sets are executed, each by its own id."""
        work.ids = {one.cell: one.change_set for one in review.reviewed}

    # Wave by wave

    def _begin(self, work: _AtWork, number: int) -> None:
        work.record.write(wave=number, since=self._clock(), baking=0.0, runs=())

    def _wave(self, work: _AtWork) -> str:
        """Deploy the wave at work and watch it; the trouble, if there is any. A way back is not
        watched: an alarm is mostly why somebody goes it."""
        if not work.wave:
            return ""
        return self._executed(work) or ("" if work.record.now.back else self._baked(work))

    def _executed(self, work: _AtWork) -> str:
        """Bring the release to all cells of the wave; what failed, if anything did."""
        number = f"wave {work.record.now.wave} of {len(work.waves)}"
        waiting = list(work.wave)
        while True:
            work.record.renew()
            steps = self._each(lambda cell: self._one_step(work, cell), waiting)
            for cell, (step, line) in zip(waiting, steps, strict=True):
                if line:
                    work.lines[cell] = line
                if step is not Next.WAIT:
                    self._say(f"{number}: {cell} {line or 'runs it'}")
            still = [
                cell for cell, (step, _) in zip(waiting, steps, strict=True) if step is Next.WAIT
            ]
            if not still:
                return "; ".join(
                    f"{cell} {work.lines[cell]}" for cell in work.wave if cell in work.lines
                )
            waiting = still
            self._sleep(LOOK_SECONDS)

    def _one_step(self, work: _AtWork, cell: Cell) -> tuple[Next, str]:
        """Do what a cell needs now. A failure of one cell is that cell's."""
        id_ = work.ids.get(cell, "")
        try:
            state = self._stacks.state(cell)
            standing = None
            if id_ and not is_at_work(state) and not runs(state, work.release.id):
                standing = self._stacks.standing(cell, id_)
            match next_step(work.release.id, state, standing):
                case Next.EXECUTE:
                    self._stacks.execute(cell, id_)
                    return Next.WAIT, ""
                case Next.CHANGE_SET:
                    return Next.GIVE_UP, "runs something else than when it was reviewed"
                case Next.GIVE_UP:
                    return self._given_up(work.release.id, cell, standing)
                case step:
                    return step, ""
        except PermanentError as error:
            return Next.GIVE_UP, str(error)

    def _given_up(self, release: str, cell: Cell, standing: SetStanding | None) -> tuple[Next, str]:
        """The stack is looked at once more: its change set may have been executed to its end
        since it was looked at first."""
        state = self._stacks.state(cell)
        step = next_step(release, state, standing)
        return step, self._failure(cell, state, standing) if step is Next.GIVE_UP else ""

    def _failure(self, cell: Cell, state: StackState | None, standing: SetStanding | None) -> str:
        status = state.status if state else "gone"
        return f"failed ({status}, its change set is {standing}): {self._stacks.why_failed(cell)}"

    def _baked(self, work: _AtWork) -> str:
        """Watch the wave for as long as was declared; the trouble, if there is any."""
        record = work.record
        if not record.now.baking:
            record.write(baking=self._clock())
        while True:
            now = record.now
            watch = Watch(now.since, now.baking, dict(now.runs))
            seen = self.watch(work.targets, work.wave, watch, now.run)
            if seen.watch.runs != watch.runs:
                record.write(runs=tuple(seen.watch.runs.items()))
            match seen.state:
                case Watched.DONE:
                    return ""
                case Watched.RAISED:
                    return seen.line
                case Watched.GO_ON:
                    self._say(seen.line)
                    record.renew()
                    self._sleep(seen.wait)

    def watch(
        self, targets: Sequence[ReleaseTarget], cells: Sequence[Cell], watch: Watch, run: str
    ) -> Watching:
        """One look at a wave that was deployed: its alarms, until its time is over; then its
        trials. An alarm that was raised at any time since the wave began counts. `run` makes
        each trial start once.

        Raises TemporaryError: look again with the same watch.
        """
        now = self._clock()
        if line := self._alarm(targets, cells, watch.since):
            return Watching(Watched.RAISED, line, watch)
        until = baked_until(targets, watch.baking)
        if now < until:
            line = f"watching until {_day(until)}: no alarm"
            return Watching(Watched.GO_ON, line, watch, min(BAKE_LOOK_SECONDS, until - now))
        return self._tried(targets, cells, watch, run)

    def _alarm(self, targets: Sequence[ReleaseTarget], cells: Sequence[Cell], since: float) -> str:
        def look(one: tuple[str, str, tuple[str, ...]]) -> str | None:
            try:
                return self._alarms.raised(*one, since=since)
            except PermanentError as error:
                return str(error)

        found = self._each(look, alarms_of(targets, cells))
        return "; ".join(line for line in found if line)

    def _tried(
        self, targets: Sequence[ReleaseTarget], cells: Sequence[Cell], watch: Watch, run: str
    ) -> Watching:
        started = dict(watch.runs)
        failed: list[str] = []
        going: list[str] = []
        for name, at in self._trials_of(targets, cells).items():
            try:
                one = self._trial(at, started.get(name, ""), f"{run}-{name}")
            except PermanentError as error:
                one = TrialRun(started.get(name, ""), passed=False, line=str(error))
            if one.id:
                started[name] = one.id
            if one.passed is None:
                going.append(name)
            elif not one.passed:
                failed.append(f"test {name} failed: {one.line}")
        after = replace(watch, runs=started)
        if failed:
            return Watching(Watched.RAISED, "; ".join(failed), after)
        if going:
            line = f"tests run: {', '.join(going)}"
            return Watching(Watched.GO_ON, line, after, 2 * LOOK_SECONDS)
        return Watching(Watched.DONE, "watched for as long as was declared", after)

    def _trial(self, one: "_TrialAt", started: str, token: str) -> TrialRun:
        if started:
            return self._trials.look(one.trial, one.region, started)
        state = self._stacks.state(one.cell)
        outputs = dict(state.outputs or {}) if state else {}
        return self._trials.start(one.trial, one.region, outputs, token)

    def _trials_of(
        self, targets: Iterable[ReleaseTarget], cells: Iterable[Cell]
    ) -> "dict[str, _TrialAt]":
        """What is run after a wave, by name: once in the home region with the outputs of the
        target's first cell, or in each of its regions."""
        there = set(cells)
        found: dict[str, _TrialAt] = {}
        for target in targets:
            its = [cell for cell in target.cells if cell in there]
            for trial in target.trials:
                for cell in its if trial.each_region else its[:1]:
                    region = cell.region if trial.each_region else self._home_region
                    found[f"{target.name}/{trial.name}/{cell.region}"] = _TrialAt(
                        trial, region, cell
                    )
        return found

    # Back

    def _after_trouble(self, work: _AtWork) -> RolloutOutcome:
        """No later wave is touched; the wave at work goes back, where that was declared, unless
        it was on its way back already."""
        record = work.record
        trouble = f"wave {record.now.wave} of {len(work.waves)}: {record.now.trouble}"
        self._say(trouble)
        takes_back = any(one.on_failure is OnFailure.ROLLBACK for one in work.targets)
        if record.now.back or not takes_back:
            return self._ended(work, Ended.STOPPED, trouble)
        while True:
            record.renew()
            taken = self.take_back(work.release.project, work.wave, record.now.was, record.now.run)
            if taken.is_done:
                break
            self._sleep(LOOK_SECONDS)
        work.lines |= taken.could_not
        state = Ended.PARTLY_TAKEN_BACK if taken.could_not else Ended.TAKEN_BACK
        return self._ended(work, state, trouble, taken)

    def take_back(
        self, project: str, cells: Sequence[Cell], before: Before, run: str
    ) -> TakingBack:
        """Do what can be done now to bring these cells back to the releases that they ran
        before; ask again until it is done. Nothing is deleted: a stack that is new is left."""
        known: dict[str, Release | str] = {}
        for id_ in {before.get(cell) for cell in cells}:
            if id_:
                try:
                    known[id_] = self._releases.read(project, id_)
                except PermanentError as error:
                    known[id_] = str(error)

        def step(cell: Cell) -> tuple[Next, str]:
            was = before.get(cell)
            if not was:
                return Next.GIVE_UP, (
                    "is new, and is left: nothing is deleted"
                    if was is None
                    else "did not say which release it ran before"
                )
            release = known[was]
            if isinstance(release, str):
                return Next.GIVE_UP, release
            try:
                return self._step_back(release, cell, run)
            except PermanentError as error:
                return Next.GIVE_UP, str(error)

        steps = dict(zip(cells, self._each(step, cells), strict=True))
        return TakingBack(
            all(one is not Next.WAIT for one, _ in steps.values()),
            tuple(cell for cell, (one, _) in steps.items() if one is Next.NOTHING),
            {cell: line for cell, (one, line) in steps.items() if one is Next.GIVE_UP},
        )

    def _step_back(self, release: Release, cell: Cell, run: str) -> tuple[Next, str]:
        state = self._stacks.state(cell)
        if (step := next_step(release.id, state, None)) is not Next.CHANGE_SET:
            return step, ""
        if all(cell not in one.cells for one in release.targets):
            return Next.GIVE_UP, f"release {release.id} does not serve it"
        if line := unusable(cell, state):
            return Next.GIVE_UP, line
        id_ = self._change_set(release, cell, f"{run}-back")
        standing = self._stacks.standing(cell, id_)
        match next_step(release.id, state, standing):
            case Next.EXECUTE:
                self._stacks.execute(cell, id_)
                return Next.WAIT, ""
            case Next.GIVE_UP:
                return self._given_up(release.id, cell, standing)
            case step:
                return step, ""

    # The end

    def _ended(
        self, work: _AtWork, state: Ended, line: str, taken: TakingBack | None = None
    ) -> RolloutOutcome:
        """End the record, and tell of every cell what it runs now."""
        record = work.record
        after = dict(zip(work.cells, self._each(self._ran_now, work.cells), strict=True))
        record.end(state, "" if state is Ended.DONE else line)
        now, was = record.now, record.now.was
        touched = {cell for wave in work.waves[: now.wave] for cell in wave}
        cells = [
            CellOutcome(
                cell,
                was.get(cell),
                after[cell],
                _state_after(cell, taken)
                or cell_state(
                    was.get(cell),
                    after[cell],
                    now.release,
                    touched=cell in touched,
                    failed=cell in work.lines,
                ),
                work.lines.get(cell, ""),
            )
            for cell in work.cells
        ]
        cells += [
            CellOutcome(cell, was.get(cell), None, CellState.LEFT, why)
            for cell, why in work.left.items()
        ]
        return RolloutOutcome(
            now.project, now.target, now.release, now.run, state, line, tuple(cells)
        )

    def _ran_now(self, cell: Cell) -> str | None:
        try:
            return ran(self._stacks.state(cell))
        except PermanentError:
            return ""

    def _each(
        self, work: Callable[[Asked], Answer], items: Sequence[Asked] | Iterable[Asked]
    ) -> list[Answer]:
        every = list(items)
        if min(len(every), self._threads) <= 1:
            return [work(item) for item in every]
        with ThreadPoolExecutor(min(len(every), self._threads)) as pool:
            return list(pool.map(work, every))


def _state_after(cell: Cell, taken: TakingBack | None) -> CellState | None:
    if taken is None:
        return None
    if cell in taken.back:
        return CellState.TAKEN_BACK
    return CellState.NOT_TAKEN_BACK if cell in taken.could_not else None


def _goes_back_to(there: Rollout | None, last: Past | None, project: str, target: str) -> str:
    """The release that a rollback without a name means. One that was asked for twice is one."""
    if there and there.back and there.ended is None:
        return there.release
    if last and last.back:
        return last.release
    found = previous_release(dict(last.before), last.release) if last else None
    if found is None:
        raise PermanentError(
            f"there is no record of a release that {target} of {project} had before: name one "
            f"with --to; `foothold release list {project}` shows them"
        )
    return found


def _unserved(
    release: Release,
    region: str,
    ready: Mapping[str, ArtifactStore],
    refused: Mapping[str, str],
) -> str:
    """Why a release cannot be deployed in a region; empty where it can."""
    share = release.regions.get(region)
    if share is None:
        return f"release {release.id} was not packaged for {region}"
    if region in refused:
        return refused[region]
    if region not in ready:
        return f"{region} has no artifact store: run `foothold regions add {region}`"
    if ready[region].bucket != share.bucket:
        return f"the artifact store of {region} is another one by now, and has no such release"
    return ""


def _reasons(left: Mapping[Cell, str]) -> str:
    return "; ".join(f"{cell}: {why}" for cell, why in left.items())


def _refuse(lines: Iterable[str]) -> None:
    """Raise PermanentError with all that is wrong, if anything is."""
    found = [line for line in lines if line]
    if found:
        raise PermanentError(f"nothing was executed: {'; '.join(found)}")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
