"""`modelyard compare`"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from components.core.errors import UsageError
from components.core.project import Project

if TYPE_CHECKING:
    from components.contracts.comparison import ComparisonTable
    from flows.comparisons.comparison import Comparison

SECONDS = 60.0


@click.command(
    epilog="Example:  modelyard compare sst2 sst2-gru --seconds 120  or  "
    "modelyard compare --families cnn,rnn,transformer --dataset sst2"
)
@click.argument("pipelines", nargs=-1)
@click.option("--families", metavar="A,B,C", help="Instead of pipelines: a small model of each family.")
@click.option("--dataset", metavar="NAME", help="What the families are trained on.")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help=f"Training time of each [{SECONDS:g}], in epochs."
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of each, instead of a time.")
@click.option(
    "--as-written", is_flag=True, help="Epochs as the pipelines say: what `run` trained is not trained again."
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def compare(
    pipelines: tuple[str, ...],
    families: str | None,
    dataset: str | None,
    seconds: float | None,
    epochs: int | None,
    as_written: bool,
    as_json: bool,
) -> int:
    """Train PIPELINES of one dataset at equal budget, and measure quality against what each costs.

    Quality is measured on the validation split, so that the test split stays unseen until a model is chosen.

    A time budget becomes the number of whole epochs that fit, measured in a trial of a few seconds. The table, the plot
    and the report are written to disk and to MLflow. After Ctrl-C the same command resumes.
    """
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.comparisons import compare as compare_models
    from flows.platform import connections, lifecycle
    from flows.releases import authority

    project = Project.find()
    comparison = _comparison(project, pipelines, families, dataset, _budget(seconds, epochs, as_written))
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    authority.user_of_command(project)
    connections.enter(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        outcome = compare_models.run(project, comparison, api, endpoints.mlflow, log)
    report = outcome.folder / "report.html"
    if as_json:
        facts = {"report": str(report), "mlflow": outcome.url}
        click.echo(json.dumps({**outcome.table.model_dump(mode="json"), **facts}, indent=2))
    else:
        show_table(outcome.table)
        click.echo(f"report  {report}")
        click.echo(f"mlflow  {outcome.url}")
    return 1 if outcome.table.failed else 0


def _comparison(
    project: Project,
    pipelines: tuple[str, ...],
    families: str | None,
    dataset: str | None,
    budget: tuple[float | None, int | None],
) -> Comparison:
    from flows.comparisons import comparison

    chosen_budget = comparison.Budget(*budget)
    if families is None:
        if dataset is not None:
            raise UsageError("--dataset goes with --families; a pipeline names its own", got=dataset)
        return comparison.of_pipelines(project, pipelines, chosen_budget)
    if pipelines:
        raise UsageError("name pipelines or families, not both", got=f"{' '.join(pipelines)} and --families {families}")
    if dataset is None:
        raise UsageError("--families needs a dataset", next_step="add --dataset NAME; `modelyard datasets` shows them")
    if chosen_budget == comparison.Budget():
        raise UsageError("--as-written needs pipelines: a family has no pipeline file with its epochs")
    names = [family.strip() for family in families.split(",") if family.strip()]
    return comparison.of_families(project, names, dataset, chosen_budget)


def _budget(seconds: float | None, epochs: int | None, as_written: bool) -> tuple[float | None, int | None]:
    """The budget as (seconds, epochs); both are None with `--as-written`."""
    options = {"--seconds": seconds is not None, "--epochs": epochs is not None, "--as-written": as_written}
    if sum(options.values()) > 1:
        raise UsageError("one budget is enough", got=" and ".join(name for name, is_set in options.items() if is_set))
    return (None if as_written or epochs is not None else seconds or SECONDS), epochs


def show_table(table: ComparisonTable) -> None:
    """Print the table of a comparison, and what failed."""
    from flows.cli import table as tables

    metric = table.metric.replace("_", " ")
    heads = [
        "model",
        f"{metric} ({table.split})",
        "95 %",
        "parameters",
        "epochs",
        "train s",
        "samples/s",
        "latency ms",
        "serves MB",
        "bundle MB",
    ]
    tables.show(
        heads,
        [
            [
                row.name,
                f"{row.quality.value:.4f}",
                f"{row.quality.lower:.4f} to {row.quality.upper:.4f}",
                f"{row.parameters:,}",
                str(row.epochs),
                _number(row.training_seconds, 1),
                _number(row.samples_per_second, 0),
                f"{row.latency_ms:.2f}",
                f"{row.serves_bytes / 1e6:.2f}",
                _number(None if row.bundle_bytes is None else row.bundle_bytes / 1e6, 2),
            ]
            for row in table.rows
        ],
    )
    for name, reason in table.failed.items():
        click.secho(f"{name}: {reason}", fg="red", err=True)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
