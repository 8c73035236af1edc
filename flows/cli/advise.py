"""`modelyard advise`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.core import atomic
from components.core.project import Project
from flows.cli.duration import Duration

if TYPE_CHECKING:
    from flows.comparisons.advise import AdviceOutcome

FITS = {"over": ": it overfits", "under": ": it does not overfit", "neither": ""}


@click.command(epilog="Example:  modelyard advise digits --for 10m")
@click.argument("pipeline")
@click.option(
    "--for",
    "seconds",
    type=Duration(),
    help="Training time in all, scoring not counted [as long as the epochs of the pipeline take].",
)
@click.option("--json", "as_json", is_flag=True, help="Print the advice as JSON.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write the page there, too.")
def advise(pipeline: str, seconds: float | None, as_json: bool, page: Path | None) -> int:
    """Say what would help PIPELINE: more data, a larger model, or longer training.

    Trains PIPELINE on parts of its data, with smaller and larger networks and for fewer epochs, fits a power law to
    each, and predicts what twice the data, the parameters and the steps would bring, with 90 % intervals. Everything is
    measured on the validation split. After Ctrl-C the same command resumes; what is trained is not trained again.

    Exit code 0: there is an advice, also if it says that it cannot be told; 1: an experiment failed.
    """
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.comparisons import advise as advice
    from flows.platform import connections, lifecycle

    project = Project.find()
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    connections.enter(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        outcome = advice.run(project, pipeline, seconds, api, endpoints.mlflow, log)
    if as_json:
        facts = {"report": str(outcome.folder / "report.html"), "mlflow": outcome.url, "failed": outcome.failed}
        click.echo(json.dumps({**outcome.advice.model_dump(mode="json"), **facts}, indent=2))
    else:
        show(outcome)
    if page is not None:
        atomic.write_text(page, (outcome.folder / "report.html").read_text(encoding="utf-8"))
    return 1 if outcome.failed else 0


def show(outcome: AdviceOutcome) -> None:
    """Print the table and the verdict."""
    from flows.cli import table as tables

    advice = outcome.advice
    metric = advice.metric.replace("_", " ")
    heads = ["", f"{metric} ({advice.split})", "90 %", "gain", "measured", "train s", "parameters", "latency ms"]
    heads.append("serves MB")
    quality = advice.base.quality
    rows = [
        [
            "now", f"{quality.value:.4f}", "", "", f"{quality.value:.4f}", _number(advice.base.seconds, 1),
            f"{advice.base.parameters:,}", f"{advice.latency_ms:.2f}", f"{advice.serves_bytes / 1e6:.2f}",
        ]
    ]  # fmt: skip
    names = {"data": "twice the data", "model": "twice the parameters", "time": "twice the steps"}
    for lever in advice.levers:
        predicted, gain = lever.predicted, lever.gain
        rows.append(
            [
                names[lever.curve],
                "cannot be told" if predicted is None else f"{predicted.value:.4f}",
                "" if predicted is None else f"{predicted.lower:.4f} to {predicted.upper:.4f}",
                "" if gain is None else f"{gain.value:+.4f}",
                "" if lever.measured is None else f"{lever.measured:.4f}",
                _about("seconds" in lever.estimated, lever.seconds, 1),
                f"{lever.parameters:,}",
                _about("latency_ms" in lever.estimated, lever.latency_ms, 2),
                _about("serves_bytes" in lever.estimated, lever.serves_bytes and lever.serves_bytes / 1e6, 2),
            ]
        )
    rows += [[name, "", "", "", f"{value:.4f}", "", "", "", ""] for name, value in advice.baselines.items()]
    tables.show(heads, rows)
    if any(lever.predicted for lever in advice.levers):
        click.echo(
            "gain    from the law's own value of now; the figure of now is one measurement, which may lie beside it"
        )
    click.secho(advice.sentence, bold=True)
    if advice.train is not None and advice.validation is not None:
        losses = f"{advice.train:.4f} on train, {advice.validation:.4f} on validation"
        click.echo(f"loss    {losses}{FITS.get(advice.fit or '', '')}")
    for machine, text in advice.machines.items():
        click.echo(f"{machine}: {text}")
    if advice.shortened:
        click.secho(advice.shortened, fg="yellow", err=True)
    for lever in advice.levers:
        if lever.reason:
            click.secho(f"{names[lever.curve]}: cannot be told: {lever.reason}", fg="yellow", err=True)
    for name, reason in advice.left_out.items():
        click.secho(f"{name}: left out: {reason}", fg="yellow", err=True)
    click.echo(f"report  {outcome.folder / 'report.html'}")
    click.echo(f"mlflow  {outcome.url}")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _about(is_estimate: bool, value: float | None, digits: int) -> str:
    return ("~" if is_estimate and value is not None else "") + _number(value, digits)
