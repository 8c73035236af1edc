"""`modelyard up`"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from components.core.project import Project

if TYPE_CHECKING:
    from flows.platform.lifecycle import Endpoints

PROFILES = ("local", "team")  # as flows.platform.stack_profile has them


@click.command(epilog="Example:  modelyard up")
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    help="What this stack has to be, from now on. team: both servers on PostgreSQL, artifacts in S3, two Prefect API "
    "servers with Redis, MLflow's users; local: whatever modelyard.toml says.",
)
@click.option(
    "--follow-registry",
    is_flag=True,
    help="Let production follow the registry that modelyard.toml names now; else it stays as it is after a change. "
    "Where it is followed already, compare it once more with what served.",
)
@click.option(
    "--take-redis",
    is_flag=True,
    help="Take the Redis of modelyard.toml from the Prefect that used it, which is gone or whose database was moved.",
)
def up(profile: str | None, follow_registry: bool, take_redis: bool) -> None:
    """Start Prefect, MLflow, the console and the runner of schedules on this machine; wait until they are ready.

    Programs that run already are left unchanged. State and logs are in .modelyard/.
    """
    from components.release import ledger as ledgers
    from flows.platform import crashed_runs, followed_registry, lifecycle, stack_profile
    from flows.serving_targets import hosts_placement

    project = Project.find()
    hosts_placement.check(project)
    endpoints = lifecycle.up(
        project,
        log=lambda line: click.echo(f"  {line}", err=True),
        profile_name=profile,  # type: ignore[arg-type]  # click has checked it
        take_redis=take_redis,
    )
    key_problem = ledgers.key_problem(project)
    why = followed_registry.another(project) or (None if key_problem else _unknown(project, endpoints))
    if follow_registry:
        _follow(project, endpoints, is_another=why is not None)
    elif why is not None:
        click.echo(f"  {why} until `modelyard up {followed_registry.OPTION}`", err=True)
    if key_problem is not None:
        click.echo(f"  {key_problem}, so nothing is released here: {ledgers.COPY_KEY}", err=True)
    for run in crashed_runs.mark_crashed(project, endpoints.prefect_api):
        click.echo(f"  flow run {run[:8]} was killed and is marked as crashed", err=True)
    click.echo(f"Prefect  {endpoints.prefect_ui}  (in a browser: modelyard open prefect)")
    click.echo(f"MLflow   {endpoints.mlflow}  (in a browser: modelyard open mlflow)")
    if stack_profile.of(project) == "team":
        click.echo("profile  team: PostgreSQL, S3, two Prefect API servers with Redis, MLflow's users")
    click.echo("all models, releases, data and runs in a browser: modelyard open")


def _unknown(project: Project, endpoints: Endpoints) -> str | None:
    """Why the first registry of this machine is not the one that production follows."""
    from components.registry.api import Api
    from flows.releases import registry_change

    with Api(endpoints.mlflow, endpoints.credentials) as api:
        return registry_change.unknown(project, api)


def _follow(project: Project, endpoints: Endpoints, *, is_another: bool) -> None:
    """Let production follow the registry that the settings name, or compare it once more with what served."""
    from components.registry.api import Api
    from flows.platform import connections, current_programs, followed_registry
    from flows.platform.user_name import user_name
    from flows.releases import registry_change

    current_programs.require_mlflow(project, endpoints.mlflow)
    connections.enter(project)
    place = followed_registry.place(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        if is_another:
            lines = registry_change.changes(project, api)
            before = followed_registry.before(project)
            followed_registry.begin(project)
            registry_change.record(project, api, place, before, user_name())
        else:
            lines = registry_change.compare_again(project, api, place, user_name())
    followed_registry.follow(project)
    for line in lines:
        click.echo(f"  {line}", err=True)
    already = "" if is_another else " already" + ("" if lines else ": what it has of what served is as recorded")
    click.echo(f"  production follows {place}{already or ' from now on'}", err=True)
