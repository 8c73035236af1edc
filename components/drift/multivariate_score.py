"""Numbers that say how unusual a whole row is: what single columns do not show, such as a correlation that is lost.

The score is fitted on a part of the reference that is not used again. The rest of the reference and later rows are then
exchangeable, also after the score is known, so that their scores are a column like any other for a drift monitor.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.core.strict import Strict
from components.drift import column_kinds
from components.drift.distances import Real

LEAST_ROWS = 50
COMPONENTS = 16  # principal components that are kept of an embedding
DIRECTIONS = 4  # ... that are scores themselves
MOST_INDICATORS = 10  # categories of a column with a feature of their own
FARTHEST = 6.0  # standard deviations at which a feature is clipped
RIDGE = 0.02  # added to variances of 1, so that columns that determine each other do not divide by 0


class Feature(Strict):
    """A number made of a column: its value, centred and scaled; or 1 for one of its categories."""

    column: str
    category: str | None = None
    centre: float
    scale: float


class MultivariateScore(Strict):
    """Principal axes of the features, (R, F), with the variances along them, (R,)."""

    kind: Literal["row", "embedding"]
    features: tuple[Feature, ...]
    means: tuple[float, ...] = ()
    axes: tuple[tuple[float, ...], ...]
    variances: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scores, as `scores` returns them."""
        if self.kind == "row":
            return ("row.distance",)
        return "embedding.distance", "embedding.residual", *(f"embedding.direction_{at}" for at in range(DIRECTIONS))

    def of_rows(self, table: pd.DataFrame) -> Real:
        """The Mahalanobis distance of each row, (N, 1)."""
        return self._distances(features_of(table, self.features))

    def of_embedding(self, embedding: NDArray[np.floating]) -> Real:
        """Distance within the principal axes, length outside them, and places on the first axes, (N, 6)."""
        centred = np.asarray(embedding, np.float64) - np.asarray(self.means)
        axes = np.asarray(self.axes)
        places = centred @ axes.T  # (N, R)
        residual = np.sqrt(np.maximum((centred**2).sum(axis=1) - (places**2).sum(axis=1), 0.0))
        padded = np.pad(places, ((0, 0), (0, max(0, DIRECTIONS - places.shape[1]))))[:, :DIRECTIONS]
        return np.column_stack([self._distances(centred), residual, padded])

    def _distances(self, features: Real) -> Real:
        places = features @ np.asarray(self.axes).T
        distances: Real = np.sqrt((places**2 / np.asarray(self.variances)).sum(axis=1, keepdims=True))
        return distances


def fit_rows(table: pd.DataFrame) -> MultivariateScore | None:
    """The score of rows of a table; None where it has fewer than two features that vary, or too few rows."""
    features = tuple(feature for column in table.columns for feature in _features(table, column))
    columns = {feature.column for feature in features}
    if len(columns) < 2 or len(table) < max(LEAST_ROWS, 3 * len(features)):
        return None
    values = features_of(table, features)
    variances, axes = np.linalg.eigh(np.cov(values, rowvar=False))
    return MultivariateScore(
        kind="row",
        features=features,
        axes=_nested(axes.T),
        variances=tuple(float(v) for v in variances.clip(0) + RIDGE),
    )


def fit_embedding(embedding: NDArray[np.floating]) -> MultivariateScore | None:
    """The scores of embeddings, (N, D); None if there are too few, or they do not vary."""
    values = np.asarray(embedding, np.float64)
    if len(values) < LEAST_ROWS or not np.isfinite(values).all():
        return None
    means = values.mean(axis=0)
    _, deviations, axes = np.linalg.svd(values - means, full_matrices=False)
    variances = deviations**2 / (len(values) - 1)
    kept = min(COMPONENTS, len(values) // 10, int((variances > 1e-9 * variances.sum()).sum()))
    if kept == 0 or variances.sum() == 0:
        return None
    return MultivariateScore(
        kind="embedding",
        features=(),
        means=tuple(float(value) for value in means),
        axes=_nested(axes[:kept]),
        variances=tuple(float(value) for value in variances[:kept]),
    )


def features_of(table: pd.DataFrame, features: tuple[Feature, ...]) -> Real:
    """Values of features, (N, F); 0, the centre, where a value is missing or the table lacks the column."""
    values = np.full((len(table), len(features)), np.nan)
    present = {name: table[name] for name in {feature.column for feature in features} & set(table.columns)}
    texts: dict[str, NDArray[np.object_]] = {}  # of columns of categories
    for at, feature in enumerate(features):
        name = feature.column
        if name not in present:
            continue
        if feature.category is None:
            values[:, at] = column_kinds.numbers(present[name])
        else:
            if name not in texts:
                texts[name] = np.array(column_kinds.categories(present[name]), object)
            values[:, at] = texts[name] == feature.category
    centres, scales = (np.array([getattr(one, key) for one in features]) for key in ("centre", "scale"))
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.clip((values - centres) / scales, -FARTHEST, FARTHEST)
    return np.asarray(np.nan_to_num(scaled, nan=0.0), np.float64)


def _features(table: pd.DataFrame, name: str) -> list[Feature]:
    kind = column_kinds.kind_of(table[name])
    if kind == "number":
        numbers = column_kinds.numbers(table[name])
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return []
        low, centre, high = np.quantile(numbers, [0.1587, 0.5, 0.8413])
        scale = (high - low) / 2
        if not (np.isfinite(scale) and scale > 0):
            return []
        return [Feature(column=name, centre=float(centre), scale=float(scale))]
    if kind == "category":
        shares = pd.Series(column_kinds.categories(table[name])).value_counts(normalize=True)
        common = [(str(category), float(share)) for category, share in shares.items() if 0.02 <= share <= 0.98]
        return [
            Feature(column=name, category=category, centre=share, scale=float(np.sqrt(share * (1 - share))))
            for category, share in common[:MOST_INDICATORS]
        ]
    return []


def _nested(matrix: Real) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)
