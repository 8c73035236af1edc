"""Scores of tasks that give each sample one class.

Legend: N samples, K classes of the data, R resamples, B bins of confidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.evaluation import batched_prediction
from components.evaluation.calibration import (
    BINS,
    Bin,
    before_and_after,
    card_line,
    confidence_bins,
    expected_calibration_error,
    reliability,
    uncalibrated,
)
from components.evaluation.metrics import (
    ClassFigures,
    Labels,
    Probabilities,
    accuracy,
    class_figures,
    confusion_matrix,
    macro_f1,
    macro_f1_of_counts,
    negative_log_likelihood,
    true_class_loss,
)
from components.evaluation.scorer import (
    CardLines,
    PackagePredictor,
    Real,
    ReportSamples,
    Slice,
    decision_of,
    temperature_of,
)
from components.evaluation.slices import ClassSlice as ClassSlice
from components.evaluation.slices import class_slices
from components.evaluation.test_split import FrozenSplit
from components.identity.answer_facts import DecisionFacts


class ClassificationScores:
    """Predictions of a classifier and the truth.

    Args:
        probabilities: (N, K + 1), of the data's classes in the data's order; the last column is for all other classes:
            those that only the package has, or 1 for a prediction that is not finite.
        truth: (N,), numbers of the data's classes.
        answers: (N,), the predicted class (of equal probabilities the package's first), K for any other class.
        overlap: number of neighbouring samples, itself included, that a sample shares data with (windows of a series).
        clusters: (N,), the group of each sample; None without groups.
        temperature: by which the package's graph divides the logits.
        reject_below: where no class has this probability, the answer is marked as rejected.
    """

    def __init__(
        self, probabilities: Probabilities, truth: Labels, answers: Labels, classes: list[str], not_finite: int = 0,
        overlap: int = 1, clusters: Labels | None = None, temperature: float = 1.0,
        reject_below: float | None = None,
    ) -> None:  # fmt: skip
        self.probabilities, self.truth, self.answers, self.classes = probabilities, truth, answers, classes
        self.samples, self.not_finite = len(truth), not_finite
        self.overlap, self.clusters = overlap, clusters
        self.temperature, self.reject_below = temperature, reject_below

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts (K + 1, K + 1): rows are true classes, columns predicted ones; the last is any other class."""
        return confusion_matrix(self.truth, self.answers, len(self.classes) + 1)

    @cached_property
    def bins(self) -> list[Bin]:
        """Samples by confidence, B bins."""
        return reliability(self.probabilities, self.truth)

    @cached_property
    def uncalibrated_bins(self) -> list[Bin] | None:
        """Samples by their confidence before the calibration; None without calibration."""
        return None if self.temperature == 1 else reliability(self._uncalibrated, self.truth)

    @cached_property
    def _uncalibrated(self) -> Probabilities:
        return uncalibrated(self.probabilities, self.temperature).astype(np.float32)

    def calibration(self) -> dict[str, float] | None:
        """Calibration error and likelihood before and after the calibration; None without calibration."""
        if self.uncalibrated_bins is None:
            return None
        before = {
            "ece": expected_calibration_error(self.uncalibrated_bins),
            "nll": negative_log_likelihood(self._uncalibrated, self.truth),
        }
        return before_and_after(self.temperature, before, self.figures())

    def rejection(self) -> dict[str, float] | None:
        """The share of rejected answers, and the accuracy of the others; None without `reject_below`."""
        if self.reject_below is None:
            return None
        rejected = self.probabilities.max(axis=1) < self.reject_below
        right = (self.answers == self.truth)[~rejected]
        accepted = float(right.mean()) if len(right) else 0.0
        return {"below": self.reject_below, "rejected": float(rejected.mean()), "accuracy_of_accepted": accepted}

    def per_class(self) -> list[tuple[str, ClassFigures]]:
        """Figures of each class of the data."""
        return list(zip(self.classes, class_figures(self.confusion), strict=False))

    def figures(self) -> dict[str, float]:
        """Accuracy, macro F1, expected calibration error, negative log likelihood."""
        return {
            "accuracy": accuracy(self.confusion),
            "macro_f1": macro_f1(self.confusion),
            "ece": expected_calibration_error(self.bins),
            "nll": negative_log_likelihood(self.probabilities, self.truth),
        }

    def slices(self) -> list[Slice]:
        """A slice for each class that has samples: its recall as `accuracy`, its F1 as `macro_f1`."""
        return [
            Slice(name, row.support, {"accuracy": row.recall, "macro_f1": row.f1})
            for name, row in self.per_class()
            if row.support
        ]

    def resampled(self, metric: str, weights: Real) -> Real:
        """A metric (R,) under weights (R, N)."""
        if metric == "accuracy":
            return _mean(weights, self.answers == self.truth)
        if metric == "nll":
            return _mean(weights, true_class_loss(self.probabilities, self.truth))
        if metric == "macro_f1":
            return macro_f1_of_counts(weights, self.truth, self.answers, len(self.classes) + 1)
        if metric == "ece":
            confidence, correct, bin_index = confidence_bins(self.probabilities, self.truth)
            gaps = np.zeros((self.samples, BINS))
            gaps[np.arange(self.samples), bin_index] = confidence - correct
            return np.asarray(np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1))
        raise KeyError(metric)

    def concatenate(self, other: ClassificationScores) -> ClassificationScores:
        """The samples of both, one after the other."""
        probabilities = np.concatenate([self.probabilities, other.probabilities])
        truth, answers = (np.concatenate(pair) for pair in ((self.truth, other.truth), (self.answers, other.answers)))
        return ClassificationScores(
            probabilities, truth, answers, self.classes, self.not_finite + other.not_finite, self.overlap
        )

    def differs(self, other: ClassificationScores) -> NDArray[np.bool_]:
        """Samples (N,) whose probabilities differ."""
        differing: NDArray[np.bool_] = (self.probabilities != other.probabilities).any(axis=1)
        return differing

    def document(self) -> dict[str, Any]:
        """Figures by class, the confusion matrix, slices and reliability."""
        count, calibration = len(self.classes), self.calibration()
        return {
            "per_class": [{"class": name, **row._asdict()} for name, row in self.per_class()],
            "confusion": self.confusion[:count, :count].tolist(),
            "slices": [part._asdict() for part in self._weakest_first()],
            "reliability": [part._asdict() for part in self.bins],
            **({} if calibration is None else {"calibration": calibration}),
            **({} if (rejection := self.rejection()) is None else {"rejection": rejection}),
        }

    def draw(self, folder: Path) -> None:
        """Confusion matrix and reliability."""
        from components.evaluation.plots import draw_confusion, draw_reliability

        count = len(self.classes)
        draw_confusion(self.confusion[:count, :count], self.classes, folder / "confusion.png")
        draw_reliability(self.bins, folder / "reliability.png", self.uncalibrated_bins)

    def card_lines(self) -> CardLines:
        """The figures of the classes, the weakest class, and the uncertainty of the accuracy."""
        weakest = self._weakest_first()[0]
        confusion = f", most often taken for {weakest.taken_for}" if weakest.taken_for else ""
        results = [
            "| class | precision | recall | F1 | samples |",
            "|---|---|---|---|---|",
            *(
                f"| {name} | {row.precision:.4f} | {row.recall:.4f} | {row.f1:.4f} | {row.support:,} |"
                for name, row in self.per_class()
            ),
        ]
        if (calibration := self.calibration()) is not None:
            results += ["", card_line(calibration)]
        if (rejection := self.rejection()) is not None:
            results += [
                "",
                f"Rejected, as no class has a probability of {rejection['below']:g}: {rejection['rejected']:.1%} of "
                f"the test samples; {rejection['accuracy_of_accepted']:.4f} of the others are right.",
            ]
        limits = [
            f"- Weakest class: {weakest.name}, {weakest.accuracy:.1%} right{confusion}.",
            f"- With {self.samples:,} test samples{self._effective} the accuracy is known to about ±{self.margin:.2%} "
            "(95 %).",
        ]
        return CardLines(results, limits)

    def _weakest_first(self) -> list[ClassSlice]:
        return class_slices(self.probabilities, self.truth, [*self.classes, "none of them"])

    @cached_property
    def independent(self) -> int:
        """The number of independent samples that know the accuracy as well: N, unless samples overlap or have groups.

        The variance of the mean over groups, or over runs of twice the overlap, against that of independent samples
        (the design effect: Kish 1965); at least the number of groups or of runs.
        """
        if self.clusters is None and self.overlap == 1:
            return self.samples
        places = np.arange(self.samples) // (2 * self.overlap)
        units = places if self.clusters is None else self.clusters
        correct = (self.answers == self.truth).astype(np.float64)
        share, count = float(correct.mean()), len(np.unique(units))
        deviations = np.bincount(units, weights=correct - share)
        variance = float((deviations**2).sum()) / self.samples**2 * count / max(1, count - 1)
        effective = share * (1 - share) / variance if variance > 0 else self.samples
        return int(min(self.samples, max(count, effective)))

    @property
    def _effective(self) -> str:
        return "" if self.independent == self.samples else f", as good as {self.independent:,} independent ones,"

    @property
    def margin(self) -> float:
        """Half the width of the accuracy's 95 % interval (Wilson 1927)."""
        proportion, z, n = accuracy(self.confusion), 1.959964, self.independent
        return z / (1 + z * z / n) * math.sqrt(proportion * (1 - proportion) / n + z * z / (4 * n * n))


