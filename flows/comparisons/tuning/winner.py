"""`--apply`: the best few trials and the file's own recipe over several seeds; what is best then goes into the file.

The best of many trials is partly the luckiest: its figure flatters it. So the choice is made anew among a few of the
best, by the mean over seeds that the search did not see, and is told beside the spread of these seeds.
"""

from __future__ import annotations

import math
import queue
import statistics
import textwrap
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.contracts.pipeline import PipelineSpec
from components.contracts.training_request import TrainingFigures
from components.contracts.tune_report import TrialRow, TuneReport, settings_text
from components.core import located_yaml
from components.core.errors import Interrupted, ModelyardError, SearchError
from components.core.log import Log
from components.core.project import Project
from components.registry import tracking
from components.registry.api import Api
from components.registry.tracking import Run, RunSink
from flows.comparisons import pipeline_file
from flows.comparisons.tuning import search, trial, variants
from flows.comparisons.tuning.study import Study
from flows.comparisons.tuning.trial import Setting, Stopped
from flows.comparisons.tuning.variants import Variant
from flows.pipelines import pretrained
from flows.pipelines.stages import RunContext

FINALISTS = 3
HEAD = "# Tuned by `modelyard tune` on "


@dataclass(frozen=True)
class Finalist:
    """A setting, trained over several seeds.

    Args:
        number: of its trial.
        values: the metric on the validation split, one for each seed.
    """

    number: int
    settings: Mapping[str, Any]
    values: tuple[float, ...]
    parameters: int

    @property
    def mean(self) -> float:
        """Mean of the metric."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """Standard deviation of the metric over the seeds."""
        return statistics.stdev(self.values)


@dataclass(frozen=True)
class Applied:
    """What came of it.

    Args:
        finalists: the best first; the recipe is one of them.
        within_spread: whether the gain over the recipe is no more than two trainings of one recipe differ by.
        changed: whether the file was changed.
        fingerprints: of the trainings over the seeds.
    """

    finalists: tuple[Finalist, ...]
    gain: float
    noise: float
    within_spread: bool
    changed: bool
    fingerprints: tuple[str, ...]

    @property
    def winner(self) -> Finalist:
        """The best by its mean."""
        return self.finalists[0]

    @property
    def recipe(self) -> Finalist:
        """The file's own recipe."""
        return next(one for one in self.finalists if not one.settings)

    def sentence(self, metric: str) -> str:
        """The gain beside the spread, in words."""
        if not self.winner.settings:
            return "the recipe of the file is the best over the seeds too; the file stays as it is"
        seeds = len(self.winner.values)
        measured = (
            f"{metric} {self.winner.mean:.4f} against {self.recipe.mean:.4f} of the recipe, means of {seeds} seeds; "
            f"gain {self.gain:.4f}, spread {self.noise:.4f}"
        )
        if self.within_spread:
            return f"{measured}: an improvement within the spread of the seeds, which may be none"
        return f"{measured}: an improvement beyond the spread of the seeds"


def apply(project: Project, study: Study, report: TuneReport, api: Api, parent: Run, log: Log) -> Applied:
    """Train the finalists over the seeds, and write the best one's settings into the files.

    Raises:
        SearchError: no trial is complete, or a finalist could not be trained.
        Interrupted: Ctrl-C; what is trained stays trained.
    """
    rows = _finalists(report, study, log)
    trained = _train_all(project, study, rows, api, parent, log)
    higher = report.directions[0] == "maximize"
    finalists = ordered(
        [
            Finalist(
                row.number,
                row.settings,
                tuple(_metric(study, one) for one in trained[row.number]),
                trained[row.number][0].parameters,
            )
            for row in rows
        ],
        higher_is_better=higher,
    )
    winner, recipe = finalists[0], next(one for one in finalists if not one.settings)
    gain = (winner.mean - recipe.mean) * (1 if higher else -1)
    noise = math.hypot(winner.spread, recipe.spread)
    fingerprints = tuple(one.train_fingerprint for figures in trained.values() for one in figures)
    applied = Applied(tuple(finalists), gain, noise, gain <= noise, bool(winner.settings), fingerprints)
    if winner.settings:
        _write(project, study, applied, log)
    return applied


def ordered(finalists: Sequence[Finalist], *, higher_is_better: bool) -> list[Finalist]:
    """The best mean first; of equal means the recipe of the file, which then stays, then the smaller network."""
    sign = -1 if higher_is_better else 1
    return sorted(finalists, key=lambda one: (sign * one.mean, bool(one.settings), one.parameters))


def _finalists(report: TuneReport, study: Study, log: Log) -> list[TrialRow]:
    """The best trials of different trainings within the pipeline's budget of parameters, and the recipe."""
    budget = study.pipeline.budget
    limit = math.inf if budget is None or budget.parameters is None else budget.parameters
    ranked = [row for row in report.ranked() if not row.settings or (row.parameters or 0) <= limit]
    if over := len(report.ranked()) - len(ranked):
        log(f"{over} complete trials are over budget.parameters ({limit:,}) and not chosen from")
    if not ranked:
        raise SearchError("no trial is complete", where=f"study {report.study}", next_step="search longer: --for 30m")
    recipe = next((row for row in report.trials if not row.settings), None)
    if recipe is None or recipe.state != "complete":
        raise SearchError("the recipe of the file is not complete", where=f"study {report.study}")
    chosen: dict[str | None, TrialRow] = {}
    for row in ranked:
        chosen.setdefault(row.fingerprint, row)
    best = list(chosen.values())[:FINALISTS]
    return best if any(not row.settings for row in best) else [*best, recipe]


