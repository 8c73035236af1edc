"""`modelyard env` and `modelyard shell`"""

from __future__ import annotations

import json
import os
import shlex

import click

from components.core import outward
from components.core.project import Project


@click.command(epilog='Example:  eval "$(modelyard env)" && prefect deployment ls')
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def env(as_json: bool) -> None:
    """Print the environment variables with which prefect, mlflow, dvc and bentoml work on this project.

    The output is shell code and includes the project's secret.
    """
    variables = _variables()
    if as_json:
        click.echo(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@click.command(epilog="Example:  modelyard shell")
def shell() -> None:
    """Start a shell in which prefect, mlflow, dvc and bentoml work on this project."""
    command = [os.environ.get("SHELL") or "/bin/sh"]
    click.echo("prefect, mlflow, dvc, bentoml and tensorboard work on this project; `exit` leaves", err=True)
    with outward.restored():  # the proxies of the user's own shell, which `environment.quiet` sets aside
        environment = {**os.environ, **_variables()}
    os.execvpe(command[0], command, environment)  # noqa: S606  # becoming the shell is the point


def _variables() -> dict[str, str]:
    from flows.platform import connections, environment, lifecycle, people

    project = Project.find()
    endpoints = lifecycle.configured(project)
    process_environment = dict(os.environ)
    environment.quiet(process_environment)
    # This interpreter's commands first in PATH; no proxy for servers on this machine.
    inherited = ("PATH", "no_proxy", "NO_PROXY")
    credentials = connections.variables(project.root)
    if people.are_enabled(project) and people.person(project) is None:  # the platform's own account is nobody's login
        credentials = {name: value for name, value in credentials.items() if not name.startswith("MLFLOW_TRACKING_")}
    return {
        **{name: process_environment[name] for name in inherited},
        **environment.QUIET,
        **environment.of_project(project),
        "PREFECT_API_URL": endpoints.prefect_api,
        "MLFLOW_TRACKING_URI": endpoints.mlflow,
        **credentials,
    }
