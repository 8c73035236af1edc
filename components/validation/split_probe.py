"""Whether train and test differ: a classifier that is to tell them apart (a classifier two-sample test).

Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests, ICLR 2017. A linear model on simple features of a capped
sample (ridge regression; of texts, logistic regression), judged out of fold by the area under the ROC curve; its
interval is Hanley and McNeil's (Radiology 143,
1982). 0.5: nothing tells them apart. It reports, and refuses nothing.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.preprocessing import ridge
from components.validation.sample_features import Features

WARN = 0.7  # lower bound of the area from which the report warns
MIN_SAMPLES = 50  # of each split
MAX_SAMPLES = 2000
FOLDS = 5
PENALTY = 0.1  # of the squared weights, a sample
TELLING = 3  # features that are named
_Z = 1.959964


class Shift(NamedTuple):
    """The result of the probe.

    Args:
        auc, lower, upper: the area and its 95 % interval; None if there was no probe.
        telling: features that tell the splits apart, in words; only where `warns`.
        reason: why there was no probe; "" if there was one.
        samples: number of samples of train and of test that were compared.
    """

    auc: float | None
    lower: float | None
    upper: float | None
    telling: list[str]
    reason: str
    samples: tuple[int, int]

    @property
    def warns(self) -> bool:
        """Whether train and test differ."""
        return self.lower is not None and self.lower > WARN

    @property
    def sentence(self) -> str:
        """The result in one line."""
        if self.auc is None:
            return f"train and test were not compared: {self.reason}"
        figure = f"AUC {self.auc:.2f}, {self.lower:.2f} to {self.upper:.2f}"
        if not self.warns:
            return f"a classifier does not tell train from test well ({figure}; above {WARN} the report warns)"
        return (
            f"train and test differ: {figure}; what tells them apart: {'; '.join(self.telling) or 'no single feature'}"
        )

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**self._asdict(), "warns": self.warns, "sentence": self.sentence}


def skipped(reason: str, samples: tuple[int, int] = (0, 0)) -> Shift:
    """No probe, and why."""
    return Shift(None, None, None, [], reason, samples)


def choose(rows: NDArray[np.int64], most: int = MAX_SAMPLES) -> NDArray[np.int64]:
    """At most so many of the rows (n,), drawn with a fixed seed, sorted."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def probe(features: Features, counts: tuple[int, int]) -> Shift:
    """Compare samples of both splits.

    Args:
        features: of the samples of train, then of those of test.
        counts: number of samples of train and of test.
    """
    if not features.names:
        return skipped("samples of this kind have no simple features", counts)
    if min(counts) < MIN_SAMPLES:
        return skipped(f"fewer than {MIN_SAMPLES} samples in a split", counts)
    truth = np.repeat([0, 1], counts)
    if isinstance(features.values, np.ndarray):
        values: Any = _standardised(features.values)
        auc = _area(_scores(values, truth), truth)
    else:
        values = features.values
        auc = _area(_scores_of_texts(values, truth), truth)
    spread = _Z * _standard_error(auc, *counts)
    found = Shift(auc, max(0.0, auc - spread), min(1.0, auc + spread), [], "", counts)
    return found._replace(telling=_telling(values, truth, features.names)) if found.warns else found


def _scores(values: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores (N,) of the samples, each by the model of the other folds."""
    rng, folds = np.random.default_rng(0), np.empty(len(truth), np.int64)
    for side in (0, 1):
        places = rng.permutation(np.flatnonzero(truth == side))
        folds[places] = np.arange(len(places)) % FOLDS
    scores, targets = np.empty(len(truth)), 2.0 * truth[:, None] - 1.0
    for fold in range(FOLDS):
        held = folds == fold
        fitted = ridge.fit(values[~held], targets[~held], PENALTY * float((~held).sum()))
        scores[held] = fitted.predict(values[held])[:, 0]
    return scores


def _scores_of_texts(values: Any, truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """As `_scores`, of sparse features."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    model = LogisticRegression(C=1.0, max_iter=200, class_weight="balanced")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an unfinished fit tells the splits apart less, not more
        return np.asarray(cross_val_predict(model, values, truth, cv=folds, method="decision_function"))


def _area(scores: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The area under the ROC curve: how often a sample of test scores above one of train; ties count half."""
    train, test = np.sort(scores[truth == 0]), scores[truth == 1]
    below = (np.searchsorted(train, test, "left") + np.searchsorted(train, test, "right")) / 2
    return float(below.mean() / len(train))


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = values.std(axis=0)
    result: NDArray[np.float64] = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return np.clip(result, -10, 10)


def _standard_error(auc: float, positives: int, negatives: int) -> float:
    """Hanley and McNeil 1982, formula 1."""
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return math.sqrt(max(0.0, variance) / (positives * negatives))


def _telling(values: Any, truth: NDArray[np.int64], names: list[str]) -> list[str]:
    """The features that tell the splits apart best, each alone."""
    from scipy import stats

    if not isinstance(values, np.ndarray):
        means = [np.asarray((values[truth == side] > 0).mean(axis=0)).ravel() for side in (0, 1)]
        best = np.argsort(-np.abs(means[1] - means[0]))[:TELLING]
        return [
            f"{names[number]} (in {means[0][number]:.0%} of train, {means[1][number]:.0%} of test)" for number in best
        ]
    counts = np.bincount(truth)
    ranks = stats.rankdata(values, axis=0)[truth == 1].sum(axis=0)
    areas = (ranks - counts[1] * (counts[1] + 1) / 2) / (counts[0] * counts[1])
    best = np.argsort(-np.abs(areas - 0.5))[:TELLING]
    return [
        f"{names[number]} ({'higher' if areas[number] > 0.5 else 'lower'} in test, alone AUC "
        f"{max(areas[number], 1 - areas[number]):.2f})"
        for number in best.tolist()
        if abs(areas[number] - 0.5) > 0.05
    ]
