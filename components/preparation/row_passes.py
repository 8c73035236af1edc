"""The passes of preparation over rows of features, by column.

Legend: N samples, n samples of a batch.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.core.ahead import ahead
from components.core.errors import SampleError
from components.core.progress import Progress
from components.ingestion import columns, sample_file
from components.ingestion.row_columns import Categories, RowColumns
from components.ingestion.sample_batch import OtherRowsError, SampleBatch
from components.preparation import splits
from components.preparation.column_scratch import ColumnScratch
from components.preparation.decoding import Index
from components.preparation.passes import RawFile, Windows
from components.preparation.sample_passes import encode_group
from components.preparation.split_files import SampleList, SplitFiles
from components.preparation.splits import Draw
from components.preprocessing.batch import Arrays
from components.preprocessing.stored import digests_of
from components.tasks import rows_by_column
from components.tasks.rows_by_column import TrainColumns
from components.tasks.task import Processor, RawSample


def is_possible(raw: RawFile) -> bool:
    """Whether the samples may be rows of features that are prepared by column."""
    split = raw.spec.split
    return rows_by_column.has(raw.task) and split.by == "sample" and split.group in (None, "group")


class RowPasses:
    """Keeps the features of all samples in a scratch file.

    Raises:
        OtherRowsError: the samples cannot be read by column; the file is removed.
    """

    def __init__(self, raw: RawFile, path: Path) -> None:
        self._raw = raw
        numbers, categories = raw.spec.columns_by_kind()
        self._columns = ColumnScratch(path, numbers, categories)
        try:
            self.index = self._decode(numbers, categories)
        except BaseException:
            self._columns.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._columns.__exit__(*error)

    def _decode(self, numbers: list[str], categories: list[str]) -> Index:
        raw, seed = self._raw, self._raw.spec.split.seed
        keys, groups = np.empty(raw.samples, np.uint64), np.empty(raw.samples, np.uint64)
        source_splits = np.empty(raw.samples, np.uint8)
        labels, names = array("i"), dict[str, int]()
        row = 0
        with Progress(f"decoding {raw.spec.name}", raw.samples) as progress:
            for batch in sample_file.batches(raw.path, numbers, categories):
                self._columns.append(batch.rows)
                part = slice(row, row + batch.rows.size)
                keys[part] = _keys(batch.contents(), seed)
                if raw.spec.split.group is not None:
                    groups[part] = _group_keys(batch, seed)
                source_splits[part] = _source_splits(batch)
                if "label" in raw.task.fields:
                    labels.frombytes(_numbered(batch.texts["label"], names).tobytes())
                row += batch.rows.size
                progress.advance(batch.rows.size)
        if row != raw.samples:
            raise OtherRowsError
        ordered = sorted(names)
        places = {name: (place,) for place, name in enumerate(ordered)}
        of_number = [places[name] for name in names]
        classes = [of_number[number] for number in labels] if "label" in raw.task.fields else [()] * row
        draw = Draw(keys, classes, source_splits, None if raw.spec.split.group is None else groups, None)
        return Index(draw, ordered, ordered, None, None)

    def fit(self, assigned: NDArray[np.uint8]) -> Processor:
        """The processor, fitted on the samples of train."""
        train = assigned == splits.TRAIN
        numbers, categories = self._raw.spec.columns_by_kind()
        targets = self._targets()[train] if "target" in self._raw.task.fields else None
        task: Any = self._raw.task
        processor: Processor = task.fit_columns(
            self._raw.settings,
            TrainColumns(
                ((name, self._columns.numbers(name)[train]) for name in numbers),
                ((name, _counts(self._columns.categories(name), train)) for name in categories),
                self.index.classes,
                targets,
            ),
        )
        return processor

    def encode(self, processor: Processor, assigned: NDArray[np.uint8], windows: Windows, folder: Path) -> None:
        """Write the samples."""
        start = 0
        with (
            SplitFiles(folder, processor.arrays()) as files,
            SampleList(folder) as listed,
            Progress(f"encoding {self._raw.spec.name}", len(assigned)) as progress,
        ):
            for sizes, table, used, arrays in ahead(self._encoded(processor, assigned)):
                part = slice(start, start + len(used))
                numbers = assigned[part][used]
                places = files.append_batch(numbers, arrays)
                listed.append_groups(
                    _listed(table, numbers, places, arrays, processor, self.index.draw.keys[part][used]),
                    [int(found.sum()) for found in np.split(used, np.cumsum(sizes)[:-1])],
                )
                start += len(used)
                progress.advance(len(used))

    def _encoded(
        self, processor: Processor, assigned: NDArray[np.uint8]
    ) -> Iterator[tuple[list[int], pa.Table, NDArray[np.bool_], Arrays]]:
        """For each batch: sizes of its row groups, which samples (n,) are in a split, their fields, their arrays."""
        names = ["id", *(name for name in ("label", "target") if name in self._raw.task.fields)]
        stored = sample_file.batch_tables(self._raw.path, names)
        start = 0
        for (sizes, table), rows in zip(stored, self._columns.read(), strict=True):
            used = assigned[start : start + rows.size] < len(splits.SPLITS)
            chosen = table.filter(columns.booleans(used))
            yield sizes, chosen, used, _encoded(processor, rows.chosen(used), chosen)
            start += rows.size

    def _targets(self) -> NDArray[np.float64]:
        tables = sample_file.batch_tables(self._raw.path, ["target"])
        return np.concatenate([_floats(table["target"]) for _, table in tables])


def _keys(contents: list[bytes], seed: int) -> NDArray[np.uint64]:
    """`splits.key` of each content, (n,)."""
    begin, sha256 = f"{seed}:".encode(), hashlib.sha256
    digests = b"".join([sha256(begin + content).digest()[:8] for content in contents])
    return np.frombuffer(digests, ">u8").astype(np.uint64)


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


def _listed(
    table: pa.Table, numbers: NDArray[np.uint8], places: NDArray[np.int64], arrays: Arrays, processor: Processor,
    keys: NDArray[np.uint64],
) -> list[pa.Array]:  # fmt: skip
    """The columns of `samples.parquet`."""
    has_labels = "label" in table.column_names
    return [
        columns.of_codes(numbers.astype(np.int32), splits.SPLITS),
        columns.integers(places),
        columns.whole(table["id"]),
        columns.whole(table["label"]) if has_labels else columns.text([""] * len(keys)),
        columns.text(digests_of(arrays, processor.inputs())),
        columns.text([f"{key:016x}" for key in keys.tolist()]),
    ]
