"""Short trainings of a task's candidates for a pipeline; the best one is written into the pipeline file.

The candidates share a training time equally and are ranked on the validation split, so the test split stays unseen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from components import tasks
from components.contracts.comparison import ComparisonTable, Row
from components.contracts.dataset import DatasetSpec
from components.contracts.pipeline import PipelineSpec
from components.contracts.train_spec import TrainSpec
from components.core import located_yaml
from components.core.errors import UsageError
from components.core.log import Log
from components.core.project import Project
from components.identity import manifest as manifests
from components.registry.api import Api
from components.tasks import compatibility
from flows.comparisons import compare, epoch_timing, families, pipeline_file
from flows.comparisons.comparison import Budget, Comparison
from flows.pipelines import prewarm
from flows.pipelines.stages import RunContext

MAX_EXCESS = 3.0  # an epoch that takes so many times a candidate's share: the candidate is left out


class TrialOutcome(NamedTuple):
    """The result of a trial.

    Args:
        table, folder, url: of the comparison.
        file: the pipeline file.
        chosen: row of the best candidate.
        model: `model:` of the best candidate, as in the file now.
        changed: whether the file had another model before.
        rivals: candidates whose interval holds the best one's figure.
        left_out: reason of each candidate that was not trained.
    """

    table: ComparisonTable
    folder: Path
    url: str
    file: Path
    chosen: Row
    model: dict[str, Any]
    changed: bool
    rivals: list[str]
    left_out: dict[str, str]


def run(project: Project, name: str, seconds: float, api: Api, server: str, log: Log) -> TrialOutcome:
    """Train the candidates of a pipeline, and write the best one into its file.

    Args:
        name: of the pipeline.
        seconds: training time of all candidates together.
        server: the MLflow server's URL.

    Raises:
        Interrupted: Ctrl-C; completed work is kept.
        UsageError: there are fewer than two candidates that can be trained in the time.
        TrainingError: fewer than two candidates could be trained.
    """
    file = project.pipeline_file(name)
    spec = located_yaml.read(file, PipelineSpec)
    compatibility.check(spec, file, project.dataset(spec.dataset))
    compare.bring_data_up_to_date(RunContext(project, spec, api, log))
    offered = Comparison(f"try-{name}", tuple(candidates(project, spec)), False, Budget())
    models, left_out = _fitting(project, offered, seconds, api, log)
    comparison = replace(offered, models=models, budget=Budget(seconds=round(seconds / len(models), 1)))
    outcome = compare.run(project, comparison, api, server, log)
    chosen = best(outcome.table)
    winner = next(model for model in models if comparison.label(model) == chosen.name)
    pipeline_file.write(file, winner, comment(outcome.table, chosen))
    return TrialOutcome(
        table=outcome.table,
        folder=outcome.folder,
        url=outcome.url,
        file=file,
        chosen=chosen,
        model=winner.model.model_dump(mode="json"),
        changed=winner.model != spec.model,
        rivals=rivals(outcome.table, chosen),
        left_out=left_out,
    )


def candidates(project: Project, spec: PipelineSpec) -> list[PipelineSpec]:
    """The pipeline itself, and one for each other model that the task names for the prepared dataset.

    Raises:
        UsageError: the task names no other model.
    """
    folder = project.dataset(spec.dataset)
    settings = located_yaml.read(folder / "dataset.yaml", DatasetSpec).input
    samples = int(manifests.load(folder / "prepared", "prepared").facts["counts"]["train"])
    by_name = {spec.model.name: spec}
    for candidate in tasks.find(spec.task).draft_candidates(samples, settings):
        model = families.model(candidate["model"])
        kept = {key: getattr(spec.train, key) for key in {"seed", "keep"} & spec.train.model_fields_set}
        train = TrainSpec.model_validate({**candidate["train"], **kept})
        by_name.setdefault(model.name, spec.model_copy(update={"model": model, "train": train}))
    if len(by_name) < 2:
        message = "the task names one model for data like this: there is nothing to try"
        raise UsageError(message, where=f"task {spec.task}", got=spec.model.name)
    return list(by_name.values())


def _fitting(
    project: Project, offered: Comparison, seconds: float, api: Api, log: Log
) -> tuple[tuple[PipelineSpec, ...], dict[str, str]]:
    """The candidates of which an epoch fits in their share of the time, and why each other one is left out."""
    share = seconds / len(offered.models)
    models, left_out = [], {}
    with prewarm.prewarmed(["training"], project.root):
        for spec in offered.models:
            context = RunContext(project, spec, api, log)
            fingerprints = compare.fingerprints_of(context, offered)
            epoch = epoch_timing.seconds_per_epoch(context, fingerprints, min(epoch_timing.TRIAL_SECONDS, share))
            if epoch <= MAX_EXCESS * share:
                models.append(spec)
            else:
                left_out[offered.label(spec)] = f"an epoch takes {epoch:.0f} s, and its share is {share:.0f} s"
                log(f"{offered.label(spec)} is left out: {left_out[offered.label(spec)]}")
    if len(models) < 2:
        raise UsageError(
            "fewer than two candidates can be trained in this time",
            where=f"pipeline {offered.name.removeprefix('try-')}",
            got=f"{seconds:g} s; " + "; ".join(f"{name}: {reason}" for name, reason in left_out.items()),
            next_step="give more time: --for 10m",
        )
    return tuple(models), left_out


def best(table: ComparisonTable) -> Row:
    """The row of the best figure; of equal figures, that of the fewest parameters."""
    sign = -1 if table.higher_is_better else 1
    return min(table.rows, key=lambda row: (sign * row.quality.value, row.parameters))


def rivals(table: ComparisonTable, chosen: Row) -> list[str]:
    """Other rows whose interval holds the figure of the chosen one."""
    others = (row for row in table.rows if row is not chosen)
    return [row.name for row in others if row.quality.lower <= chosen.quality.value <= row.quality.upper]


def comment(table: ComparisonTable, chosen: Row) -> list[str]:
    """The table as the lines of a comment."""
    width = max(len(row.name) for row in table.rows)
    lines = [f"{table.metric} on {table.samples:,} samples of {table.split}, 95 % interval; each had {table.budget}"]
    for row in table.rows:
        quality = f"{row.quality.value:.4f} [{row.quality.lower:.4f}, {row.quality.upper:.4f}]"
        mark = "  <- best" if row is chosen else ""
        epochs = "1 epoch" if row.epochs == 1 else f"{row.epochs} epochs"
        lines.append(f"{row.name:{width}}  {quality}  {epochs}  {row.parameters:,} parameters{mark}")
    return lines
