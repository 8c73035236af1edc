"""The first layer of networks for images: pixels to standardised floats.

Legend: N batch, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Standardise(nn.Module):
    """Pixels of 0..255, channels last, to (x / 255 - mean) / std, channels first.

    A part of the network, so that training, the exported graph and serving cannot differ.

    Args:
        mean: of each channel, in units of 0..1.
        std: of each channel, in units of 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32))
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """uint8, or float in 0..255 after augmentation, (N, H, W, C) to float32 (N, C, H, W)."""
        pixels = images.to(torch.float32) / 255.0  # (N, H, W, C)
        standardised = (pixels - self.mean) / self.std  # (N, H, W, C)
        return standardised.permute(0, 3, 1, 2)  # (N, C, H, W)
