"""Numbers from whole columns of text: the plain ones by Arrow, the others by their different texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.ingestion import columns

_PLAIN = {
    ".": r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$",
    ",": r"^-?([0-9]+,?[0-9]*|,[0-9]+)([eE][+-]?[0-9]+)?$",
}  # by the decimal mark


def read(cells: pa.Array, decimal: str, single: Callable[[str], float]) -> NDArray[np.float64]:
    """The numbers (n,) of a column of text.

    Args:
        single: the number of a text that is not plain: empty, a word, with marks or blanks; what it raises is raised.
    """
    values = plain(cells, decimal)
    rest = np.isnan(values)
    if rest.any():
        numbers, texts = columns.codes(cells.filter(columns.booleans(rest)) if not rest.all() else cells)
        values[rest] = np.array([single(text) for text in texts], np.float64)[numbers]
    return values


def plain(cells: pa.Array, decimal: str) -> NDArray[np.float64]:
    """The finite numbers (n,) of cells of digits, a decimal mark and an exponent; NaN for all other cells."""
    if decimal == ".":
        try:
            return _finite(pc.if_else(pc.equal(cells, columns.scalar("")), columns.scalar(None), cells))
        except pa.ArrowInvalid:
            pass  # words, blanks, marks of thousands
    texts = pc.if_else(pc.match_substring_regex(cells, _PLAIN[decimal]), cells, columns.scalar(None))
    try:
        return _finite(texts if decimal == "." else pc.replace_substring(texts, decimal, "."))
    except pa.ArrowInvalid:  # beyond the range of float64
        return np.full(len(cells), np.nan)


def _finite(texts: pa.Array) -> NDArray[np.float64]:
    values = np.array(columns.to_floats(texts.cast(pa.float64())))
    values[np.isinf(values)] = np.nan
    return values
