"""Describe a raw sample by the rules of its dataset, and its label as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from components.tasks.task import Task, Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from components.tasks.task import Arrays


def describe(task: Task, values: Values, settings: Any) -> dict[str, object]:
    """`Task.describe`; a task of which `describe_by_settings` is true has the settings as well.

    Args:
        settings: the section `input:` of the dataset as the task's settings; None before they are chosen.
    """
    if getattr(task, "describe_by_settings", False):
        return cast(dict[str, object], cast(Any, task).describe(values, settings))
    return task.describe(values)


def describe_prepared(task: Task, processor: Any, batch: Arrays) -> dict[str, NDArray[Any]]:
    """`Task.describe_prepared`, with those of the task's columns that the fitted processor gives.

    Args:
        processor: whose method `describe_prepared(batch)`, if it has one, gives columns that depend on what was fitted.
    """
    own: Callable[[Arrays], Arrays] | None = getattr(processor, "describe_prepared", None)
    fitted = own(batch) if own is not None else {}
    known = {name: values for name, values in fitted.items() if name in task.prepared_columns}
    return task.describe_prepared(batch) | known


def label_text(task: Task, values: Values) -> str:
    """The label of a raw sample in tables of samples: its one label; of a sample with a list of labels, the sorted list
    as JSON; "" for other tasks."""
    if "label" in task.fields:
        return str(values["label"])
    return json.dumps(sorted(task.labels(values)), ensure_ascii=False) if "labels" in task.fields else ""
