"""`modelyard serve`"""

from __future__ import annotations

import json
import os

import click

from components.contracts import located_yaml
from components.contracts.pipeline import PipelineSpec
from components.contracts.project import Project


@click.command(epilog="Example:  modelyard serve digits --port 3000")
@click.argument("pipeline")
@click.option("--version", "number", help="Serve this version instead of the champion.")
@click.option("--port", type=click.IntRange(1, 65535), help="Listen here (default: the last port, or 3000 and up).")
@click.option("--stop", is_flag=True, help="Stop serving.")
@click.option("--foreground", is_flag=True, help="Serve in this terminal until Ctrl-C, outside the stack.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def serve(pipeline: str, number: str | None, port: int | None, stop: bool, foreground: bool, as_json: bool) -> int:
    """Serve the champion of PIPELINE from its bundle; builds the bundle if it is not there."""
    from components.registry.api import Api
    from flows import environment, serving, stack
    from flows.cli.run import say

    project = Project.find()
    spec = located_yaml.read(project.pipeline_file(pipeline), PipelineSpec)
    environment.quiet(os.environ)
    os.environ.update(environment.of_project(project))
    if stop:
        stack.stop_serving(project, pipeline)
        click.echo(f"{pipeline} is not served any more", err=True)
        return 0
    endpoints = stack.endpoints(project) or stack.up(project, say=say, runner=False)
    with Api(endpoints.mlflow) as api:
        if foreground:
            bundle = serving.bundle_of(project, spec, api, serving.wanted(api, pipeline, number), say)
            words = serving.command(bundle, str(port or 3000))
            os.execv(words[0], words)  # noqa: S606  # this terminal becomes the server
        service = serving.serve(project, spec, api, number, port, say)
    if as_json:
        facts = {"url": service.url, "version": service.version.version, "bundle": service.bundle.tag}
        click.echo(json.dumps(facts, indent=2))
    else:
        click.echo(f"{pipeline} version {service.version.version} ({service.bundle.tag}) answers at {service.url}")
        click.echo(f"  curl -F image=@picture.png {service.url}/predict", err=True)
    return 0
