"""Ridge regression in closed form (Hoerl and Kennard, Technometrics 12, 1970), on standardised features.

It is scikit-learn's `Ridge` after a `StandardScaler`, whose import would take longer than what is fitted here. Legend:
N samples, F features, K targets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


class Ridge(NamedTuple):
    """A fitted model.

    Args:
        centre, spread: mean and standard deviation of each feature (F,); 1 for a constant one.
        weights: (F, K).
        intercept: mean of the targets (K,).
    """

    centre: Real
    spread: Real
    weights: Real
    intercept: Real

    def predict(self, values: Real) -> Real:
        """The targets (N, K) of features (N, F)."""
        return np.asarray((values - self.centre) / self.spread @ self.weights + self.intercept)


def fit(values: Real, targets: Real, penalty: float) -> Ridge:
    """Least squares with the penalty on the squared weights.

    Args:
        values: (N, F).
        targets: (N, K).
    """
    centre, deviation = values.mean(axis=0), values.std(axis=0)
    spread = np.where(deviation > 0, deviation, 1.0)
    scaled, intercept = (values - centre) / spread, targets.mean(axis=0)
    samples, features = scaled.shape
    if features <= samples:
        gram = scaled.T @ scaled + penalty * np.eye(features)  # (F, F)
        weights = np.linalg.solve(gram, scaled.T @ (targets - intercept))
    else:  # the same weights from a system of N equations
        kernel = scaled @ scaled.T + penalty * np.eye(samples)  # (N, N)
        weights = scaled.T @ np.linalg.solve(kernel, targets - intercept)
    return Ridge(centre, spread, weights, intercept)


def indicators(classes: NDArray[np.int64], count: int) -> Real:
    """Class numbers (N,) as targets (N, K): 1 for the class, -1 for the others."""
    return 2.0 * np.eye(count)[classes] - 1.0
