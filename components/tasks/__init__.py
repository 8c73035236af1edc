"""One module a task; `find` gives a task by its name. task.py says what a task is, docs/tasks.md how to add one."""

from __future__ import annotations

import importlib

from components.core.errors import NotFoundError
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
