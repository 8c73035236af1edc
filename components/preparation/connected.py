"""Connected components of samples (union by least key, with path halving: Tarjan and van Leeuwen 1984)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def joined(keys: NDArray[np.uint64], pairs: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The least key of each sample's component (N,). Samples of equal keys, and the samples of a pair, are connected.

    Args:
        keys: (N,).
        pairs: (P, 2) numbers of samples.
    """
    result = keys.copy()
    if not len(pairs):
        return result
    parents: dict[int, int] = {}

    def root(key: int) -> int:
        while (parent := parents.get(key, key)) != key:
            parents[key] = parents.get(parent, parent)
            key = parent
        return key

    for one, other in keys[pairs].tolist():
        roots = sorted((root(one), root(other)))
        parents[roots[1]] = roots[0]
    names = np.array(sorted({*parents, *parents.values()}), np.uint64)
    roots_of = np.array([root(int(name)) for name in names.tolist()], np.uint64)
    places = np.minimum(np.searchsorted(names, keys), len(names) - 1)
    member = names[places] == keys
    result[member] = roots_of[places[member]]
    return result
