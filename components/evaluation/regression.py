"""Scores of tasks that give each sample one number, in the units of the target.

Legend: N samples, R resamples.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from components.contracts.shapes import ValuesOutput
from components.evaluation import batched_prediction
from components.evaluation.additive_metrics import share
from components.evaluation.scorer import CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit

PARTS = 4  # slices, by quartiles of the truth
_ROWS = 1_000_000  # weights that are sorted in one piece, to bound the memory


class RegressionScores:
    """Predictions and the truth.

    Args:
        values, truth: (N,), in the units of the target.
    """

    overlap = 1

    def __init__(self, values: Real, truth: Real, not_finite: int = 0) -> None:
        self.values, self.truth, self.not_finite = values, truth, not_finite
        self.samples = len(truth)

    @cached_property
    def absolute(self) -> Real:
        """Absolute errors (N,)."""
        return np.abs(self.values - self.truth)

    def figures(self) -> dict[str, float]:
        """R2, root mean squared error, mean and median absolute error."""
        ones = np.ones((1, self.samples))
        names = ("r2", "rmse", "mae", "median_absolute_error")
        return {name: float(self.resampled(name, ones)[0]) for name in names}

    def resampled(self, metric: str, weights: Real) -> Real:
        """A metric (R,) under weights (R, N)."""
        total = weights.sum(axis=1)
        if metric == "mae":
            return np.asarray(weights @ self.absolute / total)
        if metric == "median_absolute_error":
            return weighted_median(self.absolute, weights)
        squared = weights @ np.square(self.absolute)  # (R,)
        if metric == "rmse":
            return np.asarray(np.sqrt(squared / total))
        if metric == "r2":
            centred = self.truth - self.truth.mean()  # (N,), for the precision of the next line
            variation = weights @ np.square(centred) - (weights @ centred) ** 2 / total
            return np.asarray(np.where(variation > 0, 1 - share(squared, variation), 0.0))
        raise KeyError(metric)

    def slices(self) -> list[Slice]:
        """Quarters of the samples by their truth, from the lowest."""
        edges = np.unique(np.quantile(self.truth, np.linspace(0, 1, PARTS + 1)))
        places = np.clip(np.searchsorted(edges, self.truth, side="right") - 1, 0, max(0, len(edges) - 2))
        found = []
        for place in np.unique(places).tolist():
            part = RegressionScores(self.values[places == place], self.truth[places == place])
            name = f"{edges[place]:.4g} to {edges[min(place + 1, len(edges) - 1)]:.4g}"
            found.append(Slice(name, part.samples, {name: part.figures()[name] for name in ("rmse", "mae")}))
        return found

    def concatenate(self, other: RegressionScores) -> RegressionScores:
        """The samples of both, one after the other."""
        values, truth = np.concatenate([self.values, other.values]), np.concatenate([self.truth, other.truth])
        return RegressionScores(values, truth, self.not_finite + other.not_finite)

    def differs(self, other: RegressionScores) -> NDArray[np.bool_]:
        """Samples (N,) whose predictions differ."""
        differing: NDArray[np.bool_] = self.values != other.values
        return differing

    def document(self) -> dict[str, Any]:
        """The slices, and quantiles of the residuals: prediction minus truth."""
        levels = (0.05, 0.25, 0.5, 0.75, 0.95)
        residuals = np.quantile(self.values - self.truth, levels).tolist()
        return {
            "slices": [part._asdict() for part in self.slices()],
            "residuals": [{"quantile": level, "value": value} for level, value in zip(levels, residuals, strict=True)],
        }

    def draw(self, folder: Path) -> None:
        """Predictions over the truth, and residuals over the predictions."""
        from components.evaluation.regression_plots import draw_predictions, draw_residuals

        draw_predictions(self.values, self.truth, folder / "predictions.png")
        draw_residuals(self.values, self.truth, folder / "residuals.png")

    def card_lines(self) -> CardLines:
        """Errors by quarters of the truth; where most of the errors are."""
        parts = self.slices()
        lines = ["| target | MAE | RMSE | samples |", "|---|---|---|---|"]
        lines += [f"| {p.name} | {p.figures['mae']:.4g} | {p.figures['rmse']:.4g} | {p.samples:,} |" for p in parts]
        worst = max(parts, key=lambda part: part.figures["mae"])
        low, high = self.truth.min(), self.truth.max()
        limits = [
            f"- Largest errors where the target is {worst.name}: MAE {worst.figures['mae']:.4g}.",
            f"- Targets of the test split are {low:.4g} to {high:.4g}; beyond these nothing is known.",
        ]
        return CardLines(lines, limits)


def weighted_median(values: Real, weights: Real) -> Real:
    """The median (R,) of values (N,) that stand there as often as their weights (R, N) say.

    The mean of the lower and the upper median, as numpy's for weights of 1.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    rows = max(1, _ROWS // max(1, len(values)))
    found = []
    for start in range(0, len(weights), rows):
        sums = np.cumsum(weights[start : start + rows][:, order], axis=1)  # (r, N)
        half = sums[:, -1:] / 2
        lower = ordered[np.minimum((sums < half * (1 - 1e-12)).sum(axis=1), len(ordered) - 1)]
        upper = ordered[np.minimum((sums <= half * (1 + 1e-12)).sum(axis=1), len(ordered) - 1)]
        found.append((lower + upper) / 2)
    return np.concatenate(found)


class RegressionScorer(NamedTuple):
    """The scorer: graph `model` gives `value` (N, 1), scaled; the truth is `target` (N, 1), scaled as the data is."""

    truth: tuple[str, ...] | None = ("target",)

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> RegressionScores:
        """In the target's units, whatever scale package and data have. A prediction that is not finite counts as the
        mean of the package's train split."""
        package_scale = cast(ValuesOutput, predictor.processor.output_spec())
        data_scale = cast(ValuesOutput, frozen.processor.output_spec())
        values, truth = np.empty(len(frozen)), np.empty(len(frozen))
        not_finite = 0
        for index, batch, outputs in batched_prediction.outputs(predictor, frozen.split, step):
            finite = batched_prediction.finite(outputs["value"])
            not_finite += int(np.count_nonzero(~finite))
            scaled = np.where(finite, outputs["value"][:, 0], 0).astype(np.float64)
            values[index] = scaled * package_scale.std + package_scale.mean
            truth[index] = batch["target"][:, 0].astype(np.float64) * data_scale.std + data_scale.mean
        return RegressionScores(values, truth, not_finite)


SCORER = RegressionScorer()
