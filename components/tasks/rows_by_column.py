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

    from components.contracts.dataset import DatasetSpec
    from components.ingestion.row_columns import Categories, RowColumns
    from components.preprocessing.number_statistics import NumberStatistics

FIELDS = frozenset({"row", "label", "group", "target"})  # of samples that are read by column
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


def no_partitions(spec: DatasetSpec, task: Any) -> str | None:
    """Why the samples of a dataset cannot be prepared by partitions; None if they can."""
    if not has(task):
        return f"samples of {spec.task} are prepared one by one"
    if spec.split.by != "sample":
        return f"split.by: {spec.split.by} looks at all samples at once"
    if spec.split.group not in (None, "group"):
        return f"split.group: {spec.split.group} is read sample by sample"
    if others := sorted(set(spec.source_fields()) - FIELDS):
        return f"the field {others[0]} is read sample by sample"
    return None if any(spec.columns_by_kind()) else "the source does not say which columns are numbers and categories"


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
