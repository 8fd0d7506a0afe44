"""What the person at the console sees of a rehearsal."""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.measure import Measurement
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from foothold.refused import explain_command
from local.aws.embedded import HOME_REGION, TOOLS
from local.rehearsal.execution import ActionFailedError, Changes, Json, Place

UNBOUND = 100_000  # columns
WAITING, RUNNING, DONE, FAILED, SKIPPED = "waiting", "running", "done", "failed", "not run"
PASSED_BY = "not asked for"  # a condition of the stage's own says so
# The worst first.
MARKS = {
    FAILED: ("✗", "bold red"),
    SKIPPED: ("-", "dim"),
    PASSED_BY: ("-", "dim"),
    DONE: ("✓", "green"),
    WAITING: ("·", "dim"),
}


@dataclass
class ActionState:
    """How one action stands."""

    action: Json
    result: str = WAITING
    note: str = ""
    command: str = ""
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return str(self.action["Name"].removesuffix(f"-{self.where[1]}"))

    @property
    def where(self) -> tuple[str, str]:
        """Account and region; the pipeline's own for an action that names neither."""
        account = self.action["RoleArn"].split(":")[4] if "RoleArn" in self.action else TOOLS
        return account, self.action.get("Region", HOME_REGION)


@dataclass
class StageState:
    """One stage and its actions, in the order in which they run."""

    declared: Json
    actions: list[ActionState]

    @property
    def name(self) -> str:
        return str(self.declared["Name"])

    @property
    def creates(self) -> list[ActionState]:
        """Its actions that make change sets."""
        mode = "CHANGE_SET_REPLACE"
        return [
            state
            for state in self.actions
            if state.action["Configuration"].get("ActionMode") == mode
        ]

    def in_region(self, region: str | None) -> list[ActionState]:
        """The actions of this region; without one, those of no target."""
        return [state for state in self.actions if state.action.get("Region") == region]


