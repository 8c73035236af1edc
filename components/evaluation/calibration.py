"""Calibration of a classifier: confidence against accuracy.

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
    """Samples with a confidence in (lower, upper]: their number, mean confidence and accuracy."""

    lower: float
    upper: float
    samples: int
    confidence: float
    accuracy: float


def reliability(probabilities: Probabilities, truth: Labels, bins: int = BINS) -> list[Bin]:
    """Samples by confidence (the probability of the answer), in B bins of equal width.

    Args:
        probabilities: (N, K).
        truth: (N,).
    """
    confidence, right, place = confidence_bins(probabilities, truth, bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    counts = np.bincount(place, minlength=bins)  # (B,)
    mean_confidence = np.bincount(place, weights=confidence, minlength=bins) / np.maximum(counts, 1)
    correct = np.bincount(place, weights=right, minlength=bins) / np.maximum(counts, 1)
    return [
        Bin(
            float(edges[index]),
            float(edges[index + 1]),
            int(counts[index]),
            float(mean_confidence[index]),
            float(correct[index]),
        )
        for index in range(bins)
    ]


def confidence_bins(probabilities: Probabilities, truth: Labels, bins: int = BINS) -> tuple[Real, Real, Labels]:
    """For each sample (N,): the probability of the answer, 1 if the answer is correct else 0, the index of the bin."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    place = np.searchsorted(np.linspace(0.0, 1.0, bins + 1), confidence, side="left") - 1
    return confidence, right, np.clip(place, 0, bins - 1)


def expected_calibration_error(bins: list[Bin]) -> float:
    """Mean distance of confidence and accuracy, weighted by samples (Guo et al. 2017, arXiv:1706.04599, eq. 3)."""
    samples = sum(part.samples for part in bins)
    return sum(part.samples / samples * abs(part.accuracy - part.confidence) for part in bins)
