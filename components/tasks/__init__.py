"""One module for each task; `find` gives a task by its name. docs/tasks.md says how to add one, task.py what it needs.

The table `MODULES` is the only place that lists the tasks; no other room names one.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection

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
    "chat-completion": "components.tasks.chat_completion",
    "object-detection": "components.tasks.object_detection",
    "image-generation": "components.tasks.image_generation",
    "tabular-classification": "components.tasks.tabular_classification",
    "tabular-regression": "components.tasks.tabular_regression",
    "image-regression": "components.tasks.image_regression",
    "text-regression": "components.tasks.text_regression",
    "series-regression": "components.tasks.series_regression",
    "multi-label-image-classification": "components.tasks.multi_label_image_classification",
    "multi-label-text-classification": "components.tasks.multi_label_text_classification",
    "semantic-segmentation": "components.tasks.semantic_segmentation",
    "speech-recognition": "components.tasks.speech_recognition",
}


def module(name: str) -> str:
    """The module of a task of this package by its name, or of another one by `package.module:NAME`."""
    return MODULES.get(name) or name.partition(":")[0]


def of_fields(fields: Collection[str]) -> str | None:
    """The name of the task for samples with these fields: it reads the most of them; the first in `MODULES` of several.

    None if no task of this package can do with these fields.
    """
    fitting = [name for name in MODULES if set(find(name).fields) <= set(fields)]
    return max(fitting, key=lambda name: len(find(name).fields), default=None)


def find(name: str) -> Task:
    """A task by its name, or by `package.module:NAME`.

    Raises:
        NotFoundError: there is no such task, or its module cannot be imported.
    """
    place, _, attribute = name.partition(":")
    if name not in MODULES and not attribute:
        expected = f"{', '.join(MODULES)}, or package.module:NAME"
        raise NotFoundError("no such task", got=name, expected=expected)
    try:
        task: Task = getattr(importlib.import_module(MODULES.get(name, place)), attribute or "TASK")
    except (ImportError, AttributeError) as error:
        next_step = "the module must be importable where modelyard runs: in the project's folder, or installed"
        raise NotFoundError("the task cannot be imported", where=name, got=error, next_step=next_step) from error
    return task
