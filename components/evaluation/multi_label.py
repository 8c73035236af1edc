"""Scores of tasks that give each sample any number of labels.

Average precision is the sum of the precisions at each score with a right answer, weighted by the recall that is gained
there, without interpolation; samples of equal score count together (scikit-learn's `average_precision_score`; Zhu 2004,
"Recall, precision and average precision").

Legend: N samples, K labels of the data, R resamples.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from components.evaluation import batched_prediction
from components.evaluation.additive_metrics import share
from components.evaluation.calibration import (
    before_and_after,
    card_line,
    score_calibration_error,
    uncalibrated_scores,
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
from components.evaluation.test_split import FrozenSplit

Flags = NDArray[np.bool_]
Scores = NDArray[np.float32]
CHUNK = 4_000_000  # weights of samples in one piece, to bound the memory
HALF = 0.5


class LabelFigures(NamedTuple):
    """Figures of one label: NaN for the average precision of a label that no sample has."""

    label: str
    precision: float
    recall: float
    f1: float
    average_precision: float
    threshold: float
    samples: int
    answered: int


class MultiLabelScores:
    """Scores and answers of a model and the truth.

    Args:
        scores: (N, K) of the data's labels, 0 for a label that the package does not have.
        truth: (N, K) whether a sample has a label.
        answers: (N, K + 1) whether the model answers a label; the last column is for all other labels: those that only
            the package has, or a prediction that is not finite.
        thresholds: (K,) of the package.
        temperature: by which the package's graph divides the logits.
    """

    overlap = 1

    def __init__(
        self, scores: Scores, truth: Flags, answers: Flags, labels: list[str], thresholds: Real, not_finite: int = 0,
        temperature: float = 1.0,
    ) -> None:  # fmt: skip
        self.scores, self.truth, self.answers = scores, truth, answers
        self.labels, self.thresholds = labels, thresholds
        self.samples, self.not_finite, self.temperature = len(truth), not_finite, temperature

    @cached_property
    def _summands(self) -> Real:
        """(N, 3 (K + 1) + 1): right answers, answers and true labels of each label; whether all labels are right."""
        other = np.zeros((self.samples, 1), np.bool_)
        truth = np.concatenate([self.truth, other], axis=1)
        exact = (truth == self.answers).all(axis=1, keepdims=True)
        return np.concatenate([truth & self.answers, self.answers, truth, exact], axis=1).astype(np.float64)

    def figures(self) -> dict[str, float]:
        """F1 of the labels and of all decisions, mean average precision, subset accuracy."""
        ones = np.ones((1, self.samples))
        names = ("macro_f1", "micro_f1", "mean_average_precision", "subset_accuracy")
        return {name: float(self.resampled(name, ones)[0]) for name in names}

    def resampled(self, metric: str, weights: Real) -> Real:
        """A metric (R,) under weights (R, N)."""
        if metric == "mean_average_precision":
            rows = max(1, CHUNK // max(1, self.samples))
            pieces = [weights[begin : begin + rows] for begin in range(0, len(weights), rows)]
            return np.concatenate([self._mean_average_precision(piece) for piece in pieces])
        sums = weights @ self._summands
        if metric == "subset_accuracy":
            return np.asarray(sums[:, -1] / weights.sum(axis=1))
        right, answered, true = np.split(sums[:, :-1], 3, axis=1)  # (R, K + 1) each
        if metric == "micro_f1":
            return share(2 * right.sum(axis=1), (answered + true).sum(axis=1))
        if metric == "macro_f1":
            occurs = (answered + true) > 0
            return share(share(2 * right, answered + true).sum(axis=1), occurs.sum(axis=1).astype(np.float64))
        raise KeyError(metric)

    def _mean_average_precision(self, weights: Real) -> Real:
        """(R,) over the labels that a sample of the resample has."""
        columns = [
            average_precision(self.scores[:, label], self.truth[:, label], weights) for label in range(len(self.labels))
        ]
        by_label = np.stack(columns)  # (K, R)
        present = ~np.isnan(by_label)
        return share(np.where(present, by_label, 0).sum(axis=0), present.sum(axis=0).astype(np.float64))

    def per_label(self) -> list[LabelFigures]:
        """Figures of each label of the data."""
        right, answered, true = np.split(self._summands[:, :-1].sum(axis=0), 3)
        ones = np.ones((1, self.samples))
        rows = []
        for number, name in enumerate(self.labels):
            parts = (share(right, answered), share(right, true), share(2 * right, answered + true))
            precision, recall, f1 = (float(part[number]) for part in parts)
            average = float(average_precision(self.scores[:, number], self.truth[:, number], ones)[0])
            counts = int(true[number]), int(answered[number])
            rows.append(LabelFigures(name, precision, recall, f1, average, float(self.thresholds[number]), *counts))
        return rows

    def calibration(self) -> dict[str, float] | None:
        """Calibration error of the scores before and after the calibration; None without calibration."""
        if self.temperature == 1:
            return None
        scores = self.scores, uncalibrated_scores(self.scores, self.temperature)
        after, before = ({"ece": score_calibration_error(part, self.truth)} for part in scores)
        return before_and_after(self.temperature, before, after)

    def slices(self) -> list[Slice]:
        """A slice for each label that samples have: its F1 as `macro_f1`, its average precision."""
        return [
            Slice(row.label, row.samples, {"macro_f1": row.f1, "mean_average_precision": row.average_precision})
            for row in self.per_label()
            if row.samples
        ]

    def concatenate(self, other: MultiLabelScores) -> MultiLabelScores:
        """The samples of both, one after the other."""
        return MultiLabelScores(
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.truth, other.truth]),
            np.concatenate([self.answers, other.answers]),
            self.labels,
            self.thresholds,
            self.not_finite + other.not_finite,
        )

    def differs(self, other: MultiLabelScores) -> NDArray[np.bool_]:
        """Samples (N,) whose scores or answers differ."""
        scores, answers = self.scores != other.scores, self.answers != other.answers
        differing: NDArray[np.bool_] = scores.any(axis=1) | answers.any(axis=1)
        return differing

    def document(self) -> dict[str, Any]:
        """Figures by label; samples by their number of labels, true and answered."""
        rows = [row._asdict() for row in self.per_label()]
        for row in rows:
            row["average_precision"] = None if np.isnan(row["average_precision"]) else row["average_precision"]
        counts = [np.bincount(flags.sum(axis=1)).tolist() for flags in (self.truth, self.answers)]
        tables = {"per_label": rows, "samples_by_number_of_labels": {"true": counts[0], "answered": counts[1]}}
        calibration = self.calibration()
        return tables if calibration is None else {**tables, "calibration": calibration}

    def draw(self, folder: Path) -> None:
        """F1 and average precision of the labels; precision over recall."""
        from components.evaluation.label_plots import draw_labels
        from components.evaluation.task_plots import draw_precision_recall

        rows = [row for row in self.per_label() if row.samples]
        draw_labels([(row.label, row.f1, row.average_precision, row.samples) for row in rows], folder / "labels.png")
        curves = []
        for row in rows:
            number = self.labels.index(row.label)
            correct = np.cumsum(self.truth[np.argsort(-self.scores[:, number], kind="stable"), number])
            precision = correct / np.arange(1, self.samples + 1)
            curves.append((row.label, row.average_precision, correct / row.samples, precision))
        draw_precision_recall(curves, folder / "precision_recall.png", "scores of all test samples")

    def card_lines(self) -> CardLines:
        """The figures and the threshold of each label; the weakest label; labels that no test sample has."""
        rows = self.per_label()
        lines = [
            "| label | precision | recall | F1 | average precision | threshold | samples |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| {row.label} | {row.precision:.4f} | {row.recall:.4f} | {row.f1:.4f} | "
                f"{'-' if not row.samples else f'{row.average_precision:.4f}'} | {row.threshold:.4f} | "
                f"{row.samples:,} |"
                for row in rows
            ),
        ]
        if (calibration := self.calibration()) is not None:
            lines += ["", card_line(calibration)]
        limits = []
        present = [row for row in rows if row.samples]
        if present:
            weakest = min(present, key=lambda row: row.f1)
            limits.append(f"- Weakest label: {weakest.label}, F1 {weakest.f1:.4f}.")
        if absent := [row.label for row in rows if not row.samples]:
            limits.append(f"- No test sample has {', '.join(absent)}: nothing is known of how well they are found.")
        alone = int((~self.truth.any(axis=1)).sum())
        limits.append(f"- {alone:,} of {self.samples:,} test samples have no label.")
        return CardLines(lines, limits)


def average_precision(scores: Scores, truth: Flags, weights: Real) -> Real:
    """Average precision (R,) of one label; NaN where no sample of the resample has the label.

    Args:
        scores, truth: (N,).
        weights: (R, N).
    """
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    ordered = scores[order]
    ends = np.append(np.flatnonzero(ordered[:-1] != ordered[1:]), len(ordered) - 1)  # the last place of each score
    gained = np.cumsum(weights[:, order] * truth[order], axis=1)[:, ends]  # (R, scores): weights of right answers
    answered = np.cumsum(weights[:, order], axis=1)[:, ends]
    precision = share(gained, answered)
    total = gained[:, -1]
    steps = np.diff(gained, axis=1, prepend=0.0)
    result = np.full(len(weights), np.nan)
    np.divide((precision * steps).sum(axis=1), total, out=result, where=total > 0)
    return result


class MultiLabelScorer(NamedTuple):
    """The scorer: graph `model` gives `probabilities`; the array `labels` has the true labels of each sample."""

    truth: tuple[str, ...] | None = ("labels",)

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> MultiLabelScores:
        """Labels are matched by name. A prediction that is not finite counts as an answer of no known label."""
        count = len(frozen.classes)
        numbers = {name: number for number, name in enumerate(frozen.classes)}
        data_numbers = np.array([numbers.get(name, count) for name in predictor.signature.classes])
        has_label = data_numbers < count
        own = np.asarray(cast(Any, predictor.processor).label_thresholds(), np.float64)  # (labels of the package,)
        if (decision := decision_of(predictor)) is not None:
            own = np.array([decision.thresholds[name] for name in predictor.signature.classes])
        thresholds = np.full(count, np.nan)
        thresholds[data_numbers[has_label]] = own[has_label]
        scores, truth = np.zeros((len(frozen), count), np.float32), np.zeros((len(frozen), count), np.bool_)
        answers = np.zeros((len(frozen), count + 1), np.bool_)
        not_finite = 0
        for index, batch, outputs in batched_prediction.outputs(predictor, frozen.split, step):
            found = outputs["probabilities"]  # (B, labels of the package)
            finite = batched_prediction.finite(found)
            found = np.where(finite[:, None], found, np.float32(0))
            chosen = (found >= own) & finite[:, None]
            truth[index] = batch["labels"]
            scores[np.ix_(index, data_numbers[has_label])] = found[:, has_label]
            answers[np.ix_(index, data_numbers[has_label])] = chosen[:, has_label]
            answers[index, count] = chosen[:, ~has_label].any(axis=1) | ~finite
            not_finite += int(np.count_nonzero(~finite))
        temperature = temperature_of(predictor)
        return MultiLabelScores(scores, truth, answers, frozen.classes, thresholds, not_finite, temperature)


SCORER = MultiLabelScorer()
