"""One module a task; `find` gives a task by its name. See task.py for what a task is, docs/tasks.md for how to add one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.contracts import located_yaml
from components.contracts.dataset import DatasetSpec
from components.contracts.errors import NotFoundError, Problem, SpecError
from components.tasks.task import Task

MODULES = {
    "image-classification": "components.tasks.image_classification",
    "text-classification": "components.tasks.text_classification",
    "sound-classification": "components.tasks.sound_classification",
    "series-classification": "components.tasks.series_classification",
    "forecasting": "components.tasks.forecasting",
    "token-classification": "components.tasks.token_classification",
    "translation": "components.tasks.translation",
    "text-generation": "components.tasks.text_generation",
    "object-detection": "components.tasks.object_detection",
    "image-generation": "components.tasks.image_generation",
}


def module(name: str) -> str:
    """The module of a task: one of ours by its name, or `package.module:NAME` of anyone's."""
    return MODULES.get(name) or name.partition(":")[0]


def find(name: str) -> Task:
    """A task by its name, or by `package.module:NAME`.

    Raises:
        NotFoundError: there is no such task, or its module does not import.
    """
    place, _, attribute = name.partition(":")
    if name not in MODULES and not attribute:
        expected = f"{', '.join(MODULES)}, or package.module:NAME"
        raise NotFoundError("no such task", got=name, expected=expected)
    try:
        found: Task = getattr(importlib.import_module(MODULES.get(name, place)), attribute or "TASK")
    except (ImportError, AttributeError) as error:
        next_step = "the module must be importable where modelyard runs: in the project's folder, or installed"
        raise NotFoundError("the task cannot be imported", where=name, got=error, next_step=next_step) from error
    return found


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
    task = find(spec.task)
    missing = [name for name in task.fields if name not in spec.source_fields()]
    if missing:
        message = f"{spec.task} needs samples with {' and '.join(task.fields)}; this source gives {_gives(spec)}"
        raise SpecError(str(path), (Problem("source", message),))
    return spec, task, settings(spec, task, path)


def _gives(spec: DatasetSpec) -> str:
    return " and ".join(spec.source_fields()) or "nothing"
