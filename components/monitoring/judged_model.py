"""What the windows of a model's prediction log are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from components.contracts.dataset import DatasetSpec
from components.contracts.monitor_spec import MonitorSpec
from components.contracts.row_expectations import RowSuite
from components.identity.package import Package
from components.monitoring.reference import Reference
from components.tasks.task import Task


class JudgedModel(NamedTuple):
    """What a window is judged by.

    Args:
        document: expectations.json.
        suite: of these, those that one row can miss.
    """

    model: str
    package: Package
    reference: Reference
    dataset: DatasetSpec
    task: Task
    document: Mapping[str, Any]
    suite: RowSuite | None
    spec: MonitorSpec
