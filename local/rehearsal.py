"""Rehearse a pipeline on the embedded AWS: `python -m local.rehearsal FILE --source DIR`.

Everything that the embedded AWS has is real: the roles of the rendered template and of
pipelines/target-account.yaml are deployed and assumed, artifacts lie in the regional stores under
their keys, the deployed package function answers a job, change sets are created and executed in
the target accounts and regions. CodePipeline and CodeBuild are played. What a rehearsal does not
imitate is listed in docs/pipeline.md.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.measure import Measurement
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from foothold.aws.clients import Clients
from foothold.aws.regional import RegionalClient
from foothold.cli.pipeline import parameter_values, read_template
from foothold.errors import FootholdError, PermanentError
from foothold.pipelines.macro import expand_template
from foothold.stores.gateways.account import AccountRegions, PipelineRegions
from foothold.stores.gateways.events import RegionRequests
from foothold.stores.gateways.published import RegionalBuckets
from foothold.stores.gateways.ssm import SsmParameters
from foothold.stores.operator.regions import RegionDesk
from foothold.stores.trust import AT_ONCE, Trust
from local.embedded import (
    HOME_REGION,
    ORGANIZATION,
    ROOT,
    RUNTIME,
    TOOLS,
    Embedded,
    EmbeddedError,
)
from local.rehearsal_actions import (
    ActionFailedError,
    Changes,
    Execution,
    Player,
    wait_for,
    why_failed,
)

Json = dict[str, Any]

# What of an expansion the embedded AWS can deploy: all but CodePipeline's own and notifications.
DEPLOYABLE = {
    "AWS::CodeBuild::Project",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::Logs::LogGroup",
}
TARGET_STACK = "foothold-target"
AT_A_TIME = 8
UNBOUND = 100_000  # columns
WAITING, RUNNING, DONE, FAILED, SKIPPED = "waiting", "running", "done", "failed", "not run"


def main() -> int:
    parser = argparse.ArgumentParser(prog="local.rehearsal", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--source", type=Path, required=True, help="the project's folder")
    parser.add_argument("--approve", action="store_true", help="say yes to every approval")
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--root", default="/foothold", help="the stack parameter ParameterRoot")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    try:
        if not arguments.source.is_dir():
            raise PermanentError(f"--source {arguments.source}: there is no such folder")
        embedded, source, approve = Embedded(), arguments.source, arguments.approve
        here = pythons_of_here(arguments.file, arguments.parameter)
        parameters = [*arguments.parameter, *here]
        template = rendered(embedded, arguments.file, parameters, arguments.root)
        for each in here:
            console.print(f"{each}, which is the python of this machine; the default is not here")
        passed = [
            rehearse(embedded, template, name, source, console, approve=approve)
            for name in pipelines_in(template)
        ]
    except (FootholdError, EmbeddedError, ActionFailedError, BotoCoreError, ClientError) as error:
        for line in str(error).splitlines():
            console.print(f"[bold red]foothold:[/] {escape(line)}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("[bold red]foothold:[/] interrupted; what was deployed stays deployed")
        return 1
    return 0 if all(passed) else 1


def pythons_of_here(file: Path, parameters: list[str]) -> list[str]:
    """NAME=VALUE for each parameter that is not given, and whose default is a python that does not
    run on this machine: builds are played here, with its programs."""
    given = {each.partition("=")[0] for each in parameters}
    declared = read_template(file).get("Parameters") or {}
    return [
        f"{name}={RUNTIME}"
        for name, parameter in declared.items()
        if name not in given and is_missing_python(str(parameter.get("Default", "")))
    ]


def is_missing_python(runtime: str) -> bool:
    if not re.fullmatch(r"python3\.\d+", runtime):
        return False
    places = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    found = shutil.which(runtime, path=os.pathsep.join(places))
    # A version manager's stand-in for what it has not installed is found, and fails.
    return not found or bool(
        subprocess.run([found, "--version"], capture_output=True, check=False).returncode
    )


def rendered(
    embedded: Embedded, file: Path, parameters: list[str], root: str = "/foothold"
) -> Json:
    """The template that a file stands for on this embedded AWS, with its ready stores."""
    clients = Clients(embedded.session())
    desk = RegionDesk(
        HOME_REGION,
        root,
        SsmParameters(clients),
        AccountRegions(clients),
        RegionRequests(clients, HOME_REGION),
        trust=Trust(
            HOME_REGION,
            f"{root}/artifact-stores",
            RegionalBuckets(RegionalClient(clients.session, HOME_REGION, AT_ONCE)),
            clients.account,
        ),
    )
    fragment = read_template(file)
    values = parameter_values(fragment, parameters)
    published = desk.ready()
    return expand_template(
        fragment,
        published.stores,
        HOME_REGION,
        values,
        root,
        refused=published.refused,
        has_codepipeline=PipelineRegions(),
    )


def pipelines_in(template: Json) -> list[str]:
    """The logical ids of a template's pipelines."""
    return [
        logical_id
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CodePipeline::Pipeline"
    ]


