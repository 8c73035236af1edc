"""Samples that are rows of a table, by column: what their task says of them one by one, for many at once.

A task's class has `rows_by_column = True` of its own if its rows are those of `TableTask`: same content, keys and
description, the label as its only class. A class that inherits may differ, so it must say so again. Such a task has
`fit_columns(settings, TrainColumns)` too, and its processor `encode_columns(rows, labels, targets)`.

Legend: n samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.ingestion.row_columns import Categories, RowColumns
    from components.preprocessing.number_statistics import NumberStatistics

FEATURE = "row."  # begins the name of a column of the sample table


class TrainColumns(NamedTuple):
    """The train split, by column.

    Args:
        numbers: names and statistics.
        categories: names, and the number of samples of each category; None is a missing one.
        targets: their statistics; None without.
    """

    numbers: Iterable[tuple[str, NumberStatistics]]
    categories: Iterable[tuple[str, Counter[str | None]]]
    classes: Sequence[str]
    targets: NumberStatistics | None


def has(task: Any) -> bool:
    """Whether the samples of a task may be read by column."""
    return bool(vars(type(task)).get("rows_by_column", False))


def described(rows: RowColumns, targets: NDArray[np.float64] | None) -> dict[str, NDArray[Any] | Categories]:
    """As `describe` of each sample: the number of missing values, the target, the features; NaN for null."""
    return {
        "missing": _missing(rows),
        **({} if targets is None else {"target": targets}),
        **{FEATURE + name: values for name, values in rows.numbers.items()},
        **{FEATURE + name: values for name, values in rows.categories.items()},
    }


def _missing(rows: RowColumns) -> NDArray[np.int64]:
    """The number of missing values of each row, (n,)."""
    import numpy as np

    count = np.zeros(rows.size, np.int64)
    for values in rows.numbers.values():
        count += np.isnan(values)
    for names in rows.categories.values():
        count += names.numbers < 0
    return count
