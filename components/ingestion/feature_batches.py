"""Samples of a table of features, by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.contracts.dataset_layout import TableLayout
from components.core.errors import SourceError
from components.ingestion import columns, row_json, typed_columns
from components.ingestion.delimited_blocks import RowBlock
from components.ingestion.feature_cells import FeatureCells
from components.ingestion.labels import Labels
from components.ingestion.sample import split_name
from components.ingestion.sample_batch import SampleBatch
from components.ingestion.targets import Targets


def is_possible(layout: TableLayout) -> bool:
    """Whether the samples are rows of features of a text table or Parquet file, without a time, sets of labels
    or weights."""
    is_table = layout.kind in ("csv", "tsv", "parquet")
    is_plain = layout.time is None and layout.labels is None and layout.weight is None
    return bool(layout.features) and is_table and is_plain


class Reader:
    """Makes samples of the rows of one file.

    Args:
        single: columns before those of the features in a block.
        prefix: of the ids; split: of rows that name none; where: the file, in messages.
    """

    def __init__(self, layout: TableLayout, single: Sequence[str], prefix: str, split: str | None, where: str) -> None:
        self._layout, self._prefix, self._split, self._where = layout, prefix, split, where
        self._places = {column: list(single).index(column) for column in single}
        self._features = FeatureCells(layout)
        self._content = len(single)

    def batch(self, block: RowBlock, first: int, labels: Labels) -> SampleBatch | None:
        """The samples of a block, without rows that have no label or target; these are counted in `labels`.

        Args:
            first: number of the block's first row in the file.

        Returns:
            None if a cell cannot be read.
        """
        try:
            rows = self._features.of_columns(self._feature_cells(block), self._where)
            splits, groups = self._splits(block), self._groups(block)
            texts, targets, kept = self._labels(block, labels)  # the last one, as it counts
        except (SourceError, typed_columns.OtherTypeError):
            return None
        texts |= groups
        numbers = np.arange(first, first + len(block.lines))
        if not kept.all():
            mask = columns.booleans(kept)
            numbers, rows, splits = numbers[kept], rows.chosen(kept), splits.filter(mask)
            texts = {name: found.filter(mask) for name, found in texts.items()}
            targets = None if targets is None else targets[kept]
        padded = pc.utf8_lpad(columns.integers(numbers).cast(pa.string()), width=6, padding="0")
        ids = pc.binary_join_element_wise(columns.scalar(f"{self._prefix}/"), padded, columns.scalar(""))
        return SampleBatch(ids, splits, rows, row_json.literals(rows), texts, targets)

    def _feature_cells(self, block: RowBlock) -> list[pa.Array]:
        """The columns of numbers, as text or numbers, then those of categories as text."""
        cells, count = block.columns[self._content :], len(self._layout.numbers or ())
        numbers = [typed_columns.number(column) for column in cells[:count]]
        return [*numbers, *(typed_columns.category(column) for column in cells[count:])]

    def _column(self, block: RowBlock, name: str | None) -> pa.Array:
        return block.columns[self._places[name or ""]]

    def _splits(self, block: RowBlock) -> pa.Array:
        if self._layout.split is None:
            return columns.of_codes(np.zeros(len(block.lines), np.int32), [self._split])
        numbers, cells = columns.codes(typed_columns.text(self._column(block, self._layout.split)))
        return columns.of_codes(numbers, [split_name(cell, self._where) if cell else self._split for cell in cells])

    def _groups(self, block: RowBlock) -> dict[str, pa.Array]:
        if self._layout.group is None:
            return {}
        cells = typed_columns.text(self._column(block, self._layout.group))
        return {"group": columns.of_codes(*columns.renamed(*columns.codes(cells), str.strip))}

    def _labels(
        self, block: RowBlock, labels: Labels
    ) -> tuple[dict[str, pa.Array], NDArray[np.float64] | None, NDArray[np.bool_]]:
        """Fields of text, targets, and which rows have a label or target."""
        if isinstance(labels, Targets):
            cells = typed_columns.number(self._column(block, self._layout.target))
            targets = labels.numbers_of(cells, self._where, block.lines)
            return {}, targets, ~np.isnan(targets)
        if self._layout.label is None:
            return {}, None, np.ones(len(block.lines), bool)
        cells = typed_columns.label(self._column(block, self._layout.label))
        numbers, names = labels.of_column(cells, self._where, block.lines)
        return {"label": columns.of_codes(numbers, names)}, None, numbers >= 0
