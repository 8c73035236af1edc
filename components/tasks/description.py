"""Describe a raw sample by the rules of its dataset, and its label as text."""

from __future__ import annotations

import json
from typing import Any, cast

from components.tasks.task import Task, Values


def describe(task: Task, values: Values, settings: Any) -> dict[str, object]:
    """`Task.describe`; a task of which `describe_by_settings` is true has the settings as well.

    Args:
        settings: the section `input:` of the dataset as the task's settings; None before they are chosen.
    """
    if getattr(task, "describe_by_settings", False):
        return cast(dict[str, object], cast(Any, task).describe(values, settings))
    return task.describe(values)


def label_text(task: Task, values: Values) -> str:
    """The label of a raw sample in tables of samples: its one label; of a sample with a list of labels, the sorted list
    as JSON; "" for other tasks."""
    if "label" in task.fields:
        return str(values["label"])
    return json.dumps(sorted(task.labels(values)), ensure_ascii=False) if "labels" in task.fields else ""
