"""`foothold review`: what an execution of a pipeline would change, everywhere, before it does."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from foothold.caller import Caller
from foothold.cli.console import (
    DEFAULT_ROOT,
    JsonFlag,
    RootOption,
    one_clear_line,
    out,
    print_json,
    tell,
    writing,
    wrong_use,
)
from foothold.errors import PermanentError
from foothold.releases.keeping import own_names
from foothold.releases.model import (
    Cell,
    ReleaseTargets,
    change_set_name,
    review_prefix,
    reviews_prefix,
    sharing_waves,
)
from foothold.releases.page import html as page
from foothold.releases.review import REVIEW, Review, fold
from foothold.releases.shown import counted_places, lines, markdown, notes, plain
from foothold.stores.register import ArtifactStore


def review(  # noqa: PLR0917  # one for each option
    pipeline: Annotated[str, typer.Argument(help="The pipeline's project.", metavar="PIPELINE")],
    target: Annotated[
        str | None, typer.Argument(help="One target; all of them if left out.", metavar="[TARGET]")
    ] = None,
    execution: Annotated[
        str | None, typer.Option("--execution", help="The newest if left out.", metavar="ID")
    ] = None,
    now: Annotated[  # noqa: FBT002  # a command line flag
        bool, typer.Option("--now", help="Read the change sets again, as the reader roles.")
    ] = False,
    as_markdown: Annotated[  # noqa: FBT002  # likewise
        bool, typer.Option("--markdown", help="Print Markdown for a comment.")
    ] = False,
    to_html: Annotated[
        Path | None, typer.Option("--html", help="Write one page here.", metavar="FILE")
    ] = None,
    as_json: JsonFlag = False,  # noqa: FBT002  # likewise
    root: RootOption = DEFAULT_ROOT,
) -> None:
    """Show what an execution changes in all accounts and regions, the gravest first."""
    if as_json and as_markdown:
        wrong_use("--json and --markdown are two answers: choose one")
    with one_clear_line():
        reviewing = _Reviewing(Caller(root), pipeline)
        targets = [target] if target else reviewing.targets(now=now)
        if to_html and len(targets) > 1:
            wrong_use(f"--html is for one target: name one of {', '.join(targets)}")
        found = [
            reviewing.read_again(each, execution) if now else reviewing.kept(each, execution)
            for each in targets
        ]
        if to_html:
            with writing(to_html):
                to_html.write_text(page(found[0]), encoding="utf-8")
    if as_json:
        print_json([each.as_json() for each in found] if target is None else found[0].as_json())
    elif as_markdown:
        sys.stdout.write("\n".join(map(markdown, found)))
    elif not to_html:
        for each in found:
            _show(each)


class _Reviewing:
    """Reviews of one project: those in the home region's store, and new ones."""

    def __init__(self, caller: Caller, project: str) -> None:
        self._caller = caller
        self._project = project

    def targets(self, *, now: bool) -> Sequence[str]:
        """The first of each of the targets that run together; of the kept ones, those that have a
        review. Raises PermanentError where there are none."""
        if now:
            every = self._caller.release_targets(self._project).targets
            return [each.name for each in every if not each.joins]
        found = self._caller.records.folders(self._home, reviews_prefix(self._project))
        if not found:
            raise PermanentError(
                f"{self._project} has no review in {self._home.bucket}: an execution of its "
                "pipeline writes one, and --now --execution ID reads change sets without it"
            )
        return found

    def kept(self, target: str, execution: str | None) -> Review:
        """A review as it was written. Raises PermanentError where there is none."""
        key = (
            self._newest(target)
            if execution is None
            else f"{review_prefix(self._project, target, execution)}{REVIEW}"
        )
        found = self._caller.records.read(self._home, key) if key else None
        if key is None or found is None:
            which = f"of execution {execution}" if execution else "of any execution"
            raise PermanentError(
                f"there is no review of {self._project} for {target} {which} in {self._home.bucket}"
            )
        return Review.parse(found[0], f"{key} in {self._home.bucket}")

    def read_again(self, target: str, execution: str | None) -> Review:
        """A review of the change sets as they are now; of the newest execution that has one, if
        none is named."""
        if execution is None:
            execution = self.kept(target, None).execution
        targets = self._caller.release_targets(self._project)
        sets = self._caller.change_sets.read_all(
            _cells(targets, target), change_set_name(self._project, execution)
        )
        names = own_names(self._caller.stores.ready().stores)
        return fold(self._project, target, execution, sets, own_names=names)

    def _newest(self, target: str) -> str | None:
        prefix = f"{reviews_prefix(self._project)}{target}/"
        return self._caller.records.newest(self._home, prefix, REVIEW)

    @property
    def _home(self) -> ArtifactStore:
        return self._caller.home_store


def _cells(targets: ReleaseTargets, name: str) -> list[Cell]:
    together = sharing_waves(targets.named(name), targets.targets)
    return [cell for each in together for cell in each.cells]


def _show(found: Review) -> None:
    if found.risks:
        table = Table(title=escape(plain(f"{found.project} {found.target}: to decide on")))
        for name in ("what", "resource", "where", "more"):
            table.add_column(name, overflow="fold")
        for effect, cells in found.risks:
            row = (
                f"[bold]{effect.kind}[/]",
                escape(plain(f"{effect.name} ({effect.type})")),
                escape(plain(counted_places(cells))),
                escape(plain("; ".join(notes(effect)), 400)),
            )
            table.add_row(*row)
        out.print(table)
    for line in lines(found):
        tell(line, markup=False)
