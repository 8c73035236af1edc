"""An image out of noise over a graph that tells the noise in it, in numpy: the loop is here, the network in the graph.

Legend: N samples, H height, W width, C channels, S steps of the noise's schedule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float32]
Guess = Callable[[Real, NDArray[np.int64]], Real]


def start(seeds: NDArray[np.int64], shape: tuple[int, int, int]) -> Real:
    """Noise of each seed (N,): float32 (N, C, H, W)."""
    return np.stack([np.random.default_rng(seed).standard_normal(shape, np.float32) for seed in seeds.tolist()])


def with_noise(images: NDArray[np.uint8], noise: Real, kept: NDArray[np.float64]) -> Real:
    """Images (N, H, W, C) as the network sees them, (N, C, H, W): `kept` (N,) of their variance, the rest is noise."""
    clean = images.transpose(0, 3, 1, 2).astype(np.float64) / 127.5 - 1
    share = kept[:, None, None, None]
    return (np.sqrt(share) * clean + np.sqrt(1 - share) * noise).astype(np.float32)


def denoised(guess: Guess, noise: Real, kept: NDArray[np.float64], steps: int) -> NDArray[np.uint8]:
    """Images (N, H, W, C) out of noise (N, C, H, W), the same for the same noise (DDIM with eta 0).

    Song et al. 2021, arXiv:2010.02502, eq. 12; what the image seems to be is held within -1..1 at each step.

    Args:
        guess: noisy images and the number of their step (N,) to the noise in them.
        kept: the schedule (S,).
        steps: of these S, evenly spread; as many calls of `guess`.
    """
    places = np.unique(np.linspace(0, len(kept) - 1, min(steps, len(kept))).round().astype(np.int64))[::-1]
    noisy = noise.astype(np.float64)
    for place, after in zip(places.tolist(), [*kept[places[1:]].tolist(), 1.0], strict=True):
        share = float(kept[place])
        told = guess(noisy.astype(np.float32), np.full(len(noisy), place, np.int64)).astype(np.float64)
        clean = np.clip((noisy - np.sqrt(1 - share) * told) / np.sqrt(share), -1, 1)
        left = (noisy - np.sqrt(share) * clean) / np.sqrt(1 - share)
        noisy = np.sqrt(after) * clean + np.sqrt(1 - after) * left
    levels = np.clip((noisy + 1) * 127.5, 0, 255).round().astype(np.uint8)
    return levels.transpose(0, 2, 3, 1)
