"""`modelyard why`"""

from __future__ import annotations

import json

import click

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import StackError
from components.core.project import Project


@click.command(epilog="Example:  modelyard why digits")
@click.argument("pipeline")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As if the pipeline had this value.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def why(pipeline: str, settings: tuple[str, ...], as_json: bool) -> int:
    """For each stage of PIPELINE: up to date, or what changed since its last run. Runs nothing."""
    from components.registry.api import Api
    from flows.cli.run import parse_settings, summary
    from flows.pipelines import plan
    from flows.platform import connections, lifecycle

    project = Project.find()
    spec = located_yaml.read(project.pipeline_file(pipeline), PipelineSpec, parse_settings(settings))
    connections.enter(project)
    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError(
            "the registry is not running, and the plan depends on its model versions", next_step="`modelyard up`"
        )
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        planned = plan.make(project, spec, api)
    if as_json:
        click.echo(json.dumps(summary(planned), indent=2))
        return 0
    for stage in planned.stages:
        click.echo(f"{stage.stage:<9} {'up to date' if stage.current else 'would run'}")
        for reason in stage.reasons:
            click.echo(f"{'':<9}   {reason}")
    return 0
