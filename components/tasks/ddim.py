"""DDIM sampling in numpy; a graph predicts the noise in an image. Song et al. 2021, arXiv:2010.02502.

Legend: N samples, H height, W width, C channels, S steps of the noise schedule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float32]
PredictNoise = Callable[[Real, NDArray[np.int64]], Real]


def initial_noise(seeds: NDArray[np.int64], shape: tuple[int, int, int]) -> Real:
    """Gaussian noise of each seed (N,): float32 (N, C, H, W)."""
    return np.stack([np.random.default_rng(seed).standard_normal(shape, np.float32) for seed in seeds.tolist()])


def add_noise(images: NDArray[np.uint8], noise: Real, alphas_cumprod: NDArray[np.float64]) -> Real:
    """Images (N, H, W, C) with noise (N, C, H, W), as the network gets them: float32 (N, C, H, W).

    Args:
        alphas_cumprod: the image's share of the variance, for each image (N,).
    """
    clean = images.transpose(0, 3, 1, 2).astype(np.float64) / 127.5 - 1
    alpha = alphas_cumprod[:, None, None, None]
    return (np.sqrt(alpha) * clean + np.sqrt(1 - alpha) * noise).astype(np.float32)


def sample(
    predict_noise: PredictNoise, noise: Real, alphas_cumprod: NDArray[np.float64], steps: int
) -> NDArray[np.uint8]:
    """Images (N, H, W, C) from noise (N, C, H, W), deterministic (eta 0); eq. 12 of the paper.

    The predicted image is clipped to -1..1 at each step.

    Args:
        predict_noise: maps noisy images and the numbers of their steps (N,) to the noise in them.
        alphas_cumprod: the noise schedule (S,).
        steps: number of steps, spread evenly over the schedule; each is one call of `predict_noise`.
    """
    count = len(alphas_cumprod)
    timesteps = np.unique(np.linspace(0, count - 1, min(steps, count)).round().astype(np.int64))[::-1]
    noisy = noise.astype(np.float64)
    for timestep, next_alpha in zip(timesteps.tolist(), [*alphas_cumprod[timesteps[1:]].tolist(), 1.0], strict=True):
        alpha = float(alphas_cumprod[timestep])
        predicted = predict_noise(noisy.astype(np.float32), np.full(len(noisy), timestep, np.int64)).astype(np.float64)
        clean = np.clip((noisy - np.sqrt(1 - alpha) * predicted) / np.sqrt(alpha), -1, 1)
        residual = (noisy - np.sqrt(alpha) * clean) / np.sqrt(1 - alpha)
        noisy = np.sqrt(next_alpha) * clean + np.sqrt(1 - next_alpha) * residual
    levels = np.clip((noisy + 1) * 127.5, 0, 255).round().astype(np.uint8)
    return levels.transpose(0, 2, 3, 1)
