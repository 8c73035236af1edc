"""Samples by column, where each is a row of features: the same samples as one by one, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.contracts.dataset_layout import Fields
from components.ingestion import columns, row_json
from components.ingestion.row_columns import RowColumns
from components.ingestion.sample import Sample

_TEXTS = ("label", "group")  # fields of text that rows may have


class SampleBatch(NamedTuple):
    """n samples.

    Args:
        ids, splits: texts (n,); a split is null where the source gives none.
        rows: the field `row`.
        literals: the same, as JSON (`row_json.literals`).
        texts: fields of text, (n,) each: `label`, `group`.
        targets: (n,) of the field `target`; None without it.
    """

    ids: pa.Array
    splits: pa.Array
    rows: RowColumns
    literals: dict[str, pa.Array]
    texts: dict[str, pa.Array]
    targets: NDArray[np.float64] | None

    def table(self, schema: pa.Schema) -> pa.Table:
        """The samples as sample_file.py writes them, by its schema."""
        fields = {"id": self.ids, "split": self.splits, "row": row_json.texts(self.literals, self.rows.size)}
        if self.targets is not None:
            fields["target"] = columns.single_numbers(self.targets)
        return pa.Table.from_arrays([{**fields, **self.texts}[name] for name in schema.names], schema=schema)

    def contents(self) -> list[bytes]:
        """The rows as JSON by the names of their columns, as a table's task digests them."""
        ordered = {name: self.literals[name] for name in sorted(self.literals)}
        return binary(row_json.texts(ordered, self.rows.size, spaced=True))


class OtherRowsError(Exception):
    """Samples that cannot be read by column; the caller reads them one by one."""


def read(table: pa.Table, fields: Fields, numbers: Sequence[str], categories: Sequence[str]) -> SampleBatch:
    """Samples as sample_file.py has written them.

    Args:
        fields: of the samples, with their kinds.

    Raises:
        OtherRowsError: the samples are no rows of these columns alone.
    """
    if (
        fields.get("row") != "json"
        or not set(fields) <= {"row", "label", "group", "target"}
        or not (numbers or categories)
    ):
        raise OtherRowsError
    found = row_json.read(columns.whole(table["row"]), numbers, categories)
    if found is None:
        raise OtherRowsError
    rows, literals = found
    targets = None
    if "target" in fields:
        lists = columns.whole(table["target"])
        targets = columns.to_floats(lists.flatten())
        if len(targets) != len(lists) or not np.isfinite(targets).all():
            raise OtherRowsError
    texts: dict[str, pa.Array] = {name: columns.whole(table[name]) for name in _TEXTS if name in fields}
    return SampleBatch(columns.whole(table["id"]), columns.whole(table["split"]), rows, literals, texts, targets)


def row_groups(tables: Iterable[pa.Table], most_rows: int, most_bytes: int) -> Iterator[pa.Table]:
    """The rows of tables as row groups, which do not depend on how they are cut into tables.

    Args:
        most_bytes: of the fields of a row group; the row that reaches it is its last.
    """
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        ends = np.cumsum(_row_bytes(table))
        start = 0
        while start < table.num_rows:
            before = int(ends[start - 1]) if start else 0
            by_bytes = int(np.searchsorted(ends, before + most_bytes - size)) + 1
            end = min(start + most_rows - rows, by_bytes, table.num_rows)
            held.append(table.slice(start, end - start))
            rows, size, start = rows + end - start, size + int(ends[end - 1]) - before, end
            if rows == most_rows or size >= most_bytes:
                yield pa.concat_tables(held).combine_chunks()
                held, rows, size = [], 0, 0
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _row_bytes(table: pa.Table) -> NDArray[np.int64]:
    """The size (n,) of the fields of each row: 8 bytes of a number, texts in UTF-8."""
    sizes = np.zeros(table.num_rows, np.int64)
    for name in table.column_names[2:]:
        column = columns.whole(table[name])
        sizes += columns.sizes(column) * (8 if pa.types.is_list(column.type) else 1)
    return sizes


def binary(texts: pa.Array) -> list[bytes]:
    """Texts in UTF-8."""
    found: list[bytes] = texts.cast(pa.binary()).to_pylist()
    return found


class FeatureSamples(Iterator[Sample]):
    """The samples of a table of features; they are read once, either one by one or with `batches`."""

    def __init__(self, samples: Iterator[Sample], batches: Callable[[], Iterator[SampleBatch | list[Sample]]]) -> None:
        self._samples = samples
        self.batches = batches

    def __next__(self) -> Sample:
        return next(self._samples)
