"""Scores of forecasts, on values that are standardised by the train split of the data.

Legend: N windows, H steps ahead, C channels, Q quantiles, R resamples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from components.contracts.shapes import ForecastOutput
from components.evaluation import batched_prediction
from components.evaluation.additive_metrics import AdditiveScores
from components.evaluation.scorer import CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit

BATCH = 256


class ForecastView(NamedTuple):
    """Sums: squared (H * C) and absolute (H * C) errors, pinball losses (Q), values at or below each quantile (Q),
    values between the outermost quantiles, windows."""

    steps: int
    channels: tuple[str, ...]
    quantiles: tuple[float, ...]

    @property
    def values(self) -> int:
        """Number of values of one window: H * C."""
        return self.steps * len(self.channels)

    def mse(self, total: Real) -> Real:
        """Mean squared error (R,)."""
        return np.asarray(total[..., : self.values].sum(axis=-1) / (self.values * total[..., -1]))

    def mae(self, total: Real) -> Real:
        """Mean absolute error (R,)."""
        return np.asarray(total[..., self.values : 2 * self.values].sum(axis=-1) / (self.values * total[..., -1]))

    def pinball(self, total: Real) -> Real:
        """Mean pinball loss of all quantiles (R,). Koenker and Bassett 1978, Econometrica 46:33-50."""
        losses = total[..., 2 * self.values :][..., : len(self.quantiles)]
        return np.asarray(losses.mean(axis=-1) / (self.values * total[..., -1]))

    def coverage(self, total: Real) -> Real:
        """Share of values between the outermost quantiles (R,)."""
        return np.asarray(total[..., -2] / (self.values * total[..., -1]))

    def slices(self, total: Real) -> list[Slice]:
        """Each channel."""
        rows = self.document(total)["per_channel"]
        return [Slice(row["channel"], int(total[-1]), {"mse": row["mse"], "mae": row["mae"]}) for row in rows]

    def document(self, total: Real) -> dict[str, Any]:
        """Errors by channel and by step ahead; share of values at or below each quantile."""
        squared, absolute = self._errors(total)  # (H, C)
        below = total[2 * self.values + len(self.quantiles) :][: len(self.quantiles)] / (self.values * total[-1])
        return {
            "per_channel": [
                {"channel": name, "mse": float(squared[:, index].mean()), "mae": float(absolute[:, index].mean())}
                for index, name in enumerate(self.channels)
            ],
            "per_step": [
                {"step": step + 1, "mse": float(squared[step].mean()), "mae": float(absolute[step].mean())}
                for step in range(self.steps)
            ],
            "quantiles": [
                {"quantile": level, "at_or_below": float(observed)}
                for level, observed in zip(self.quantiles, below, strict=True)
            ],
        }

    def draw(self, total: Real, folder: Path) -> None:
        """Errors by step ahead; quantiles against the share of values below them."""
        from components.evaluation.task_plots import draw_horizon, draw_quantiles

        squared, absolute = self._errors(total)
        draw_horizon(squared.mean(axis=1), absolute.mean(axis=1), folder / "horizon.png")
        rows = self.document(total)["quantiles"]
        if len(rows) > 1:
            draw_quantiles([(row["quantile"], row["at_or_below"]) for row in rows], folder / "quantiles.png")

    def card_lines(self, total: Real, samples: int) -> CardLines:
        """Errors by channel, and the growth of the error."""
        document = self.document(total)
        lines = ["| channel | MSE | MAE |", "|---|---|---|"]
        lines += [f"| {row['channel']} | {row['mse']:.4f} | {row['mae']:.4f} |" for row in document["per_channel"]]
        first, last = document["per_step"][0], document["per_step"][-1]
        limits = [
            "- Errors are in units of each channel's standard deviation over the train split.",
            f"- The error grows from MAE {first['mae']:.4f} at one step to {last['mae']:.4f} at {last['step']}.",
            "- The test windows overlap: they are fewer independent samples than their number says.",
        ]
        return CardLines(lines, limits)

    def _errors(self, total: Real) -> tuple[Real, Real]:
        """Mean squared and absolute error (H, C) each."""
        shape = (2, self.steps, len(self.channels))
        squared, absolute = total[: 2 * self.values].reshape(shape) / total[-1]
        return squared, absolute


class ForecastingScorer(NamedTuple):
    """The scorer: graph `model` gives `values` (N, H, C, Q); the truth is `future` (N, H, C)."""

    truth: tuple[str, ...] | None = ()

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """Windows overlap: a value ahead belongs to all windows up to H steps away.

        Errors are in units of the data's standard deviations, also if the package standardises by others.
        """
        output_spec = cast(ForecastOutput, predictor.processor.output_spec())
        names = getattr(frozen.processor, "channels", None) or [str(number) for number in range(output_spec.channels)]
        view = ForecastView(output_spec.horizon, tuple(names), tuple(output_spec.quantiles))
        summands = np.zeros((len(frozen), 2 * view.values + 2 * len(view.quantiles) + 2))
        package_std, data_std = (
            getattr(processor, "std", 1.0) for processor in (predictor.processor, frozen.processor)
        )
        scale = np.broadcast_to(np.asarray(package_std) / np.asarray(data_std), output_spec.channels)  # (C,)
        not_finite = 0
        for index, batch, outputs in batched_prediction.outputs(predictor, frozen.split, step, BATCH):
            finite = batched_prediction.finite(outputs["values"])
            not_finite += int(np.count_nonzero(~finite))
            values = np.where(finite[:, None, None, None], outputs["values"], 0).astype(np.float64)
            summands[index] = self.of_windows(view, values * scale[:, None], batch["future"].astype(np.float64) * scale)
        metrics = {"mse": view.mse, "mae": view.mae, "pinball": view.pinball, "coverage": view.coverage}
        return AdditiveScores(summands, metrics, view, not_finite, overlap=view.steps)

    def of_windows(self, view: ForecastView, values: Real, truth: Real) -> Real:
        """Summands of windows (B, S), from forecasts (B, H, C, Q), whose quantiles are sorted, and truth (B, H, C)."""
        values = np.sort(values, axis=-1)
        levels = np.array(view.quantiles)
        count = len(values)
        errors = truth - values[..., int(np.abs(levels - 0.5).argmin())]  # (B, H, C)
        residuals = truth[..., None] - values  # (B, H, C, Q)
        pinball = np.maximum(levels * residuals, (levels - 1) * residuals).sum(axis=(1, 2))  # (B, Q)
        below = (residuals <= 0).sum(axis=(1, 2))  # (B, Q)
        covered = ((truth >= values[..., 0]) & (truth <= values[..., -1])).sum(axis=(1, 2))  # (B,)
        columns = [(errors**2).reshape(count, -1), np.abs(errors).reshape(count, -1), pinball, below]
        return np.concatenate([*columns, covered[:, None], np.ones((count, 1))], axis=1)


SCORER = ForecastingScorer()
