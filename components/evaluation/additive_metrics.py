"""Metrics that are functions of sums over samples: summands of each sample, and the metric as a function of the sums.

Legend: N samples, S summands, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from components.evaluation.scorer import CardLines, Real, Slice

Combine = Callable[[Real], Real]  # sums (R, S) -> a metric (R,)


class View(Protocol):
    """Slices, tables, plots and card lines of a task, from its sums."""

    def slices(self, total: Real) -> list[Slice]:
        """Parts of the split, from the sums (S,)."""

    def document(self, total: Real) -> dict[str, Any]:
        """Tables for metrics.json."""

    def draw(self, total: Real, folder: Path) -> None:
        """PNG files."""

    def card_lines(self, total: Real, samples: int) -> CardLines:
        """Lines for the model card."""


@dataclass(frozen=True, eq=False)
class AdditiveScores:
    """A `Scored` whose metrics are functions of sums.

    Args:
        summands: (N, S), of each sample.
        metrics: functions of the sums, by name.
        clusters: (N,) the group of each sample; None without groups.
    """

    summands: Real
    metrics: Mapping[str, Combine]
    view: View
    not_finite: int = 0
    overlap: int = 1
    clusters: NDArray[np.int64] | None = None

    @property
    def samples(self) -> int:
        """N."""
        return len(self.summands)

    @property
    def total(self) -> Real:
        """The sums over all samples, (S,)."""
        return np.asarray(self.summands.sum(axis=0))

    def figures(self) -> dict[str, float]:
        """Every metric of all samples."""
        return {name: float(combine(self.total[None])[0]) for name, combine in self.metrics.items()}

    def slices(self) -> list[Slice]:
        """Parts of the split."""
        return self.view.slices(self.total)

    def resampled(self, metric: str, weights: Real) -> Real:
        """A metric (R,) of samples with weights (R, N)."""
        return self.metrics[metric](weights @ self.summands)

    def concatenate(self, other: AdditiveScores) -> AdditiveScores:
        """The samples of both, one after the other."""
        summands = np.concatenate([self.summands, other.summands])
        return replace(self, summands=summands, not_finite=self.not_finite + other.not_finite)

    def differs(self, other: AdditiveScores) -> NDArray[np.bool_]:
        """Samples (N,) whose summands differ between two models."""
        differing: NDArray[np.bool_] = (self.summands != other.summands).any(axis=1)
        return differing

    def document(self) -> dict[str, Any]:
        """Tables for metrics.json."""
        return self.view.document(self.total)

    def draw(self, folder: Path) -> None:
        """PNG files."""
        self.view.draw(self.total, folder)

    def card_lines(self) -> CardLines:
        """For the model card."""
        return self.view.card_lines(self.total, self.samples)


def share(part: Real, whole: Real) -> Real:
    """part / whole, 0 if whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=np.asarray(whole) > 0)
