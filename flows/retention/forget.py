"""Forget a person's samples: remove them from the logs, exclude them from the datasets, note the proof in the ledger.

What is to be done is written first, and each step can be done again: a killed call is completed by the next one. The
file that says it has the name or key by which the person is found; it is removed in the end.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from components.contracts.pipeline import PipelineSpec
from components.core import atomic, file_lock, located_yaml
from components.core.errors import ModelyardError, StackError
from components.core.log import Log
from components.core.project import Project
from components.core.strict import Strict
from components.monitoring import derived_data, forgetting, held_samples, log_store
from components.monitoring.forgetting import LogRows
from components.monitoring.held_samples import DatasetSamples, Holder
from components.monitoring.subject import Subject
from components.release import ledger as ledgers
from flows.platform import log_upkeep
from flows.platform.user_name import user_name


class ForgetPlan(Strict):
    """What is to be removed, where else the samples are, and for whom.

    Args:
        request: the name of this call, in the ledger.
        logs: rows by model.
        datasets: samples by dataset.
        holders: packages and bundles that were made from the samples, and scores that have rows of them.
        derived: folders of the project that are computed again without them: references, judged windows.
        pipelines: those that train on the datasets.
    """

    request: str
    subject: Subject
    asked_by: str
    time: str
    logs: dict[str, LogRows]
    datasets: dict[str, DatasetSamples]
    holders: list[Holder]
    pipelines: list[str]
    derived: list[str] = Field(default=[])

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not self.logs and not self.datasets and not self.holders


@contextmanager
def lock(project: Project) -> Iterator[None]:
    """Hold the lock of this command.

    Raises:
        StackError: another process forgets something.
    """
    path = project.locks / "forget.lock"
    try:
        with file_lock.locked(path, "another `modelyard forget`", timeout_seconds=0):
            yield
    except TimeoutError as error:
        raise StackError(
            "another `modelyard forget` is at work", where=str(path), next_step="wait until it ends"
        ) from error


def make(project: Project, subject: Subject) -> ForgetPlan:
    """Find everything; nothing is changed."""
    datasets = held_samples.datasets(project, subject)
    inputs = sorted({one for found in datasets.values() for one in found.inputs})
    logs = {log.name: rows for log in _logs(project) if (rows := forgetting.find(log, subject, inputs)).rows}
    held = held_samples.holders(project, datasets)
    derived = derived_data.derived(project, datasets, held) if datasets else []
    return ForgetPlan(
        request=secrets.token_hex(8),
        subject=subject,
        asked_by=f"{user_name()} (uid {os.getuid()}), modelyard forget",
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        logs=logs,
        datasets=datasets,
        holders=[*held, *derived_data.scored(project, subject, datasets)],
        pipelines=_pipelines(project, datasets),
        derived=[path.relative_to(project.root).as_posix() for path in derived],
    )


def seal(project: Project) -> None:
    """Seal all hours of all logs, so that what was answered until now can be removed."""
    for log in _logs(project):
        forgetting.seal_open(log)


def carry_out(project: Project, plan: ForgetPlan, log: Log) -> None:
    """Remove what a plan names. The caller holds `lock`."""
    journal = _folder(project) / f"{plan.request}.json"
    atomic.write_text(journal, plan.model_dump_json(indent=1) + "\n")
    inputs = [one for found in plan.datasets.values() for one in found.inputs]
    for model, rows in plan.logs.items():
        folder = project.predictions(model)
        forgetting.remove(folder, plan.subject, inputs, rows.ids)
        log(f"{rows.rows:,} rows are removed from the log of {model}")
        if (store := log_upkeep.request_of(project, folder, push=True).store) is not None:
            log_store.refresh(folder, model, store)
    for name, samples in plan.datasets.items():
        if not (project.dataset(name) / "dataset.yaml").is_file():  # of a plan that was made before it was removed
            log(f"data/{name} is not here any more, which had {len(samples.digests):,} of the samples")
            continue
        held_samples.exclude(project.dataset(name), samples.digests)
        log(f"{len(samples.digests):,} samples are excluded in data/{name}/dataset.yaml")
    for place in plan.derived:
        shutil.rmtree(project.root / place, ignore_errors=True)
    if plan.derived:
        log(f"{len(plan.derived):,} references and judged windows with values of them are removed")
    for model in sorted({*plan.logs, *plan.pipelines} or plan.datasets):
        ledgers.of(project, model).note_forgotten(plan.request, plan.asked_by, proof(plan, model))
    journal.unlink()


def unfinished(project: Project) -> list[ForgetPlan]:
    """The plans of killed calls."""
    return [ForgetPlan.model_validate_json(path.read_bytes()) for path in sorted(_folder(project).glob("*.json"))]


def proof(plan: ForgetPlan, model: str) -> dict[str, object]:
    """What the ledger of a model says of it: digests and numbers, and nothing of the data."""
    rows = plan.logs.get(model)
    facts: dict[str, object] = {"request": plan.request, "asked_at": plan.time}
    if rows is not None:
        facts["log"] = {"rows": rows.rows, "hours": rows.hours, "digest": rows.digest}
    if plan.datasets:
        facts["datasets"] = {
            name: {"samples": len(found.digests), "digests": found.digests, "raw_digest": found.raw_digest}
            for name, found in plan.datasets.items()
        }
        facts["made_from_them"] = [f"{one.kind} {one.name}" for one in plan.holders if one.model == model]
    return facts


def _logs(project: Project) -> list[Path]:
    return sorted(path for path in (project.state / "predictions").glob("*") if path.is_dir())


def _pipelines(project: Project, datasets: dict[str, DatasetSamples]) -> list[str]:
    found = []
    for path in sorted(project.pipelines.glob("*.yaml")):
        try:
            if located_yaml.read(path, PipelineSpec).dataset in datasets:
                found.append(path.stem)
        except ModelyardError:  # it cannot be run before it is repaired
            continue
    return found


def _folder(project: Project) -> Path:
    return project.state / "forget"
