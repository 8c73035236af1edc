"""Mean and standard deviation of pixels, exact and independent of order and batching: the 256 levels are counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEAST_STD = 1e-3  # avoids a division by zero for a channel of one colour


class PixelStatistics:
    """Counts the levels of each channel."""

    def __init__(self, channels: int) -> None:
        self._counts = np.zeros((channels, 256), np.int64)

    def add(self, tensors: NDArray[np.uint8]) -> None:
        """Count the pixels of tensors (N, H, W, C)."""
        for channel, counts in enumerate(self._counts):
            counts += np.bincount(tensors[..., channel].ravel(), minlength=256)

    def result(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, in units of 0..1."""
        means, stds = [], []
        for row in self._counts.tolist():  # whole numbers of any size: exact
            total = sum(row)
            first = sum(level * count for level, count in enumerate(row))
            second = sum(level * level * count for level, count in enumerate(row))
            variance = max(second * total - first * first, 0) / (total * total)
            means.append(first / total / 255)
            stds.append(max(float(variance**0.5) / 255, _LEAST_STD))
        return means, stds
