"""The first layer of every network for series: values as they come to standardised ones.

Legend: N batch, T length, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from components.models import masks


class StandardiseSeries(nn.Module):
    """(x - mean) / std of each channel; padding stays zero. Inside the network, as `Standardise` is for pixels.

    Args:
        mean: of each channel.
        std: of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32))
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32))

    def forward(self, series: Tensor, lengths: Tensor | None = None) -> Tensor:
        """float32 (N, T, C) to float32 (N, T, C); lengths int64 (N,), or none where nothing is padded."""
        standardised = (series - self.mean) / self.std  # (N, T, C)
        if lengths is None:
            return standardised
        return standardised * masks.inside(lengths, series.shape[1])[..., None].to(standardised.dtype)

    def undo(self, values: Tensor) -> Tensor:
        """Standardised values (N, horizon, C, Q), Q quantiles, in the series' own units."""
        return values * self.std[:, None] + self.mean[:, None]
