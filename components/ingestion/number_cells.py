"""Numbers from the cells of a table."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.contracts.table_layout import Columns
from components.core.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Numbers:
    """Turns cells into float64; an empty cell and a word or number of `missing_values` is NaN.

    Args:
        columns: names of the columns of the cells, for messages; one name if a cell is a list of numbers.
    """

    def __init__(self, layout: Columns, columns: Sequence[str]) -> None:
        self._columns = columns
        self._decimal = layout.decimal or "."
        self._thousands = layout.thousands
        self._plain = self._decimal == "." and self._thousands is None
        words = [str(word).strip() for word in layout.missing_values or ()]
        self._words = frozenset(words)
        self._sentinels = np.array([value for word in words if (value := self._float(word)) is not None], np.float64)

    def of(self, cells: Sequence[Any], where: str, place: int) -> NDArray[np.float64]:
        """The numbers of a row (n,).

        Raises:
            SourceError: a cell is no number.
        """
        if len(cells) == 1 and isinstance(cells[0], list):
            cells = cells[0]
        try:
            if not self._plain:
                raise ValueError
            values = np.array([float(cell) for cell in cells], np.float64)
        except (ValueError, TypeError):  # an empty cell, a mark, a word
            values = np.array([self._cell(cell, index, where, place) for index, cell in enumerate(cells)], np.float64)
        if self._sentinels.size:
            values[np.isin(values, self._sentinels)] = math.nan
        return values

    def of_column(self, cells: pa.Array, where: str, index: int = 0) -> NDArray[np.float64]:
        """The numbers (n,) of a column of text, or of float64.

        Args:
            index: which column it is.

        Raises:
            SourceError: a cell is no number; `of` says in which row.
        """
        from components.ingestion import columns, number_columns

        if str(cells.type) == "double":
            values = np.array(columns.to_floats(cells))
        else:
            values = number_columns.read(cells, self._decimal, lambda text: self._cell(text, index, where, 0))
        if self._sentinels.size:
            values[np.isin(values, self._sentinels)] = math.nan
        return values

    def _cell(self, cell: Any, index: int, where: str, place: int) -> float:
        if cell is None or cell == "":
            return math.nan
        text = cell.strip() if isinstance(cell, str) else cell
        if text == "" or text in self._words:
            return math.nan
        value = self._float(text)
        if value is None:
            name = self._columns[index] if index < len(self._columns) else self._columns[-1]
            raise SourceError(
                "a value that is no number",
                where=f"{where} {place}",
                got=f"{cell!r} in the column {name}",
                expected=self._expected(),
                next_step=self._next_step(text),
            )
        return value

    def _float(self, value: Any) -> float | None:
        if isinstance(value, str):
            return parse(value, self._decimal, self._thousands)
        try:
            return float(value)
        except (ValueError, TypeError, OverflowError):
            return None

    def _expected(self) -> str:
        groups = f", groups of three digits separated by {self._thousands!r}" if self._thousands else ""
        return f"a number with the decimal mark {self._decimal!r}{groups}"

    def _next_step(self, text: Any) -> str:
        if isinstance(text, str):
            for decimal, thousands in FORMATS:
                if parse(text, decimal, thousands) is not None:
                    keys = [f'`decimal: "{decimal}"`'] if decimal != "." else []
                    keys += [f'`thousands: "{thousands}"`'] if thousands else []
                    return f"set {' and '.join(keys)}" if keys else "remove `decimal:` and `thousands:`"
        return f"mend the cell, or set `missing_values: [{str(text)!r}]` if it stands for no value"


# Decimal mark and mark of thousands, the most usual first.
FORMATS = (
    (".", None), (",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (".", "\u2019"),
    (",", "\u00a0"), (",", "\u202f"), (".", "\u00a0"), (".", "\u202f"),
)  # fmt: skip


def parse(text: str, decimal: str = ".", thousands: str | None = None) -> float | None:
    """The number that a text spells with these marks; None if it spells none.

    Marks of thousands are read between groups of three digits only: with `thousands: ","`, neither `1,23` nor `0,123`
    is a number.
    """
    text = text.strip()
    if thousands is not None and thousands in text:
        whole, mark, rest = text.partition(decimal)
        head, *groups = whole.lstrip("+-").split(thousands)
        if not 1 <= len(head) <= 3 or not head.isdecimal() or head[0] == "0":
            return None
        if any(len(group) != 3 or not group.isdecimal() for group in groups):
            return None
        text = whole.replace(thousands, "") + mark + rest
    if decimal != ".":
        if "." in text:
            return None
        text = text.replace(decimal, ".")
        if _PLAIN.fullmatch(text) is None:
            return None
    try:
        return float(text)
    except ValueError:
        return None
