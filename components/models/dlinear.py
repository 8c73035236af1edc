"""Forecasts by two linear layers: Zeng et al. 2023, arXiv:2205.13504.

Legend: N batch, L steps seen, C channels, Q quantiles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.architectures.series import DLinearSpec
from components.contracts.shapes import ForecastOutput, SeriesInput
from components.core.errors import UsageError
from components.models.instance_norm import InstanceNorm
from components.models.standardise_series import StandardiseSeries


def build(spec: DLinearSpec, given: SeriesInput, wanted: ForecastOutput) -> DLinear:
    """Series of one length.

    Raises:
        UsageError: they are not.
    """
    if not given.fixed:
        raise UsageError("a forecast is made from series of one length", where="model.name", got=given.kind)
    return DLinear(spec, given, wanted)


class DLinear(nn.Module):
    """A moving average and what it leaves, each through one layer from L steps to all steps ahead; their sum.

    Args:
        spec: window, and whether channels share their layers.
        given: series of L steps, and their statistics.
        wanted: steps ahead and quantiles.
    """

    def __init__(self, spec: DLinearSpec, given: SeriesInput, wanted: ForecastOutput) -> None:
        super().__init__()
        self.horizon, self.quantiles = wanted.horizon, len(wanted.quantiles)
        self.window = spec.window
        self.instance_norm = spec.instance_norm
        self.standardise = StandardiseSeries(given)
        layers = given.channels if spec.individual else 1
        self.trend = PerChannel(layers, given.longest, self.horizon * self.quantiles)
        self.remainder = PerChannel(layers, given.longest, self.horizon * self.quantiles)

    def forward(self, past: Tensor) -> Tensor:
        """(N, L, C) to (N, horizon, C, Q), both in the series' own units."""
        steps = self.standardise(past)  # (N, L, C)
        norm = InstanceNorm.of(steps) if self.instance_norm else None
        rows = (steps if norm is None else norm.apply(steps)).transpose(1, 2)  # (N, C, L)
        trend = self._average(rows)  # (N, C, L)
        ahead = self.trend(trend) + self.remainder(rows - trend)  # (N, C, horizon * Q)
        values = ahead.view(-1, past.shape[2], self.horizon, self.quantiles).transpose(1, 2)  # (N, horizon, C, Q)
        return self.standardise.undo(values if norm is None else norm.undo(values))

    def _average(self, rows: Tensor) -> Tensor:
        """The mean of a window around every step, (N, C, L); beyond the ends stand the first and the last value."""
        padded = functional.pad(rows, (self.window // 2, self.window // 2), mode="replicate")
        return functional.avg_pool1d(padded, self.window, stride=1)


class PerChannel(nn.Module):
    """A linear layer along time, one for all channels or one each: (N, C, L) to (N, C, outward)."""

    def __init__(self, layers: int, inward: int, outward: int) -> None:
        super().__init__()
        self.layers = layers
        self.weight = nn.Parameter(torch.empty(layers, inward, outward))
        self.bias = nn.Parameter(torch.empty(layers, outward))
        bound = inward**-0.5  # as nn.Linear draws
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, rows: Tensor) -> Tensor:
        """(N, C, L) to (N, C, outward)."""
        if self.layers == 1:
            return rows @ self.weight[0] + self.bias
        return torch.einsum("ncl,clo->nco", rows, self.weight) + self.bias
