"""Whether a classifier is as sure as it is right.

Legend: N samples, K classes, B bins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.evaluation.metrics import Labels, Probabilities

BINS = 15

Real = NDArray[np.float64]


class Bin(NamedTuple):
    """Samples whose confidence lies in (lower, upper]: how many, how sure on average, how often right."""

    lower: float
    upper: float
    samples: int
    confidence: float
    accuracy: float


def reliability(probabilities: Probabilities, truth: Labels, bins: int = BINS) -> list[Bin]:
    """Samples by the probability of their answer, in B bins of equal width.

    Args:
        probabilities: (N, K).
        truth: (N,).
    """
    confidence, right, place = confidence_bins(probabilities, truth, bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    counts = np.bincount(place, minlength=bins)  # (B,)
    sure = np.bincount(place, weights=confidence, minlength=bins) / np.maximum(counts, 1)
    correct = np.bincount(place, weights=right, minlength=bins) / np.maximum(counts, 1)
    return [
        Bin(float(edges[index]), float(edges[index + 1]), int(counts[index]), float(sure[index]), float(correct[index]))
        for index in range(bins)
    ]


def confidence_bins(probabilities: Probabilities, truth: Labels, bins: int = BINS) -> tuple[Real, Real, Labels]:
    """Of each sample (N,): the probability of its answer, 1 if that is right and else 0, and the number of its bin."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    place = np.searchsorted(np.linspace(0.0, 1.0, bins + 1), confidence, side="left") - 1
    return confidence, right, np.clip(place, 0, bins - 1)


def expected_calibration_error(bins: list[Bin]) -> float:
    """Mean distance of confidence and accuracy, weighted by samples (Guo et al. 2017, arXiv:1706.04599, eq. 3)."""
    samples = sum(part.samples for part in bins)
    return sum(part.samples / samples * abs(part.accuracy - part.confidence) for part in bins)
