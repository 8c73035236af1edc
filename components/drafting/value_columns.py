"""Numbers of all rows of a table, and the words among them that stand for a missing value.

Legend: N rows, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.drafting import series
from components.drafting.cells import MISSING
from components.drafting.table_files import Files, Rows
from components.ingestion import columns, number_cells, number_columns


def read(
    table: Files, names: Sequence[str], marks: tuple[str, str | None]
) -> tuple[list[NDArray[np.float64]], dict[str, int]]:
    """The values (N,) of each column, NaN where there is none, and the number of cells of each word, in the order in
    which the words occur.

    Args:
        marks: decimal mark, mark of thousands.

    Raises:
        SourceError: a cell is neither a number nor such a word.
    """
    words: dict[str, int] = {}
    found: list[list[NDArray[np.float64]]] = [[] for _ in names]
    for rows in table.blocks(names) if names else ():
        for parts, values in zip(found, _values(rows, names, marks, words), strict=True):
            parts.append(values)
    return [np.concatenate(parts) if parts else np.empty(0) for parts in found], words


class _Words:
    """Words among the cells of one block: their first row and column, and their number of cells."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int, str, int]] = []

    def column(self, cells: pa.Array, index: int, marks: tuple[str, str | None]) -> NDArray[np.float64]:
        """The values of a column, (n,).

        Raises:
            ValueError: a cell is neither a number nor a word.
        """
        values = number_columns.plain(cells, marks[0])
        rest = np.flatnonzero(np.isnan(values))
        if len(rest):
            places, texts = columns.codes(cells.take(columns.integers(rest)))
            values[rest] = np.array([_number(text, marks) for text in texts])[places]
            counts = np.bincount(places, minlength=len(texts)).tolist()
            _, first = np.unique(places, return_index=True)
            for text, count, place in zip(texts, counts, first.tolist(), strict=True):
                if text.strip().lower() in MISSING:
                    self.found.append((int(rest[place]), index, text.strip(), count))
        return values


def _values(
    rows: Rows, names: Sequence[str], marks: tuple[str, str | None], words: dict[str, int]
) -> list[NDArray[np.float64]]:
    own = _Words()
    try:
        values = [own.column(cells, index, marks) for index, cells in enumerate(rows.block.columns)]
    except ValueError:  # row by row, which says where it is
        each = [series.row_of(cells, names, f"{rows.where} {line}", marks, words) for line, cells in rows.block.rows()]
        return list(np.stack(each).T)
    for _, _, word, count in sorted(own.found):
        words[word] = words.get(word, 0) + count
    return values


def _number(text: str, marks: tuple[str, str | None]) -> float:
    if not text.strip() or text.strip().lower() in MISSING:
        return float("nan")
    value = number_cells.parse(text, *marks)
    if value is None:
        raise ValueError(text)
    return value
