"""Quantiles of the values ahead: pinball loss.

Legend: N batch, H steps ahead, C channels, Q quantiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from components.contracts.shapes import ForecastOutput, SeriesInput
from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.training.augmentation import series
from components.training.batches import Batch
from components.training.objectives.objective import Forward, StepResult

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class ForecastingObjective:
    """The array `future`; the metric is the squared error of the point forecast, the quantile 0.5."""

    metric = "mse"
    higher_is_better = False

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._inputs = prepared.processor.inputs()
        self._input_spec = cast(SeriesInput, prepared.processor.input_spec())
        quantiles = cast(ForecastOutput, prepared.processor.output_spec()).quantiles
        self._levels = torch.tensor(quantiles)  # (Q,)
        self._middle = quantiles.index(0.5)
        self._squared = spec.forecast_loss == "mse"

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """The mean pinball loss of the quantiles; with forecast_loss mse, the squared error for the quantile 0.5."""
        future = batch["future"]  # (N, H, C)
        values: Tensor = forward(*(batch[name] for name in self._inputs)).float()  # (N, H, C, Q)
        losses = pinball(values, future, self._levels.to(values.device))  # (Q,)
        squared = (values[..., self._middle] - future).square()  # (N, H, C)
        if self._squared:
            here = torch.arange(len(losses), device=losses.device) == self._middle
            losses = torch.where(here, squared.mean(), losses)
        return StepResult(losses.mean(), squared.detach().sum(), torch.full((), future.numel(), device=values.device))

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """The past with noise; past and future scaled alike. Nothing else leaves the future what follows the past."""
        past, future = batch[self._inputs[0]], batch["future"]  # (N, T, C), (N, H, C)
        mean, std = torch.tensor(self._input_spec.mean), torch.tensor(self._input_spec.std)  # (C,) each
        if spec.scale:
            factors = series.draw_factors(past.shape, spec.scale, generator)
            past, future = (series.scaled(values, None, factors, mean) for values in (past, future))
        if spec.noise:
            past = series.noisy(past, None, spec.noise, std, generator)
        return {**batch, self._inputs[0]: past, "future": future}


def pinball(values: Tensor, truth: Tensor, levels: Tensor) -> Tensor:
    """The pinball loss, which the quantile of a level minimises (Koenker and Bassett 1978, doi:10.2307/1913643).

    Args:
        values: (N, H, C, Q).
        truth: (N, H, C).
        levels: (Q,) between 0 and 1.

    Returns:
        (Q,): the mean loss of each level.
    """
    above = truth[..., None] - values  # (N, H, C, Q)
    return torch.maximum(levels * above, (levels - 1) * above).mean(dim=(0, 1, 2))