def resources_of(template: Json, logical_id: str) -> dict[str, Json]:
    """What one pipeline was expanded to: the resources named after it that it hangs together with.
    Another pipeline, or a resource of the template's own, may have a name that begins like it."""
    named = {
        name: resource
        for name, resource in template["Resources"].items()
        if name.startswith(logical_id)
    }
    links = {name: set(references(resource)) & set(named) for name, resource in named.items()}
    found, left = {logical_id}, [logical_id]
    while left:
        name = left.pop()
        near = links[name] | {other for other, names in links.items() if name in names}
        left += near - found
        found |= near
    return {name: resource for name, resource in named.items() if name in found}


def references(value: Any) -> Iterator[str]:
    """The logical ids that a template's value refers to."""
    if isinstance(value, dict):
        for name, given in value.items():
            if name == "Ref":
                yield str(given)
            elif name == "Fn::GetAtt":
                yield given.partition(".")[0] if isinstance(given, str) else str(given[0])
            else:
                yield from references(given)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def rehearse(
    embedded: Embedded,
    template: Json,
    logical_id: str,
    source: Path,
    console: Console,
    *,
    approve: bool,
) -> bool:
    """Run one pipeline of a rendered template; return whether every action succeeded.

    `source` is the folder that stands for the repository; without `approve` the person at the
    console is asked.
    """
    resources = resources_of(template, logical_id)
    name = resources[logical_id]["Properties"]["Name"]
    console.print(f"[bold]Rehearsing {name}[/] on the embedded AWS: CodePipeline is played here.")
    deploy_roles(embedded, name, resources)
    definition = resolved(embedded, resources, resources[logical_id]["Properties"])
    project = resolved(embedded, resources, resources[f"{logical_id}BuildProject"]["Properties"])
    for account in accounts_of(definition):
        deploy_target_account(embedded, account, definition["RoleArn"])

    work = embedded.folder / "rehearsal" / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    board = Board(definition, console)

    def ask(action: Json, changes: Mapping[tuple[str, str], Changes]) -> bool:
        return approve or board.ask(action, changes)

    run = Execution(definition, HOME_REGION, source, work, ask)
    player = Player(embedded, run, project)
    with board.live():
        passed = all(play_stage(player, board, stage) for stage in board.stages)
    board.print_summary()
    return passed


def play_stage(player: Player, board: "Board", stage: "StageState") -> bool:
    """Play a stage's actions, those of one run order at the same time; stop after a failure."""
    for _, group in groupby(stage.actions, key=lambda state: state.action["RunOrder"]):
        together = list(group)
        with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
            list(pool.map(lambda state: play_action(player, board, state), together))
        if any(state.result == FAILED for state in together):
            return False
    return True


def play_action(player: Player, board: "Board", state: "ActionState") -> None:
    began = time.monotonic()
    state.result = RUNNING
    board.refresh()
    try:
        state.note = player.play(state.action)
        state.result = DONE
    except ActionFailedError as error:
        state.note = " ".join(str(error).split())
        state.command = error.command
        state.result = FAILED
    state.seconds = time.monotonic() - began
    board.refresh()


# What the rehearsal deploys before it starts


def deploy_roles(embedded: Embedded, name: str, resources: Mapping[str, Json]) -> None:
    """Deploy what the expansion holds besides the pipeline itself, its roles above all."""
    deployable = {
        logical_id: resource
        for logical_id, resource in resources.items()
        if resource["Type"] in DEPLOYABLE
    }
    deploy_stack(embedded, TOOLS, f"rehearsal-{name}", {"Resources": deployable}, {})


