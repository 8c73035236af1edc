"""Rows of the raw samples and of their table, a batch at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from components.ingestion import sample_file
from components.validation import stored_table


def numbers_of(source: Path, ids: Collection[str]) -> set[int]:
    """The row numbers of samples in the raw file, by their ids."""
    found: set[int] = set()
    start = 0
    for _, table in sample_file.batch_tables(source, ["id"]):
        found |= {start + row for row, identity in enumerate(table["id"].to_pylist()) if identity in ids}
        start += table.num_rows
    return found


def texts(source: Path, field: str) -> Iterator[tuple[str, str]]:
    """The id and one field of texts of each sample of the raw file."""
    for _, table in sample_file.batch_tables(source, ["id", field]):
        yield from zip(table["id"].to_pylist(), table[field].to_pylist(), strict=True)


def described(path: Path, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Columns of the table of the raw samples (`raw_table.build`), at once if there are few rows."""
    with pq.ParquetFile(path) as parquet:
        if parquet.metadata.num_rows <= stored_table.LARGE:
            yield parquet.read(columns=list(names)).to_pandas()
            return
        for group in range(parquet.num_row_groups):
            for batch in parquet.iter_batches(
                stored_table.BATCH_ROWS, row_groups=[group], columns=list(names), use_threads=False
            ):
                yield batch.to_pandas()
