"""The cells of all rows of one column: the different ones, and those that have no label."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from components.drafting.table_files import Files
from components.ingestion import columns

_SHOWN = 3


class Unlabelled(NamedTuple):
    """Rows without a label or target.

    Args:
        rows: number of all rows.
        first: where the first ones are, at most `_SHOWN`.
    """

    rows: int
    missing: int
    first: list[str]


def without(table: Files, name: str, is_none: Callable[[str], bool]) -> Unlabelled:
    """The rows whose cell is none.

    Args:
        is_none: whether a cell is none.
    """
    total = count = 0
    first: list[str] = []
    for rows in table.blocks([name]):
        places, texts = columns.codes(rows.block.columns[0])
        missing = np.flatnonzero(np.array([is_none(text) for text in texts], bool)[places])
        total, count = total + len(places), count + len(missing)
        first += [rows.place(row) for row in missing[: _SHOWN - len(first)].tolist()]
    return Unlabelled(total, count, first)


def different(table: Files, name: str) -> set[str]:
    """The different cells of a column."""
    return {cell for rows in table.blocks([name]) for cell in rows.block.columns[0].unique().to_pylist()}
