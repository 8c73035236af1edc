"""The columns of the sample table of raw data whose samples are rows of features, read by column.

Legend: N samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from components.core.progress import Progress
from components.ingestion import columns as arrow_columns
from components.ingestion import sample_file
from components.ingestion.row_columns import Categories
from components.ingestion.sample_batch import OtherRowsError, SampleBatch
from components.tasks import rows_by_column
from components.tasks.task import Task


def columns(
    task: Task, source: Path, name: str, count: int, by_kind: tuple[Sequence[str], Sequence[str]]
) -> dict[str, Any]:
    """The columns (N,), of the types that pandas gives to the same values one by one.

    Args:
        by_kind: names of the features that are numbers, and of those that are categories.

    Raises:
        OtherRowsError: the samples cannot be read by column.
    """
    parts: dict[str, list[Any]] = {}
    for described in _batches(task, source, name, count, by_kind):
        for column, values in described.items():
            parts.setdefault(column, []).append(values)
    return {column: _joined(found) for column, found in parts.items()}


def tables(
    task: Task, source: Path, name: str, count: int, by_kind: tuple[Sequence[str], Sequence[str]]
) -> Iterator[pa.Table]:
    """The same columns a batch of rows at a time, of the types that a data frame's columns have in Arrow.

    Raises:
        OtherRowsError: as of `columns`.
    """
    for described in _batches(task, source, name, count, by_kind):
        yield pa.table({column: _as_arrow(values) for column, values in described.items()})


def _batches(
    task: Task, source: Path, name: str, count: int, by_kind: tuple[Sequence[str], Sequence[str]]
) -> Iterator[dict[str, Any]]:
    if not rows_by_column.has(task):
        raise OtherRowsError
    with Progress(f"describing {name}", count) as progress:
        for batch in sample_file.batches(source, *by_kind):
            yield _described(task, batch)
            progress.advance(batch.rows.size)


def _described(task: Task, batch: SampleBatch) -> dict[str, Any]:
    contents = batch.contents()
    label = batch.texts["label"] if "label" in task.fields else arrow_columns.text([""] * batch.rows.size)
    return {
        "id": batch.ids,
        "split": batch.splits,
        "label": label,
        "digest": arrow_columns.text([hashlib.sha256(content).hexdigest() for content in contents]),
        **rows_by_column.described(batch.rows, batch.targets),
        "bytes": np.array([len(content) for content in contents], np.int64),
    }


def _as_arrow(values: Any) -> pa.Array:
    """A column of a batch; a number that is NaN is null."""
    if isinstance(values, Categories):
        values = arrow_columns.of_codes(values.numbers, values.names)
    return values.cast(pa.large_string()) if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)


def _joined(parts: list[Any]) -> Any:
    """Parts of a column as one; a column without any value is of None."""
    if isinstance(parts[0], Categories):
        parts = [arrow_columns.of_codes(part.numbers, part.names) for part in parts]
    if isinstance(parts[0], pa.Array):
        texts = pa.chunked_array(parts, pa.string())
        return np.full(len(texts), None, object) if texts.null_count == len(texts) else texts.to_pandas()
    values = np.concatenate(parts)
    is_empty = values.dtype == np.float64 and bool(np.isnan(values).all())
    return np.full(len(values), None, object) if is_empty else pd.Series(values)
