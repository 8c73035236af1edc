"""Position encodings, added to the vectors of a sequence.

Legend: N batch, T length, D width.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn


class SinusoidalPositions(nn.Module):
    """sin and cos of the position at wavelengths from 2 pi to 10000 * 2 pi: arXiv:1706.03762, section 3.5.

    Not learned and not stored with the weights; for positions below `max_length`.
    """

    table: Tensor

    def __init__(self, max_length: int, width: int) -> None:
        super().__init__()
        places = torch.arange(max_length, dtype=torch.float32)[:, None]  # (max_length, 1)
        rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))  # (ceil(D / 2),)
        table = torch.empty(max_length, width)  # (max_length, D)
        table[:, 0::2] = torch.sin(places * rates)
        table[:, 1::2] = torch.cos(places * rates)[:, : width // 2]
        self.register_buffer("table", table, persistent=False)

    def forward(self, features: Tensor, places: Tensor | None = None) -> Tensor:
        """(N, T, D) to (N, T, D), at the first places, or at places int64 (N, T)."""
        return features + (self.table[: features.shape[1]] if places is None else self.table[places])


class LearnedPositions(nn.Module):
    """One learned vector a place, for places below `max_length`; drawn with a standard deviation of 0.02."""

    def __init__(self, max_length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(max_length, width))  # (max_length, D)
        nn.init.normal_(self.table, std=0.02)

    def forward(self, features: Tensor, places: Tensor | None = None) -> Tensor:
        """(N, T, D) to (N, T, D), at the first places, or at places int64 (N, T)."""
        return features + (self.table[: features.shape[1]] if places is None else self.table[places])


def positions(kind: Literal["sinusoidal", "learned"], max_length: int, width: int) -> nn.Module:
    """The position encoding of a spec."""
    return SinusoidalPositions(max_length, width) if kind == "sinusoidal" else LearnedPositions(max_length, width)
