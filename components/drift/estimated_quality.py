"""A classifier's accuracy without labels, estimated from its confidences, with its error.

If a confidence of 0.8 is right eight times in ten, the mean confidence of a window estimates its accuracy
(confidence-based performance estimation; Guillory et al. 2021, ICCV, and others). How often each level of confidence is
right is taken from labelled rows of the reference. Two errors are in the interval: levels of few reference rows are
known badly, and the accuracy of a window of few rows varies. A third is in no interval: where inputs drift, a
confidence may no longer mean what it meant. So an estimate says why it is doubtful, and labels judge it later.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from components.core.errors import UsageError
from components.drift.distances import Real

LEVELS = 10
LEAST_REFERENCE_ROWS = 50
PRIOR_ROWS = 1.0  # Jeffreys' prior of a share is Beta(1/2, 1/2)
SHIFTED = 0.5  # of standard deviations of the confidence, from which a window is unlike the reference


class EstimatedQuality(NamedTuple):
    """An estimate for one window.

    Args:
        metric: `accuracy`; None where nothing can be estimated, and `doubts` says why.
        value, low, high: the estimate and its interval.
        confidence: of the interval.
        rows: of the window.
        reference_rows: labelled rows that confidences were compared with.
        doubts: reasons to doubt the estimate more than its interval says; none if empty.
    """

    metric: str | None
    value: float
    low: float
    high: float
    confidence: float
    rows: int
    reference_rows: int
    doubts: tuple[str, ...]


def estimate(
    reference_confidences: ArrayLike,
    reference_right: ArrayLike,
    window_confidences: ArrayLike,
    *,
    confidence: float = 0.95,
    drifted: tuple[str, ...] = (),
) -> EstimatedQuality:
    """The accuracy of a window of a classifier's answers.

    Args:
        reference_confidences: probabilities of the answers on labelled rows that the model was not trained on, (N,).
        reference_right: whether these answers are right, (N,).
        window_confidences: probabilities of the window's answers, (M,).
        confidence: of the interval.
        drifted: streams that a monitor raised an alarm for; they make the estimate doubtful.

    Raises:
        UsageError: confidences outside 0 to 1, not finite, or not as many as answers.
    """
    reference, window = _checked(reference_confidences, "reference"), _checked(window_confidences, "window")
    right = np.asarray(reference_right, bool)
    if right.shape != reference.shape:
        raise UsageError("each confidence of the reference needs its answer", got=right.shape, expected=reference.shape)
    if len(reference) < LEAST_REFERENCE_ROWS or not len(window):
        why = f"the reference has {len(reference)} labelled rows, at least {LEAST_REFERENCE_ROWS} are needed"
        return _none(why if len(window) else "the window has no rows", len(window), len(reference), confidence)
    edges = np.unique(np.quantile(reference, np.arange(1, LEVELS) / LEVELS))
    known, level = np.searchsorted(edges, reference, side="left"), np.searchsorted(edges, window, side="left")
    rows = np.bincount(known, minlength=len(edges) + 1).astype(np.float64)  # (L,)
    # Within a level the confidence orders the rows; the level's own error is added to each confidence.
    offset = np.bincount(known, right - reference, minlength=len(rows)) / (rows + PRIOR_ROWS)
    means = np.bincount(known, reference, minlength=len(rows)) / np.maximum(rows, 1)
    rates = np.clip(means + offset, 0, 1)
    spread = np.maximum(rates * (1 - rates), 0.25 / (rows + PRIOR_ROWS)) / (rows + PRIOR_ROWS)  # variances of rates
    chances = np.clip(window + offset[level], 0, 1)
    shares = np.bincount(level, minlength=len(rows)) / len(window)
    variance = float((shares**2 * spread).sum() + (chances * (1 - chances)).sum() / len(window) ** 2)
    value = float(chances.mean())
    low, high = _interval(value, variance, confidence)
    doubts = _doubts(reference, window, drifted)
    return EstimatedQuality("accuracy", value, low, high, confidence, len(window), len(reference), doubts)


def of_regression(rows: int) -> EstimatedQuality:
    """The answer for numbers and forecasts: an error cannot be estimated from the answers alone."""
    why = "a regression states no confidence in its answers: its error needs labels"
    return _none(why, rows, 0, 0.95)


def _none(why: str, rows: int, reference_rows: int, confidence: float) -> EstimatedQuality:
    return EstimatedQuality(None, np.nan, np.nan, np.nan, confidence, rows, reference_rows, (why,))


def _interval(value: float, variance: float, confidence: float) -> tuple[float, float]:
    """Wilson's interval (1927) of a share that is known as well as one of so many rows; it is inside 0 to 1."""
    z = float(stats.norm.ppf((1 + confidence) / 2))
    inner = min(max(value, 1e-3), 1 - 1e-3)
    rows = inner * (1 - inner) / variance if variance > 0 else np.inf
    middle = (value + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * float(np.sqrt(value * (1 - value) / rows + (z / (2 * rows)) ** 2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _doubts(reference: Real, window: Real, drifted: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    if drifted:
        found.append(f"drift was found in {', '.join(drifted)}: a confidence may not mean what it meant")
    low, high = reference.min(), reference.max()
    outside = float(((window < low) | (window > high)).mean())
    if outside > 0.05:
        found.append(f"{outside:.0%} of the confidences are outside those of the reference, {low:.3g} to {high:.3g}")
    deviation = float(reference.std())
    shift = abs(float(window.mean() - reference.mean()))
    error = 3 * float(np.sqrt(reference.var() / len(window) + reference.var() / len(reference)))
    if deviation > 0 and shift > max(SHIFTED * deviation, error):
        found.append(f"the mean confidence is {window.mean():.3g}, of the reference {reference.mean():.3g}")
    return tuple(found)


def _checked(values: ArrayLike, where: str) -> Real:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not np.isfinite(found).all() or ((found < 0) | (found > 1)).any():
        raise UsageError("confidences must be probabilities", where=where, expected="finite numbers from 0 to 1, (N,)")
    return found
