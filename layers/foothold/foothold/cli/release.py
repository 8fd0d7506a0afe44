"""`foothold release`: what was packaged, and where it goes."""

import typer

from foothold.cli.rollout import deploy, rollback

app = typer.Typer(help="Deploy releases, and roll them back.", no_args_is_help=True)

app.command()(deploy)
app.command()(rollback)
