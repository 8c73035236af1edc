"""`modelyard demo`"""

from __future__ import annotations

import json
import time
from typing import Any

import click

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import ServingError
from components.core.project import Project
from components.identity.digest import short


@click.command(epilog="Example:  modelyard demo")
@click.argument("pipeline", default="digits")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def demo(pipeline: str, as_json: bool) -> int:
    """The whole chain: start the stack, run PIPELINE, promote its version to champion, serve it, predict one sample.

    The sample is from the test split. In a second demo every stage is up to date.
    """
    from components import tasks
    from components.registry import versions
    from components.registry.api import Api
    from flows.cli import prediction_client
    from flows.cli.prediction_client import EncodedRequest
    from flows.cli.run import bring_up_to_date, log
    from flows.pipelines import data_report, stages
    from flows.platform import connections, lifecycle
    from flows.releases import promotion

    started_at = time.monotonic()
    project = Project.find()
    spec = located_yaml.read(project.pipeline_file(pipeline), PipelineSpec)
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    connections.enter(project)
    planned = bring_up_to_date(project, spec, frozenset(), {})
    if planned.fingerprints is None or planned.bundle is None:
        raise ServingError("the run left no version", where=pipeline)
    version = planned.bundle.version
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        champion = versions.by_alias(api, pipeline, "champion")
        if champion is None or champion.version != version.version:
            log(f"promoting version {version.version}: production follows the alias, through the gates")
            how = f"modelyard demo {pipeline}"
            outcome = promotion.promote(project, api, pipeline, version.version, "champion", how, log)
        else:
            outcome = promotion.follow(project, pipeline, "champion", version.version, None, log)
            log(f"champion  version {version.version} serves already")
        package = stages.package_of(stages.RunContext(project, spec, api, log), version)
    if outcome.url is None:
        raise ServingError(f"{pipeline} is not served", next_step="`modelyard status`")
    example = package.golden()[-1]
    content = (package.folder / "golden" / example.file).read_bytes()
    answer = prediction_client.predict(outcome.url, EncodedRequest(content, example.media, example.file))
    metric, figure = next(iter(tasks.find(package.facts.task).metrics)), package.metrics()
    facts: dict[str, Any] = {
        "data digest": planned.fingerprints.data_digest,
        "validation": data_report.verdict(project, spec.dataset),
        f"test {metric}": f"{figure['overall'][metric]:.4f} on {figure['samples']} samples",
        "model": f"{pipeline} version {outcome.version}, package {short(package.digest)}",
        "bundle": planned.bundle.bundle.tag,
        "the service says": prediction_client.describe(
            answer["predictions"][0], f"version {answer['model']['version']}"
        ),
        "the truth is": example.truth,
        "Prefect": endpoints.prefect_ui,
        "MLflow": endpoints.mlflow,
        "service": outcome.url,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return 0
    click.echo()
    for name, value in facts.items():
        click.echo(f"  {click.style(name.ljust(16), bold=True)}  {value}")
    click.echo(f"\n  `modelyard open mlflow` (or prefect, or {pipeline}) opens its page in a browser")
    click.echo(
        f"\n  done in {time.monotonic() - started_at:.0f} s; `modelyard down` stops the servers, nothing is lost\n"
    )
    return 0
