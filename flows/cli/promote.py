"""`modelyard promote` and `modelyard rollback`"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from components.core.errors import ModelyardError
from components.core.project import Project

if TYPE_CHECKING:
    from components.release.ledger import Role
    from flows.releases.rollback_command import RollbackOutcome


@click.command(epilog="Example:  modelyard promote digits 4")
@click.argument("name")
@click.argument("version")
@click.option("--challenger", is_flag=True, help="Let it run beside the champion instead of in its place.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def promote(name: str, version: str, challenger: bool, as_json: bool) -> int:
    """Make VERSION of NAME the champion: set the alias, and wait until the rollout has ended.

    The same as setting the alias in the registry's UI. If a gate refuses (exit code 3), production stays unchanged.
    With `[people] enabled` in modelyard.toml you need MANAGE on the model, as the user of MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD.
    """
    role: Role = "challenger" if challenger else "champion"
    outcome = _ask(name, version, role, f"modelyard promote {name} {version}")
    return _show(name, role, outcome, as_json)


@click.command(epilog="Example:  modelyard rollback digits")
@click.argument("name")
@click.option("--to", metavar="VERSION", help="Go back to this version; it must have served well before.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def rollback(name: str, to: str | None, as_json: bool) -> int:
    """Go back to the last version that served well: its pinned bundle, at once; the alias follows.

    A release in progress is aborted. Neither the registry nor Prefect needs to run; they are updated later.
    """
    from flows.platform import people
    from flows.releases import rollback_command

    project = Project.find()
    how = f"modelyard rollback {name}" + (f" --to {to}" if to else "")
    requester = None
    if people.are_enabled(project):
        from flows.releases import authority

        requester = authority.requester_of_command(project, name, how)
    return _show(
        name,
        "champion",
        rollback_command.roll_back(
            project,
            name,
            to,
            how,
            lambda text: click.echo(text, err=True),
            requester,
        ),
        as_json,
    )


def _ask(name: str, version: str, role: Role, how: str) -> RollbackOutcome:
    from components.contracts.pipeline import PipelineSpec
    from components.core import located_yaml
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.platform import connections, lifecycle, people
    from flows.releases import authority, promotion
    from flows.serving_targets import cluster_placement, hosts_placement

    project = Project.find()
    located_yaml.read(project.pipeline_file(name), PipelineSpec)
    hosts_placement.check(project, name)
    cluster_placement.check(project, name)
    if people.are_enabled(project):
        people.required(project)
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    connections.enter(project)
    authority.require(project, name, authority.user_of_command(project), "promote")
    authority.leave_note(project, name, role, version, how)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        try:
            outcome = promotion.promote(project, api, name, version, role, how, log)
        except KeyboardInterrupt:
            log(f"the release continues in the background; `modelyard history {name}` shows its outcome")
            raise
    if (caution := promotion.caution(project, name, outcome)) is not None:
        click.secho(f"note: {caution}", fg="yellow", err=True)
    return outcome


def _show(name: str, role: Role, outcome: RollbackOutcome, as_json: bool) -> int:
    from flows.serving_targets.serving_target import target_of

    try:
        status = target_of(Project.find(), name).status()
    except ModelyardError:  # what was asked for is done
        status = None
    silent = outcome.entry.facts.get("lease_over", []) if outcome.entry is not None else []
    for host in status.absent if status is not None else ():
        answers = "what it answers may be the version before, until it is back"
        text = f"note: the host {host} is away; {'its lease is over: it answers nobody' if host in silent else answers}"
        click.secho(text, fg="yellow", err=True)
    if as_json:
        entry = outcome.entry.model_dump() if outcome.entry else None
        click.echo(json.dumps({"version": outcome.version, "url": outcome.url, "entry": entry}, indent=2))
    elif outcome.entry is None:
        click.echo(f"version {outcome.version} is {role} of {name} already{_place(outcome)}")
    else:
        click.echo(f"version {outcome.version} is {role} of {name}{_place(outcome)}")
    return 0


def _place(outcome: RollbackOutcome) -> str:
    return f", at {outcome.url}" if outcome.url is not None else "; it does not answer on this machine"
