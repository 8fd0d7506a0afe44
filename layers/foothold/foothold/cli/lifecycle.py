"""`foothold plan`, and of `foothold regions` what changes a region for good: check, retire, adopt,
hand-over.

Each is a command to the control plane's own function, which does it with its own permissions,
one at a time: an operator needs no right but to invoke that function.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from foothold.caller import Caller
from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    complain,
    err,
    one_clear_line,
    out,
    print_json,
    region_names,
    tell,
)
from foothold.cli.ending import FAILED, INTERRUPTED, WRONG_USE
from foothold.errors import BusyError
from foothold.stores.ports import ControlPlaneFunction

Region = Annotated[
    str, typer.Argument(help="The region's name.", metavar="R", callback=region_names)
]
Regions = Annotated[
    list[str], typer.Argument(help="Region names.", metavar="R...", callback=region_names)
]
YesFlag = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
COLOURS = {"passed": "green", "waiting": "yellow", "refused": "red", "unknown": "dim"}
LOOK_EVERY_SECONDS = 15.0
# The longest that the function can be at work for somebody else, and a little.
BUSY_SECONDS = 330.0
ASK_AGAIN_SECONDS = 2.0
TOLD_EVERY_SECONDS = 30.0


def plan(
    regions: Annotated[
        list[str] | None,
        typer.Argument(help="Region names; none: all.", metavar="R...", callback=region_names),
    ] = None,
    root: RootOption = DEFAULT_ROOT,
    as_json: JsonFlag = False,  # noqa: FBT002  # a command line flag
) -> None:
    """Print what a reconcile would do in each region, and do nothing. Exit code 1 where a region
    could not be looked at, or is refused; changes are no failure."""
    found = ask(root, {"command": "plan", "regions": regions or []})["plan"]
    if as_json:
        print_json(found)
    else:
        _show_plan(found)
    if any("error" in answer for answer in found.values()):
        raise typer.Exit(FAILED)


def _show_plan(found: Mapping[str, Any]) -> None:
    for region, answer in found.items():
        if "error" in answer:
            line = f"[red]{region}[/]: {escape(answer['error'])}"
            tell(line)
        elif not answer["steps"]:
            out.print(f"[green]{region}[/]: nothing to do", highlight=False)
        for step in answer.get("steps", ()):
            colour = "yellow" if step["left_to_a_person"] else "cyan"
            line = f"{region}: [{colour}]{step['step']}[/]: {escape(step['reason'])}"
            tell(line)
            if step["command"]:
                tell(f"    {step['command']}", markup=False)


def check(
    regions: Regions,
    root: RootOption = DEFAULT_ROOT,
    wait: Annotated[float, typer.Option(help="Seconds to wait for what is being enabled.")] = 0.0,
    as_json: JsonFlag = False,  # noqa: FBT002  # a command line flag
) -> None:
    """Say whether regions can have a store. Exit code 1 where one cannot."""
    deadline = time.monotonic() + wait
    while True:
        checks = ask(root, {"command": "check", "regions": regions})["checks"]
        waiting = any(found["verdict"] == "waiting" for found in checks.values())
        if not waiting or time.monotonic() + LOOK_EVERY_SECONDS > deadline:
            break
        time.sleep(LOOK_EVERY_SECONDS)
    if as_json:
        print_json(checks)
    else:
        table = Table("Region", "Check", "Verdict", "Why", header_style="bold")
        for region, found in checks.items():
            for each in found["checks"]:
                verdict = f"[{COLOURS[each['verdict']]}]{each['verdict']}[/]"
                table.add_row(region, each["name"], verdict, escape(each["words"]))
        out.print(table)
    if any(found["verdict"] != "passed" for found in checks.values()):
        raise typer.Exit(FAILED)


def retire(
    region: Region,
    undo: Annotated[  # noqa: FBT002  # a command line flag
        bool, typer.Option("--undo", help="Bring the store back.")
    ] = False,
    yes: YesFlag = False,  # noqa: FBT002  # a command line flag
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Take a region's store away: nobody may want it or use it. Its key waits for 30 days."""
    if undo:
        store = ask(root, {"command": "undo", "region": region})
        out.print(f"{region}: {store['bucket']} is back", highlight=False)
        if any(step.startswith("create the bucket") for step in store["steps"]):
            out.print("It is empty: packages must be made again; the event says so.", style="dim")
        return
    if not yes:
        for line in _preview(ask(root, {"command": "preview-retirement", "region": region})):
            tell(line, markup=False)
        confirm(f"Retire {region}?")
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    try:
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task(f"{region}: withdrawing the store", total=None)
            while True:
                answer = ask(root, {"command": "retire", "region": region, "seconds": 10.0})
                if answer["phase"] == "retired":
                    break
                progress.update(task, description=f"{region}: {_versions(answer)}")
    except KeyboardInterrupt:
        complain(
            f"the retirement of {region}, once begun, goes on in the "
            f"control plane; `foothold regions retire {region} --undo` calls it off, `foothold "
            "status` shows it"
        )
        raise typer.Exit(INTERRUPTED) from None
    out.print(f"{region}: retired, {_versions(answer)}", highlight=False)
    out.print(f"`foothold regions retire {region} --undo` brings it back.", style="dim")


