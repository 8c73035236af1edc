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
    found = []
    for index, name in enumerate(classes):
        chosen = truth == index  # (N,)
        if not chosen.any():
            continue
        answers = np.bincount(predicted[chosen], minlength=len(classes))  # (K,)
        right = int(answers[index])
        answers[index] = 0
        wrong = classes[int(answers.argmax())] if answers.any() else None
        confidence = float(probabilities[chosen].max(axis=1).astype(np.float64).mean())
        found.append(ClassSlice(name, int(chosen.sum()), right / int(chosen.sum()), confidence, wrong))
    return sorted(found, key=lambda part: (part.accuracy, part.name))
