"""`modelyard up`"""

from __future__ import annotations

import click

from components.core.project import Project


@click.command(epilog="Example:  modelyard up")
def up() -> None:
    """Start Prefect, MLflow, the console and the runner of schedules on this machine; wait until they are ready.

    Programs that run already are left unchanged. State and logs are in .modelyard/.
    """
    from flows.platform import crashed_runs, lifecycle
    from flows.serving_targets import hosts_placement

    project = Project.find()
    hosts_placement.check(project)
    endpoints = lifecycle.up(project, log=lambda line: click.echo(f"  {line}", err=True))
    for run in crashed_runs.mark_crashed(project, endpoints.prefect_api):
        click.echo(f"  flow run {run[:8]} was killed and is marked as crashed", err=True)
    click.echo(f"Prefect  {endpoints.prefect_ui}  (in a browser: modelyard open prefect)")
    click.echo(f"MLflow   {endpoints.mlflow}  (in a browser: modelyard open mlflow)")
    click.echo("all models, releases, data and runs in a browser: modelyard open")
