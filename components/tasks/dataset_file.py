"""`dataset.yaml` with its task and the task's settings. A module of its own, because serving imports tasks only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.core import located_yaml
from components.core.errors import Problem, SpecError
from components.tasks.processor import RENAMED_FIELDS
from components.tasks.task import Task


def settings(spec: DatasetSpec, task: Task, where: Path) -> Any:
    """The section `input:` of a dataset.yaml as the task's settings.

    Raises:
        SpecError: the section does not fit; all problems at once, with their lines.
    """
    try:
        return task.settings.model_validate(spec.input)
    except ValidationError as error:
        problems = located_yaml.problems(error, where, ("input",))
        for problem in problems:
            renamed = RENAMED_FIELDS.get(problem.path.rpartition(".")[2])
            if renamed is not None and problem.message == "unknown key":
                problem.message = f"unknown key; its name is {renamed} now"
        raise SpecError(str(where), problems) from error


def open_dataset(folder: Path) -> tuple[DatasetSpec, Task, Any]:
    """Read `dataset.yaml` of a folder: the spec, the task, and the task's settings.

    Raises:
        SpecError: the file does not fit the contract of datasets, or the settings of its task.
        NotFoundError: no such file, or no such task.
    """
    path = folder / "dataset.yaml"
    spec = located_yaml.read(path, DatasetSpec)
    task = tasks.find(spec.task)
    missing = [name for name in task.fields if name not in spec.source_fields()]
    if missing:
        message = f"{spec.task} needs samples with {' and '.join(task.fields)}; this source gives {_fields_of(spec)}"
        raise SpecError(str(path), (Problem("source", message),))
    return spec, task, settings(spec, task, path)


def _fields_of(spec: DatasetSpec) -> str:
    return " and ".join(spec.source_fields()) or "nothing"
