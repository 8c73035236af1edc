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


def build(config: DLinearSpec, input_spec: SeriesInput, output_spec: ForecastOutput) -> DLinear:
    """A network for series of one length.

    Raises:
        UsageError: the series have several lengths.
    """
    if not input_spec.fixed:
        raise UsageError("a forecast is made from series of one length", where="model.name", got=input_spec.kind)
    return DLinear(config, input_spec, output_spec)


class DLinear(nn.Module):
    """One linear layer from L steps to all steps ahead for the moving average, one for the remainder; their sum.

    Args:
        config: window, and whether channels share their layers.
        input_spec: number of steps L, and statistics of the series.
        output_spec: horizon and quantiles.
    """

    def __init__(self, config: DLinearSpec, input_spec: SeriesInput, output_spec: ForecastOutput) -> None:
        super().__init__()
        self.horizon, self.quantiles = output_spec.horizon, len(output_spec.quantiles)
        self.window = config.window
        self.instance_norm = config.instance_norm
        self.standardise = StandardiseSeries(input_spec)
        layers = input_spec.channels if config.individual else 1
        self.trend = PerChannel(layers, input_spec.max_length, self.horizon * self.quantiles)
        self.remainder = PerChannel(layers, input_spec.max_length, self.horizon * self.quantiles)

    def forward(self, past: Tensor) -> Tensor:
        """(N, L, C) to (N, horizon, C, Q), both in the units of the series."""
        steps = self.standardise(past)  # (N, L, C)
        norm = InstanceNorm.of(steps) if self.instance_norm else None
        rows = (steps if norm is None else norm.apply(steps)).transpose(1, 2)  # (N, C, L)
        trend = self._average(rows)  # (N, C, L)
        ahead = self.trend(trend) + self.remainder(rows - trend)  # (N, C, horizon * Q)
        values = ahead.view(-1, past.shape[2], self.horizon, self.quantiles).transpose(1, 2)  # (N, horizon, C, Q)
        return self.standardise.undo(values if norm is None else norm.undo(values))

    def _average(self, rows: Tensor) -> Tensor:
        """Moving average of a window around every step, (N, C, L); padded with the first and the last value."""
        padded = functional.pad(rows, (self.window // 2, self.window // 2), mode="replicate")
        return functional.avg_pool1d(padded, self.window, stride=1)


class PerChannel(nn.Module):
    """A linear layer along time, shared by all channels or one for each: (N, C, L) to (N, C, out_features)."""

    def __init__(self, layers: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.layers = layers
        self.weight = nn.Parameter(torch.empty(layers, in_features, out_features))
        self.bias = nn.Parameter(torch.empty(layers, out_features))
        bound = in_features**-0.5  # as nn.Linear draws
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, rows: Tensor) -> Tensor:
        """(N, C, L) to (N, C, out_features)."""
        if self.layers == 1:
            return rows @ self.weight[0] + self.bias
        return torch.einsum("ncl,clo->nco", rows, self.weight) + self.bias
