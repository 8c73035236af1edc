"""The sample table of raw data: one row a sample, what can be said of it without preparing it."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.progress import Progress
from components.ingestion import sample_file
from components.ingestion.sample import Sample
from components.tasks.task import Task
from components.validation import duplicates

_PART = 32  # samples that a thread takes at once


def columns(task: Task) -> tuple[str, ...]:
    """What the table says of each sample.

    `label`: "" where the task's samples have no single one. `digest`: of the content without the label. Then what the
    task looks at. `bytes`: of the content. `copies`: how often the same content stands in the dataset.
    `in_other_split`: it also stands in another split that the source gives. `label_conflict`: it also stands there with
    another label.
    """
    ours = ("bytes", "copies", "in_other_split", "label_conflict")
    return "id", "split", "label", "digest", *task.raw_columns, *ours


def build(task: Task, source: Path, target: Path, name: str, count: int) -> pd.DataFrame:
    """The table of all samples of a raw file, also written to `target`."""
    found: dict[str, list[object]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool, Progress(f"looking at {name}", count) as progress:
        each = pool.map if task.payload_field else map
        for group in sample_file.groups(source):
            parts = [group[start : start + _PART] for start in range(0, len(group), _PART)]
            for part in each(lambda part: [_row(task, sample) for sample in part], parts):
                for row in part:
                    for column, value in row.items():
                        found.setdefault(column, []).append(value)
            progress.advance(len(group))
    table = pd.DataFrame(found)
    table = table.assign(**duplicates.columns(table))[list(columns(task))]
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), target, compression="zstd")
    return table


def _row(task: Task, sample: Sample) -> dict[str, object]:
    content = task.content(sample.values)
    return {
        "id": sample.id,
        "split": sample.split,
        "label": sample.values["label"] if "label" in task.fields else "",
        "digest": hashlib.sha256(content).hexdigest(),
        **task.describe(sample.values),
        "bytes": len(content),
    }
