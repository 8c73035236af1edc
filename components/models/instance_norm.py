"""Reversible instance normalisation (RevIN): a series is normalised by its own statistics, the forecast denormalised.

Kim et al. 2022, https://openreview.net/forum?id=cGDAkQo1C0p, without its learned scale.

Legend: N batch, L steps seen, C channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class InstanceNorm(NamedTuple):
    """Mean and standard deviation of each channel of each series, (N, 1, C)."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, past: Tensor) -> InstanceNorm:
        """Statistics of series (N, L, C) over their steps, without gradient, as in the authors' code."""
        mean = past.mean(dim=1, keepdim=True).detach()  # (N, 1, C)
        variance = ((past - mean) ** 2).mean(dim=1, keepdim=True).detach()  # (N, 1, C)
        return cls(mean, torch.sqrt(variance + 1e-5))

    def apply(self, past: Tensor) -> Tensor:
        """(N, L, C) to (N, L, C) of mean 0 and standard deviation 1."""
        return (past - self.mean) / self.std

    def undo(self, values: Tensor) -> Tensor:
        """Forecasts (N, horizon, C, Q) back to the units of the past."""
        return values * self.std[..., None] + self.mean[..., None]
