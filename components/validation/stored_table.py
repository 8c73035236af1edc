"""The sample table of many samples: in a file, read a batch of rows at a time; memory does not grow with the rows.

The file has no name: it ends with the process. It is mapped, and its pages are given back after each batch.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
from numpy.typing import NDArray

BATCH_ROWS = 131_072  # of a batch, and some more: a batch is of whole tables as they came in
LARGE = 200_000  # samples from which the table is stored; below, a data frame is faster and needs no more memory
_FORGET_BYTES = 1 << 20  # written bytes after which pages that were read are given back


class StoredTable:
    """Columns of equal length, each of one type.

    Args:
        folder: where the file is made.
        tables: rows of the table, in order, all of one schema; at least one.
        empty_as_none: whether a column without any value is one of None, as in a data frame made of Python's values.
    """

    def __init__(self, folder: Path, tables: Iterable[pa.Table], *, empty_as_none: bool = False) -> None:
        self._folder = folder
        self._files = [_BatchFile(folder, tables, empty_as_none=empty_as_none)]
        self.columns = list(self._files[0].types)

    def __len__(self) -> int:
        return self._files[0].rows

    def append(self, tables: Iterable[pa.Table]) -> None:
        """Add columns: tables of all rows, in order."""
        self._files.append(_BatchFile(self._folder, tables))
        self.columns += self._files[-1].types

    def batches(self, names: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """The rows in order, about `BATCH_ROWS` at a time; an empty table is one batch.

        Args:
            names: of the columns; default: all.
        """
        for number in range(max(1, self._files[0].batches)):
            yield self._table(names, number).to_pandas()
            self.forget()

    def frame(self, names: Sequence[str]) -> pd.DataFrame:
        """Whole columns."""
        return self._table(names).to_pandas().copy()

    def write_parquet(self, target: Path) -> None:
        """Write the file that pyarrow writes of the data frame with these rows, byte for byte."""
        schema = pa.Schema.from_pandas(next(self.batches()).head(2), preserve_index=False)
        table = self._table(None)
        with target.open("wb") as stream:
            sink = pa.PythonFile(_Sink(stream, self), "w")
            pq.write_table(table.replace_schema_metadata(schema.metadata), sink, compression="zstd")

    def _table(self, names: Sequence[str] | None, number: int | None = None) -> pa.Table:
        """Columns of one batch, or of all."""
        found: dict[str, pa.ChunkedArray] = {}
        for file in self._files:
            found.update({name: file.column(name, number) for name in file.types if names is None or name in names})
        return pa.table({name: found[name] for name in (self.columns if names is None else names)})

    def forget(self) -> None:
        """Give back the pages that were read."""
        for file in self._files:
            file.forget()


class _BatchFile:
    """An unnamed Arrow file of the batches of `_batches`."""

    def __init__(self, folder: Path, tables: Iterable[pa.Table], *, empty_as_none: bool = False) -> None:
        self.rows = self.batches = 0
        nulls: dict[str, int] = {}
        self._parts: list[list[int]] = []  # rows of the tables of each batch
        with tempfile.TemporaryFile(dir=folder) as stream:
            writer: Any = None
            for batch, parts in _batches(tables):
                writer = writer or ipc.new_file(stream, batch.schema)
                writer.write_batch(batch)
                self._parts.append(parts)
                self.rows, self.batches = self.rows + batch.num_rows, self.batches + (batch.num_rows > 0)
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    nulls[name] = nulls.get(name, 0) + column.null_count
                del batch, column
                pa.default_memory_pool().release_unused()
            writer.close()
            stream.flush()
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._reader = ipc.open_file(pa.py_buffer(self._map))
        empty = {name for name, count in nulls.items() if count == self.rows} if empty_as_none and self.rows else set()
        self.types = {field.name: pa.null() if field.name in empty else field.type for field in self._reader.schema}

    def column(self, name: str, number: int | None) -> pa.ChunkedArray:
        """The values of one batch, or of all.

        Texts of all are in chunks of the tables that they came in, as in a data frame: Parquet's pages depend on it.
        """
        chosen = range(self._reader.num_record_batches) if number is None else [number]
        arrays = [self._reader.get_batch(one).column(name) for one in chosen]
        if pa.types.is_null(self.types[name]):
            arrays = [pa.nulls(len(one)) for one in arrays]
        elif number is None and pa.types.is_large_string(self.types[name]):
            arrays = [part for one, array in zip(chosen, arrays, strict=True) for part in self._cut(array, one)]
        return pa.chunked_array(arrays, self.types[name])

    def _cut(self, array: pa.Array, number: int) -> Iterator[pa.Array]:
        start = 0
        for rows in self._parts[number]:
            yield array.slice(start, rows)
            start += rows

    def forget(self) -> None:
        """Give back the pages that were read; they are read again where they are needed."""
        self._map.madvise(mmap.MADV_DONTNEED)


class _Sink:
    """What is written, while the pages of the table that it was made from are given back."""

    def __init__(self, stream: IO[bytes], table: StoredTable) -> None:
        self._stream, self._table = stream, table
        self._written = 0

    def write(self, content: Any) -> int:
        """Write bytes."""
        self._written += len(content)
        if self._written >= _FORGET_BYTES:
            self._written = 0
            self._table.forget()
        return self._stream.write(content)

    def flush(self) -> None:
        """Write what is buffered."""
        self._stream.flush()

    def tell(self) -> int:
        """The number of bytes so far."""
        return self._stream.tell()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._stream.closed


def batches(table: pd.DataFrame | StoredTable, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Columns of a table: those of a data frame at once."""
    if isinstance(table, StoredTable):
        yield from table.batches(names)
    else:
        yield table[list(names)]


def chosen_rows(table: pd.DataFrame | StoredTable, numbers: NDArray[np.int64], names: Sequence[str]) -> pd.DataFrame:
    """Some rows of a table, by their numbers (n,), which rise."""
    parts: list[pd.DataFrame] = []
    start = 0
    for batch in batches(table, names):
        first, last = np.searchsorted(numbers, (start, start + len(batch)))
        parts.append(batch.iloc[numbers[first:last] - start].copy())
        start += len(batch)
    return pd.concat(parts) if len(parts) > 1 else parts[0]


def _batches(tables: Iterable[pa.Table]) -> Iterator[tuple[pa.RecordBatch, list[int]]]:
    """Rows in batches of at least `BATCH_ROWS`, the last of fewer, each of whole tables, with the rows of these.

    One empty batch if there is no row.
    """
    held: list[pa.Table] = []
    is_any = False
    for table in tables:
        held.append(table)
        if sum(one.num_rows for one in held) >= BATCH_ROWS:
            batch, held, is_any = _one_batch(held), [], True
            yield batch
            del batch
    if held or not is_any:
        yield _one_batch(held)


def _one_batch(tables: list[pa.Table]) -> tuple[pa.RecordBatch, list[int]]:
    whole = pa.concat_tables(tables)
    empty = [pa.nulls(0, field.type) for field in whole.schema]
    batches = whole.combine_chunks().to_batches() or [pa.RecordBatch.from_arrays(empty, schema=whole.schema)]
    return batches[0], [table.num_rows for table in tables]
