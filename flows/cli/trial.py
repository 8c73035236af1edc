"""`modelyard try`"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from components.core.project import Project
from flows.cli.duration import Duration

if TYPE_CHECKING:
    from flows.comparisons.trial import TrialOutcome

DEFAULT = "2m"


@click.command("try", epilog="Example:  modelyard try flowers --for 5m")
@click.argument("pipeline")
@click.option("--for", "seconds", type=Duration(), default=DEFAULT, show_default=True, help="Training time in all.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def try_(pipeline: str, seconds: float, as_json: bool) -> int:
    """Train the candidates of PIPELINE's task for a short time each; write the best one into its file.

    The candidates are the model of the file and those that the task names for data like this. They share the time
    equally, and are ranked on the validation split; of equal figures, the model of fewer parameters is the best. Of
    the file only `model:`, `train:` and the comment with the table change. After Ctrl-C the same command resumes.
    """
    outcome = run_trial(Project.find(), pipeline, seconds)
    if as_json:
        click.echo(json.dumps(document(outcome), indent=2))
    else:
        show(outcome)
    return 0


def run_trial(project: Project, pipeline: str, seconds: float) -> TrialOutcome:
    """Start the stack where it does not run, and try the candidates of a pipeline."""
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.comparisons import trial
    from flows.platform import connections, lifecycle
    from flows.releases import authority

    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    authority.trainer(project, pipeline)
    connections.enter(project)
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        return trial.run(project, pipeline, seconds, api, endpoints.mlflow, log)


def document(outcome: TrialOutcome) -> dict[str, Any]:
    """The outcome as JSON."""
    return {
        "chosen": outcome.chosen.name,
        "model": outcome.model,
        "changed": outcome.changed,
        "left_out": outcome.left_out,
        "report": str(outcome.folder / "report.html"),
        "mlflow": outcome.url,
        **outcome.table.model_dump(mode="json"),
    }


def show(outcome: TrialOutcome) -> None:
    """Print the table, and what was written."""
    from flows.cli.compare import show_table

    show_table(outcome.table)
    for name, reason in outcome.left_out.items():
        click.secho(f"{name}: left out: {reason}", fg="yellow", err=True)
    written = "written into" if outcome.changed else "already in"
    click.echo(f"best    {outcome.chosen.name}, {written} {outcome.file}")
    if outcome.rivals:
        click.echo(
            f"        within its interval: {', '.join(outcome.rivals)}; a longer trial may tell them apart", err=True
        )
    click.echo(f"report  {outcome.folder / 'report.html'}")
