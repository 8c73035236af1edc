"""Numbers that are to be predicted, from the cells of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.contracts.table_layout import Columns
from components.core.errors import SourceError
from components.ingestion.labels import Labels
from components.ingestion.number_cells import Numbers

if TYPE_CHECKING:
    import pyarrow as pa


class Targets(Labels):
    """Turns cells into targets (1,) and counts the cells that have none: as `Labels`, for a table with `target`."""

    noun = "target"

    def __init__(self, layout: Columns) -> None:
        super().__init__(layout)
        self._numbers = Numbers(layout, [layout.target or ""])

    def number(self, value: Any, where: str, place: int) -> NDArray[np.float64] | None:
        """The target of a cell; None if it has none.

        Raises:
            SourceError: the cell is no number, or infinite.
        """
        self.rows += 1
        target = self._numbers.of([value], where, place)
        if math.isnan(target[0]):
            self._count(where, place)
            return None
        if math.isinf(target[0]):
            raise SourceError("an infinite target", where=f"{where} {place}", got=value, expected="a finite number")
        return target

    def numbers_of(self, cells: pa.Array, where: str, lines: NDArray[np.int64]) -> NDArray[np.float64]:
        """The targets (n,) of a column of text, NaN where there is none.

        Raises:
            SourceError: a cell is no number, or infinite; no row is counted, and `number` says which row it is.
        """
        targets = self._numbers.of_column(cells, where)
        if np.isinf(targets).any():
            raise SourceError("an infinite target", where=where, expected="a finite number")
        self._count_column(np.isnan(targets), where, lines)
        return targets
