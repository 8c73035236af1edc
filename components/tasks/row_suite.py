"""Which expectations of a dataset can be judged on the one row of a request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.contracts.row_expectations import LeftOut, RowExpectation, RowSuite
from components.tasks.input_rows import PREPARED, RAW, has_raw_columns
from components.tasks.task import Task

SUITE_FILE = "expectations.json"
NULLS = frozenset({"expect_column_values_to_be_null", "expect_column_values_to_not_be_null"})
ROW_TYPES = NULLS | {
    "expect_column_values_to_match_regex", "expect_column_values_to_not_match_regex",
    "expect_column_values_to_match_regex_list", "expect_column_values_to_not_match_regex_list",
    "expect_column_values_to_be_between", "expect_column_values_to_be_in_set", "expect_column_values_to_not_be_in_set",
    "expect_column_value_lengths_to_be_between", "expect_column_value_lengths_to_equal",
    "expect_column_pair_values_a_to_be_greater_than_b", "expect_column_pair_values_to_be_equal",
}  # fmt: skip
_WHOLE = "are about all samples together"
_SHARE = "hold for a share of the samples (mostly)"
_COLUMN = "are about columns that a request has not, such as label, id, copies"
_CONDITION = "have a condition (row_condition)"
_TYPE = "are of a type that is not judged on one row"
_ROW_LIKE = re.compile(r"expect_(column_values?|column_pair_values|multicolumn_values|select_column_values)_")
_TABLE_LIKE = re.compile(r".*_(unique|increasing|decreasing|outliers|z_scores_to_be_less_than)$")
_READ = {
    "column", "column_A", "column_B", "min_value", "max_value", "strict_min", "strict_max", "value_set", "value",
    "regex", "regex_list", "match_on", "or_equal", "mostly", "ignore_row_if", "severity",
}  # fmt: skip


def read(dataset: Path, task: Task) -> RowSuite | None:
    """The expectations of a dataset's folder; None where there are none that can be read."""
    try:
        document = json.loads((dataset / SUITE_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return select(document, task) if isinstance(document, dict) else None


def select(document: Mapping[str, Any], task: Task) -> RowSuite:
    """Divide the expectations of both parts into those that one row can miss, and the others with the reason.

    An expectation that holds for a share of the samples says nothing of one of them, so it is left out.
    """
    kept: list[RowExpectation] = []
    others: list[LeftOut] = []
    for part, prefix in (("raw", RAW), ("prepared", PREPARED)):
        for one in document.get(part, ()):
            kwargs = {key: value for key, value in dict(one.get("kwargs", {})).items() if value is not None}
            found = RowExpectation(
                type=one["type"],
                arguments={
                    key: f"{prefix}{value}" if key in ("column", "column_A", "column_B") else value
                    for key, value in kwargs.items()
                    if key not in ("mostly", "severity")
                },
                description=one.get("description", ""),
            )
            reason = _reason(found, kwargs, part, task)
            if reason is None:
                kept.append(found)
            else:
                others.append(LeftOut(type=found.type, columns=found.columns, reason=reason))
    return RowSuite(expectations=tuple(kept), left_out=tuple(others))


def _reason(one: RowExpectation, kwargs: Mapping[str, Any], part: str, task: Task) -> str | None:
    """Why an expectation is left out; None if it is not."""
    if one.type not in ROW_TYPES:
        return _TYPE if _ROW_LIKE.match(one.type) and not _TABLE_LIKE.match(one.type) else _WHOLE
    if not all(_has(task, part, name.partition(".")[2]) for name in one.columns):
        return _COLUMN
    if kwargs.get("row_condition") is not None:
        return _CONDITION
    if float(kwargs.get("mostly", 1)) < 1:
        return _SHARE
    if kwargs.keys() - _READ or kwargs.get("ignore_row_if", "both_values_are_missing") == "neither":
        return _TYPE
    bounds = [kwargs[key] for key in ("min_value", "max_value") if key in kwargs]
    if not all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds):
        return _TYPE  # dates
    return None


def _has(task: Task, part: str, column: str) -> bool:
    """Whether the row of a request has a column, which must not depend on a truth."""
    if column in getattr(task, "target_columns", ()):
        return False
    if part == "prepared":
        return column in task.prepared_columns
    return has_raw_columns(task) and (column in task.raw_columns or column.startswith("row."))