def _preview(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['region']}: this would be taken away"
    if found["bucket"]:
        some = f"{found['versions']:,}{' or more' if found['more'] else ''}"
        yield f"  bucket   {found['bucket']}, {some} version{'s' * (found['versions'] != 1)}"
    if found["key_arn"]:
        yield f"  key      {found['key_arn']}"
    readers = ", ".join(found["readers"])
    yield f"  readers  {readers or 'this account only'}"
    for step in found["steps"]:
        yield f"  {step}"


def confirm(question: str) -> None:
    """Ask before something is done that cannot all be undone. Exits with 2 where nobody can
    answer, and with 1 for a no."""
    if not sys.stdin.isatty():
        complain("nobody is there to ask: add --yes to do it without asking")
        raise typer.Exit(WRONG_USE)
    if not typer.confirm(question):
        out.print("Nothing was changed.", style="dim")
        raise typer.Exit(FAILED)


def hand_over(
    regions: Regions,
    to_stack: Annotated[str, typer.Option(help="The name of the stack that gets the stores.")],
    to_home: Annotated[str, typer.Option(help="The home region of that stack.")],
    yes: YesFlag = False,  # noqa: FBT002  # a command line flag
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Give stores to the control plane of another stack or home region; data and keys stay."""
    if not yes:
        tell(
            f"The control plane of stack {to_stack} with its home in {to_home} gets the stores of "
            f"{', '.join(regions)}. Nothing is published there until it adds those regions."
        )
        confirm("Hand them over?")
    for region in regions:
        asked = {"command": "hand-over", "region": region}
        ask(root, {**asked, "to_stack": to_stack, "to_home": to_home})
        out.print(f"{region}: handed over to {to_stack} in {to_home}", highlight=False)
    out.print(
        f"There, `foothold regions add {' '.join(regions)}` publishes them.",
        style="dim",
        soft_wrap=True,
    )


def adopt(
    region: Region,
    bucket: Annotated[str, typer.Option(help="The bucket, which stands in the region.")],
    key_arn: Annotated[str, typer.Option(help="The ARN of the key that it encrypts with.")],
    replace_policies: Annotated[  # noqa: FBT002  # a command line flag
        bool, typer.Option("--replace-policies", help="Even where they let others in.")
    ] = False,
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Bring an existing bucket and key in as a region's store."""
    store = ask(
        root,
        {
            "command": "adopt",
            "region": region,
            "bucket": bucket,
            "key_arn": key_arn,
            "replace_policies": replace_policies,
        },
    )
    out.print(f"{region}: {store['bucket']} is adopted", highlight=False)
    for step in store["steps"]:
        out.print(f"  {step}", style="dim", markup=False, highlight=False)


def _versions(answer: Mapping[str, Any]) -> str:
    return f"{answer['deleted']:,} version{'s' * (answer['deleted'] != 1)} deleted"


def ask(root: str, command: Mapping[str, Any]) -> dict[str, Any]:
    """The control plane's answer, or one clear line and the exit code for a failure."""
    with one_clear_line():
        return answer(root, command)


def answer(root: str, command: Mapping[str, Any], seconds: float = BUSY_SECONDS) -> dict[str, Any]:
    """The control plane's answer; for so many seconds it may be at work for somebody else.

    Raises what `ask_patiently` raises.
    """
    told = [0.0]
    with err.status("asking the control plane") as spinner:

        def waiting(waited: float) -> None:
            line = f"the control plane is at work for somebody else; waiting, {waited:.0f} s so far"
            spinner.update(line)
            if not err.is_interactive and waited >= told[0]:
                told[0] = waited + TOLD_EVERY_SECONDS
                err.print(line, highlight=False, soft_wrap=True)

        return ask_patiently(
            Caller(root).function,
            dict(command),
            seconds=seconds,
            clock=time.monotonic,
            sleep=time.sleep,
            waiting=waiting,
        )


def ask_patiently(
    function: ControlPlaneFunction,
    command: dict[str, Any],
    *,
    seconds: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    waiting: Callable[[float], None],
) -> dict[str, Any]:
    """The function's answer. While it is at work for somebody else it is asked again, for so
    many seconds: a call that was turned away has not run. `waiting` is told how many seconds it
    has been; `clock` is monotonic.

    Raises BusyError when the time is up, and at once whatever else the function refuses with.
    """
    began = clock()
    while True:
        try:
            return function.ask(command)
        except BusyError:
            waited = clock() - began
            if waited + ASK_AGAIN_SECONDS > seconds:
                raise BusyError(
                    f"the control plane has been at work for somebody else for {waited:.0f} s, "
                    "so nothing was done: ask again in some minutes"
                ) from None
            waiting(waited)
            sleep(ASK_AGAIN_SECONDS)
