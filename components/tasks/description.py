"""Describe a raw sample by the rules of its dataset."""

from __future__ import annotations

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