def deploy_target_account(embedded: Embedded, account: str, pipeline_role_arn: str) -> None:
    """Deploy pipelines/target-account.yaml as the account's operator would, once an account;
    another pipeline's role is let in beside those that are let in already."""
    cloudformation = embedded.session(account, HOME_REGION).client("cloudformation")
    known = existing_parameters(cloudformation, TARGET_STACK).get("PipelineRoleArns", "")
    roles = dict.fromkeys(filter(None, [*known.split(","), pipeline_role_arn]))
    template = (ROOT / "pipelines" / "target-account.yaml").read_text(encoding="utf-8")
    parameters = {
        "ToolsAccountId": TOOLS,
        "OrganizationId": ORGANIZATION,
        "PipelineRoleArns": ",".join(roles),
    }
    deploy_stack(embedded, account, TARGET_STACK, template, parameters)


def existing_parameters(cloudformation: Any, stack: str) -> dict[str, str]:
    try:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return {}
        raise
    return {item["ParameterKey"]: item["ParameterValue"] for item in found.get("Parameters", ())}


def deploy_stack(
    embedded: Embedded,
    account: str,
    name: str,
    template: Json | str,
    parameters: Mapping[str, str],
) -> None:
    """Create or update a stack of this account, as its root, and wait for it. Raises
    PermanentError where it fails."""
    cloudformation = embedded.session(account, HOME_REGION).client("cloudformation")
    body = template if isinstance(template, str) else json.dumps(template)
    more: Json = {
        "StackName": name,
        "TemplateBody": body,
        "Capabilities": ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    }
    try:
        cloudformation.create_stack(**more)
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**more)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
    status = wait_for(
        lambda: cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"],
        lambda status: not status.endswith("_IN_PROGRESS"),
    )
    if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        raise PermanentError(
            f"stack {name} of account {account} is {status}: {why_failed(cloudformation, name)}"
        )


def accounts_of(definition: Json) -> list[str]:
    """The accounts that a resolved pipeline deploys to."""
    roles = [
        action["RoleArn"]
        for stage in definition["Stages"]
        for action in stage["Actions"]
        if "RoleArn" in action
    ]
    return list(dict.fromkeys(role.split(":")[4] for role in roles))


def resolved(embedded: Embedded, resources: Mapping[str, Json], value: Any) -> Any:
    """A property as CloudFormation would hand it to CodePipeline: the few functions that an
    expansion uses, and references to Parameter Store, are resolved."""
    if isinstance(value, dict) and len(value) == 1:
        [(name, given)] = value.items()
        if name in {"Ref", "Fn::GetAtt", "Fn::Sub"}:
            return resolved(embedded, resources, function_value(resources, name, given))
    if isinstance(value, dict):
        return {name: resolved(embedded, resources, item) for name, item in value.items()}
    if isinstance(value, list):
        return [resolved(embedded, resources, item) for item in value]
    if isinstance(value, str):
        return re.sub(
            r"\{\{resolve:ssm:([^}:]+)\}\}",
            lambda found: read_parameter(embedded, found.group(1)),
            value,
        )
    return value


def function_value(resources: Mapping[str, Json], name: str, given: Any) -> str:
    pseudo = {"AWS::AccountId": TOOLS, "AWS::Region": HOME_REGION, "AWS::Partition": "aws"}
    if name == "Fn::Sub":
        text = str(given)
        for parameter, known in pseudo.items():
            text = text.replace(f"${{{parameter}}}", known)
        return text
    if name == "Fn::GetAtt":  # of a role
        role = resources[given[0]]["Properties"]["RoleName"]
        return f"arn:aws:iam::{TOOLS}:role/{role}"
    if given in pseudo:
        return pseudo[given]
    properties = resources[given]["Properties"]
    return str(properties.get("Name", properties.get("LogGroupName")))


def read_parameter(embedded: Embedded, name: str) -> str:
    ssm = embedded.session(TOOLS, HOME_REGION).client("ssm")
    try:
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound as error:
        raise PermanentError(
            f"there is no parameter {name}: deploy the control plane with `make local`"
        ) from error


