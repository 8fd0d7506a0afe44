"""One pipeline of a template, rehearsed: its roles are deployed, its actions played in order."""

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from rich.console import Console

from foothold.caller import Caller
from foothold.errors import PermanentError
from foothold.pipelines.file import parameter_values, read_template
from foothold.pipelines.macro import expand_template
from foothold.pipelines.resources import in_parts
from foothold.releases.gateways.stacks import described
from foothold.releases.model import ReleaseTarget, ReleaseTargets
from foothold.stores.gateways.account import PipelineRegions
from local.aws.embedded import HOME_REGION, ORGANIZATION, ROOT, TOOLS, Embedded
from local.rehearsal.actions import Player
from local.rehearsal.board import DONE, FAILED, PASSED_BY, RUNNING, ActionState, Board, StageState
from local.rehearsal.execution import ActionFailedError, Changes, Execution, Json, Place
from local.rehearsal.stacks import deploy_stack
from local.rehearsal.template import Given, resolve

# What of an expansion the embedded AWS can deploy: all but CodePipeline's own and notifications.
DEPLOYABLE = {
    "AWS::CodeBuild::Project",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::Logs::LogGroup",
    "AWS::SSM::Parameter",
}
TARGET_STACK = "foothold-target"
AT_A_TIME = 8


def rendered(
    embedded: Embedded, file: Path, parameters: list[str], root: str = "/foothold"
) -> Json:
    """The template that a file stands for on this embedded AWS, with its ready stores."""
    caller = Caller(root, embedded.session)
    fragment = read_template(file)
    values = parameter_values(fragment, parameters)
    published = caller.stores.ready()
    expanded = expand_template(
        fragment,
        published.stores,
        HOME_REGION,
        values,
        root,
        refused=published.refused,
        has_codepipeline=PipelineRegions(caller.clients),
    )
    return without_waiting(expanded)


def without_waiting(template: Json) -> Json:
    """The template with no minutes in what its pipelines publish, so that nobody sits and waits:
    alarms are looked at once, and tests run."""
    text = json.dumps(template)
    values: dict[str, str] = {}
    for logical_id in pipelines_in(template):
        stages = template["Resources"][logical_id]["Properties"]["Stages"]
        (digest,) = {
            json.loads(action["Configuration"]["UserParameters"])["targets"]
            for stage in stages
            for action in stage["Actions"]
            if "UserParameters" in action["Configuration"]
        }
        names = [
            name for name in template["Resources"] if re.fullmatch(f"{logical_id}Targets\\d+", name)
        ]
        parts = (template["Resources"][name]["Properties"]["Value"] for name in names)
        declared = ReleaseTargets.parse("".join(parts), digest)
        hurried = replace(declared, targets=tuple(map(_without_waiting, declared.targets)))
        text = text.replace(declared.digest, hurried.digest)
        values |= dict(zip_longest(names, in_parts(hurried.text), fillvalue=""))
    found: Json = json.loads(text)
    for name, value in values.items():
        if value:
            found["Resources"][name]["Properties"]["Value"] = value
        else:
            del found["Resources"][name]
    return found


def _without_waiting(target: ReleaseTarget) -> ReleaseTarget:
    return replace(target, bake=replace(target.bake, minutes=0)) if target.bake else target


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
            elif name == "DependsOn":
                yield from [given] if isinstance(given, str) else given
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
    definition = resolved(embedded, resources, resources[logical_id]["Properties"])
    deploy_roles(embedded, name, resources)
    project = resolved(embedded, resources, resources[f"{logical_id}BuildProject"]["Properties"])
    for account in accounts_of(definition):
        deploy_target_account(embedded, account, definition["RoleArn"])

    work = embedded.folder / "rehearsal" / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    board = Board(definition, console)

    def ask(action: Json, changes: Mapping[Place, Changes], told: Mapping[str, str]) -> bool:
        return approve or board.ask(action, changes, told)

    run = Execution(definition, HOME_REGION, source, work, ask)
    player = Player(embedded, run, project)
    with board.live():
        passed = all(play_stage(player, board, stage) for stage in board.stages)
    board.print_summary()
    return passed


def play_stage(player: Player, board: Board, stage: StageState) -> bool:
    """Play a stage's actions, those of one run order at the same time; stop after a failure."""
    try:
        enters = player.enters(stage.declared)
    except ActionFailedError as error:
        stage.actions[0].result, stage.actions[0].note = FAILED, str(error)
        return False
    if not enters:
        for state in stage.actions:
            state.result = PASSED_BY
        return True
    for _, group in groupby(stage.actions, key=lambda state: state.action["RunOrder"]):
        together = list(group)
        with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
            list(pool.map(lambda state: play_action(player, board, state), together))
        if any(state.result == FAILED for state in together):
            return False
    return True


def play_action(player: Player, board: Board, state: ActionState) -> None:
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
    deployed = described(cloudformation, TARGET_STACK).get("Parameters", ())
    known = {each["ParameterKey"]: each["ParameterValue"] for each in deployed}
    let_in = known.get("PipelineRoleArns", "").split(",")
    roles = dict.fromkeys(filter(None, [*let_in, pipeline_role_arn]))
    template = (ROOT / "pipelines" / "target-account.yaml").read_text(encoding="utf-8")
    parameters = {
        "ToolsAccountId": TOOLS,
        "OrganizationId": ORGANIZATION,
        "PipelineRoleArns": ",".join(roles),
    }
    deploy_stack(embedded, account, TARGET_STACK, template, parameters)


def accounts_of(definition: Json) -> list[str]:
    """The accounts that a resolved pipeline deploys to."""
    actions = [action for stage in definition["Stages"] for action in stage["Actions"]]
    roles = [action["RoleArn"] for action in actions if "RoleArn" in action]
    return list(dict.fromkeys(role.split(":")[4] for role in roles))


def resolved(embedded: Embedded, resources: Mapping[str, Json], value: Any) -> Any:
    """A property as CloudFormation would hand it to CodePipeline: the functions that an expansion
    uses, and references to Parameter Store, are resolved."""
    properties = {name: resource.get("Properties", {}) for name, resource in resources.items()}
    pseudo = {"AWS::AccountId": TOOLS, "AWS::Region": HOME_REGION, "AWS::Partition": "aws"}
    named = {
        name: str(each.get("Name", each.get("LogGroupName")))
        for name, each in properties.items()
        if "Name" in each or "LogGroupName" in each
    }
    roles = {
        f"{name}.Arn": f"arn:aws:iam::{TOOLS}:role/{each['RoleName']}"
        for name, each in properties.items()
        if "RoleName" in each
    }
    text = json.dumps(resolve(value, Given({**pseudo, **named}, roles)))
    return json.loads(
        re.sub(
            r"\{\{resolve:ssm:([^}:]+)\}\}",
            lambda found: json.dumps(read_parameter(embedded, found[1]))[1:-1],
            text,
        )
    )


def read_parameter(embedded: Embedded, name: str) -> str:
    ssm = embedded.session(TOOLS, HOME_REGION).client("ssm")
    try:
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound as error:
        raise PermanentError(
            f"there is no parameter {name}: deploy the control plane with `make local`"
        ) from error
