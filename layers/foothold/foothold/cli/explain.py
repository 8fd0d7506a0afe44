"""`foothold explain`: why a role may not have an artifact, and what mends it."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    err,
    one_clear_line,
    print_json,
    region_names,
    tell,
    wrong_use,
)
from foothold.cli.ending import FAILED
from foothold.errors import PermanentError
from foothold.explain.chain import Chain, Link, LinkVerdict
from foothold.explain.messages import LONGEST
from foothold.explain.principal import artifact as parsed_artifact
from foothold.explain.principal import asking_role, known_action
from foothold.refused import READ

COLOURS = {LinkVerdict.OK: "green", LinkVerdict.BROKEN: "red", LinkVerdict.UNKNOWN: "yellow"}


def explain(  # noqa: PLR0917  # typer gives each by its name
    message: Annotated[
        str | None,
        typer.Argument(help="-: read an error message of AWS from standard input.", metavar="[-]"),
    ] = None,
    principal: Annotated[
        str | None, typer.Option(help="The role that is refused: its ARN, or its session's.")
    ] = None,
    action: Annotated[str | None, typer.Option(help=f"What it wants to do ({READ}).")] = None,
    artifact: Annotated[
        str | None, typer.Option(help="The artifact, as s3://BUCKET/KEY.", metavar="S3_URI")
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Instead: any artifact of this region.", callback=region_names),
    ] = None,
    pipeline: Annotated[
        str | None, typer.Option(help="Instead: every role that this pipeline uses.")
    ] = None,
    execution: Annotated[
        str | None, typer.Option(help="Of the pipeline only what failed in this execution.")
    ] = None,
    caller: Annotated[
        str | None,
        typer.Option(help="Of --action sts:AssumeRole: the role that wants to be the principal."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="A profile of the principal's account that may read there.")
    ] = None,
    management_profile: Annotated[
        str | None,
        typer.Option(help="One of the organisation's management account: its policies are read."),
    ] = None,
    root: RootOption = DEFAULT_ROOT,
    as_json: JsonFlag = False,  # noqa: FBT002  # a command line flag
) -> None:
    """Say why a role may not have an artifact, link by link, and what mends it. Reads only.

    Exit code 1 where a link is broken, or where one is unknown that could be.
    """
    _refuse_wrong_use(message, principal, action, artifact, region, pipeline, execution, caller)
    # Nobody else's command waits for these.
    from foothold.caller import Caller  # noqa: PLC0415

    with one_clear_line():
        explanations = Caller(root).explanations(profile, management_profile)
        answers: Sequence[tuple[str, Chain]]
        if pipeline:
            answers = explanations.pipeline(pipeline, execution)
        elif message:
            text = sys.stdin.read(LONGEST)
            answers = [("", explanations.message(text, principal, artifact, region))]
        else:
            assert principal  # it would be wrong use
            chain = explanations.ask(
                principal, action or READ, of=artifact, region=region, caller=caller
            )
            answers = [("", chain)]
    if as_json:
        print_json([{"for": name, **chain.as_json()} for name, chain in answers])
    else:
        for name, chain in answers:
            _show(name, chain)
    if not all(chain.holds for _, chain in answers):
        raise typer.Exit(FAILED)


def _refuse_wrong_use(  # noqa: PLR0917  # the command's own
    message: str | None,
    principal: str | None,
    action: str | None,
    artifact: str | None,
    region: str | None,
    pipeline: str | None,
    execution: str | None,
    caller: str | None,
) -> None:
    if message not in {None, "-"}:
        wrong_use("give - and the message of AWS on standard input")
    if execution and not pipeline:
        wrong_use("an execution is one of a pipeline: add --pipeline NAME")
    asks = (principal, artifact, region, action, caller)
    if pipeline and (message or any(asks)):
        wrong_use("ask for a pipeline, or for a principal, not for both")
    if not (pipeline or message) and not (principal and (artifact or region)):
        wrong_use("name --principal ROLE_ARN and --artifact S3_URI or --region R, or --pipeline P")
    try:
        for role in filter(None, (principal, caller)):
            asking_role(role)
        if artifact:
            parsed_artifact(artifact)
        if action:
            known_action(action)
    except PermanentError as error:
        wrong_use(str(error))


def _show(name: str, chain: Chain) -> None:
    asked = chain.question
    what = f"artifacts of {asked.region}" if asked.is_about_artifacts else f"in {asked.region}"
    if asked.key:
        what = f"s3://{asked.bucket}/{asked.key}"
    tell(f"[bold]{escape(f'{name}: ' if name else '')}[/]{escape(asked.role.arn)}")
    tell(f"  {asked.action} {escape(what)}")
    for link in chain.links:
        verdict = f"[{COLOURS[link.verdict]}]{link.verdict:<7}[/]"
        tell(f"  {verdict} {escape(link.name)}: {escape(link.says)}")
        if link.statement and link.verdict is not LinkVerdict.OK:
            tell(f"          decides: {link.statement}", markup=False)
    if chain.broken:
        _show_fixes(chain.broken)
    elif not chain.holds:
        err.print("nothing is broken as far as can be seen", highlight=False)


def _show_fixes(broken: Sequence[Link]) -> None:
    tell(f"[bold]broken first:[/] {escape(broken[0].name)}")
    shown: set[str] = set()
    for link in broken:
        if link.fix is None or link.fix.command in shown:
            continue
        shown.add(link.fix.command)
        where = f"{link.name}, in {link.fix.account}"
        note = f": {link.fix.note}" if link.fix.note else ""
        tell(f"  {where}{note}", markup=False)
        if link.fix.command:
            tell(f"    {link.fix.command}", markup=False)
