"""The sample table of raw data: one row for each sample, computed without preparing the data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.progress import Progress
from components.ingestion import sample_file, times
from components.ingestion.sample import Sample
from components.ingestion.sample_batch import OtherRowsError
from components.tasks.description import describe, label_text
from components.tasks.task import Task
from components.validation import duplicates, row_table, stored_duplicates
from components.validation.stored_table import StoredTable

STEP = "step_seconds"
FEATURE = "row."  # begins the name of the column of a feature, as tasks describe them
_PART = 32  # samples of one call of a thread


def columns(task: Task, features: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the table's columns.

    Args:
        features: names of the columns of a source whose samples are rows of features; each is described as
            `row.<name>`, after the task's columns.

    `label`: a list of labels as JSON; "" if the task's samples have neither a label nor a list of labels. `digest`:
    of the content without the label. Then the task's columns (`describe`). `step_seconds`, if the task describes a
    time: seconds from the row before to this one; in the first, as in the second. `bytes`: size of the content.
    `copies`: number of samples with this content. `in_other_split`: another split of the source has the same
    content. `label_conflict`: a sample with the same content has another label.
    """
    common = ("bytes", "copies", "in_other_split", "label_conflict")
    step = (STEP,) if "time_seconds" in task.raw_columns else ()
    own = (f"{FEATURE}{name}" for name in features) if "row" in task.fields else ()
    return "id", "split", "label", "digest", *task.raw_columns, *own, *step, *common


def build(
    task: Task,
    source: Path,
    target: Path,
    name: str,
    count: int,
    settings: Any = None,
    features: Sequence[str] = (),
    by_kind: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> pd.DataFrame:
    """Build the table of all samples of a raw file in memory and write it to `target`.

    Args:
        features: as of `columns`.
        settings: the task's settings in the dataset; what a sample is, depends on them for some tasks.
        by_kind: the features that are numbers, and those that are categories, where the source says it.
    """
    try:
        values = row_table.columns(task, source, name, count, by_kind)
    except OtherRowsError:
        values = _one_by_one(task, source, name, count, settings)
    table = pd.DataFrame(values)
    table = table.assign(**duplicates.columns(table))[list(columns(task, features))]
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), target, compression="zstd")
    return table


def build_stored(
    task: Task, source: Path, target: Path, name: str, count: int, features: Sequence[str],
    by_kind: tuple[Sequence[str], Sequence[str]],
) -> StoredTable:  # fmt: skip
    """As `build`, a batch of samples at a time: the same table, and the same file.

    Raises:
        OtherRowsError: the samples cannot be read by column.
    """
    described = row_table.tables(task, source, name, count, by_kind)
    table = StoredTable(target.parent, described, empty_as_none=True)
    table.append(stored_duplicates.StoredDuplicates(table, "digest").columns())
    table.columns = list(columns(task, features))
    table.write_parquet(target)
    return table


def _one_by_one(task: Task, source: Path, name: str, count: int, settings: Any) -> dict[str, list[object]]:
    """The columns of the table but for those of duplicates."""
    values: dict[str, list[object]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool, Progress(f"describing {name}", count) as progress:
        each = pool.map if task.payload_field else map
        for group in sample_file.groups(source):
            parts = [group[start : start + _PART] for start in range(0, len(group), _PART)]
            for part in each(lambda part: [_row(task, sample, settings) for sample in part], parts):
                for row in part:
                    for column, value in row.items():
                        values.setdefault(column, []).append(value)
            progress.advance(len(group))
    if "time_seconds" in values:
        steps: list[object] = list(times.steps(values["time_seconds"]))
        values[STEP] = [*steps[1:2], *steps[1:]] if len(steps) > 1 else steps
    return values


def _row(task: Task, sample: Sample, settings: Any) -> dict[str, object]:
    content = task.content(sample.values)
    return {
        "id": sample.id,
        "split": sample.split,
        "label": label_text(task, sample.values),
        "digest": hashlib.sha256(content).hexdigest(),
        **describe(task, sample.values, settings),
        "bytes": len(content),
    }
