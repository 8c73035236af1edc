"""`samples.parquet`: the common file format of all sources. The file's schema has the kind of each field."""

from __future__ import annotations

import functools
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contracts.dataset_layout import Fields, Kind
from components.core.ahead import ahead
from components.core.errors import SourceError
from components.core.progress import Progress
from components.ingestion import columns, sample_batch
from components.ingestion.sample import Sample
from components.ingestion.sample_batch import FeatureSamples, SampleBatch

FILE_NAME = "samples.parquet"
# Of a row group, whose share of the footer takes about 1 KiB a column wherever the file is open. One of large images
# has fewer rows.
ROW_GROUP, _ROW_GROUP_BYTES = 1 << 16, 16 << 20
_GROUP = 1024  # samples that are converted at a time
_BATCH_ROWS, _BATCH_GROUP_BYTES = 1 << 14, 4 << 20  # rows of a batch; a row group of more bytes ends its batch
_REPLACEMENT = "\ufffd"

_TYPES: dict[Kind, pa.DataType] = {
    "text": pa.string(), "json": pa.string(), "binary": pa.binary(), "numbers": pa.list_(pa.float64()),
}  # fmt: skip
_COLUMNS: dict[Kind, Callable[[Any], pa.Array]] = {
    "text": columns.encoded_text, "json": columns.encoded_text, "binary": columns.binary, "numbers": columns.numbers,
}  # fmt: skip


class SampleCounts(NamedTuple):
    """Number of written samples: all, by split (`null`: no split) and by label ({} without labels).

    Args:
        replaced: samples whose text has U+FFFD in place of bytes that could not be decoded.
    """

    samples: int
    splits: dict[str, int]
    labels: dict[str, int]
    replaced: int


class FilePart(NamedTuple):
    """Consecutive samples of a file.

    Args:
        row_groups: numbers of those that have them.
        skipped: rows of the first row group before them.
        rows: number of samples.
    """

    row_groups: range
    skipped: int
    rows: int


def write(samples: Iterable[Sample], path: Path, label: str, fields: Fields) -> SampleCounts:
    """Write samples in order, by row group: the memory does not grow with the number of samples.

    Raises:
        SourceError: a value is not of its field's kind.
    """
    splits: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    replaced = 0
    texts = [name for name, kind in fields.items() if kind in ("text", "json")]
    schema = _schema(fields)
    repeated = ["split", *(name for name, kind in fields.items() if kind == "text")]
    with (
        pq.ParquetWriter(path, schema, compression="zstd", write_statistics=False, use_dictionary=repeated) as writer,
        Progress(label, None) as progress,
    ):

        def counted() -> Iterator[pa.Table]:
            nonlocal replaced
            for table in _tables(samples, fields, schema):
                splits.update(_counts(table["split"]))
                if "label" in fields:
                    labels.update(_counts(table["label"]))
                replaced += _replaced(table, texts)
                yield table
                progress.advance(table.num_rows)

        for group in sample_batch.row_groups(counted(), ROW_GROUP, _ROW_GROUP_BYTES):
            writer.write_table(group)
    return SampleCounts(splits.total(), dict(sorted(splits.items())), dict(sorted(labels.items())), replaced)


def _tables(samples: Iterable[Sample], fields: Fields, schema: pa.Schema) -> Iterator[pa.Table]:
    """The samples as columns, some at a time."""
    if isinstance(samples, FeatureSamples):
        return _batch_tables(samples, fields, schema)
    return _sample_tables(samples, fields, schema)


def _sample_tables(samples: Iterable[Sample], fields: Fields, schema: pa.Schema) -> Iterator[pa.Table]:
    for group in _groups(samples, fields):
        arrays = [columns.text([sample.id for sample in group]), columns.text([sample.split for sample in group])]
        arrays += [_COLUMNS[kind]([sample.values[name] for sample in group]) for name, kind in fields.items()]
        yield pa.Table.from_arrays(arrays, schema=schema)


