"""Rows of features by column.

Legend: n rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EXACT = 2**53  # whole numbers up to here are exact as float64


class Categories(NamedTuple):
    """A column of names.

    Args:
        numbers: (n,) of each row, the place of its name; -1 for null.
    """

    numbers: NDArray[np.int32]
    names: list[str]


class RowColumns(NamedTuple):
    """Features by the names of their columns, in the order of the rows' JSON: numbers, then categories.

    Args:
        numbers: (n,) each, finite, NaN for null.
    """

    size: int
    numbers: dict[str, NDArray[np.float64]]
    categories: dict[str, Categories]

    def chosen(self, mask: NDArray[np.bool_]) -> RowColumns:
        """The rows of a mask (n,)."""
        numbers = {name: values[mask] for name, values in self.numbers.items()}
        categories = {name: values._replace(numbers=values.numbers[mask]) for name, values in self.categories.items()}
        return RowColumns(int(mask.sum()), numbers, categories)

    def row(self, number: int) -> dict[str, float | int | str | None]:
        """One row, as feature_cells.py makes it."""
        numbers = {name: plain_number(float(values[number])) for name, values in self.numbers.items()}
        names = {
            name: None if values.numbers[number] < 0 else values.names[values.numbers[number]]
            for name, values in self.categories.items()
        }
        return {**numbers, **names}


def plain_number(value: float) -> float | int | None:
    """The number as JSON writes it: whole numbers without a fraction, null for NaN."""
    if math.isnan(value):
        return None
    return int(value) if value.is_integer() and abs(value) <= EXACT else value
