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
    """Samples by confidence (the probability of the prediction), in B bins of equal width.

    Args:
        probabilities: (N, K).
        truth: (N,).
    """
    confidence, correct, bin_index = confidence_bins(probabilities, truth, bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    counts = np.bincount(bin_index, minlength=bins)  # (B,)
    mean_confidence = np.bincount(bin_index, weights=confidence, minlength=bins) / np.maximum(counts, 1)
    bin_accuracy = np.bincount(bin_index, weights=correct, minlength=bins) / np.maximum(counts, 1)
    return [
        Bin(
            float(edges[index]),
            float(edges[index + 1]),
            int(counts[index]),
            float(mean_confidence[index]),
            float(bin_accuracy[index]),
        )
        for index in range(bins)
    ]


def confidence_bins(probabilities: Probabilities, truth: Labels, bins: int = BINS) -> tuple[Real, Real, Labels]:
    """For each sample (N,): the probability of the prediction, 1 if it is correct else 0, the index of the bin."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    bin_index = np.searchsorted(np.linspace(0.0, 1.0, bins + 1), confidence, side="left") - 1
    return confidence, correct, np.clip(bin_index, 0, bins - 1)


def expected_calibration_error(bins: list[Bin]) -> float:
    """Mean distance of confidence and accuracy, weighted by samples (Guo et al. 2017, arXiv:1706.04599, eq. 3)."""
    samples = sum(bin_.samples for bin_ in bins)
    return sum(bin_.samples / samples * abs(bin_.accuracy - bin_.confidence) for bin_ in bins)
