"""Slices of the test split: one for each true class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from components.evaluation.metrics import Labels, Probabilities


class ClassSlice(NamedTuple):
    """Samples of one class: number, accuracy, mean confidence, and the most frequent wrong answer."""

    name: str
    samples: int
    accuracy: float
    confidence: float
    taken_for: str | None


def class_slices(probabilities: Probabilities, truth: Labels, classes: list[str]) -> list[ClassSlice]:
    """A slice for each class that has samples, the weakest first; probabilities (N, K), truth (N,)."""
    predicted = probabilities.argmax(axis=1)  # (N,)
    slices = []
    for index, name in enumerate(classes):
        selected = truth == index  # (N,)
        if not selected.any():
            continue
        predictions = np.bincount(predicted[selected], minlength=len(classes))  # (K,)
        correct = int(predictions[index])
        predictions[index] = 0
        taken_for = classes[int(predictions.argmax())] if predictions.any() else None
        confidence = float(probabilities[selected].max(axis=1).astype(np.float64).mean())
        slices.append(ClassSlice(name, int(selected.sum()), correct / int(selected.sum()), confidence, taken_for))
    return sorted(slices, key=lambda row: (row.accuracy, row.name))
