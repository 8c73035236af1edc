"""Chooses the thresholds of `decision:` on the validation split.

Legend: N samples, K classes or labels, P the positive class of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from components.contracts.decision_spec import DecisionSpec
from components.evaluation.validation_outputs import ValidationOutputs
from components.identity.answer_facts import DecisionFacts
from components.tasks.decision_check import check
from components.tasks.multi_label import HALF, best_threshold

Real = NDArray[np.float64]
Flags = NDArray[np.bool_]
DIGITS = 6


def choose(spec: DecisionSpec, outputs: ValidationOutputs, classes: Sequence[str], kind: str) -> DecisionFacts:
    """The decision of a package.

    Args:
        outputs: probabilities (N, K) of the validation split, and the truth.
        kind: `classes` or `labels`.

    Raises:
        UsageError: the decision does not fit the classes (`decision_check.check`).
    """
    check(spec, kind, classes)
    if spec.threshold is None:
        return DecisionFacts(reject_below=spec.reject_below)
    return _of_labels(spec, outputs, classes) if kind == "labels" else _of_two(spec, outputs, classes)


def _of_labels(spec: DecisionSpec, outputs: ValidationOutputs, classes: Sequence[str]) -> DecisionFacts:
    """A threshold for each label; the figure is the mean F1 of the labels."""
    scores, truth = outputs.values, outputs.truth.astype(np.bool_)
    if spec.threshold != "auto":
        stated = spec.threshold if isinstance(spec.threshold, dict) else dict.fromkeys(classes, spec.threshold or 0.0)
        return DecisionFacts(thresholds={name: float(stated.get(name, HALF)) for name in classes})
    columns = zip(scores.T, truth.T, strict=True)
    found = [best_threshold(column.astype(np.float32), own) for column, own in columns]
    return DecisionFacts(
        thresholds=dict(zip(classes, found, strict=True)),
        optimise="f1",
        figure=_mean_f1(scores >= np.array(found), truth),
        default_figure=_mean_f1(scores >= HALF, truth),
    )


def _of_two(spec: DecisionSpec, outputs: ValidationOutputs, classes: Sequence[str]) -> DecisionFacts:
    """The threshold of the positive class."""
    stated = spec.threshold if isinstance(spec.threshold, dict) else {}
    positive = next(iter(stated), None) or spec.positive or max(classes)
    number = list(classes).index(positive)
    if spec.threshold != "auto":
        threshold = spec.threshold if isinstance(spec.threshold, float) else stated[positive]
        return DecisionFacts(thresholds={positive: threshold}, reject_below=spec.reject_below)
    scores, truth = outputs.values[:, number], outputs.truth == number  # (N,)
    threshold = best(scores, truth, _FIGURES[spec.optimise])
    figure = _FIGURES[spec.optimise]
    return DecisionFacts(
        thresholds={positive: threshold},
        optimise=spec.optimise,
        figure=round(float(figure(_counts(scores, truth, [threshold]))[0]), DIGITS),
        default_figure=round(float(figure(_counts(scores, truth, [HALF]))[0]), DIGITS),
        reject_below=spec.reject_below,
    )


def best(scores: Real, truth: Flags, figure: Callable[[Real], Real]) -> float:
    """The threshold of the highest figure: midway between two neighbouring scores; of equal figures the nearest to 0.5.

    Args:
        scores, truth: (N,) of the positive class.
        figure: of counts (M, 4) to (M,).
    """
    levels = np.unique(scores)
    middle = np.append((levels[1:] + levels[:-1]) / 2, HALF)  # (M,)
    found = figure(_counts(scores, truth, middle))
    top = np.flatnonzero(found >= found.max() - 1e-12)
    return float(middle[top[np.abs(middle[top] - HALF).argmin()]])


def _counts(scores: Real, truth: Flags, thresholds: Sequence[float] | Real) -> Real:
    """True positives, false positives, false negatives, true negatives (M, 4) at thresholds (M,)."""
    order = np.sort(scores[truth]), np.sort(scores[~truth])
    positive, negative = (len(part) - np.searchsorted(part, thresholds, side="left") for part in order)
    return np.stack([positive, negative, len(order[0]) - positive, len(order[1]) - negative], axis=1).astype(np.float64)


def _f1(counts: Real) -> Real:
    true, false, missed, _ = counts.T
    return np.asarray(2 * true / np.maximum(2 * true + false + missed, 1))


def _accuracy(counts: Real) -> Real:
    return np.asarray((counts[:, 0] + counts[:, 3]) / counts.sum(axis=1))


def _balanced_accuracy(counts: Real) -> Real:
    true, false, missed, rest = counts.T
    return np.asarray((true / np.maximum(true + missed, 1) + rest / np.maximum(rest + false, 1)) / 2)


_FIGURES: dict[str, Callable[[Real], Real]] = {
    "f1": _f1,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
}


def _mean_f1(answers: Flags, truth: Flags) -> float:
    right, total = (answers & truth).sum(axis=0), answers.sum(axis=0) + truth.sum(axis=0)
    return round(float((2 * right / np.maximum(total, 1)).mean()), DIGITS)
