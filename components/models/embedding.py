"""Token numbers to vectors.

Legend: N batch, T length, D width, V vocabulary.
"""

from __future__ import annotations

import math

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

    def __init__(self, vocabulary: int, width: int, pad: int, *, scaled: bool = True) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width, padding_idx=pad)
        self.scale = math.sqrt(width) if scaled else 1.0
        nn.init.normal_(self.table.weight, std=1 / self.scale if scaled else 0.02)
        nn.init.zeros_(self.table.weight[pad].detach())

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 (N, T) to (N, T, D)."""
        vectors: Tensor = self.table(tokens)  # (N, T, D)
        return vectors * self.scale

    def logits(self, features: Tensor) -> Tensor:
        """A tied output layer: (..., D) to (..., V)."""
        return features @ self.table.weight.T
