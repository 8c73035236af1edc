"""Networks that make one vector of a text, which their last layer reads.

Legend: N batch, T length, D width.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class TextEncoder(Protocol):
    """A network whose output for a text is `head(pooled(tokens, lengths))`, in evaluation."""

    head: nn.Module

    def pooled(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to features (N, D)."""
