"""Random erasing (Zhong et al. 2017, arXiv:1708.04896).

Legend: N batch, H height, W width, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_ERASED_SHARE = 1 / 3  # of height and of width


def erased(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Blank a rectangle in some images; (N, H, W, C) to (N, H, W, C) of the same type."""
    count, height, width, _ = images.shape
    draws = torch.rand(count, 5, generator=generator)
    chosen = draws[:, 0] < probability
    inside = [
        _span(draws[:, 1], draws[:, 2], height),  # (N, H)
        _span(draws[:, 3], draws[:, 4], width),  # (N, W)
    ]
    blank = chosen[:, None, None] & inside[0][:, :, None] & inside[1][:, None, :]  # (N, H, W)
    return images.masked_fill(blank[..., None].to(images.device), 0)


def _span(size: Tensor, place: Tensor, length: int) -> Tensor:
    """Draws (N,) in 0..1 to a mask, bool (N, length), of a span of 1 to a third of `length` pixels."""
    largest = max(1, int(length * LARGEST_ERASED_SHARE))
    extent = 1 + (size * largest).long().clamp(max=largest - 1)
    begin = (place * (length - extent + 1)).long()  # (N,)
    pixel = torch.arange(length)
    return (pixel >= begin[:, None]) & (pixel < (begin + extent)[:, None])
