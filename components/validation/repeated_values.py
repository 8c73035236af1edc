"""Values that occur more than once, found by 64-bit hashes: 8 bytes a row, sorted in place.

Two values may have one hash. So rows of a repeated hash are candidates, and whoever uses them compares the values.
Legend: N rows, n rows of a batch, R repeated hashes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

KEYS = tuple(f"Modelyard hash {number}" for number in range(4))  # of 16 characters, as pandas asks for


def hashes(values: pd.Series, key: str) -> NDArray[np.uint64]:
    """A hash (n,) of each value; equal values have equal hashes.

    Args:
        key: one of `KEYS`; values that have one hash by a key have two by another, nearly surely.
    """
    if pd.api.types.is_float_dtype(values):
        values = values + 0.0  # -0.0 equals 0.0
    found: NDArray[np.uint64] = pd.util.hash_pandas_object(
        values, index=False, hash_key=key, categorize=False
    ).to_numpy()
    return found


class Repeated(NamedTuple):
    """The hashes of more than one row.

    Args:
        sorted_hashes: (R,).
    """

    sorted_hashes: NDArray[np.uint64]
    key: str

    @staticmethod
    def find(columns: Iterable[pd.Series], rows: int, key: str) -> Repeated:
        """Find the repeated hashes of a column.

        Args:
            columns: the values, in batches of at most `rows` rows in all.
        """
        found = np.empty(rows, np.uint64)
        stop = 0
        for values in columns:
            found[stop : stop + len(values)] = hashes(values, key)
            stop += len(values)
        found = found[:stop]
        found.sort()
        repeated = found[1:][found[1:] == found[:-1]]
        is_first = np.ones(len(repeated), bool)
        is_first[1:] = repeated[1:] != repeated[:-1]
        return Repeated(repeated[is_first], key)

    def places(self, values: pd.Series) -> NDArray[np.int64]:
        """Of each value (n,), the place of its hash among the repeated ones; -1 if it is none."""
        if not len(self.sorted_hashes):
            return np.full(len(values), -1)
        own = hashes(values, self.key)
        places = np.minimum(np.searchsorted(self.sorted_hashes, own), len(self.sorted_hashes) - 1)
        return np.where(self.sorted_hashes[places] == own, places, -1)
