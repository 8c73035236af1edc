"""What ranks may look like after a drift: densities on [0, 1] that uniform ranks are tested against.

Ranks are counted in cells. Without drift the counts of a window are multinomial with the probabilities `NULL` exactly
(components.drift.conformal_ranks). An alternative is another vector of probabilities; the likelihood ratio of a
window's counts has the expectation 1 without drift, whatever the size of the window.

location   the ranks of a normal distribution that is moved by so many standard deviations
scale      ... whose standard deviation is so many times the reference's
more       a share of the rows moves into an interval of ranks: a new mode, a category, a stuck sensor, outliers
less       an interval of ranks loses a share of its rows: a category that goes away
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import special

from components.drift.conformal_ranks import histogram
from components.drift.distances import Real

EDGES: Real = np.concatenate([
    [0.0, 0.001, 0.005, 0.02], np.arange(1, 16) / 16, [0.98, 0.995, 0.999, 1.0]
])  # fmt: skip
NULL: Real = np.diff(EDGES)
CELLS = len(NULL)

SHIFTS = (0.06, 0.12, 0.25, 0.5, 1.0, 2.0)
SCALES = (0.25, 0.5, 0.7, 0.85, 0.93, 1.07, 1.15, 1.35, 1.8, 3.0)
SHARES = (0.05, 0.2, 0.6)  # of rows that move into an interval
TAIL_SHARES = (0.005, 0.03, 0.2, 0.8)
LOSSES = (0.6,)
WEIGHTS = {"location": 0.4, "scale": 0.2, "more": 0.3, "less": 0.1}


class Bank(NamedTuple):
    """The alternatives.

    Args:
        names: what each says, A of them.
        log_ratios: logarithms of alternative over null probabilities, (A, CELLS).
        log_weights: logarithms of the weights, which sum to 1, (A,).
    """

    names: tuple[str, ...]
    log_ratios: Real
    log_weights: Real


def cell_counts(ranks: Real) -> Real:
    """Numbers of ranks in each cell, (..., M) to (..., CELLS)."""
    return histogram(np.searchsorted(EDGES[1:-1], ranks, side="right"), CELLS)


@cache
def bank() -> Bank:
    """All alternatives."""
    found = [*_locations(), *_scales(), *_more(), *_less()]
    kinds = [kind for kind, _, _ in found]
    weights = np.array([WEIGHTS[kind] / kinds.count(kind) for kind in kinds])
    ratios = np.array([np.log(probabilities / NULL) for _, _, probabilities in found])
    return Bank(tuple(name for _, name, _ in found), ratios, np.log(weights / weights.sum()))


_Alternative = tuple[str, str, Real]


def _normal(shift: float, scale: float) -> Real:
    """Probabilities of the cells where a standard normal reference became one of another mean and deviation."""
    probabilities = np.diff(special.ndtr((special.ndtri(EDGES) - shift) / scale))
    mixed: Real = 0.99 * probabilities + 0.01 * NULL  # real distributions are not normal: no cell is impossible
    return mixed


def _locations() -> list[_Alternative]:
    return [
        ("location", f"{word} by about {shift:g} standard deviations", _normal(sign * shift, 1.0))
        for shift in SHIFTS
        for sign, word in ((1, "higher"), (-1, "lower"))
    ]


def _scales() -> list[_Alternative]:
    return [("scale", f"spread about {scale:g} times as wide", _normal(0.0, scale)) for scale in SCALES]


def _intervals() -> list[tuple[float, float]]:
    return [(at / parts, (at + 1) / parts) for parts in (4, 8, 16) for at in range(parts)]


def _tails() -> list[tuple[float, float]]:
    lower = [(0.0, edge) for edge in (0.001, 0.005, 0.02)]
    return lower + [(1 - high, 1.0) for _, high in lower]


def _more() -> list[_Alternative]:
    wide = [(interval, share) for interval in _intervals() for share in SHARES]
    found = []
    for (low, high), share in wide + [(interval, share) for interval in _tails() for share in TAIL_SHARES]:
        inside = _inside(low, high)
        probabilities = (1 - share) * NULL + share * inside * NULL / (high - low)
        found.append(("more", f"about {share:.1%} more rows in ranks {low:g} to {high:g}", probabilities))
    return found


def _less() -> list[_Alternative]:
    found = []
    for low, high in _intervals():
        for loss in LOSSES:
            kept = NULL * (1 - loss * _inside(low, high))
            found.append(("less", f"about {loss:.0%} fewer rows in ranks {low:g} to {high:g}", kept / kept.sum()))
    return found


def _inside(low: float, high: float) -> Real:
    middle = (EDGES[1:] + EDGES[:-1]) / 2
    return ((middle > low) & (middle < high)).astype(np.float64)
