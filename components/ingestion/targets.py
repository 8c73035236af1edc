"""Numbers that are to be predicted, from the cells of a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contracts.table_layout import Columns
from components.core.errors import SourceError
from components.ingestion.labels import Labels
from components.ingestion.number_cells import Numbers


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
