"""`modelyard up`"""

from __future__ import annotations

import click

from components.contracts.project import Project


@click.command(epilog="Example:  modelyard up")
def up() -> None:
    """Start Prefect, MLflow and the runner of schedules on this machine, and wait until they are ready.

    What runs already is left alone. State and logs are in .modelyard/.
    """
    from flows import stack

    endpoints = stack.up(Project.find(), say=lambda line: click.echo(f"  {line}", err=True))
    click.echo(f"Prefect  {endpoints.prefect_ui}")
    click.echo(f"MLflow   {endpoints.mlflow}")
