"""Pairs of samples that may be near-duplicates, in a time that grows with N log N, whatever the data is like.

Samples are sorted by a part of their signature, and each is compared with the next `WINDOW` of the order (the sorted
neighbourhood method: Hernandez and Stolfo, The Merge/Purge Problem for Large Databases, SIGMOD 1995). For hashes, the
order is that of the hash and of its rotations (as in Manku, Jain and Das Sarma, Detecting Near-Duplicates for Web
Crawling, WWW 2007). Of more than `WINDOW` samples that agree in a part, distant ones may be missed in that part; at
most `MOST` pairs a sample are proposed, nearest neighbours first.

Legend: N samples, B orders (bands, rotations), P pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WINDOW = 16
MOST = 24
_ROTATIONS = tuple(range(0, 64, 8))

Pairs = NDArray[np.int64]  # (P, 2), the smaller number first, sorted, each pair once


class Proposed(NamedTuple):
    """Pairs to compare.

    Args:
        complete: whether all neighbours of the orders are among them; False where `MOST` has ended the search.
    """

    pairs: Pairs
    complete: bool


def of_hashes(hashes: NDArray[np.uint64], max_distance: int) -> Proposed:
    """Pairs of hashes (N,) that differ in at most `max_distance` bits."""
    orders, values = [], []
    for places in _ROTATIONS:
        left, right = np.uint64(places), np.uint64((64 - places) % 64)
        rotated = (hashes << left) | (hashes >> right) if places else hashes
        orders.append(np.argsort(rotated, kind="stable").astype(np.int32))
        values.append(hashes[orders[-1]])

    def alike(number: int, distance: int) -> NDArray[np.bool_]:
        one, other = values[number][:-distance], values[number][distance:]
        return np.asarray(np.bitwise_count(one ^ other) <= max_distance)

    return _neighbours(orders, alike, len(hashes))


def of_bands(bands: NDArray[np.uint32]) -> Proposed:
    """Pairs of samples with an equal band (N, B)."""
    orders = [np.argsort(band, kind="stable").astype(np.int32) for band in bands.T]
    values = [band[order] for band, order in zip(bands.T, orders, strict=True)]

    def alike(number: int, distance: int) -> NDArray[np.bool_]:
        return np.asarray(values[number][:-distance] == values[number][distance:])

    return _neighbours(orders, alike, len(bands))


def _neighbours(
    orders: Sequence[NDArray[np.int32]], alike: Callable[[int, int], NDArray[np.bool_]], count: int
) -> Proposed:
    """Pairs of near neighbours in an order that are alike.

    Args:
        alike: takes the number of an order and a distance: whether each sample (in the order) is like the one at that
            distance after it.
    """
    found: list[NDArray[np.int64]] = []  # each pair as one number
    collected = 0
    live = list(enumerate(orders))
    for distance in range(1, min(WINDOW, count - 1) + 1):
        for number, order in live:
            chosen = np.flatnonzero(alike(number, distance))
            one, other = order[:-distance][chosen].astype(np.int64), order[distance:][chosen].astype(np.int64)
            found.append(np.minimum(one, other) * count + np.maximum(one, other))
            collected += len(one)
        if collected > MOST * count:
            found = [np.unique(np.concatenate(found))]
            collected = len(found[0])
            if collected > MOST * count:
                return Proposed(_split(found[0], count), complete=False)
    distinct = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    return Proposed(_split(distinct, count), complete=True)


def _split(found: NDArray[np.int64], count: int) -> Pairs:
    return np.stack([found // max(1, count), found % max(1, count)], axis=1)
