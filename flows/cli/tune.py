"""`modelyard tune`"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from components.core.project import Project
from flows.cli.duration import Duration

if TYPE_CHECKING:
    from components.contracts.tune_report import TuneReport
    from flows.comparisons.tuning.learning_rates import Rates
    from flows.comparisons.tuning.tune import SearchOutcome

SHOWN = 10


@click.command(epilog="Example:  modelyard tune sst2 --for 30m  then  modelyard tune sst2 --apply")
@click.argument("pipeline")
@click.option("--trials", type=click.IntRange(min=1), help="Trials of the study in all, in place of tune.trials.")
@click.option("--for", "seconds", type=Duration(), help="Time of this call, in place of the file's limits; as in 30m.")
@click.option("--parallel", type=click.IntRange(min=1), help="Trials at the same time [one for each core, up to 8].")
@click.option("--learning-rates", "rates", is_flag=True, help="Instead: find where the loss falls fastest (a minute).")
@click.option("--finish", type=int, multiple=True, metavar="N", help="Take a trial that ended early to its end.")
@click.option("--dashboard", is_flag=True, help="Serve optuna-dashboard on the studies, until Ctrl-C.")
@click.option("--study", metavar="NAME", help="Name of the study [follows from the recipe, the data and the space].")
@click.option("--storage", metavar="URL", help="Database of the studies [MODELYARD_TUNE_STORAGE, else a file].")
@click.option(
    "--apply",
    "applies",
    is_flag=True,
    help="Train the best over several seeds and write it to the file; alone, without more search.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def tune(
    pipeline: str,
    trials: int | None,
    seconds: float | None,
    parallel: int | None,
    study: str | None,
    storage: str | None,
    rates: bool,
    finish: tuple[int, ...],
    dashboard: bool,
    applies: bool,
    as_json: bool,
) -> int:
    """Search over the keys of PIPELINE that its section `tune:` names; without the section, over the usual ones.

    The first trial is the recipe of the file. The figure is one of the validation split; the test split is not read.
    A trial is a training with its own fingerprint: what was trained before is not trained again. After Ctrl-C, or a
    kill, the same command goes on, and comes to the same trials.
    """
    from components.registry.api import Api
    from flows.cli.run import log
    from flows.comparisons.tuning import tune as tuning
    from flows.platform import connections, lifecycle
    from flows.releases import authority

    project = Project.find()
    request = tuning.Request(pipeline, trials, seconds, parallel, study, storage, applies, finish)
    endpoints = lifecycle.endpoints(project) or lifecycle.up(project, log=log, runner=False)
    authority.trainer(project, pipeline)
    connections.enter(project)
    if dashboard:
        from flows.comparisons.tuning import dashboard as dashboards
        from flows.comparisons.tuning import study as studies

        dashboards.serve(project, studies.storage_url(project, storage), log)
        return 0
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        if rates:
            from flows.comparisons.tuning import learning_rates

            show_rates(learning_rates.find(project, pipeline, api, log), as_json)
            return 0
        outcome = tuning.run(project, request, api, endpoints.mlflow, log)
    tuning.publish(endpoints, outcome, log)
    if as_json:
        click.echo(json.dumps(document(outcome), indent=2))
    else:
        show(outcome)
    return 0 if outcome.report.best is not None else 1


def show_rates(found: Rates, as_json: bool) -> None:
    """Print what a learning-rate range test found."""
    if as_json:
        facts = {"present": found.present, "picture": str(found.picture)}
        click.echo(json.dumps({**found.curve.model_dump(mode="json"), **facts}, indent=2))
        return
    click.echo(
        f"suggested  {found.curve.suggested:.2g}: there the loss falls fastest; in the file is {found.present:g}"
    )
    click.echo(f"too high   from about {found.curve.lowest:.2g}, where the loss is lowest before it grows")
    click.echo(f"picture    {found.picture}")


def document(outcome: SearchOutcome) -> dict[str, Any]:
    """The outcome as JSON."""
    return {
        **outcome.report.model_dump(mode="json"),
        "stopped_for": outcome.stopped_for,
        "report": str(outcome.folder / "report.html"),
        "mlflow": outcome.url,
        "applied": None if outcome.applied is None else _applied(outcome),
    }


def _applied(outcome: SearchOutcome) -> dict[str, Any]:
    applied = outcome.applied
    assert applied is not None  # noqa: S101  # with --apply
    return {
        "winner": applied.winner.number,
        "gain": applied.gain,
        "spread": applied.noise,
        "within_spread": applied.within_spread,
        "changed": applied.changed,
        "finalists": [
            {"trial": one.number, "settings": dict(one.settings), "values": list(one.values)}
            for one in applied.finalists
        ],
    }


def show(outcome: SearchOutcome) -> None:
    """Print the best trials, what to try next, and where the report is."""
    report = outcome.report
    show_trials(report)
    if outcome.applied is not None:
        show_finalists(outcome)
    advice = [one for one in report.advice if outcome.applied is None or "--apply" not in one]
    for sentence in advice:
        click.echo(f"next    {sentence}")
    click.echo(f"report  {outcome.folder / 'report.html'}")
    click.echo(f"mlflow  {outcome.url}")


def show_finalists(outcome: SearchOutcome) -> None:
    """Print the finalists over the seeds, and what was written."""
    from components.contracts.tune_report import settings_text
    from flows.cli import table

    applied = outcome.applied
    assert applied is not None  # noqa: S101  # with --apply
    table.show(
        ["trial", f"mean {outcome.report.metric.replace('_', ' ')}", "spread", "seeds", "settings"],
        [
            [
                str(one.number),
                f"{one.mean:.4f}",
                f"{one.spread:.4f}",
                str(len(one.values)),
                settings_text(dict(one.settings)),
            ]
            for one in applied.finalists
        ],
    )
    click.echo(f"best    {applied.sentence(outcome.report.metric)}")
    if applied.changed:
        click.echo(
            f"        written into pipelines/{outcome.report.pipeline}.yaml; `modelyard run {outcome.report.pipeline}` "
            "makes the package, and reads the test split"
        )


def show_trials(report: TuneReport) -> None:
    """Print the best complete trials and the number of the others."""
    from components.contracts.tune_report import number_text, settings_text
    from flows.cli import table

    ranked = report.ranked()
    table.show(
        ["trial", report.metric.replace("_", " "), *report.objectives[1:], "epochs", "train s", "settings"],
        [
            [
                str(trial.number),
                *(number_text(value) if index else f"{value:.4f}" for index, value in enumerate(trial.values)),
                str(trial.epochs),
                "-" if trial.seconds is None else f"{trial.seconds:.1f}",
                settings_text(trial.settings),
            ]
            for trial in ranked[:SHOWN]
        ],
    )
    if report.front:
        click.echo(f"Pareto front: trials {', '.join(map(str, report.front))}")
    counts = report.counts()
    words = {"pruned": "ended early", "failed": "failed", "unfinished": "unfinished: the next call goes on with them"}
    others = [f"{counts[state]} {text}" for state, text in words.items() if state in counts]
    more = [f"{len(ranked) - SHOWN} more complete"] if len(ranked) > SHOWN else []
    if more or others:
        click.echo("; ".join([*more, *others]), err=True)