def _batch_tables(samples: FeatureSamples, fields: Fields, schema: pa.Schema) -> Iterator[pa.Table]:
    for found in ahead(samples.batches()):
        if isinstance(found, SampleBatch):
            yield found.table(schema)
        else:
            yield from _sample_tables(found, fields, schema)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Number of rows of each text; those without one as `null`."""
    counts = column.value_counts()
    names = ["null" if name is None else name for name in counts.field(0).to_pylist()]
    return dict(zip(names, counts.field(1).to_pylist(), strict=True))


def _replaced(table: pa.Table, names: Sequence[str]) -> int:
    """Number of rows that have U+FFFD in one of these columns."""
    found = np.zeros(table.num_rows, bool)
    for name in names:
        found |= columns.to_booleans(pc.match_substring(columns.whole(table[name]), _REPLACEMENT))
    return int(found.sum())


def fields_of(path: Path) -> Fields:
    """The fields of the samples of a file."""
    return _fields(pq.read_schema(path))


def groups(path: Path, leave_out: Collection[str] = ()) -> Iterator[list[Sample]]:
    """The samples of a file, at most 1,024 at a time.

    Each row group is read by itself: pyarrow's own `iter_batches` does not free the memory of earlier ones.

    Args:
        leave_out: fields that are not read.
    """
    with pq.ParquetFile(path) as parquet:
        fields = {name: kind for name, kind in _fields(parquet.schema_arrow).items() if name not in leave_out}
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group, columns=["id", "split", *fields], use_threads=False)
            for start in range(0, table.num_rows, _GROUP):
                yield _samples(table.slice(start, _GROUP), fields)


def batches(
    path: Path, numbers: Sequence[str], categories: Sequence[str], part: FilePart | None = None
) -> Iterator[SampleBatch]:
    """The samples of a file by column, up to 16,384 at a time.

    Args:
        numbers, categories: names of the columns of the field `row`.
        part: what is read; None: all.

    Raises:
        OtherRowsError: the samples are no rows of these columns alone, or not written as `write` does it by column.
    """
    with _opened(path, part) as parquet:
        fields = _fields(parquet.schema_arrow)
    tables = batch_tables(path, ["id", "split", *fields], part)
    yield from ahead(sample_batch.read(table, fields, numbers, categories) for table in tables)


def batch_tables(path: Path, names: Sequence[str], part: FilePart | None = None) -> Iterator[pa.Table]:
    """Columns of the samples of each of `batches`, as they are stored."""
    with _opened(path, part) as parquet:
        about = parquet.metadata
        skipped, left = (0, about.num_rows) if part is None else part[1:]
        for chosen in _together(about, range(about.num_row_groups) if part is None else part.row_groups):
            table = parquet.read_row_groups(chosen, columns=list(names), use_threads=False).slice(skipped, left)
            skipped, left = 0, left - table.num_rows
            yield from (table.slice(start, _BATCH_ROWS) for start in range(0, table.num_rows, _BATCH_ROWS))


def _together(about: pq.FileMetaData, row_groups: range) -> Iterator[list[int]]:
    """The numbers of row groups, those together that are read at once."""
    chosen: list[int] = []
    rows = 0
    for number in row_groups:
        group = about.row_group(number)
        chosen.append(number)
        rows += group.num_rows
        if rows >= _BATCH_ROWS or group.total_byte_size > _BATCH_GROUP_BYTES or number == row_groups[-1]:
            yield chosen
            chosen, rows = [], 0


def _opened(path: Path, part: FilePart | None) -> pq.ParquetFile:
    """The file; for parts of it, its footer is read once: it grows with the number of row groups."""
    if part is None:
        return pq.ParquetFile(path)
    about = path.stat()
    return pq.ParquetFile(path, metadata=_footer(path, about.st_size, about.st_mtime_ns))


@functools.lru_cache(maxsize=1)
def _footer(path: Path, _bytes: int, _changed_ns: int) -> pq.FileMetaData:
    return pq.read_metadata(path)


def count(path: Path) -> int:
    """The number of samples."""
    return int(pq.read_metadata(path).num_rows)


def ids(path: Path) -> list[str]:
    """The ids of all samples."""
    return texts(path, "id")


def texts(path: Path, field: str) -> list[str]:
    """One field of texts of all samples."""
    with pq.ParquetFile(path) as parquet:
        tables = (parquet.read_row_group(group, [field], use_threads=False) for group in range(parquet.num_row_groups))
        return [value for table in tables for value in table[field].to_pylist()]


def texts_of(path: Path, field: str, rows: Collection[int]) -> dict[int, str]:
    """One field of texts of a few rows, by row; the memory does not grow with the number of samples."""
    found: dict[int, str] = {}
    order, start, place = sorted(rows), 0, 0
    with pq.ParquetFile(path) as parquet:
        for group in range(parquet.num_row_groups):
            end = start + parquet.metadata.row_group(group).num_rows
            last = bisect_left(order, end, place)
            if last > place:
                values = parquet.read_row_group(group, [field], use_threads=False)[field].to_pylist()
                found |= {row: values[row - start] for row in order[place:last]}
            start, place = end, last
    return found


def pick(path: Path, rows: Collection[int]) -> Iterator[tuple[int, Sample]]:
    """A few rows and their samples, in the file's order; only the row groups with these rows are read."""
    with pq.ParquetFile(path) as parquet:
        fields = _fields(parquet.schema_arrow)
        start = 0
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            group_rows = sorted(row for row in rows if start <= row < start + size)
            if group_rows:
                table = parquet.read_row_group(group, columns=["id", "split", *fields], use_threads=False)
                for row in group_rows:
                    yield row, _samples(table.slice(row - start, 1), fields)[0]
            start += size


