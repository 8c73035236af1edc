"""All figures of one evaluation, as they stand in metrics.json. Rounded to 1e-6: last bits depend on the processor."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from components.evaluation.calibration import Bin, expected_calibration_error, reliability
from components.evaluation.metrics import (
    Labels,
    Probabilities,
    accuracy,
    class_figures,
    confusion_matrix,
    macro_f1,
    negative_log_likelihood,
)
from components.evaluation.slices import class_slices

DIGITS = 6


class Evaluation(NamedTuple):
    """Figures of a split of `samples` samples; confusion rows are true classes."""

    split: str
    samples: int
    overall: dict[str, float]
    per_class: list[dict[str, Any]]
    confusion: list[list[int]]
    slices: list[dict[str, Any]]
    reliability: list[dict[str, Any]]

    @property
    def margin(self) -> float:
        """Half the width of the accuracy's 95 % interval (Wilson 1927)."""
        share, z, n = self.overall["accuracy"], 1.959964, self.samples
        return z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))

    def document(self) -> dict[str, Any]:
        """metrics.json."""
        return self._asdict()


def evaluate(split: str, probabilities: Probabilities, truth: Labels, classes: list[str]) -> Evaluation:
    """Compute everything from probabilities (N, K) and true labels (N,)."""
    confusion = confusion_matrix(truth, probabilities.argmax(axis=1), len(classes))
    bins = reliability(probabilities, truth)
    overall = {
        "accuracy": accuracy(confusion),
        "macro_f1": macro_f1(confusion),
        "ece": expected_calibration_error(bins),
        "nll": negative_log_likelihood(probabilities, truth),
    }
    figures = zip(classes, class_figures(confusion), strict=True)
    return Evaluation(
        split=split,
        samples=len(truth),
        overall=_rounded(overall),
        per_class=[{"class": name, **_rounded(row._asdict())} for name, row in figures],
        confusion=confusion.tolist(),
        slices=[_rounded(part._asdict()) for part in class_slices(probabilities, truth, classes)],
        reliability=[_rounded(part._asdict()) for part in bins],
    )


def bins_of(evaluation: Evaluation) -> list[Bin]:
    """The reliability bins as `calibration` takes them."""
    return [Bin(**row) for row in evaluation.reliability]


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in row.items()}
