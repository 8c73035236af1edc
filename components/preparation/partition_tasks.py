"""What is done with each partition of a table: plain functions of files, which run anywhere where these files are seen.

A task may run again, or twice at once: it writes the same files. Legend: n rows of a partition.
"""

from __future__ import annotations

import functools
import hashlib
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components import tasks
from components.contracts.dataset import DatasetSpec
from components.core.errors import SampleError
from components.identity import digest
from components.ingestion import columns, sample_file
from components.ingestion.row_columns import Categories, RowColumns
from components.ingestion.sample_batch import OtherRowsError, SampleBatch
from components.preparation import splits
from components.preparation.column_file import ColumnFile, PartitionColumns
from components.preparation.encoded_partition import EncodedPartition
from components.preparation.partitions import Partition
from components.preparation.sample_passes import encode_group
from components.preparation.split_files import WrittenRows
from components.preprocessing import number_statistics
from components.preprocessing.batch import Arrays
from components.preprocessing.number_statistics import NumberStatistics
from components.preprocessing.stored import digest_bytes_of
from components.tasks.task import Processor, RawSample, Task

ASSIGNED, PROCESSOR = "assigned", "processor"


class DecodedPartition(NamedTuple):
    """What the draw knows of a partition before it reads its file.

    Args:
        labels: its label names, in the order of their numbers.
        source_splits: number of rows of each split that the source gives.
    """

    labels: list[str]
    source_splits: dict[int, int]


class EncodeTarget(NamedTuple):
    """A partition that is encoded by another process.

    Args:
        rows: where its arrays are written; None: into a file of their own.
    """

    partition: Partition
    rows: WrittenRows | None


@dataclass(frozen=True)
class PartitionTasks:
    """The tasks of a raw file.

    Args:
        raw: path of the file.
        folder: of the tasks' files.
    """

    raw: Path
    folder: Path
    spec: DatasetSpec

    @property
    def task(self) -> Task:
        """The task of the dataset."""
        return tasks.find(self.spec.task)

    def columns(self, partition: Partition) -> ColumnFile:
        """The decoded columns of a partition."""
        return ColumnFile(self.folder / f"{partition.number}.columns", *self.spec.columns_by_kind())

    def decode(self, partition: Partition) -> DecodedPartition:
        """Write the columns of a partition.

        Raises:
            OtherRowsError: the samples cannot be read by column.
        """
        batches = sample_file.batches(self.raw, *self.spec.columns_by_kind(), partition.part)
        labels: dict[str, int] = {}
        parts = [self._decoded(batch, labels) for batch in batches]
        whole = _joined(parts)
        if whole.rows.size != partition.rows:
            raise OtherRowsError
        whole.save(self.folder / f"{partition.number}.columns")
        numbers, counts = np.unique(whole.source_splits, return_counts=True)
        return DecodedPartition(list(labels), dict(zip(numbers.tolist(), counts.tolist(), strict=True)))

    def _decoded(self, batch: SampleBatch, labels: dict[str, int]) -> PartitionColumns:
        seed, fields = self.spec.split.seed, self.task.fields
        return PartitionColumns(
            rows=batch.rows,
            keys=_keys(batch.contents(), seed),
            source_splits=_source_splits(batch),
            labels=Categories(_numbered(batch.texts["label"], labels), []) if "label" in fields else None,
            targets=batch.targets if "target" in fields else None,
            groups=None if self.spec.split.group is None else _group_keys(batch, seed),
        )

    def count_categories(self, partition: Partition) -> dict[str, Counter[str | None]]:
        """Number of rows of train of each category of each column; None is a missing one."""
        chosen = self._assigned(partition) == splits.TRAIN
        return {name: _counts(values, chosen) for name, values in self.columns(partition).categories().items()}

    def fit_numbers(self, name: str | None, partitions: list[Partition], *, with_quantiles: bool) -> NumberStatistics:
        """The statistics of a column of numbers over the rows of train; None: of the targets."""

        def blocks() -> Iterator[NDArray[np.float64]]:
            for partition in partitions:
                file = self.columns(partition)
                values = file.array("targets") if name is None else file.numbers(name)
                yield values[self._assigned(partition) == splits.TRAIN]

        place = "target" if name is None else str(self.spec.columns_by_kind()[0].index(name))
        scratch = self.folder / f"number.{place}.{uuid.uuid4().hex}"
        return number_statistics.of_blocks(blocks(), scratch, with_quantiles=with_quantiles)

    def encode(self, partition: Partition) -> EncodedPartition:
        """The prepared samples of a partition.

        Raises:
            SampleError: a sample does not fit the processor.
        """
        processor = _processor(self.spec.task, self.folder / PROCESSOR)
        names = ["id", *(name for name in ("label", "target") if name in self.task.fields)]
        stored = list(sample_file.batch_tables(self.raw, names, partition.part))
        assigned = self._assigned(partition)
        used = assigned < len(splits.SPLITS)
        table = pa.concat_tables(stored).filter(columns.booleans(used)).combine_chunks()
        file = self.columns(partition)
        arrays = _encoded(processor, file.rows(partition.rows).chosen(used), table)
        keys = file.array("keys")[used]
        has_labels = "label" in table.column_names
        listed = {
            "id": columns.whole(table["id"]),
            "label": columns.whole(table["label"]) if has_labels else columns.text([""] * len(keys)),
            "digest": columns.hexadecimal(digest_bytes_of(arrays, processor.inputs()), 32),
            "content": columns.hexadecimal(keys.astype(">u8").tobytes(), 8),
        }
        return EncodedPartition(assigned[used], arrays, listed)

    def encode_to_file(self, target: EncodeTarget) -> Path:
        """As `encode`; the path of the result's file."""
        path = self.folder / f"{target.partition.number}.encoded"
        encoded = self.encode(target.partition)
        if target.rows is not None:
            specs = _processor(self.spec.task, self.folder / PROCESSOR).arrays()
            target.rows.write(specs, encoded.numbers, encoded.arrays)
            encoded = encoded._replace(arrays={})
        encoded.save(path)
        return path

    def _assigned(self, partition: Partition) -> NDArray[np.uint8]:
        """The split of each row, (n,)."""
        return np.fromfile(self.folder / ASSIGNED, np.uint8, partition.rows, offset=partition.start)


