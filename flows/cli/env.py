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
    """The variables with which prefect, mlflow, dvc and bentoml work on this project, as a shell reads them.

    The project's secret is among them.
    """
    variables = _variables()
    if as_json:
        click.echo(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@click.command(epilog="Example:  modelyard shell")
def shell() -> None:
    """A shell in which prefect, mlflow, dvc and bentoml work on this project."""
    words = [os.environ.get("SHELL") or "/bin/sh"]
    click.echo("prefect, mlflow, dvc, bentoml and tensorboard work on this project; `exit` leaves", err=True)
    with outward.restored():  # the proxies of the person's own shell, which our commands set aside
        surroundings = {**os.environ, **_variables()}
    os.execvpe(words[0], words, surroundings)  # noqa: S606  # becoming the shell is the point


def _variables() -> dict[str, str]:
    from flows.platform import connections, environment, lifecycle

    project = Project.find()
    endpoints = lifecycle.configured(project)
    surroundings = dict(os.environ)
    environment.quiet(surroundings)
    named = ("PATH", "no_proxy", "NO_PROXY")  # this interpreter's commands first; no proxy for servers on this machine
    return {
        **{name: surroundings[name] for name in named},
        **environment.QUIET,
        **environment.of_project(project),
        "PREFECT_API_URL": endpoints.prefect_api,
        "MLFLOW_TRACKING_URI": endpoints.mlflow,
        **connections.variables(project.root),
    }
