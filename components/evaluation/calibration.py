"""Calibration of a classifier: confidence against accuracy, also as it was before the temperature of its graph.

Legend: N samples, K classes, B bins, T temperature.
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


def uncalibrated(probabilities: Probabilities, temperature: float) -> Real:
    """The probabilities (N, K) of logits that are not divided by T, from those that are: p^T, normalised.

    softmax(z / T)^T is exp(z) up to a factor of each row.
    """
    with np.errstate(divide="ignore"):
        logits = temperature * np.log(probabilities.astype(np.float64))  # (N, K), -inf for a probability of 0
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def uncalibrated_scores(scores: Probabilities, temperature: float) -> Real:
    """The same for scores (N, K) that are a sigmoid each."""
    with np.errstate(divide="ignore", over="ignore"):
        wide = scores.astype(np.float64)
        return np.asarray(1 / (1 + ((1 - wide) / wide) ** temperature))


def score_calibration_error(scores: Probabilities | Real, truth: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error of the scores (N, K) of labels: distance of score and frequency in B bins."""
    return confidence_error(scores.ravel().astype(np.float64), truth.ravel(), bins)


def confidence_error(confidence: Real, correct: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error of confidences (N,) of decisions that are correct or not (N,)."""
    places = np.clip(np.searchsorted(np.linspace(0.0, 1.0, bins + 1), confidence, side="left") - 1, 0, bins - 1)
    gaps = np.bincount(places, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / max(1, len(confidence)))


def before_and_after(temperature: float, before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """The table of metrics.json: the temperature, and each figure before and after the calibration."""
    table = {"temperature": temperature}
    for name, value in before.items():
        table |= {f"{name}_before": value, name: after[name]}
    return table


def card_line(table: dict[str, float]) -> str:
    """The table as a sentence of the model card."""
    return (
        f"Calibrated: the logits are divided by {table['temperature']:.3f}, fitted on the validation split (which also "
        f"chose the epoch); the expected calibration error on the test split is {table['ece']:.4f}, without it "
        f"{table['ece_before']:.4f}."
    )
