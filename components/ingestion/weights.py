"""Weights of samples in the loss, from the cells of a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contracts.table_layout import Columns
from components.core.errors import SourceError
from components.ingestion.number_cells import Numbers


class Weights:
    """Turns the cells of the column `weight` into weights (1,)."""

    def __init__(self, layout: Columns) -> None:
        self._numbers = Numbers(layout, [layout.weight or ""])

    def of(self, value: Any, where: str, place: int) -> NDArray[np.float64]:
        """The weight of a cell.

        Raises:
            SourceError: the cell is empty, no number, infinite or negative.
        """
        weight = self._numbers.of([value], where, place)
        if not math.isfinite(weight[0]) or weight[0] < 0:
            raise SourceError(
                "not the weight of a sample",
                where=f"{where} {place}",
                got=repr(value),
                expected="a finite number, 0 or more",
                next_step="correct the cell, or leave weight: out of the layout",
            )
        return weight
