"""Conversations packed into rows of at most L tokens; none is cut, and each keeps its place by the number of its row.

The rows are filled by best fit in falling order of length (Johnson et al. 1974, SIAM J. Comput. 3:299). Equal data
gives equal rows. Legend: M conversations, N rows, n rows of a batch, L tokens of a row.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.preprocessing.batch import Arrays, collate
from components.preprocessing.stored import StoredSplit

SEGMENTS = "segments"
PADDING = -1  # the segment of padding


class PackedConversations(StoredSplit):
    """A split whose samples are rows of conversations.

    Each ragged array of the split is one of a row, and so is `segments` int64: the number of each token's conversation
    in its row, from 0.

    Args:
        split: all its arrays are ragged, of equal lengths.
        size: L; no conversation is longer.
    """

    def __init__(self, split: StoredSplit, size: int) -> None:
        segments = ArraySpec(name=SEGMENTS, type="int64", shape=(), layout="ragged", pad=PADDING)
        self.specs = (*split.specs, segments)
        self._split = split
        self._lengths = split.lengths(split.specs[0].name)  # (M,)
        self.rows = best_fit(self._lengths, size)

    def __len__(self) -> int:
        return len(self.rows)

    def lengths(self, name: str) -> NDArray[np.int64]:
        """Tokens of each row, (N,)."""
        return np.asarray([int(self._lengths[row].sum()) for row in self.rows], np.int64)

    def sample(self, row: int) -> Arrays:
        """One row, not padded."""
        parts = [self._split.sample(int(number)) for number in self.rows[row]]
        found = {spec.name: np.concatenate([part[spec.name] for part in parts]) for spec in self._split.specs}
        return {**found, SEGMENTS: np.repeat(np.arange(len(parts)), self._lengths[self.rows[row]])}

    def batch(self, index: NDArray[np.int64], names: Sequence[str] | None = None) -> Arrays:
        """Rows by their numbers (n,): each array (n, L), padded, and its lengths."""
        chosen = [spec.name for spec in self.specs] if names is None else list(names)
        return collate(self.specs, [self.sample(int(row)) for row in index], chosen)


def best_fit(sizes: NDArray[np.int64], limit: int) -> list[NDArray[np.int64]]:
    """The numbers of the samples of each row, (m,) each, in the order of the samples.

    Args:
        sizes: of the samples (M,), each at most `limit`.
        limit: largest sum of a row.
    """
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # room and number of each row that has any, sorted
    for sample in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[sample])
        place = bisect_left(free, (size, -1))
        room, row = free.pop(place) if place < len(free) else (limit, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(sample)
        if room > size:
            insort(free, (room - size, row))
    return [np.asarray(sorted(row), np.int64) for row in sorted(rows, key=min)]
