"""Token numbers to vectors.

Legend: N batch, T length, D width, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """One learned vector for each token; the vector of padding is always zero.

    Args:
        vocabulary: V.
        width: D.
        pad: number of the padding.
        scaled: whether vectors are initialised small, for a tied output layer, and multiplied by sqrt(D)
            (arXiv:1706.03762, section 3.4), as sinusoidal positions need; otherwise their standard deviation is 0.02.
    """

    is_pad: Tensor

    def __init__(self, vocabulary: int, width: int, pad: int, *, scaled: bool = True) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width, padding_idx=pad)
        self.scale = math.sqrt(width) if scaled else 1.0
        nn.init.normal_(self.table.weight, std=1 / self.scale if scaled else 0.02)
        nn.init.zeros_(self.table.weight[pad].detach())
        is_pad = torch.arange(vocabulary)[:, None] == pad  # (V, 1)
        self.register_buffer("is_pad", is_pad, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 (N, T) to (N, T, D)."""
        vectors: Tensor = self.table(tokens)  # (N, T, D)
        return vectors * self.scale

    def logits(self, features: Tensor) -> Tensor:
        """A tied output layer: (..., D) to (..., V). The row of the padding gets no gradient, and stays zero."""
        weight = self.table.weight.masked_fill(self.is_pad, 0.0) if self.training else self.table.weight
        return features @ weight.T
