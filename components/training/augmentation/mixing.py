"""Mixup (Zhang et al. 2017, arXiv:1710.09412) and CutMix (Yun et al. 2019, arXiv:1905.04899).

Each sample has its own partner in the batch and its own share. A mixed target is share * own + (1 - share) * partner's.
Legend: N batch, H height, W width, C channels, T length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from components.contracts.augment_spec import AugmentSpec


class Mix(NamedTuple):
    """How targets are mixed.

    Args:
        partner: int64 (N,), the sample that each is mixed with.
        share: float32 (N,), the share of the sample itself.
    """

    partner: Tensor
    share: Tensor

    def of(self, values: Tensor) -> Tensor:
        """Values (N, ...) mixed in these shares, float32."""
        values = values.float()
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        return share * values + (1 - share) * values[self.partner]


def mix_images(images: Tensor, spec: AugmentSpec, generator: torch.Generator) -> tuple[Tensor, Mix]:
    """Mix each image with another one, by mixup or by CutMix; float32 (N, H, W, C) in 0..255."""
    count, height, width, _ = images.shape
    partner, share = _draw(count, spec.mixup or spec.cutmix, generator)
    cuts = torch.full((count,), bool(spec.cutmix))
    if spec.mixup and spec.cutmix:
        cuts = torch.rand(count, generator=generator) < 0.5
        share = torch.where(cuts, _draw(count, spec.cutmix, generator)[1], share)
    if spec.cutmix:
        inside = _rectangles(1 - share, height, width, generator)  # (N, H, W)
        area = inside.float().mean(dim=(1, 2))  # (N,)
        share = torch.where(cuts, 1 - area, share)
        weights = torch.where(cuts[:, None, None], 1 - inside.float(), share[:, None, None])  # (N, H, W)
    else:
        weights = share[:, None, None].expand(count, height, width)
    mix = Mix(partner.to(images.device), share.to(images.device))
    pixels, weights = images.float(), weights.to(images.device)[..., None]  # (N, H, W, C), (N, H, W, 1)
    return weights * pixels + (1 - weights) * pixels[mix.partner], mix


def mix_series(
    series: Tensor, lengths: Tensor | None, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor | None, Mix]:
    """Mix each series with another one where both have values; beyond, the longer one is as it was.

    Args:
        series: (N, T, C).
        lengths: (N,), or None if all have T steps.

    Returns:
        The series, their lengths (of the longer of both), and how targets are mixed.
    """
    mix = Mix(*(value.to(series.device) for value in _draw(len(series), alpha, generator)))
    mixed = mix.of(series).to(series.dtype)  # (N, T, C)
    if lengths is None:
        return mixed, None, mix
    others = lengths[mix.partner]  # (N,)
    steps = torch.arange(series.shape[1], device=series.device)  # (T,)
    longer = torch.where((lengths >= others)[:, None, None], series, series[mix.partner])  # (N, T, C)
    both = (steps < torch.minimum(lengths, others)[:, None])[..., None]  # (N, T, 1)
    return torch.where(both, mixed, longer), torch.maximum(lengths, others), mix


def _draw(count: int, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A random partner of each sample (N,), and its share from Beta(alpha, alpha) (N,)."""
    partner = torch.randperm(count, generator=generator)
    # torch's Beta takes no generator.
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    return partner, torch.from_numpy(rng.beta(alpha, alpha, count)).float()


def _rectangles(area: Tensor, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Masks bool (N, H, W) of rectangles with the shape of the image, around a random middle, cut off at the border.

    Args:
        area: (N,), their share of the image where they are not cut off.
    """
    middle = torch.rand(len(area), 2, generator=generator)  # (N, 2)
    inside = []
    for axis, length in enumerate((height, width)):
        size = (area.sqrt() * length).long()  # (N,)
        begin = (middle[:, axis] * length).long() - size // 2
        pixel = torch.arange(length)
        inside.append((pixel >= begin[:, None]) & (pixel < (begin + size)[:, None]))  # (N, length)
    return inside[0][:, :, None] & inside[1][:, None, :]
