"""Rows of the raw samples and of their table, a batch at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from components.ingestion import sample_file
from components.validation import stored_table
from components.validation.stored_table import StoredTable, batches

_SPLITS = ("train", "validation", "test")


def numbers_of(source: Path, ids: Collection[str]) -> set[int]:
    """The row numbers of samples in the raw file, by their ids."""
    found: set[int] = set()
    start = 0
    for table in sample_file.batch_tables(source, ["id"]):
        found |= {start + row for row, identity in enumerate(table["id"].to_pylist()) if identity in ids}
        start += table.num_rows
    return found


def texts(source: Path, field: str) -> Iterator[tuple[str, str]]:
    """The id and one field of texts of each sample of the raw file."""
    for table in sample_file.batch_tables(source, ["id", field]):
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


def with_splits(raw: Path, field: str, table: pd.DataFrame | StoredTable) -> Iterator[tuple[str, str]]:
    """One field of texts of the raw samples that are in a split, with the split."""
    if isinstance(table, StoredTable) and all(place is not None for place in _places(raw, table)):
        in_order = zip(texts(raw, field), _places(raw, table), strict=True)
        yield from ((text, split) for (_, text), split in in_order if split)
        return
    splits: dict[str, str] = {}
    for batch in batches(table, ["id", "split"]):
        splits.update(zip(batch["id"], batch["split"], strict=True))
    yield from ((text, splits[identity]) for identity, text in texts(raw, field) if identity in splits)


def _places(raw: Path, table: StoredTable) -> Iterator[str | None]:
    """The split of each raw sample, "" for none, where each split has its samples in the order of the raw file.

    The last is None if a split has another order.
    """
    rest = {split: _ids(table, split) for split in _SPLITS}
    heads = {next(ids, None): split for split, ids in rest.items()}
    for part in sample_file.batch_tables(raw, ["id"]):
        for identity in part["id"].to_pylist():
            split = heads.pop(identity, "")
            if split:
                heads[next(rest[split], None)] = split
            yield split
    if heads.keys() - {None}:
        yield None


def _ids(table: StoredTable, split: str) -> Iterator[str]:
    for batch in table.batches(["id", "split"]):
        yield from batch.loc[batch["split"] == split, "id"].tolist()
