"""Multi-head attention: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.

Legend: N batch, T queries, S keys, P earlier keys, D width, h heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

Sizes = tuple[int, int]  # N and T of what is flattened to (N * T, D); of a graph, as traced values


class MultiHeadAttention(nn.Module):
    """softmax(QK' / sqrt(D / h)) V in h parallel heads: self-attention, or attention to a memory.

    Args:
        width: D.
        heads: h; divides the width.
        dropout: dropout rate of the attention weights, as in the paper's code.

    Raises:
        ValueError: the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.heads, self.head_width = heads, width // heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        for layer in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Queries (N, T, D) and memory (N, S, D) to (N, T, D); self-attention if both are the same tensor.

        Args:
            mask: bool, broadcast to (N, h, T, S); True where a query attends. Every query needs one True at least.
        """
        attended = functional.scaled_dot_product_attention(
            self._split(self.query(queries)),  # (N, h, T, D / h)
            self._split(self.key(memory)),  # (N, h, S, D / h)
            self._split(self.value(memory)),  # (N, h, S, D / h)
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )  # (N, h, T, D / h)
        joined: Tensor = self.output(attended.transpose(1, 2).flatten(2))  # (N, T, D)
        return joined

    def extend(
        self, features: Tensor, sizes: Sizes, bias: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Self-attention of a chunk (N * T, D) to itself and to earlier keys and values (N, h, P, D / h).

        Args:
            sizes: N and T.
            bias: added to the scores, broadcast to (N, h, T, P + T); -inf where a query does not attend.

        Returns:
            (N * T, D), and all keys and values (N, h, P + T, D / h).
        """
        layers = (self.query, self.key, self.value)
        weight, shift = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
        joint = functional.linear(
            features, weight, shift
        )  # (N * T, 3D): one multiplication of matrices instead of three
        heads = joint.view(*sizes, 3 * self.heads, self.head_width).transpose(1, 2)  # (N, 3h, T, D / h)
        queries, own_key, own_value = torch.split(heads, self.heads, dim=1)  # (N, h, T, D / h) each
        key, value = torch.cat([key, own_key], dim=2), torch.cat([value, own_value], dim=2)
        return self._attended(queries, bias, key, value), key, value

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (N, h, S, D / h) of a memory (N, S, D)."""
        return self._split(self.key(memory)), self._split(self.value(memory))

    def attend(self, features: Tensor, rows: int, bias: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of queries (N * T, D) to keys and values (N, h, S, D / h) that `project` gave; `bias` as above.

        Args:
            rows: N.
        """
        queries = self.query(features).view(rows, -1, self.heads, self.head_width).transpose(1, 2)  # (N, h, T, D / h)
        return self._attended(queries, bias, key, value)

    def _attended(self, queries: Tensor, bias: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(N, h, T, D / h) to (N * T, D), as `forward` in evaluation.

        The queries are scaled; the exported `scaled_dot_product_attention` scales the keys too, one pass over all of
        them.
        """
        scores = (queries / math.sqrt(self.head_width)) @ key.transpose(2, 3) + bias  # (N, h, T, S)
        attended = scores.softmax(dim=3) @ value  # (N, h, T, D / h)
        joined: Tensor = self.output(attended.transpose(1, 2).reshape(-1, self.heads * self.head_width))
        return joined

    def _split(self, features: Tensor) -> Tensor:
        """(N, T, D) to (N, h, T, D / h)."""
        batch, max_length, width = features.shape
        return features.view(batch, max_length, self.heads, width // self.heads).transpose(1, 2)
