"""Columns that summarise what the network's last layer read of a sample, for logs and for the comparison with others.

The length of the vector, and its projections onto a few fixed directions of random signs, which keep distances between
vectors on average (Achlioptas 2003, doi:10.1016/S0022-0000(03)00025-4): a change of the inputs that a network sees in
any direction is seen there too, without the inputs being kept. Legend: N samples, D width, P projections.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROJECTIONS = 4
_SEED = 0


def columns(prefix: str, embeddings: NDArray[np.floating[Any]]) -> dict[str, list[float | None]]:
    """Columns of N values by name, for embeddings (N, D); None where a vector is not finite.

    A projection is in the units of the embedding, and is at most its length.
    """
    vectors = np.asarray(embeddings, np.float64)
    with np.errstate(all="ignore"):
        table = np.column_stack([np.linalg.norm(vectors, axis=1), vectors @ _directions(vectors.shape[1])])
    names = ["norm", *(f"projection_{number}" for number in range(1, PROJECTIONS + 1))]
    values = {name: table[:, place].tolist() for place, name in enumerate(names)}
    wrong = np.flatnonzero(~np.isfinite(table).all(axis=1)).tolist()
    found: dict[str, list[float | None]] = {prefix + name: list(column) for name, column in values.items()}
    for place in wrong:
        for column in found.values():
            column[place] = None
    return found


@cache
def _directions(width: int) -> NDArray[np.float64]:
    """Unit vectors (D, P); of numpy's generator whose numbers are the same in all versions."""
    signs = np.random.RandomState(_SEED).randint(0, 2, (width, PROJECTIONS)) * 2 - 1
    return np.asarray(signs / np.sqrt(width), np.float64)
