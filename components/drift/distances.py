"""Distances between two samples of one column. They measure how large a change is, not whether it is by chance.

psi               population stability index, sum of (p - q) ln(p / q) over bins (Siddiqi 2006, "Credit Scorecards").
jensen_shannon    the distance (square root of the divergence) with logarithms of base 2, from 0 to 1
                  (Endres and Schindelin 2003, IEEE Transactions on Information Theory 49:1858-1860).
wasserstein       the first Wasserstein distance, in standard deviations of the reference.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import distance

Real = NDArray[np.float64]

BINS = 10  # of numbers, by deciles of the reference
SMALLEST_SHARE = 1e-4  # of a bin, in place of 0


def bin_edges(reference: Real) -> Real:
    """Edges of bins of finite or infinite numbers without NaN; bin i holds values in (edge[i-1], edge[i]].

    Deciles; of at most ten distinct values each value has a bin of its own.
    """
    distinct = np.unique(reference)
    if len(distinct) <= BINS:
        return np.unique(np.concatenate([np.nextafter(distinct, -np.inf), distinct]))
    levels = np.arange(1, BINS) / BINS
    return np.unique(np.quantile(reference, levels, method="inverted_cdf"))


def bin_counts(values: Real, edges: Real) -> Real:
    """Numbers of values in each bin; the last bin is of NaN. (E + 2,)"""
    missing = np.isnan(values)
    bins = np.searchsorted(edges, values[~missing], side="left")
    return np.append(np.bincount(bins, minlength=len(edges) + 1), missing.sum()).astype(np.float64)


def psi(reference: Real, window: Real) -> float:
    """The population stability index of two arrays of counts, (B,) each."""
    p, q = (np.maximum(counts / counts.sum(), SMALLEST_SHARE) for counts in _occupied(reference, window))
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: Real, window: Real) -> float:
    """The Jensen-Shannon distance of two arrays of counts, (B,) each."""
    value = float(distance.jensenshannon(reference, window, base=2))
    return value if np.isfinite(value) else 0.0  # rounding of equal distributions may be below 0


def wasserstein(reference: Real, window: Real) -> float | None:
    """The Wasserstein distance in standard deviations of the reference, of finite values.

    None if there are none, or if the reference is constant and the window differs: there is no unit.
    """
    reference, window = reference[np.isfinite(reference)], window[np.isfinite(window)]
    if not len(reference) or not len(window):
        return None
    largest = max(np.abs(reference).max(), np.abs(window).max())
    if largest == 0:
        return 0.0
    reference, window = reference / largest, window / largest  # squares of numbers near 1e308 overflow
    deviation = reference.std()
    distance_ = stats.wasserstein_distance(reference, window)
    if distance_ == 0:
        return 0.0
    with np.errstate(over="ignore", divide="ignore"):
        value = distance_ / deviation
    return float(value) if np.isfinite(value) and deviation > 1e-12 * np.abs(reference).max() else None


def _occupied(reference: Real, window: Real) -> tuple[Real, Real]:
    used = (reference + window) > 0
    return reference[used], window[used]