def _processor(task: str, folder: Path) -> Processor:
    return _loaded(task, folder, digest.of_file(folder / "processor.json"))


@functools.lru_cache(maxsize=1)
def _loaded(task: str, folder: Path, _digest: str) -> Processor:
    return tasks.find(task).load(folder)


def _joined(parts: list[PartitionColumns]) -> PartitionColumns:
    """Consecutive rows of one partition as one; their categories get common numbers."""

    def joined(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    first = parts[0].rows
    numbers = {name: np.concatenate([part.rows.numbers[name] for part in parts]) for name in first.numbers}
    categories = {name: _common([part.rows.categories[name] for part in parts]) for name in first.categories}
    size = sum(part.rows.size for part in parts)
    labels = [part.labels.numbers for part in parts if part.labels is not None]
    return PartitionColumns(
        RowColumns(size, numbers, categories), joined("keys"), joined("source_splits"),
        Categories(np.concatenate(labels), []) if labels else None, joined("targets"), joined("groups"),
    )  # fmt: skip


def _common(parts: list[Categories]) -> Categories:
    names: dict[str, int] = {}
    numbers = []
    for part in parts:
        places = [names.setdefault(name, len(names)) for name in part.names]
        numbers.append(np.array([*places, -1], np.int32)[part.numbers])
    return Categories(np.concatenate(numbers), list(names))


def _keys(contents: list[bytes], seed: int) -> NDArray[np.uint64]:
    """`splits.key` of each content, (n,)."""
    begin, sha256 = f"{seed}:".encode(), hashlib.sha256
    digests = np.frombuffer(b"".join([sha256(begin + content).digest() for content in contents]), ">u8")
    return digests.reshape(-1, 4)[:, 0].astype(np.uint64)  # the first 8 of 32 bytes


def _group_keys(batch: SampleBatch, seed: int) -> NDArray[np.uint64]:
    numbers, names = columns.codes(batch.texts["group"]) if "group" in batch.texts else (np.empty(0, np.int32), [""])
    if "" in names:
        raise OtherRowsError  # the sample is named where samples are read one by one
    return np.array([splits.key(name.encode(), seed) for name in names], np.uint64)[numbers]


def _source_splits(batch: SampleBatch) -> NDArray[np.uint8]:
    known = {name: number for number, name in enumerate(splits.SPLITS)}
    numbers, names = columns.codes(batch.splits)
    return np.array([*(known.get(name, splits.OPEN) for name in names), splits.OPEN], np.uint8)[numbers]


def _numbered(texts: pa.Array, names: dict[str, int]) -> NDArray[np.int32]:
    """Numbers (n,) of texts, in the order of their first samples; new ones are added to the names."""
    numbers, found = columns.codes(texts)
    return np.array([names.setdefault(name, len(names)) for name in found], np.int32)[numbers]


def _counts(values: Categories, chosen: NDArray[np.bool_]) -> Counter[str | None]:
    counts = np.bincount(values.numbers[chosen] + 1, minlength=len(values.names) + 1).tolist()
    named: list[str | None] = [None, *values.names]
    return Counter({name: count for name, count in zip(named, counts, strict=True) if count})


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return columns.to_floats(columns.whole(column).flatten())


def _encoded(processor: Any, rows: RowColumns, table: pa.Table) -> Arrays:
    """The arrays of all samples (n, ...)."""
    labels = Categories(*columns.codes(columns.whole(table["label"]))) if "label" in table.column_names else None
    targets = _floats(table["target"]) if "target" in table.column_names else None
    try:
        arrays: Arrays = processor.encode_columns(rows, labels, targets)
    except SampleError:
        encode_group(processor, list(_samples(rows, table)))  # says which sample it is
        raise
    return arrays


def _samples(rows: RowColumns, table: pa.Table) -> Iterator[tuple[str, RawSample]]:
    """Ids and samples, one by one."""
    ids = table["id"].to_pylist()
    labels = table["label"].to_pylist() if "label" in table.column_names else None
    targets = _floats(table["target"]) if "target" in table.column_names else None
    for number, identity in enumerate(ids):
        values: dict[str, Any] = {"row": rows.row(number)}
        values |= {} if labels is None else {"label": labels[number]}
        values |= {} if targets is None else {"target": targets[number : number + 1]}
        yield identity, RawSample(values, {})
