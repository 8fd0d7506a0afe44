"""All commands, in one place."""

import typer

from foothold.cli import local, regions

app = typer.Typer(
    help="Artifact stores, packaging and pipelines for every region you deploy to.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(local.app, name="local")
app.add_typer(regions.app, name="regions")
app.command("status")(regions.status)


def main() -> None:
    app()
