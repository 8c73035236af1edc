"""`modelyard demo`"""

from __future__ import annotations

import json
import os
import time
from typing import Any

import click

from components.contracts import located_yaml
from components.contracts.digest import short
from components.contracts.errors import ServingError
from components.contracts.pipeline import PipelineSpec
from components.contracts.project import Project


@click.command(epilog="Example:  modelyard demo")
@click.argument("pipeline", default="digits")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def demo(pipeline: str, as_json: bool) -> int:
    """The whole chain: start the stack, run PIPELINE, make its version champion, serve it, ask it about a picture.

    The picture is one of the frozen test split. A second demo finds everything up to date.
    """
    from components.registry import versions
    from components.registry.api import Api
    from flows import environment, reports, serving, stack, stages
    from flows.cli.predict import ask
    from flows.cli.run import bring_up_to_date, say

    begun = time.monotonic()
    project = Project.find()
    spec = located_yaml.read(project.pipeline_file(pipeline), PipelineSpec)
    environment.quiet(os.environ)
    os.environ.update(environment.of_project(project))
    endpoints = stack.endpoints(project) or stack.up(project, say=say, runner=False)
    planned = bring_up_to_date(project, spec, frozenset(), {})
    if planned.keys is None or planned.bundle is None:
        raise ServingError("the run left no version", where=pipeline)
    version = planned.bundle.version
    with Api(endpoints.mlflow) as api:
        champion = versions.by_alias(api, pipeline, serving.ALIAS)
        if champion is None or champion.version != version.version:
            versions.set_alias(api, pipeline, serving.ALIAS, version.version)
            say(f"champion  now version {version.version}")
        else:
            say(f"champion  version {champion.version} already")
        service = serving.serve(project, spec, api, None, None, say)
        package = stages.package_of(stages.Work(project, spec, api, say), version)
    example = package.golden()[-1]
    answer = ask(service.url, (package.folder / "golden" / example.file).read_bytes(), example.file)
    label = answer["predictions"][0]["label"]
    facts: dict[str, Any] = {
        "data digest": planned.keys.data_digest,
        "validation": reports.verdict(project, spec.dataset),
        "test accuracy": f"{package.metrics()['overall']['accuracy']:.4f} on {package.metrics()['samples']} samples",
        "model": f"{pipeline} version {service.version.version}, package {short(package.digest)}",
        "bundle": service.bundle.tag,
        "the service says": f"{label}  ({answer['predictions'][0]['probabilities'][label]:.3f})",
        "the truth is": example.label,
        "Prefect": endpoints.prefect_ui,
        "MLflow": endpoints.mlflow,
        "service": service.url,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return 0
    click.echo()
    for name, value in facts.items():
        click.echo(f"  {click.style(name.ljust(16), bold=True)}  {value}")
    click.echo(f"\n  done in {time.monotonic() - begun:.0f} s; `modelyard down` stops the servers, nothing is lost\n")
    return 0
