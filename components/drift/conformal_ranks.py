"""Turn rows into ranks that are independent and uniform on [0, 1] as long as nothing drifts.

A row's rank is its place among the reference and all rows that came before it, ties and gaps filled by a random draw:
a smoothed conformal p-value. If reference and rows are exchangeable, the ranks are independent and uniform exactly,
whatever the distribution, the size of the reference or the sizes of windows (Vovk, Gammerman and Shafer 2005,
"Algorithmic Learning in a Random World", theorem 8.2). P-values of windows against one unchanging reference are
not: they share its errors, which do not average out over windows.

Numbers are not kept. A grid of fixed places in the sorted reference cuts the line into cells. The number of gaps
between neighbouring reference values in a cell, plus the later rows in it, over their sum, is exactly the probability
that the next row falls there (Polya's urn). Equal values are ordered by random draws of their own, so that atoms
are cut too.

Legend: M rows of a window, G cells, L categories; leading axes (...) are independent streams, as in simulations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.drift.distances import Real

Integers = NDArray[np.int64]

TAILS = (0.001, 0.005, 0.02)
PARTS = 32  # equal parts of the grid, between the tails
RARE = 0.005  # share of rows up to which a category is ordered by its frequency, the unseen ones first
LARGEST = float(np.finfo(np.float64).max)  # stands for a missing value: after all numbers
_CHUNK = 48  # rows that are compared pair by pair
_ELEMENTS = 4_000_000  # of an intermediate array


def ordered(values: Real) -> Real:
    """Values as finite numbers in the same order; NaN is the last of them."""
    below = np.nextafter(LARGEST, 0)
    return np.where(np.isnan(values), LARGEST, np.clip(values, -below, below))


def grid_places(rows: int) -> Integers:
    """Places (1 to rows) in a sorted reference where the grid cuts; they depend on its size alone."""
    levels = [*TAILS, *(np.arange(1, PARTS) / PARTS), *(1 - level for level in TAILS)]
    return np.unique(np.clip(np.round(np.asarray(levels) * (rows + 1)), 1, rows).astype(np.int64))


def make_grid(reference: Real, draws: Real) -> tuple[Real, Real, Real]:
    """Values and draws at which the line is cut, (..., G - 1) each, and gaps in each cell, (..., G).

    Args:
        reference: finite numbers, (..., N).
        draws: uniform ones that order equal values, (..., N).
    """
    order = np.lexsort((draws, reference), axis=-1)
    places = grid_places(reference.shape[-1])
    cuts = order[..., places - 1]
    gaps = np.diff(np.concatenate([[0], places, [reference.shape[-1] + 1]])).astype(np.float64)
    values, ties = np.take_along_axis(reference, cuts, -1), np.take_along_axis(draws, cuts, -1)
    return values, ties, np.broadcast_to(gaps, (*reference.shape[:-1], len(gaps))).copy()


def find_cells(values: Real, draws: Real, cuts: Real, ties: Real) -> Integers:
    """The cell of each row, (..., M): cells are between neighbouring pairs of cut and tie, (..., G - 1)."""
    step = max(1, _ELEMENTS // max(1, cuts.size))
    found = [
        (
            (cuts[..., None, :] < values[..., at : at + step, None])
            | (
                (cuts[..., None, :] == values[..., at : at + step, None])
                & (ties[..., None, :] < draws[..., at : at + step, None])
            )
        ).sum(axis=-1)
        for at in range(0, values.shape[-1], step)
    ]
    return np.concatenate(found, axis=-1) if found else np.zeros(values.shape, np.int64)


def ranks_of_cells(cells: Integers, counts: Real, draws: Real, *, rows_alone: bool = False) -> tuple[Real, Real]:
    """The rank of each row of a window, (..., M), and the counts with the window in them, (..., G).

    Args:
        cells: of the rows, in random order, (..., M).
        counts: gaps and rows before the window in each cell, (..., G).
        draws: uniform ones, (..., M), not those that chose the cells.
        rows_alone: the counts are of rows and of no gaps: the cells were cut from other rows. Then a row counts among
            those that it is ranked with, and there may be none before it.
    """
    counts = counts.copy()
    ranks = np.empty(cells.shape, np.float64)
    for at in range(0, cells.shape[-1], _CHUNK):
        part = cells[..., at : at + _CHUNK]
        size = part.shape[-1]
        below = np.cumsum(counts, axis=-1) - counts
        earlier = np.tri(size, k=-1, dtype=bool)  # [row, other]: the other row comes before
        lower = ((part[..., None, :] < part[..., :, None]) & earlier).sum(axis=-1)
        equal = ((part[..., None, :] == part[..., :, None]) & earlier).sum(axis=-1)
        less = np.take_along_axis(below, part, -1) + lower
        width = np.take_along_axis(counts, part, -1) + equal + rows_alone
        total = counts.sum(axis=-1, keepdims=True) + np.arange(size) + rows_alone
        ranks[..., at : at + _CHUNK] = (less + draws[..., at : at + _CHUNK] * width) / total
        counts += histogram(part, counts.shape[-1])
    return ranks, counts


def ranks_of_categories(categories: Integers, counts: Real, draws: Real) -> tuple[Real, Real]:
    """The rank of each row of a window, (..., M), and the counts with the window in them, (..., L).

    Rare categories are first, by their number of rows, so that one which was never seen has the lowest rank; the others
    are in the order of their numbers. Both orders are the same for every order of the rows, as the ranks need.

    Args:
        categories: of the rows, in random order, numbered in an order that does not depend on the rows, (..., M).
        counts: rows of each category before the window, (..., L).
        draws: uniform ones, (..., M).
    """
    counts = counts.copy()
    names = counts.shape[-1]
    ranks = np.empty(categories.shape, np.float64)
    step = int(max(1, min(_CHUNK, _ELEMENTS // max(1, counts.size))))
    for at in range(0, categories.shape[-1], step):
        part = categories[..., at : at + step]
        one_hot = part[..., None] == np.arange(names)  # (..., step, L)
        present = counts[..., None, :] + np.cumsum(one_hot, axis=-2)  # with the row itself
        total = present.sum(axis=-1, keepdims=True)
        keys = np.where(present <= RARE * total, present, total + 1 + np.arange(names))
        own = np.take_along_axis(keys, part[..., None], -1)
        less = np.where(keys < own, present, 0.0).sum(axis=-1)
        width = np.where(keys == own, present, 0.0).sum(axis=-1)
        ranks[..., at : at + step] = (less + draws[..., at : at + step] * width) / total[..., 0]
        counts += one_hot.sum(axis=-2)
    return ranks, counts


def histogram(cells: Integers, size: int) -> Real:
    """Numbers of rows in each cell, (..., M) to (..., size)."""
    lead = cells.shape[:-1]
    streams = int(np.prod(lead, dtype=np.int64))
    offsets = np.arange(streams).reshape(*lead, 1) * size
    counts = np.bincount((cells + offsets).ravel(), minlength=streams * size)
    return counts.reshape(*lead, size).astype(np.float64)
