"""A temporary file of the features of all samples, by column, for several passes.

Legend: N samples, n samples of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from components.ingestion.row_columns import Categories, RowColumns

_NUMBER, _NAME = np.dtype("<f8"), np.dtype("<i4")


class ColumnScratch:
    """Written once, then read any number of times: batch by batch, or a column at once. In memory: the names.

    Args:
        numbers, categories: names of the columns.
    """

    def __init__(self, path: Path, numbers: Sequence[str], categories: Sequence[str]) -> None:
        self._path = path
        self._stream = path.open("w+b")
        self._numbers = list(numbers)
        self._names: dict[str, dict[str, int]] = {name: {} for name in categories}
        self._counts: list[int] = []
        self._begins: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._path.unlink()

    def append(self, rows: RowColumns) -> None:
        """Write rows."""
        self._begins.append(self._stream.tell())
        self._counts.append(rows.size)
        for name in self._numbers:
            self._stream.write(np.ascontiguousarray(rows.numbers[name], _NUMBER).data)
        for name, known in self._names.items():
            found = rows.categories[name]
            places = [known.setdefault(one, len(known)) for one in found.names]
            self._stream.write(np.array([*places, -1], _NAME)[found.numbers].data)

    def read(self) -> Iterator[RowColumns]:
        """All rows, in the batches in which they were written."""
        for batch, count in enumerate(self._counts):
            numbers = {name: self._part(batch, place) for place, name in enumerate(self._numbers)}
            named = enumerate(self._names, len(self._numbers))
            categories = {name: Categories(self._part(batch, place), list(self._names[name])) for place, name in named}
            yield RowColumns(count, numbers, categories)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers of all samples (N,), NaN for null."""
        return self._column(self._numbers.index(name), _NUMBER)

    def categories(self, name: str) -> Categories:
        """A column of categories of all samples."""
        place = len(self._numbers) + list(self._names).index(name)
        return Categories(self._column(place, _NAME), list(self._names[name]))

    def _column(self, place: int, kind: np.dtype[Any]) -> NDArray[Any]:
        parts = [self._part(batch, place) for batch in range(len(self._counts))]
        return np.concatenate(parts) if parts else np.empty(0, kind)

    def _part(self, batch: int, place: int) -> NDArray[Any]:
        """A column of a batch (n,)."""
        count, floats = self._counts[batch], min(place, len(self._numbers))
        begin = self._begins[batch] + count * (floats * _NUMBER.itemsize + (place - floats) * _NAME.itemsize)
        self._stream.seek(begin)
        return np.fromfile(self._stream, _NUMBER if place < len(self._numbers) else _NAME, count)
