"""`python -m components.tuning REQUEST.json`: the report of a study as a table, plots and a page."""

from __future__ import annotations

import csv
import io
import warnings
from contextlib import closing
from pathlib import Path

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from components.contracts.tune_report import (
    RatePlotRequest,
    TrialRow,
    TuneReport,
    TuneReportRequest,
    number_text,
    read_request,
    settings_text,
)
from components.core import atomic, html_page
from components.core.stage_process import die_with_parent
from components.tuning import advice
from components.tuning.plots import draw
from components.tuning.rate_plot import draw_rates
from components.tuning.record import StudyRecord, settings_of

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
LEAST_FOR_IMPORTANCE = 6


def main(arguments: list[str]) -> None:
    """Write report.json, trials.csv, report.html and the pictures of a study; or the picture of a range test.

    Raises:
        UsageError: not called with one readable request file.
        SearchError: the record cannot be opened.
    """
    die_with_parent()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    request = read_request(arguments)
    if isinstance(request, RatePlotRequest):
        atomic.write_bytes(Path(request.target), draw_rates(request))
        return
    with closing(StudyRecord(request.storage, request.study)) as record:
        _write(request, record.study)


def _write(request: TuneReportRequest, study: Study) -> None:
    notes: list[str] = []
    importances = _importances(study, notes)
    with atomic.folder(Path(request.target)) as fresh:
        pictures = draw(study, request.metric, list(request.spec.objectives), importances, fresh, notes)
        report = _report(request, study, importances, pictures, notes)
        report.advice.extend(advice.sentences(report, request.spec))
        (fresh / "report.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (fresh / "trials.csv").write_text(as_csv(report), encoding="utf-8")
        (fresh / "report.html").write_text(_page(report, fresh), encoding="utf-8")


def as_csv(report: TuneReport) -> str:
    """One line for each trial, a column for each key that a trial sets."""
    keys = sorted({key for trial in report.trials for key in trial.settings})
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    objectives = [report.metric, *report.objectives[1:]]
    writer.writerow(["trial", "state", *objectives, "epochs", "seconds", *keys, "fingerprint", "note"])
    for trial in report.trials:
        values = [*trial.values, *[""] * (len(objectives) - len(trial.values))]
        settings = [trial.settings.get(key, "") for key in keys]
        writer.writerow(
            [trial.number, trial.state, *values, trial.epochs, trial.seconds, *settings, trial.fingerprint, trial.note]
        )
    return stream.getvalue()


def _report(
    request: TuneReportRequest,
    study: Study,
    importances: dict[str, float],
    pictures: dict[str, str],
    notes: list[str],
) -> TuneReport:
    rows = [_row(trial) for trial in study.get_trials(deepcopy=False)]
    report = TuneReport(
        study=request.study,
        pipeline=request.pipeline,
        task=request.task,
        dataset=request.dataset,
        metric=request.metric,
        objectives=list(request.spec.objectives),
        directions=[direction.name.lower() for direction in study.directions],
        trials=rows,
        best=None,
        front=_front(study),
        recipe=next((row.values for row in rows if not row.settings and row.state == "complete"), []),
        importances=importances,
        advice=[],
        pictures=pictures,
        notes=notes,
    )
    ranked = report.ranked()
    return report.model_copy(update={"best": ranked[0].number if ranked else None})


def _row(trial: FrozenTrial) -> TrialRow:
    facts = trial.user_attrs
    repeats = f"as trial {facts['same_as']}" if "same_as" in facts else ""
    return TrialRow(
        number=trial.number,
        state=_STATES.get(trial.state, "unfinished"),  # type: ignore[arg-type]  # one of its literals
        settings=settings_of(trial),
        values=list(trial.values or []),
        loss=facts.get("loss"),
        fingerprint=facts.get("fingerprint"),
        parameters=facts.get("parameters"),
        epochs=int(facts.get("epochs", len(trial.intermediate_values))),
        seconds=facts.get("seconds"),
        note=str(facts.get("reason", repeats)),
    )


def _front(study: Study) -> list[int]:
    if len(study.directions) < 2:
        return []
    return sorted({trial.number for trial in study.best_trials})


def _importances(study: Study, notes: list[str]) -> dict[str, float]:
    """Shares of the keys in the variance of the figure, by fANOVA (Hutter et al. 2014); of keys of all trials."""
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    if len(complete) < LEAST_FOR_IMPORTANCE:
        notes.append(f"importances need {LEAST_FOR_IMPORTANCE} complete trials; there are {len(complete)}")
        return {}
    try:
        found = get_param_importances(
            study,
            evaluator=FanovaImportanceEvaluator(seed=0),
            target=lambda trial: float(trial.values[0]),
        )
    except (ValueError, RuntimeError) as error:
        notes.append(f"importances could not be computed: {error}")
        return {}
    conditional = {key for trial in complete for key in trial.params} - found.keys()
    if conditional:
        notes.append(f"without {', '.join(sorted(conditional))}, which only some of the trials have")
    return {key: float(share) for key, share in found.items()}


def _page(report: TuneReport, folder: Path) -> str:
    recipe = report.recipe[0] if report.recipe else None
    best = report.trial(report.best) if report.best is not None else None
    counts = report.counts()
    facts = {
        "pipeline": report.pipeline,
        "task": report.task,
        "dataset": report.dataset,
        "trials": ", ".join(f"{count} {state}" for state, count in counts.items()),
        f"best {report.metric}": "-" if best is None else f"{best.values[0]:.4f}",
        "the recipe of the file": "-" if recipe is None else f"{recipe:.4f}",
    }
    ranked = report.ranked()
    others = [trial for trial in report.trials if trial.state != "complete"]
    return html_page.render(
        _TEMPLATE,
        report=report,
        facts=facts,
        rows=[*ranked, *others],
        settings=settings_text,
        number=number_text,
        pictures=[(text, (folder / name).read_bytes()) for name, text in report.pictures.items()],
        higher=report.directions[0] == StudyDirection.MAXIMIZE.name.lower(),
    )
