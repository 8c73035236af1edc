"""Batch normalisation without padding: Ioffe and Szegedy 2015, arXiv:1502.03167.

Legend: N batch, C channels, ... positions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class MaskedBatchNorm(nn.Module):
    """Normalises each channel by the statistics of the real positions of a batch; at inference by running statistics.

    The weights have the names of `nn.BatchNorm1d`.

    Args:
        channels: C.
        momentum: weight of a batch in the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor
    total: Callable[[Tensor], Tensor] | None = None  # adds up sums over the processes of a training, with a gradient

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, features: Tensor, inside: Tensor) -> Tensor:
        """(N, C, ...) to (N, C, ...), zero at padding; `inside` bool (N, 1, ...) marks the real positions."""
        shape = (1, -1, *([1] * (features.ndim - 2)))
        weights = inside.to(features.dtype)  # (N, 1, ...)
        if self.training:
            mean, variance = self._of(features, weights)  # (C,), (C,)
        else:
            mean, variance = self.running_mean, self.running_var
        factor = self.weight / torch.sqrt(variance + self.eps)  # (C,)
        return ((features - mean.view(shape)) * factor.view(shape) + self.bias.view(shape)) * weights

    def _of(self, features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (C,) over the real positions; updates the running statistics."""
        others = [axis for axis in range(features.ndim) if axis != 1]
        places = weights.expand_as(features[:, :1]).sum()  # ()
        sums = (features * weights).sum(dim=others)  # (C,)
        if self.total is not None:
            sums, places = self.total(torch.cat([sums, places[None]])).tensor_split([-1])
        mean = sums / places  # (C,)
        centred = (features - mean.view(1, -1, *([1] * (features.ndim - 2)))) * weights  # (N, C, ...)
        squares = centred.square().sum(dim=others)  # (C,)
        variance = (squares if self.total is None else self.total(squares)) / places  # (C,)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            unbiased = variance * places / (places - 1).clamp(min=1)  # (C,)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        return mean, variance