class ClassificationScorer(NamedTuple):
    """The scorer: graph `model` gives `probabilities`; the array `labels` has the true class of each sample."""

    truth: tuple[str, ...] | None = ("labels",)

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> ClassificationScores:
        """Classes are matched by name, so the order of a package's classes does not matter."""
        count = len(frozen.classes)
        numbers = {name: number for number, name in enumerate(frozen.classes)}
        data_numbers = np.array([numbers.get(name, count) for name in predictor.signature.classes])
        has_class = data_numbers < count
        probabilities = np.zeros((len(frozen), count + 1), np.float32)
        truth, answers = np.empty(len(frozen), np.int64), np.empty(len(frozen), np.int64)
        not_finite, decision = 0, decision_of(predictor)
        for index, batch, outputs in batched_prediction.outputs(predictor, frozen.split, step):
            package_probabilities = outputs["probabilities"]  # (B, classes of the package)
            finite = batched_prediction.finite(package_probabilities)
            package_probabilities = np.where(finite[:, None], package_probabilities, np.float32(0))
            truth[index] = batch["labels"]
            probabilities[np.ix_(index, data_numbers[has_class])] = package_probabilities[:, has_class]
            probabilities[index, count] = np.where(finite, package_probabilities[:, ~has_class].sum(axis=1), 1)
            likeliest = _decided(package_probabilities, decision, predictor.signature.classes)
            answers[index] = np.where(finite, data_numbers[likeliest], count)
            not_finite += int(np.count_nonzero(~finite))
        return ClassificationScores(
            probabilities, truth, answers, frozen.classes, not_finite, frozen.overlap, frozen.clusters,
            temperature_of(predictor), None if decision is None else decision.reject_below,
        )  # fmt: skip


def _decided(probabilities: Probabilities, decision: DecisionFacts | None, classes: Sequence[str]) -> Labels:
    """The answered class (B,) of each row of probabilities (B, K)."""
    likeliest: Labels = probabilities.argmax(axis=1)
    for positive, threshold in {} if decision is None else decision.thresholds.items():
        number = list(classes).index(positive)
        likeliest = np.where(probabilities[:, number].astype(np.float64) >= threshold, number, 1 - number)
    return likeliest


def _mean(weights: Real, values: NDArray[Any]) -> Real:
    """Weighted means (R,) of values (N,)."""
    return np.asarray(weights @ values.astype(np.float64) / weights.sum(axis=1))


SCORER = ClassificationScorer()
