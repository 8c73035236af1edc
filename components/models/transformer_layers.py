"""The layers of a Transformer: Vaswani et al. 2017, arXiv:1706.03762, section 3.1.

The normalisation is after each sublayer as in the paper ("post"), or before it (Xiong et al. 2020, arXiv:2002.04745,
"pre"), which needs no warm-up; a stack of "pre" layers ends with one more normalisation.

Legend: N batch, T length, S length of the memory, D width, P earlier positions, h heads, R hypotheses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from components.models.attention import MultiHeadAttention, Sizes

Norm = Literal["pre", "post"]


class FeedForward(nn.Sequential):
    """Two dense layers with an activation between them, at every position: (N, T, D) to (N, T, D)."""

    def __init__(self, width: int, inner: int, dropout: float, activation: Literal["relu", "gelu"] = "relu") -> None:
        between = nn.ReLU() if activation == "relu" else nn.GELU()
        super().__init__(nn.Linear(width, inner), between, nn.Dropout(dropout), nn.Linear(inner, width))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each with a residual connection; with a causal mask, a language model's layer.

    Args:
        normalisation: makes a normalisation of a width; layer normalisation by default.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        dropout: float,
        norm: Norm = "pre",
        activation: Literal["relu", "gelu"] = "relu",
        normalisation: Callable[[int], nn.Module] = nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads, dropout)
        self.attention_norm = normalisation(width)
        self.feed_forward = FeedForward(width, inner, dropout, activation)
        self.feed_forward_norm = normalisation(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(N, T, D) to (N, T, D); the mask is the attention's."""
        if self.norm == "pre":
            normed = self.attention_norm(features)
            features = features + self.dropout(self.attention(normed, normed, mask))
            result: Tensor = features + self.dropout(self.feed_forward(self.feed_forward_norm(features)))
            return result
        features = self.attention_norm(features + self.dropout(self.attention(features, features, mask)))
        result = self.feed_forward_norm(features + self.dropout(self.feed_forward(features)))
        return result

    def extend(
        self, features: Tensor, sizes: Sizes, bias: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A chunk (N * T, D) with earlier keys and values to (N * T, D) and all keys and values; without dropout.

        Arguments as of `MultiHeadAttention.extend`.
        """
        if self.norm == "pre":
            attended, key, value = self.attention.extend(self.attention_norm(features), sizes, bias, key, value)
            features = features + attended
            return features + self.feed_forward(self.feed_forward_norm(features)), key, value
        attended, key, value = self.attention.extend(features, sizes, bias, key, value)
        features = self.attention_norm(features + attended)
        return self.feed_forward_norm(features + self.feed_forward(features)), key, value


class DecoderLayer(nn.Module):
    """Self-attention, attention to a memory and feed-forward, each with a residual connection."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, norm: Norm = "pre") -> None:
        super().__init__()
        self.norm = norm
        self.attention = MultiHeadAttention(width, heads, dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.cross_attention = MultiHeadAttention(width, heads, dropout)
        self.cross_attention_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, inner, dropout)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, memory: Tensor, mask: Tensor | None, memory_mask: Tensor | None) -> Tensor:
        """(N, T, D) with memory (N, S, D) to (N, T, D); `mask` over (T, T), `memory_mask` over (T, S)."""
        if self.norm == "pre":
            normed = self.attention_norm(features)
            features = features + self.dropout(self.attention(normed, normed, mask))
            normed = self.cross_attention_norm(features)
            features = features + self.dropout(self.cross_attention(normed, memory, memory_mask))
            result: Tensor = features + self.dropout(self.feed_forward(self.feed_forward_norm(features)))
            return result
        features = self.attention_norm(features + self.dropout(self.attention(features, features, mask)))
        crossed = self.cross_attention(features, memory, memory_mask)
        features = self.cross_attention_norm(features + self.dropout(crossed))
        result = self.feed_forward_norm(features + self.dropout(self.feed_forward(features)))
        return result

    def extend(
        self, features: Tensor, sizes: Sizes, sources: int, bias: Tensor, memory_bias: Tensor, memory: Sequence[Tensor],
        key: Tensor, value: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """A chunk (R * T, D) with earlier keys and values to (R * T, D) and all keys and values; without dropout.

        Args:
            sizes: R and T.
            sources: N.
            memory: keys and values (N, h, S, D / h) of the memory; R is a multiple of N, and the hypotheses of a sample
                are one after the other, so that they are queries of one memory.
            memory_bias: (N, 1, 1, S), as `bias`.
        """
        if self.norm == "pre":
            attended, key, value = self.attention.extend(self.attention_norm(features), sizes, bias, key, value)
            features = features + attended
            features = features + self.cross_attention.attend(
                self.cross_attention_norm(features), sources, memory_bias, *memory
            )
            return features + self.feed_forward(self.feed_forward_norm(features)), key, value
        attended, key, value = self.attention.extend(features, sizes, bias, key, value)
        features = self.attention_norm(features + attended)
        crossed = self.cross_attention.attend(features, sources, memory_bias, *memory)
        features = self.cross_attention_norm(features + crossed)
        return self.feed_forward_norm(features + self.feed_forward(features)), key, value
