"""Which samples of a source are equal, and whether equal ones have several splits or labels: 24 bytes a sample.

Legend: N samples, U different contents.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_BYTES = 16  # of a digest that are kept


class Contents:
    """The contents of samples, in order.

    Args:
        splits, labels: (N,) number of the split and of the label of each sample.
    """

    def __init__(self) -> None:
        self._digests = bytearray()
        self.splits, self.labels = array("i"), array("i")
        self._names: dict[str, int] = {}
        self._grouped: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    def add(self, content: bytes, split: str, label: str) -> None:
        """Add a sample; "" for none."""
        self._digests += hashlib.sha256(content).digest()[:_BYTES]
        self.splits.append(self._number(split))
        self.labels.append(self._number(label))
        self._grouped = None

    def add_many(
        self, contents: Iterable[bytes], splits: tuple[NDArray[np.int32], Sequence[str]],
        labels: tuple[NDArray[np.int32], Sequence[str]],
    ) -> None:  # fmt: skip
        """Add samples.

        Args:
            splits, labels: numbers (n,) into names.
        """
        sha256 = hashlib.sha256
        self._digests += b"".join([sha256(content).digest()[:_BYTES] for content in contents])
        for target, (numbers, names) in ((self.splits, splits), (self.labels, labels)):
            places = np.array([self._number(name) for name in names] or [0], np.int32)
            target.frombytes(places[numbers].tobytes())
        self._grouped = None

    def values(self) -> list[int]:
        """The number of samples of each content, (U,)."""
        order, begins = self._groups()
        counts: list[int] = np.diff(begins, append=len(order)).tolist()
        return counts

    def share(self, numbers: Sequence[int]) -> float:
        """The share of samples whose content has more than one number (of `splits` or of `labels`)."""
        order, begins = self._groups()
        if not len(order):
            return 0.0
        ordered = np.asarray(numbers, np.int32)[order]
        several = np.minimum.reduceat(ordered, begins) != np.maximum.reduceat(ordered, begins)
        return int(np.diff(begins, append=len(order))[several].sum()) / len(order)

    def _number(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    def _groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The samples, equal ones side by side, and where each content begins among them."""
        if self._grouped is None:
            halves = np.frombuffer(bytes(self._digests), np.uint64).reshape(-1, 2)
            order = np.lexsort((halves[:, 1], halves[:, 0]))
            is_new = (halves[order][1:] != halves[order][:-1]).any(axis=1)
            begins = np.flatnonzero(np.concatenate([np.ones(min(1, len(order)), bool), is_new]))
            self._grouped = order, begins
        return self._grouped