# What the person at the console sees


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

    name: str
    actions: list[ActionState] = field(default_factory=list)


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
                stage["Name"],
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
        if state.result in {SKIPPED, FAILED}:  # a failure's reason stands below, whole
            text.append(f"  {state.result}", style="red" if state.result == FAILED else "dim")
        elif state.note:
            text.append(f"  {state.note}", style="dim")
        if state.result == RUNNING:
            return Spinner("dots", text=text)
        mark, style = {
            WAITING: ("·", "dim"),
            DONE: ("✓", "green"),
            FAILED: ("✗", "bold red"),
            SKIPPED: ("-", "dim"),
        }[state.result]
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
        commands = dict.fromkeys(state.command for _, state in failures if state.command)
        for command in commands:
            self._console.print(f"next: {command}", soft_wrap=True, markup=False)

    def _matrix(self) -> Table:
        """A row for each region of the targets, and one for what belongs to no target."""
        table = Table(title=f"Rehearsal of {self._name}", title_justify="left", header_style="bold")
        table.add_column("Region", no_wrap=True)
        places = dict.fromkeys(
            state.where[1]
            for stage in self.stages
            for state in stage.actions
            if "Region" in state.action
        )
        for stage in self.stages:
            accounts = {s.where[0] for s in stage.actions if "Region" in s.action}
            table.add_column("\n".join((stage.name, *sorted(accounts))), no_wrap=True)
        of_none = [
            [state for state in stage.actions if "Region" not in state.action]
            for stage in self.stages
        ]
        table.add_row("the pipeline", *(_cell(states) for states in of_none))
        for region in places:
            table.add_row(
                region,
                *(
                    _cell([s for s in stage.actions if s.action.get("Region") == region])
                    for stage in self.stages
                ),
            )
        return table

    def _list(self) -> Table:
        table = Table(title=f"Rehearsal of {self._name}", title_justify="left", header_style="bold")
        for column in ("Stage", "Region", "Result"):
            table.add_column(column, no_wrap=True)
        for stage, region, states in self._rows():
            table.add_row(stage, region, _cell(states))
        return table

    def _rows(self) -> Iterator[tuple[str, str, list[ActionState]]]:
        for stage in self.stages:
            for region in dict.fromkeys(state.action.get("Region") for state in stage.actions):
                states = [s for s in stage.actions if s.action.get("Region") == region]
                account = f" of {states[0].where[0]}" if region else ""
                yield stage.name, f"{region or 'the pipeline'}{account}", states

    def _fits(self, table: Table) -> bool:
        unbound = self._console.options.update(max_width=UNBOUND)
        width = Measurement.get(self._console, unbound, table).maximum
        return width <= self._console.width

    def ask(self, action: Json, changes: Mapping[tuple[str, str], Changes]) -> bool:
        """Show the stage's change sets and ask. Raises ActionFailedError with nobody to ask."""
        if not sys.stdin.isatty():
            raise ActionFailedError("nobody is there to ask; give --approve to say yes")
        stage = next(
            stage for stage in self.stages if any(state.action is action for state in stage.actions)
        )
        places = dict.fromkeys(state.where for state in stage.actions if "Region" in state.action)
        with self._asking:
            if self._live:
                self._live.stop()
            for place in places:
                account, region = place
                self._console.print(f"[bold]{region} of {account}[/]: {changes[place]}")
                for line in changes[place].lines:
                    self._console.print(f"  {line}", markup=False)
            answer = self._console.input(f"Approve {stage.name}? [y/N] ", markup=False)
            if self._live:
                self._live.start()
        return answer.strip().lower() in {"y", "yes"}


MARKS = {FAILED: ("✗", "bold red"), SKIPPED: ("-", "dim"), DONE: ("✓", "green")}


def _cell(states: Sequence[ActionState]) -> Text:
    """What came of some actions: the worst of them, and the seconds of all."""
    for result, (mark, style) in MARKS.items():
        if any(state.result == result for state in states):
            seconds = sum(state.seconds for state in states)
            return Text(mark if result == SKIPPED else f"{mark} {seconds:.1f} s", style=style)
    return Text("")


if __name__ == "__main__":
    sys.exit(main())
