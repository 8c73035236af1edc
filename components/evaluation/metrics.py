"""Metrics of a classifier on a split.

Legend: N samples, K classes, R resamples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float32]


class ClassFigures(NamedTuple):
    """Precision, recall and F1 of one class, and its number of true samples."""

    precision: float
    recall: float
    f1: float
    support: int


def confusion_matrix(truth: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Counts (K, K): rows are true classes, columns predicted ones; truth and predicted are (N,)."""
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def accuracy(confusion: NDArray[np.int64]) -> float:
    """Share of correct answers, from a confusion matrix (K, K)."""
    return float(np.trace(confusion) / confusion.sum())


def class_figures(confusion: NDArray[np.int64]) -> list[ClassFigures]:
    """Per class: precision tp/(tp+fp), recall tp/(tp+fn), F1 their harmonic mean; 0 for a division by zero.

    van Rijsbergen 1979, "Information Retrieval", chapter 7.
    """
    correct = np.diag(confusion).astype(np.float64)  # (K,)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)  # (K,), (K,)
    precision = _share(correct, predicted)
    recall = _share(correct, support)
    f1 = _share(2 * correct, support + predicted)
    return [
        ClassFigures(float(precision[index]), float(recall[index]), float(f1[index]), int(support[index]))
        for index in range(len(confusion))
    ]


def macro_f1(confusion: NDArray[np.int64]) -> float:
    """Mean F1 of the classes that occur in the truth or in the answers (scikit-learn's `average="macro"`)."""
    occurs = (confusion.sum(axis=0) + confusion.sum(axis=1)) > 0  # (K,)
    scores = np.array([figures.f1 for figures in class_figures(confusion)])
    return float(scores[occurs].mean())


def macro_f1_of_counts(
    counts: NDArray[np.float64], truth: Labels, answers: Labels, classes: int
) -> NDArray[np.float64]:
    """`macro_f1` (R,) of samples with weights `counts` (R, N); truth and answers are (N,)."""
    rows = np.arange(len(truth))
    is_true, is_predicted = np.zeros((len(truth), classes)), np.zeros((len(truth), classes))
    is_true[rows, truth], is_predicted[rows, answers] = 1, 1
    correct = counts @ (is_true * is_predicted)  # (R, K)
    support_and_predicted = counts @ (is_true + is_predicted)  # (R, K): true and predicted samples of each class
    f1 = np.divide(
        2 * correct, support_and_predicted, out=np.zeros_like(support_and_predicted), where=support_and_predicted > 0
    )
    return np.asarray(f1.sum(axis=1) / (support_and_predicted > 0).sum(axis=1))


def negative_log_likelihood(probabilities: Probabilities, truth: Labels) -> float:
    """Mean of -ln p(true class), in nats; probabilities (N, K), truth (N,). Bishop 2006, equation 4.108."""
    return float(true_class_loss(probabilities, truth).mean())


def true_class_loss(probabilities: Probabilities, truth: Labels) -> NDArray[np.float64]:
    """-ln p(true class) of each sample (N,); a probability of 0 counts as the smallest positive float32."""
    probability = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return np.asarray(-np.log(np.maximum(probability, np.finfo(np.float32).tiny)))


def _share(part: NDArray[np.float64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