def _schema(fields: Fields) -> pa.Schema:
    own = [pa.field(name, _TYPES[kind], nullable=False, metadata={"kind": kind}) for name, kind in fields.items()]
    return pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("split", pa.string()), *own])


def _fields(schema: pa.Schema) -> Fields:
    return {field.name: field.metadata[b"kind"].decode() for field in schema if b"kind" in (field.metadata or {})}


def _samples(table: pa.Table, fields: Fields) -> list[Sample]:
    read = [_values(table[name], kind) for name, kind in fields.items()]
    rows = zip(*read, strict=True) if read else (() for _ in range(table.num_rows))
    heads = zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True)
    return [Sample(*head, dict(zip(fields, row, strict=True))) for head, row in zip(heads, rows, strict=True)]


def _values(column: pa.ChunkedArray, kind: Kind) -> Sequence[Any]:
    if kind == "numbers":
        return columns.lists(column)
    values: list[Any] = column.to_pylist()
    return [json.loads(text) for text in values] if kind == "json" else values


def _groups(samples: Iterable[Sample], fields: Fields) -> Iterator[list[Sample]]:
    """Encoded samples, some at a time: text and JSON as UTF-8 bytes."""
    group: list[Sample] = []
    group_bytes = 0
    for sample in samples:
        encoded = {name: _encode(sample, name, kind) for name, kind in fields.items()}
        group.append(sample._replace(values=encoded))
        group_bytes += sum(memoryview(value).nbytes for value in encoded.values())
        if len(group) == _GROUP or group_bytes >= _ROW_GROUP_BYTES:
            yield group
            group, group_bytes = [], 0
    if group:
        yield group


def _encode(sample: Sample, name: str, kind: Kind) -> Any:
    value = sample.values[name]
    try:
        if kind == "text":
            return value.encode()
        if kind == "json":
            return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        if kind == "numbers":
            return np.ascontiguousarray(value, np.float64).reshape(-1)
    except (ValueError, TypeError, AttributeError) as error:  # UnicodeEncodeError among them
        raise SourceError(f"{name} is no {kind}", where=sample.id, got=error) from error
    return bytes(value)
