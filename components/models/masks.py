"""Which places of a padded batch hold something, and what may look at what. True: it counts.

Legend: N batch, T length, S length of what is looked at.
"""

from __future__ import annotations

import torch
from torch import Tensor


def inside(lengths: Tensor, max_length: int) -> Tensor:
    """bool (N, T): the places before each sample's end. A sample without any place is given its first.

    Args:
        lengths: int64 (N,).
        max_length: T, the batch's length.
    """
    places = torch.arange(max_length, device=lengths.device)  # (T,)
    return places[None, :] < lengths.clamp(min=1)[:, None]  # (N, T)


def whole(batch: Tensor) -> Tensor:
    """Lengths int64 (N,) of a batch (N, T, ...) without padding."""
    places = torch.zeros_like(batch[:, 0, 0], dtype=torch.int64)  # (N,)
    return places + batch.shape[1]


def keys(lengths: Tensor, max_length: int) -> Tensor:
    """bool (N, 1, 1, S), for attention: no query looks at padding."""
    return inside(lengths, max_length)[:, None, None, :]


def causal(max_length: int, device: torch.device) -> Tensor:
    """bool (T, T), for attention: the query of a row looks at its own place and those before it.

    With padding behind the samples nothing more is needed: what is real never looks at what comes later.
    """
    places = torch.arange(max_length, device=device)  # (T,)
    return places[None, :] <= places[:, None]
