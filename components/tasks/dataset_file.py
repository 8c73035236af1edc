"""`dataset.yaml` with its task and the task's settings; apart from the tasks: serving needs those and not this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.core import located_yaml
from components.core.errors import Problem, SpecError
from components.tasks.task import Task


def settings(spec: DatasetSpec, task: Task, where: Path) -> Any:
    """The section `input:` of a dataset.yaml as its task reads it.

    Raises:
        SpecError: it does not fit; all its problems at once, with their lines.
    """
    try:
        return task.settings.model_validate(spec.input)
    except ValidationError as error:
        raise SpecError(str(where), located_yaml.problems(error, where, ("input",))) from error


def open_dataset(folder: Path) -> tuple[DatasetSpec, Task, Any]:
    """`dataset.yaml` of a folder: the spec, its task, and the task's settings.

    Raises:
        SpecError: the file does not fit its contract, or its task's.
        NotFoundError: no such file, or no such task.
    """
    path = folder / "dataset.yaml"
    spec = located_yaml.read(path, DatasetSpec)
    task = tasks.find(spec.task)
    missing = [name for name in task.fields if name not in spec.source_fields()]
    if missing:
        message = f"{spec.task} needs samples with {' and '.join(task.fields)}; this source gives {_gives(spec)}"
        raise SpecError(str(path), (Problem("source", message),))
    return spec, task, settings(spec, task, path)


def _gives(spec: DatasetSpec) -> str:
    return " and ".join(spec.source_fields()) or "nothing"
