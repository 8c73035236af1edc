"""The first layer of networks for series: values to standardised values.

Legend: N batch, T length, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from components.contracts.shapes import SeriesInput
from components.models import masks

TINY = 1e-5  # added to the variance of a series, as in RevIN; avoids a division by zero for a constant series


class StandardiseSeries(nn.Module):
    """(x - mean) / std of each channel; padding stays zero. A part of the network, as `Standardise` for pixels.

    Args:
        input_spec: mean and std of each channel; whether each series is also normalised by its own statistics.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, input_spec: SeriesInput) -> None:
        super().__init__()
        self.instance_norm = input_spec.instance_norm
        self.register_buffer("mean", torch.tensor(input_spec.mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(input_spec.std, dtype=torch.float32))

    def forward(self, series: Tensor, lengths: Tensor | None = None) -> Tensor:
        """float32 (N, T, C) to float32 (N, T, C); lengths int64 (N,), or None without padding."""
        standardised = (series - self.mean) / self.std  # (N, T, C)
        if lengths is None and not self.instance_norm:
            return standardised
        counted = masks.whole(series) if lengths is None else lengths  # (N,)
        inside = masks.inside(counted, series.shape[1])[..., None].to(standardised.dtype)  # (N, T, 1)
        return (_normalise_each(standardised, inside) if self.instance_norm else standardised) * inside

    def undo(self, values: Tensor) -> Tensor:
        """Standardised forecasts (N, horizon, C, Q) back to the units of the series; Q quantiles."""
        return values * self.std[:, None] + self.mean[:, None]


def _normalise_each(series: Tensor, inside: Tensor) -> Tensor:
    """(N, T, C) to mean 0 and standard deviation 1 over the real steps (N, T, 1) of each series."""
    steps = inside.sum(dim=1, keepdim=True)  # (N, 1, 1)
    mean = (series * inside).sum(dim=1, keepdim=True) / steps  # (N, 1, C)
    variance = (((series - mean) * inside) ** 2).sum(dim=1, keepdim=True) / steps  # (N, 1, C)
    return (series - mean) / torch.sqrt(variance + TINY)
