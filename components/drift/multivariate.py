"""Compare all columns, or embeddings, of a window with the reference at once. One look each, as `columns.compare`."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import distance
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance

from components.drift import column_kinds
from components.drift.distances import Real

MOST_ROWS = 5_000  # of either side that the domain classifier reads
MOST_KERNEL_ROWS = 1_000  # of either side in a kernel matrix
PERMUTATIONS = 999
LEAST_ROWS = 10  # of either side
NOT_JUDGED = np.nan


class MultivariateDrift(NamedTuple):
    """How a window differs from the reference as a whole.

    Args:
        statistic: the area under the ROC curve of a classifier that tells window from reference on rows that it was not
            trained on (0.5: it cannot), or the unbiased squared maximum mean discrepancy.
        p_value: of one look; NaN where there are too few rows, or no column that can be compared.
        importances: of the classifier's columns: by how much the area falls if the column is shuffled.
        reference_rows, window_rows: rows that were read; of more, a random part.
    """

    method: Literal["domain_classifier", "maximum_mean_discrepancy"]
    statistic: float
    p_value: float
    importances: dict[str, float]
    reference_rows: int
    window_rows: int


def domain_classifier(reference: pd.DataFrame, window: pd.DataFrame, seed: int) -> MultivariateDrift:
    """A gradient-boosted classifier learns on half of the rows which are the window's, and is judged on the others.

    The p-value is that of Mann and Whitney's test of its scores on the held-out half, which does not depend on how the
    classifier was made (Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests", ICLR).
    """
    rng = np.random.default_rng(seed)
    names = [
        column
        for column in reference.columns
        if column in window.columns and column_kinds.kind_of(reference[column]) != "other"
    ]
    first, second = _sample(len(reference), MOST_ROWS, rng), _sample(len(window), MOST_ROWS, rng)
    if not names or min(len(first), len(second)) < LEAST_ROWS:
        return MultivariateDrift("domain_classifier", NOT_JUDGED, NOT_JUDGED, {}, len(first), len(second))
    features = np.vstack(_features(reference.iloc[first], window.iloc[second], names))
    truth = np.repeat([0, 1], [len(first), len(second)])
    halves = np.concatenate([rng.permutation(np.arange(len(rows)) % 2) for rows in (first, second)])
    learnt, held = halves == 0, halves == 1
    model = HistGradientBoostingClassifier(
        max_iter=60,
        max_leaf_nodes=8,
        learning_rate=0.1,
        early_stopping=False,
        class_weight="balanced",
        random_state=seed,
    ).fit(features[learnt], truth[learnt])
    scores = model.decision_function(features[held])
    positive, negative = scores[truth[held] == 1], scores[truth[held] == 0]
    test = stats.mannwhitneyu(positive, negative, alternative="greater", method="asymptotic")
    area = float(test.statistic) / (len(positive) * len(negative))
    p_value = float(test.pvalue) if np.isfinite(test.pvalue) else 1.0  # all scores are equal
    found = permutation_importance(
        model, features[held], truth[held], scoring="roc_auc", n_repeats=3, random_state=seed, n_jobs=1
    )
    importances = {str(name): float(value) for name, value in zip(names, found.importances_mean, strict=True)}
    ranked = dict(sorted(importances.items(), key=lambda item: -item[1]))
    return MultivariateDrift("domain_classifier", area, p_value, ranked, len(first), len(second))


def maximum_mean_discrepancy(
    reference: NDArray[np.floating], window: NDArray[np.floating], seed: int
) -> MultivariateDrift:
    """The kernel two-sample test of Gretton et al. 2012 (JMLR 13:723-773).

    The kernel is exp(-|x - y|^2 / (2 s^2)) with the median distance s; the p-value is that of permutations, which is
    valid for any number of rows.

    Args:
        reference: embeddings, (N, D).
        window: embeddings, (M, D).
    """
    rng = np.random.default_rng(seed)
    first, second = _sample(len(reference), MOST_KERNEL_ROWS, rng), _sample(len(window), MOST_KERNEL_ROWS, rng)
    sizes = len(first), len(second)
    if min(sizes) < LEAST_ROWS:
        return MultivariateDrift("maximum_mean_discrepancy", NOT_JUDGED, NOT_JUDGED, {}, *sizes)
    rows = np.vstack([np.asarray(reference)[first], np.asarray(window)[second]]).astype(np.float64)
    squares = distance.squareform(distance.pdist(rows, "sqeuclidean"))
    between = squares[np.triu_indices(len(rows), 1)]
    median = float(np.median(between[between > 0])) if (between > 0).any() else 1.0
    kernel = np.exp(-squares / (2 * median)) if median > 0 else np.ones_like(squares)
    np.fill_diagonal(kernel, 0.0)
    members = np.zeros((len(rows), PERMUTATIONS + 1))  # 1: the row counts as the window's
    members[sizes[0] :, 0] = 1
    for column in range(1, PERMUTATIONS + 1):
        members[rng.permutation(len(rows))[: sizes[1]], column] = 1
    values = _discrepancies(kernel, members, *sizes)
    p_value = float((values >= values[0] - 1e-12).mean())  # the observed one is among them
    return MultivariateDrift("maximum_mean_discrepancy", float(values[0]), p_value, {}, *sizes)


def _discrepancies(kernel: Real, members: Real, n: int, m: int) -> Real:
    """The unbiased squared discrepancy of each assignment of rows, (P,). kernel (N + M, N + M) without its diagonal."""
    inside = kernel @ members  # (N + M, P)
    window = (members * inside).sum(axis=0)
    cross = inside.sum(axis=0) - window
    reference = kernel.sum() - window - 2 * cross
    found: Real = reference / (n * (n - 1)) + window / (m * (m - 1)) - 2 * cross / (n * m)
    return found


def _features(reference: pd.DataFrame, window: pd.DataFrame, names: list[str]) -> tuple[Real, Real]:
    """Columns as numbers, (N, F) and (M, F): NaN is missing; categories are numbered by their names."""
    first, second = [], []
    for name in names:
        if column_kinds.kind_of(reference[name]) == "number":
            pair = column_kinds.numbers(reference[name]), column_kinds.numbers(window[name])
        else:
            texts = column_kinds.categories(reference[name]), column_kinds.categories(window[name])
            order = {text: float(at) for at, text in enumerate(sorted({*texts[0], *texts[1]}))}
            pair = np.array([order[text] for text in texts[0]]), np.array([order[text] for text in texts[1]])
        first.append(pair[0])
        second.append(pair[1])
    limit = 1e300  # the trees take no infinity
    return np.clip(np.column_stack(first), -limit, limit), np.clip(np.column_stack(second), -limit, limit)


def _sample(rows: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(rng.permutation(rows)[:most])