class Board:
    """A live tree of stages, actions and regions; at its end, what came of each region in each
    stage, and every failure in full."""

    def __init__(self, definition: Json, console: Console) -> None:
        self._name = definition["Name"]
        self._console = console
        self._live: Live | None = None
        self._asking = threading.Lock()
        self.stages = [
            StageState(
                stage,
                [
                    ActionState(action)
                    for action in sorted(stage["Actions"], key=lambda action: action["RunOrder"])
                ],
            )
            for stage in definition["Stages"]
        ]

    @contextmanager
    def live(self) -> Iterator[None]:
        with Live(console=self._console, refresh_per_second=8, transient=True) as live:
            self._live = live
            self.refresh()
            yield
            self._live = None
        for state in (state for stage in self.stages for state in stage.actions):
            if state.result == WAITING:
                state.result = SKIPPED
        self._console.print(self.tree())

    def refresh(self) -> None:
        if self._live:
            self._live.update(self.tree())

    def tree(self) -> Tree:
        tree = Tree(f"[bold]{escape(self._name)}[/]", guide_style="dim")
        for stage in self.stages:
            results = {state.result for state in stage.actions}
            branch = tree.add(Text(stage.name, style="bold" if results != {WAITING} else "dim"))
            for state in stage.actions:
                branch.add(self._line(state))
        return tree

    def _line(self, state: ActionState) -> Text | Spinner:
        account, region = state.where
        text = Text(f"{state.name} ")
        text.append(region if account == TOOLS else f"{region} of {account}", style="cyan")
        if state.result in {SKIPPED, PASSED_BY, FAILED}:  # a failure's reason stands below, whole
            text.append(f"  {state.result}", style="red" if state.result == FAILED else "dim")
        elif state.note:
            text.append(f"  {state.note}", style="dim")
        if state.result == RUNNING:
            return Spinner("dots", text=text)
        mark, style = MARKS[state.result]
        return Text.assemble((f"{mark} ", style), text)

    def print_summary(self) -> None:
        """Regions by stages where that fits, else a line for each; then the failures, whole."""
        self._console.print()
        for table in (self._matrix(), self._list()):
            if self._fits(table):
                self._console.print(table)
                break
        else:
            for name, region, states in self._rows():
                self._console.print(
                    Text.assemble(_cell(states), f" {name} {region}"), soft_wrap=True
                )
        failures = [
            (stage, state)
            for stage in self.stages
            for state in stage.actions
            if state.result == FAILED
        ]
        for stage, state in failures:
            account, region = state.where
            line = f"{stage.name}: {state.name} in {region} of {account} failed: {state.note}"
            self._console.print(f"[bold red]✗[/] {escape(line)}", soft_wrap=True)
            if explain := explain_command(state.note, region):
                self._console.print(f"  `{explain}` tells why", soft_wrap=True, markup=False)
        commands = dict.fromkeys(state.command for _, state in failures if state.command)
        for command in commands:
            self._console.print(f"next: {command}", soft_wrap=True, markup=False)

    def _table(self, *columns: str) -> Table:
        table = Table(title=f"Rehearsal of {self._name}", title_justify="left", header_style="bold")
        for column in columns:
            table.add_column(column, no_wrap=True)
        return table

    def _matrix(self) -> Table:
        """A row for each region of the targets, and one for what belongs to no target."""
        of_targets = [
            [state for state in stage.actions if "Region" in state.action] for stage in self.stages
        ]
        accounts = [sorted({state.where[0] for state in states}) for states in of_targets]
        table = self._table(
            "Region",
            *(
                "\n".join((stage.name, *of))
                for stage, of in zip(self.stages, accounts, strict=True)
            ),
        )
        for region in dict.fromkeys([None, *(s.where[1] for states in of_targets for s in states)]):
            cells = (_cell(stage.in_region(region)) for stage in self.stages)
            table.add_row(region or "the pipeline", *cells)
        return table

    def _list(self) -> Table:
        table = self._table("Stage", "Region", "Result")
        for stage, region, states in self._rows():
            table.add_row(stage, region, _cell(states))
        return table

    def _rows(self) -> Iterator[tuple[str, str, list[ActionState]]]:
        for stage in self.stages:
            for region in dict.fromkeys(state.action.get("Region") for state in stage.actions):
                states = stage.in_region(region)
                account = f" of {states[0].where[0]}" if region else ""
                yield stage.name, f"{region or 'the pipeline'}{account}", states

    def _fits(self, table: Table) -> bool:
        unbound = self._console.options.update(max_width=UNBOUND)
        width = Measurement.get(self._console, unbound, table).maximum
        return width <= self._console.width

    def ask(self, action: Json, changes: Mapping[Place, Changes], told: Mapping[str, str]) -> bool:
        """Show the change sets that were made last, what the action tells whoever approves, and
        ask. Raises ActionFailedError with nobody to ask."""
        if not sys.stdin.isatty():
            raise ActionFailedError("nobody is there to ask; give --approve to say yes")
        stages = [stage.declared for stage in self.stages]
        before = next(
            number
            for number, stage in enumerate(stages)
            if any(action is one for one in stage["Actions"])
        )
        made = next(stage for stage in reversed(self.stages[: before + 1]) if stage.creates)
        with self._asking:
            if self._live:
                self._live.stop()
            for state in made.creates:
                account, region = state.where
                found = changes[account, region, state.action["Configuration"]["StackName"]]
                self._console.print(f"[bold]{region} of {account}[/]: {found}")
                for line in found.lines:
                    self._console.print(f"  {line}", markup=False)
            for name in ("CustomData", "ExternalEntityLink"):
                self._console.print(told[name], markup=False, soft_wrap=True)
            answer = self._console.input(f"Approve {made.name}? [y/N] ", markup=False)
            if self._live:
                self._live.start()
        return answer.strip().lower() in {"y", "yes"}


def _cell(states: Sequence[ActionState]) -> Text:
    """What came of some actions: the worst of them, and the seconds of all."""
    for result, (mark, style) in MARKS.items():
        if any(state.result == result for state in states):
            seconds = sum(state.seconds for state in states)
            return Text(
                mark if result in {SKIPPED, PASSED_BY} else f"{mark} {seconds:.1f} s", style=style
            )
    return Text("")
