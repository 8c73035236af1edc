"""`modelyard tune-serving`"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from components.core.errors import NotFoundError
from components.core.project import Project
from flows.cli.duration import Duration

if TYPE_CHECKING:
    from flows.deployment.tune_serving import ServingAdvice


@click.command(name="tune-serving", epilog="Example:  modelyard tune-serving digits --for 30s --apply")
@click.argument("pipeline")
@click.option("--version", "number", help="This version instead of the champion.")
@click.option("--for", "seconds", type=Duration(), help="About how long to measure [60s].")
@click.option("--apply", "applies", is_flag=True, help="Write the recommended settings into the pipeline file.")
@click.option("--again", is_flag=True, help="Measure again what was measured on this machine before.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tune_serving(
    pipeline: str, number: str | None, seconds: float | None, applies: bool, again: bool, as_json: bool
) -> int:
    """Measure on this machine which workers, threads and batch size serve PIPELINE best.

    It loads the real service with 32 connections, for each number of workers and of onnxruntime's threads, and the
    graphs alone with growing batches. The measurement is kept for this version and this machine. The load generator
    runs on the same cores: other work on the machine, and this command itself, lower all figures.
    """
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.deployment import tune_serving as tuning
    from flows.platform import connections, lifecycle
    from flows.releases import promotion

    project = Project.find()
    path = project.pipeline_file(pipeline)
    spec = located_yaml.read(path, PipelineSpec)
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    connections.enter(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        try:
            version = promotion.find_version(api, pipeline, number)
        except NotFoundError as error:
            step = error.next_step if number else f"`modelyard tune-serving {pipeline} --version N`"
            raise NotFoundError(error.what, where=error.where, next_step=step) from error
        bundle = promotion.bundle_of(project, spec, api, version, log)
    advice = tuning.run(project, spec, bundle, seconds, log, again=again)
    if applies and advice.changes:
        tuning.apply(path, advice)
        advice = replace(advice, applied=True)
    if as_json:
        click.echo(json.dumps(document(advice), indent=2))
    else:
        show(advice, pipeline)
    return 0


def document(advice: ServingAdvice) -> dict[str, Any]:
    """The advice as JSON."""
    return {
        **advice.measurement.model_dump(mode="json"),
        "choice": advice.choice.model_dump(mode="json"),
        "cached": advice.cached,
        "changes": advice.changes,
        "applied": advice.applied,
    }


def show(advice: ServingAdvice, pipeline: str) -> None:
    """Print both tables, the recommendation and what to do with it."""
    from flows.cli import table

    measured, choice = advice.measurement, advice.choice
    when = f", measured on {measured.day} (--again measures again)" if advice.cached else ""
    click.echo(f"{measured.processor}, {measured.cores} cores, {measured.connections} connections{when}", err=True)
    table.show(
        ["workers", "threads", "requests/s", "p50 ms", "p99 ms", "alone ms", "memory MB", "errors", ""],
        [
            [
                str(one.workers),
                str(one.threads),
                f"{one.rate:,.0f}",
                f"{one.p50_ms:.2f}",
                f"{one.p99_ms:.2f}",
                f"{one.lone_ms:.2f}",
                f"{one.memory_mb:,.0f}",
                str(one.errors),
                "recommended" if (one.workers, one.threads) == (choice.workers, choice.threads) else "",
            ]
            for one in measured.services
        ],
    )
    graphs = [one for one in measured.graphs if one.threads == choice.threads]
    table.show(
        ["samples in a call", "ms", "samples/s", ""],
        [
            [
                str(one.samples),
                f"{one.milliseconds:.3f}",
                f"{one.rate:,.0f}",
                "recommended" if one.samples == choice.batch_size else "",
            ]
            for one in graphs
        ],
    )
    for reason in choice.reasons:
        click.echo(f"best    {reason}")
    if not advice.changes:
        click.echo(f"        pipelines/{pipeline}.yaml says so already")
    elif advice.applied:
        click.echo(f"        written into pipelines/{pipeline}.yaml; `modelyard run {pipeline}` makes the bundle")
    else:
        settings = ", ".join(f"{name}: {value}" for name, value in advice.changes.items())
        click.echo(f"next    {settings}: `modelyard tune-serving {pipeline} --apply` writes this")
