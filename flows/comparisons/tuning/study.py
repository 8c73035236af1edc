"""The study of a search: its name, its record, and what of it must not change between calls."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, create_trial

from components import tasks
from components.access import named_credentials, server_tls
from components.contracts import settings
from components.contracts.pipeline import PipelineSpec
from components.contracts.tune_spec import TuneSpec
from components.core.errors import UsageError
from components.core.log import Log
from components.core.project import Project
from components.identity import digest
from components.registry.api import Api
from components.tasks.task import ValidationMetric, validation_metric
from components.tuning import record as records
from components.tuning.record import Direction, StudyRecord
from flows.comparisons.tuning import variants
from flows.comparisons.tuning.variants import Recipe, Variant

STORAGE, CREDENTIALS = "MODELYARD_TUNE_STORAGE", "MODELYARD_TUNE_CREDENTIALS"
MOST_PARALLEL = 8
LOWER_IS_BETTER = ("parameters", "seconds", "megabytes")


@dataclass(frozen=True)
class Study:
    """An opened study.

    Args:
        name: of the study; another recipe, data, code or space gives another one.
        files: the pipeline's files as they were when this call began.
        recipe: the pipeline as its files are, which is the first trial.
        lag: a trial knows the outcome of those that are so many numbers before it or more.
        cores: of each trial.
        parallel: trials at the same time.
        further: trials of earlier studies.
        is_new: whether nothing was tried yet.
    """

    name: str
    pipeline: PipelineSpec
    spec: TuneSpec
    record: StudyRecord
    files: Recipe
    recipe: Variant
    metric: ValidationMetric
    lag: int
    cores: int
    parallel: int
    further: tuple[FrozenTrial, ...]
    is_new: bool

    @property
    def epochs(self) -> int:
        """The most epochs that a trial trains."""
        epochs = self.spec.space.get("train.epochs")
        ends = [] if epochs is None else [int(end) for end in epochs.ends()]
        return max([self.pipeline.train.epochs, *ends])


def storage_url(project: Project, given: str | None) -> str:
    """The database of the studies: what is given, what the environment or modelyard.toml names, or a file.

    The credentials of the one in modelyard.toml reach the database's driver, here and in the stage that reports,
    through the environment: the URL is written into requests and reports.

    Raises:
        SpecError: modelyard.toml is wrong.
        StackError: the credentials cannot be read.
    """
    url = given or os.environ.get(STORAGE)
    if url:
        return url
    connections = settings.read(project.root).connections
    if connections.studies is not None:
        found = named_credentials.read(project.root, "studies", connections.studies_credentials, CREDENTIALS)
        if found is not None:
            os.environ |= {"PGUSER": found.user, "PGPASSWORD": found.secret}
        named = server_tls.with_files(connections.studies, project.root)
        return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", named)
    folder = project.state / "tune"
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'studies.db'}"


def open_study(
    project: Project,
    pipeline: PipelineSpec,
    spec: TuneSpec,
    api: Api,
    url: str,
    log: Log,
    *,
    name: str | None = None,
    parallel: int | None = None,
) -> Study:
    """Open the study of a pipeline, or begin it.

    Args:
        name: of the study; None: it follows from the recipe and the search.
        parallel: trials at the same time; None: as `tune:` says.

    Raises:
        UsageError: a study of this name searches something else, or an earlier study is not there.
        SearchError: the record cannot be opened.
    """
    files = Recipe.read(project, pipeline)
    recipe = variants.of(project, files, {}, api, log)
    metric = validation_metric(tasks.find(pipeline.task), pipeline.train.keep_metric)
    identity = _identity(spec, recipe)
    slots = parallel or spec.parallel or _default_parallel()
    record = StudyRecord(url, name or f"{pipeline.name}-{identity[:8]}", directions(spec, metric))
    notes = record.notes()
    is_new = "identity" not in notes
    if is_new:
        cores = max(1, _cores() // slots)
        notes = {"lag": 1 if slots == 1 else 2 * slots, "cores": cores}
        notes |= {"pipeline": pipeline.name, "metric": metric.name, "objectives": list(spec.objectives)}
        notes |= {"identity": identity}  # the last to be written: a study that has it has all
        for key, value in notes.items():
            record.note(key, value)
    if notes["identity"] != identity:
        record.close()
        raise UsageError(
            "the study searches something else: its recipe, data, code or space is another",
            where=f"study {record.name}",
            next_step="leave --study out, or take a name that is free",
        )
    further = tuple(trial for earlier in spec.from_studies for trial in _finished(url, earlier, spec, metric))
    return Study(
        name=record.name, pipeline=pipeline, spec=spec, record=record, files=files, recipe=recipe, metric=metric,
        lag=int(notes["lag"]), cores=int(notes["cores"]), parallel=slots, further=further, is_new=is_new,
    )  # fmt: skip


def directions(spec: TuneSpec, metric: ValidationMetric) -> list[Direction]:
    """`maximize` or `minimize`, for each objective."""
    is_high = [metric.higher_is_better if name == "metric" else name not in LOWER_IS_BETTER for name in spec.objectives]
    return ["maximize" if high else "minimize" for high in is_high]


def earlier_studies(url: str, pipeline: str, own: str) -> list[str]:
    """Other studies of a pipeline in a database."""
    return [name for name in records.names(url) if name.startswith(f"{pipeline}-") and name != own]


def _identity(spec: TuneSpec, recipe: Variant) -> str:
    """What makes two searches the same: the space and how it is searched, the recipe with its data and code."""
    kept = {"space", "objectives", "sampler", "pruner", "seed", "enqueue", "from_studies"}
    search: dict[str, Any] = spec.model_dump(mode="json", include=kept)
    return digest.of_value({"search": search, "recipe": recipe.fingerprint.digest})


def _finished(url: str, name: str, spec: TuneSpec, metric: ValidationMetric) -> list[FrozenTrial]:
    """The finished trials of an earlier study whose parameters are all in the space."""
    if name not in records.names(url):
        raise UsageError(
            "there is no such study",
            where="tune.from_studies",
            got=name,
            expected=", ".join(records.names(url)) or "no study yet",
        )
    earlier = StudyRecord(url, name)
    try:
        if len(earlier.directions) != len(spec.objectives) or earlier.notes().get("metric") != metric.name:
            raise UsageError("the earlier study has another objective", where=f"study {name}", expected=metric.name)
        return [
            _for_sampler_alone(trial)
            for trial in earlier.trials()
            if trial.state.is_finished()
            and trial.values
            and trial.params
            and all(_fits(spec, key, trial.params[key]) for key in trial.params)
        ]
    finally:
        earlier.close()


def _for_sampler_alone(trial: FrozenTrial) -> FrozenTrial:
    """The trial without its epochs: another recipe may learn at another pace, so they are no measure for pruning."""
    return create_trial(state=trial.state, values=trial.values, params=trial.params, distributions=trial.distributions)


def _fits(spec: TuneSpec, key: str, value: Any) -> bool:
    return key in spec.space and spec.space[key].holds(value)


def _default_parallel() -> int:
    """One trial for each core, up to eight; with a GPU one, which has the whole of it."""
    has_gpu = Path("/proc/driver/nvidia/version").exists()
    return 1 if has_gpu else min(MOST_PARALLEL, _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0))
