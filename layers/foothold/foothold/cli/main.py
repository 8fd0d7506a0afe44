"""All commands, in one place."""

import typer

from foothold.cli import lifecycle, local, package, pipeline, regions

app = typer.Typer(
    help="Artifact stores, packaging and pipelines for every region you deploy to.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("status")(regions.status)
app.command("plan")(lifecycle.plan)
app.add_typer(regions.app, name="regions")
app.command("package")(package.package)
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(local.app, name="local")


def main() -> None:
    app()
