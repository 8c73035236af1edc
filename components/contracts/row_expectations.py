"""The expectations of a dataset that one row alone can miss: what a bundle's service holds its requests against.

A bundle carries them as `row_expectations.json`. Columns are named as in the rows of requests
(components/tasks/input_rows.py): `raw.words`, `prepared.mean`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

from components.contracts.serving_spec import Tolerant

FILE_NAME = "row_expectations.json"
FLAGS_HEADER = "X-Modelyard-Flags"

# What becomes of a request that misses an expectation: it is refused, answered and marked, or not looked at.
Enforce = Literal["reject", "flag", "none"]


class RowExpectation(Tolerant):
    """An expectation of Great Expectations on the values of one row.

    Args:
        arguments: of Great Expectations; the columns with the prefix of their part.
    """

    type: str
    arguments: dict[str, Any]
    description: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        names = (self.arguments.get(key) for key in ("column", "column_A", "column_B"))
        return tuple(str(name) for name in names if name is not None)


class LeftOut(Tolerant):
    """An expectation that no single row can be held against."""

    type: str
    columns: tuple[str, ...]
    reason: str


class RowSuite(Tolerant):
    """The expectations that are enforced, and those that are not."""

    expectations: tuple[RowExpectation, ...]
    left_out: tuple[LeftOut, ...] = ()

    def summary(self) -> str:
        """How many are enforced and left out, and why, in one line."""
        total = len(self.expectations) + len(self.left_out)
        counts = Counter(one.reason for one in self.left_out)
        reasons = "; ".join(f"{count} {reason}" for reason, count in counts.most_common())
        text = f"{len(self.expectations)} of {total} expectations bound what the service accepts"
        return f"{text}; left out: {reasons}" if reasons else text
