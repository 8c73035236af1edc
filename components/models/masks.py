"""Masks of padded batches: real positions, and attention masks. True: a position counts.

Legend: N batch, T length, S length of the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor


def inside(lengths: Tensor, max_length: int) -> Tensor:
    """bool (N, T): the positions before the end of each sample. A sample of length 0 counts as one of length 1.

    Args:
        lengths: int64 (N,).
        max_length: T, the length of the batch.
    """
    places = torch.arange(max_length, device=lengths.device)  # (T,)
    return places[None, :] < lengths.clamp(min=1)[:, None]  # (N, T)


def whole(batch: Tensor) -> Tensor:
    """Lengths int64 (N,) of a batch (N, T, ...) without padding."""
    places = torch.zeros_like(batch[:, 0, 0], dtype=torch.int64)  # (N,)
    return places + batch.shape[1]


def keys(lengths: Tensor, max_length: int) -> Tensor:
    """bool (N, 1, 1, S), for attention: no query attends to padding."""
    return inside(lengths, max_length)[:, None, None, :]


def causal(max_length: int, device: torch.device) -> Tensor:
    """bool (T, T), for attention: the query of a row attends to its own position and the positions before it.

    Padding at the end needs no further mask: real positions never attend to later ones.
    """
    places = torch.arange(max_length, device=device)  # (T,)
    return places[None, :] <= places[:, None]
