"""Rows of features from the cells of a table: numbers and names of categories, null where a cell is empty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from components.contracts.table_layout import Columns
from components.core.errors import SourceError
from components.ingestion.category import category_name
from components.ingestion.number_cells import Numbers
from components.ingestion.row_columns import Categories, RowColumns, plain_number

if TYPE_CHECKING:
    import pyarrow as pa


Feature = float | int | str | None


class FeatureCells:
    """Turns the cells of a row into its features by name: the columns of numbers, then those of categories."""

    def __init__(self, layout: Columns) -> None:
        self._number_names, self._category_names = layout.numbers or [], layout.categories or []
        self._numbers = Numbers(layout, self._number_names)
        self._missing = frozenset(str(word).strip() for word in layout.missing_values or ())

    def of(self, cells: Sequence[Any], where: str, place: int) -> dict[str, Feature]:
        """The features of a row; its cells are those of `Columns.features`, in their order.

        Raises:
            SourceError: a cell of a number is no number or infinite, or a cell of a category is no name.
        """
        count = len(self._number_names)
        row: dict[str, Feature] = {}
        values = self._numbers.of(cells[:count], where, place).tolist() if count else []
        for name, value in zip(self._number_names, values, strict=True):
            if math.isinf(value):
                raise SourceError(
                    "an infinite number",
                    where=f"{where} {place}",
                    got=f"{value} in the column {name}",
                    expected="a finite number, or an empty cell",
                )
            row[name] = plain_number(value)
        for name, cell in zip(self._category_names, cells[count:], strict=True):
            row[name] = self._category(cell, name, where, place)
        return row

    def of_columns(self, cells: Sequence[pa.Array], where: str) -> RowColumns:
        """The features of n rows; their cells are columns of text, in the order of `Columns.features`.

        Raises:
            SourceError: as of `of`, which says in which row.
        """
        from components.ingestion import columns

        count = len(self._number_names)
        numbers, categories = {}, {}
        for index, name in enumerate(self._number_names):
            values = self._numbers.of_column(cells[index], where, index) + 0.0  # zero has no sign
            if np.isinf(values).any():
                raise SourceError("an infinite number", where=where, got=name)
            numbers[name] = values
        for name, column in zip(self._category_names, cells[count:], strict=True):
            of_text = partial(self._category, name=name, where=where, place=0)
            categories[name] = Categories(*columns.renamed(*columns.codes(column), of_text))
        return RowColumns(len(cells[0]), numbers, categories)

    def _category(self, cell: Any, name: str, where: str, place: int) -> str | None:
        try:
            category = category_name(cell)
        except ValueError as error:
            raise SourceError(
                "a value that is no category",
                where=f"{where} {place}",
                got=f"{cell!r} in the column {name}",
                expected="text, a boolean or a whole number",
                next_step=f"move {name} to `numbers:` if it is a number",
            ) from error
        return None if category in self._missing else category