def _train_all(
    project: Project, study: Study, rows: Sequence[TrialRow], api: Api, parent: Run, log: Log
) -> dict[int, list[TrainingFigures]]:
    """The trainings of each finalist over the seeds, by trial; those of the search itself are not made anew."""
    first = study.pipeline.train.seed
    jobs: queue.SimpleQueue[tuple[int, int, Variant]] = queue.SimpleQueue()
    results: dict[tuple[int, int], TrainingFigures] = {}
    for row in rows:
        # The seed of the search is the one that was lucky, so it does not count for a choice.
        for seed in range(first + 1, first + 1 + study.spec.seeds):
            settings = {**row.settings, "train.seed": seed}
            jobs.put((row.number, seed, variants.of(project, study.files, settings, api, log)))
    total = jobs.qsize()
    log(f"training {len(rows)} finalists over {study.spec.seeds} seeds: {total} trainings")
    stopping = threading.Event()
    setting = Setting(
        project=project, api=api, record=study.record, metric=study.metric, objectives=("metric",), cores=study.cores,
        stopping=stopping, new_run=lambda one, number: search.child_run(api, study, parent, one, str(number)),
    )  # fmt: skip
    errors: list[BaseException] = []

    def work() -> None:
        while not stopping.is_set():
            try:
                number, seed, variant = jobs.get_nowait()
            except queue.Empty:
                return
            try:
                results[number, seed] = _figures(setting, variant, f"finalist {number}, seed {seed}", study, parent)
                value = _metric(study, results[number, seed])
                log(f"[{len(results)}/{total}] trial {number}, seed {seed}: {study.metric.name} {value:.4f}")
            except Stopped:
                return
            except BaseException as error:  # noqa: BLE001  # raised below
                errors.append(error)
                stopping.set()

    threads = [threading.Thread(target=work, name=f"finalists {slot}") for slot in range(study.parallel)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    except KeyboardInterrupt:
        raise Interrupted("stopped", next_step="the same command goes on; what is trained stays trained") from None
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return {
        row.number: [results[row.number, seed] for seed in range(first + 1, first + 1 + study.spec.seeds)]
        for row in rows
    }


def _figures(setting: Setting, variant: Variant, name: str, study: Study, parent: Run) -> TrainingFigures:
    folder, fingerprint = variant.run_folder(setting.project), variant.fingerprint.digest
    figures = variants.figures(folder, fingerprint)
    run = search.child_run(setting.api, study, parent, variant, name)
    if figures is None:
        context = RunContext(setting.project, variant.spec, setting.api, _silent)
        start = pretrained.package(setting.api, setting.project, variant.spec, variant.fingerprint)
        sink = RunSink(setting.api, run)
        try:
            trial.train(context, variant, start, setting, sink.emit)
        finally:
            sink.close()
        figures = variants.figures(folder, fingerprint)
    if figures is None:
        raise SearchError("the training left no figures", where=name)
    tracking.log_metrics(setting.api, run, {"tune/metric": _metric(study, figures)}, step=0)
    tracking.finish(setting.api, run, "FINISHED")
    return figures


def _kept(figures: TrainingFigures) -> dict[str, float]:
    return figures.history[figures.kept_epoch - 1]


def _metric(study: Study, figures: TrainingFigures) -> float:
    return _kept(figures)[f"validation/{study.metric.name}"]


def _write(project: Project, study: Study, applied: Applied, log: Log) -> None:
    """Set the winner's keys in the pipeline file and in dataset.yaml; comments and other keys stay."""
    settings, inputs = variants.split(dict(applied.winner.settings))
    today = datetime.now(UTC).date().isoformat()
    lines = [f"{HEAD}{today}, study {study.name}:"]
    lines += textwrap.wrap(applied.sentence(study.metric.name), 116, initial_indent="#   ", subsequent_indent="#   ")
    for one in applied.finalists:
        mark = "  <- written" if one is applied.winner else ""
        lines.append(
            f"#   trial {one.number}: {one.mean:.4f} +- {one.spread:.4f}  {settings_text(dict(one.settings))}{mark}"
        )
    pipeline_file.set_keys(project.pipeline_file(study.pipeline.name), settings, lines)
    if inputs:
        others = [
            path.stem
            for path in sorted(project.pipelines.glob("*.yaml"))
            if path.stem != study.pipeline.name and _dataset(path) == study.pipeline.dataset
        ]
        shared = f", which {', '.join(others)} use{'s' if len(others) == 1 else ''} too" if others else ""
        log(f"data/{study.pipeline.dataset}/dataset.yaml has other settings of input now{shared}")
        pipeline_file.set_keys(project.dataset(study.pipeline.dataset) / "dataset.yaml", inputs)


def _dataset(path: Path) -> str | None:
    """The dataset of a pipeline file; None if it cannot be read."""
    try:
        return located_yaml.read(path, PipelineSpec).dataset
    except ModelyardError:
        return None


def _silent(_: str) -> None:
    """What a training says is in MLflow."""
