"""`samples.parquet`: the one form in which every source arrives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components.contracts.progress import Progress
from components.ingestion import columns as columns_of
from components.ingestion.sample import Sample

FILE_NAME = "samples.parquet"
ROW_GROUP = 1024
_ROW_GROUP_BYTES = 64 << 20  # large photos: fewer rows a group

_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("split", pa.string()),
        pa.field("label", pa.string(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
    ]
)


class Written(NamedTuple):
    """What was written: samples in all, of each split (`null`: not given) and of each label."""

    samples: int
    splits: dict[str, int]
    labels: dict[str, int]


def write(samples: Iterable[Sample], path: Path, label: str) -> Written:
    """Write samples in the order in which they come, a row group at a time: memory does not grow with them."""
    splits: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    with (
        pq.ParquetWriter(path, _SCHEMA, compression="zstd", write_statistics=False) as writer,
        Progress(label, None) as progress,
    ):
        for group in _groups(samples):
            columns = list(zip(*group, strict=True))
            splits.update("null" if split is None else split for split in columns[1])
            labels.update(columns[2])
            arrays = [*map(columns_of.text, columns[:3]), columns_of.binary(columns[3])]
            writer.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), row_group_size=ROW_GROUP)
            progress.advance(len(group))
    return Written(labels.total(), dict(sorted(splits.items())), dict(sorted(labels.items())))


def read(path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[list[Any], ...]]:
    """The columns of a sample file (default: all), a row group at a time.

    Each group is read by itself: pyarrow's own `iter_batches` holds on to memory from group to group.
    """
    with pq.ParquetFile(path) as parquet:
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group, columns=columns, use_threads=False)
            yield tuple(column.to_pylist() for column in table.columns)


def pick(path: Path, rows: Sequence[int]) -> Iterator[tuple[int, str, bytes]]:
    """Row, id and image of a few rows, in the file's order; only the row groups that hold them are read."""
    with pq.ParquetFile(path) as parquet:
        start = 0
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            inside = sorted(row for row in rows if start <= row < start + size)
            if inside:
                table = parquet.read_row_group(group, columns=["id", "image"], use_threads=False)
                for row in inside:
                    yield row, table["id"][row - start].as_py(), table["image"][row - start].as_py()
            start += size


def _groups(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    group: list[Sample] = []
    held = 0
    for sample in samples:
        group.append(sample)
        held += len(sample.image)
        if len(group) == ROW_GROUP or held >= _ROW_GROUP_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group
