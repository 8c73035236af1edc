"""Noise schedules of diffusion, for training and for sampling.

Legend: S steps.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from components.contracts.shapes import NoiseSchedule

LARGEST_BETA = 0.999


def alphas_cumprod(schedule: NoiseSchedule, steps: int) -> NDArray[np.float64]:
    """The cumulative products of alpha = 1 - beta, (S,): the image's share of the variance at each step, from ~1 to ~0.

    linear: betas from 1e-4 to 0.02 over 1,000 steps, scaled to other numbers of steps (Ho et al. 2020,
    arXiv:2006.11239, section 4). cosine: Nichol and Dhariwal 2021, arXiv:2102.09672, eq. 17.
    """
    if schedule == "linear":
        scale = 1000 / steps
        betas = np.linspace(1e-4 * scale, 0.02 * scale, steps)
    else:
        places = np.arange(steps + 1) / steps
        shape = np.cos((places + 0.008) / 1.008 * math.pi / 2) ** 2  # (S + 1,)
        betas = 1 - shape[1:] / shape[:-1]
    products: NDArray[np.float64] = np.cumprod(1 - np.clip(betas, 0.0, LARGEST_BETA), dtype=np.float64)
    return products
