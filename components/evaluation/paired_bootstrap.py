"""Whether one classifier has a higher macro F1 than another on the same samples: a paired bootstrap.

Legend: N samples, K classes, R resamples, D distinct (truth, candidate's answer, champion's answer).

Samples are drawn with replacement, each with both answers (Efron and Tibshirani 1993, chapter 13: percentile
interval). Samples of the same three labels are alike, so a resample is one draw of D counts. Where the two hardly ever
differ, a plain bootstrap is sure of too much (of everything, if they never differ). So the population drawn from holds
two imagined samples more, spread over the classes as the samples are: one that only the candidate gets right and one
that only the champion does, as Agresti and Min 2005 (Statistics in Medicine 24:729-740) and Bonett and Price 2012
(37:479-488) do for proportions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.evaluation.metrics import Labels
from components.evaluation.paired_proportions import Interval

RESAMPLES = 10_000
AT_ONCE = 2_000_000  # counts drawn in one piece, to bound the memory

Real = NDArray[np.float64]


def interval(
    truth: Labels,
    candidate: Labels,
    champion: Labels,
    classes: int,
    confidence: float,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Bounds of macro F1 of the candidate minus the champion's, each with the one-sided confidence asked for.

    Args:
        truth, candidate, champion: (N,), numbers of classes.
    """
    drawn = differences(truth, candidate, champion, classes, resamples=resamples, seed=seed)
    return Interval(float(np.quantile(drawn, 1 - confidence)), float(np.quantile(drawn, confidence)))


def differences(
    truth: Labels, candidate: Labels, champion: Labels, classes: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> Real:
    """The difference in R resamples, (R,)."""
    cells, counts = np.unique(np.stack([truth, candidate, champion], axis=1), axis=0, return_counts=True)  # (D, 3)
    support = np.bincount(truth, minlength=classes)
    occurring = np.flatnonzero(support)
    other = np.roll(occurring, 1) if len(occurring) > 1 else (occurring + 1) % classes
    imagined = [np.stack([occurring, occurring, other], axis=1), np.stack([occurring, other, occurring], axis=1)]
    cells = np.concatenate([cells, *imagined])
    weights = np.concatenate([counts, *[support[occurring] / len(truth)] * 2]).astype(np.float64)
    random = np.random.default_rng(seed)
    pieces = []
    left = resamples
    while left:
        rows = min(left, max(1, AT_ONCE // len(cells)))
        sample = random.multinomial(len(truth), weights / weights.sum(), size=rows).astype(np.float64)  # (rows, D)
        pieces.append(_macro_f1(sample, cells[:, 0], cells[:, 1], classes)
                      - _macro_f1(sample, cells[:, 0], cells[:, 2], classes))  # fmt: skip
        left -= rows
    return np.concatenate(pieces)


def _macro_f1(counts: Real, truth: Labels, answers: Labels, classes: int) -> Real:
    """Macro F1 of each row of counts (R, D) of cells with those labels (D,), as `metrics.macro_f1` has it."""
    cells = np.arange(len(truth))
    is_true, answered = np.zeros((len(truth), classes)), np.zeros((len(truth), classes))
    is_true[cells, truth], answered[cells, answers] = 1, 1
    right = counts @ (is_true * answered)  # (R, K)
    both = counts @ (is_true + answered)  # (R, K): support and answers of each class
    f1 = np.divide(2 * right, both, out=np.zeros_like(both), where=both > 0)
    return np.asarray(f1.sum(axis=1) / (both > 0).sum(axis=1))
