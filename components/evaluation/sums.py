"""Metrics that follow from sums over samples: what each sample adds, and what a metric makes of the sums.

Legend: N samples, S summands, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.evaluation.scorer import Real

Combine = Callable[[Real], Real]  # sums (R, S) -> a metric (R,)


class Sums(NamedTuple):
    """What a scorer keeps of each sample, (N, S), and its metrics."""

    summands: Real
    metrics: Mapping[str, Combine]

    def figures(self) -> dict[str, float]:
        """Every metric of all samples."""
        total = self.summands.sum(axis=0, keepdims=True)  # (1, S)
        return {name: float(combine(total)[0]) for name, combine in self.metrics.items()}

    def resampled(self, metric: str, weights: Real) -> Real:
        """A metric (R,) where samples count so often: weights (R, N)."""
        return self.metrics[metric](weights @ self.summands)

    def beside(self, other: Sums) -> Sums:
        """These samples, then the others."""
        return self._replace(summands=np.concatenate([self.summands, other.summands]))

    def differs(self, other: Sums) -> NDArray[np.bool_]:
        """Samples (N,) to which another model's summands are not the same."""
        found: NDArray[np.bool_] = (self.summands != other.summands).any(axis=1)
        return found


def share(part: Real, whole: Real) -> Real:
    """part / whole, 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)
