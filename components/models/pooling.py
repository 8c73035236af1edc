"""Pooling of a sequence to one vector, without padding.

Legend: N batch, T length, D width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from components.models import masks

Pooling = Literal["mean", "max", "attention"]


class MeanPooling(nn.Module):
    """The mean of the real positions."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(N, T, D), lengths (N,) to (N, D)."""
        inside = masks.inside(lengths, features.shape[1])[..., None].to(features.dtype)  # (N, T, 1)
        return (features * inside).sum(dim=1) / inside.sum(dim=1)


class MaxPooling(nn.Module):
    """The maximum of each feature over the real positions."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(N, T, D), lengths (N,) to (N, D)."""
        inside = masks.inside(lengths, features.shape[1])[..., None]  # (N, T, 1)
        return features.masked_fill(~inside, torch.finfo(features.dtype).min).amax(dim=1)


class AttentionPooling(nn.Module):
    """Attention pooling, weights softmax(v' tanh(W x)): Yang et al. 2016, doi:10.18653/v1/N16-1174, (5) to (7)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(N, T, D), lengths (N,) to (N, D)."""
        inside = masks.inside(lengths, features.shape[1])  # (N, T)
        scores = self.score(torch.tanh(self.hidden(features)))[..., 0]  # (N, T)
        weights = scores.masked_fill(~inside, torch.finfo(scores.dtype).min).softmax(dim=1)  # (N, T)
        pooled: Tensor = (weights[..., None] * features).sum(dim=1)  # (N, D)
        return pooled


def pooling(kind: Pooling, width: int) -> nn.Module:
    """The pooling of a spec."""
    match kind:
        case "mean":
            return MeanPooling()
        case "max":
            return MaxPooling()
        case "attention":
            return AttentionPooling(width)
