"""The U-Net of DDPM: Ho et al. 2020, arXiv:2006.11239, appendix B; told the class as in arXiv:2207.12598.

Its layers tell the velocity, sqrt(kept) * noise - sqrt(1 - kept) * image, and the noise follows from it (Salimans and
Ho 2022, arXiv:2202.00512, appendix D). Where next to nothing of the image is kept, the noise is what is seen; a network
that had to tell it by itself would err, sampling divides that error by sqrt(kept), and the image ends as speckles.

Legend: N batch, C channels of an image, H height, W width, D channels of a level, E size of what it is told, K classes,
S steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from components.contracts.architectures.diffusion import UNetSpec
from components.contracts.shapes import NoiseInput, NoiseOutput
from components.models.attention import MultiHeadAttention
from components.preprocessing.noise_schedule import kept_signal


def build(spec: UNetSpec, given: NoiseInput, wanted: NoiseOutput) -> UNet:
    """Images of any size; where a level's size is odd, the next has the larger half."""
    return UNet(spec, given)


class UNet(nn.Module):
    """Levels down, a middle with attention, and the same levels up, which see what those down have seen.

    Args:
        spec: channels and depth.
        given: channels of an image, number of classes K and the noise's schedule; class K means none.
    """

    head_names: Sequence[str] = ("head",)
    image_share: Tensor
    noise_share: Tensor

    def __init__(self, spec: UNetSpec, given: NoiseInput) -> None:
        super().__init__()
        kept = torch.from_numpy(kept_signal(given.schedule, given.steps))  # (S,)
        self.register_buffer("image_share", kept.sqrt().float(), persistent=False)
        self.register_buffer("noise_share", (1 - kept).sqrt().float(), persistent=False)
        told = 4 * spec.width
        self.step = StepEmbedding(spec.width, told)
        self.label = nn.Embedding(given.classes + 1, told)
        self.first = nn.Conv2d(given.channels, spec.width, 3, padding=1)
        widths = [spec.width * multiplier for multiplier in spec.multipliers]
        seen, channels = [spec.width], spec.width  # channels of what is left for the way up
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            blocks = nn.ModuleList()
            for _ in range(spec.blocks):
                blocks.append(Block(channels, width, told, spec, attends=level in spec.attention))
                channels = width
                seen.append(channels)
            self.down.append(blocks)
            if level + 1 < len(widths):
                self.shrink.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                seen.append(channels)
        self.middle = nn.ModuleList(Block(channels, channels, told, spec, attends=attends) for attends in (True, False))
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            blocks = nn.ModuleList()
            for _ in range(spec.blocks + 1):
                blocks.append(Block(channels + seen.pop(), width, told, spec, attends=level in spec.attention))
                channels = width
            self.up.append(blocks)
            if level:
                self.grow.append(nn.Conv2d(channels, channels, 3, padding=1))
        last = nn.Conv2d(channels, given.channels, 3, padding=1)
        nn.init.zeros_(last.weight)  # at first the velocity is said to be near zero, which is its mean
        self.head = nn.Sequential(nn.GroupNorm(spec.groups, channels), nn.SiLU(), last)

    def forward(self, noisy: Tensor, step: Tensor, label: Tensor) -> Tensor:
        """Noisy images (N, C, H, W), steps int64 (N,), classes int64 (N,), K for none, to their noise (N, C, H, W)."""
        told = self.step(step) + self.label(label)  # (N, E)
        features = self.first(noisy)  # (N, D, H, W)
        seen = [features]
        for level, blocks in enumerate(self.down):
            for block in cast(nn.ModuleList, blocks):
                features = block(features, told)  # (N, D, H / 2^level, W / 2^level)
                seen.append(features)
            if level < len(self.shrink):
                features = self.shrink[level](features)
                seen.append(features)
        for block in self.middle:
            features = block(features, told)
        for level, blocks in enumerate(self.up):
            for block in cast(nn.ModuleList, blocks):
                features = block(torch.cat([features, seen.pop()], dim=1), told)
            if level < len(self.grow):
                features = self.grow[level](_doubled(features, seen[-1]))
        velocity: Tensor = self.head(features)  # (N, C, H, W)
        image_share, noise_share = (share[step][:, None, None, None] for share in (self.image_share, self.noise_share))
        return noise_share * noisy + image_share * velocity


class StepEmbedding(nn.Module):
    """sin and cos of the step at wavelengths from 2 pi to 10000 * 2 pi, through two dense layers."""

    rates: Tensor

    def __init__(self, width: int, outward: int) -> None:
        super().__init__()
        half = (width + 1) // 2
        rates = torch.exp(torch.arange(half) * (-math.log(10000.0) / half))  # (width / 2,)
        self.register_buffer("rates", rates, persistent=False)
        self.dense = nn.Sequential(nn.Linear(2 * half, outward), nn.SiLU(), nn.Linear(outward, outward))

    def forward(self, step: Tensor) -> Tensor:
        """int64 (N,) to (N, outward)."""
        told: Tensor = self.dense(self.waves(step))
        return told

    def waves(self, step: Tensor) -> Tensor:
        """int64 (N,) to (N, width)."""
        angles = step[:, None].to(self.rates.dtype) * self.rates  # (N, width / 2)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Block(nn.Module):
    """Two convolutions with a residual; between them is added what the network is told. Then attention, if wanted."""

    def __init__(self, inward: int, outward: int, told: int, spec: UNetSpec, *, attends: bool) -> None:
        super().__init__()
        self.before = nn.Sequential(
            nn.GroupNorm(math.gcd(spec.groups, inward), inward), nn.SiLU(), nn.Conv2d(inward, outward, 3, padding=1)
        )
        self.told = nn.Sequential(nn.SiLU(), nn.Linear(told, outward))
        last = nn.Conv2d(outward, outward, 3, padding=1)
        nn.init.zeros_(last.weight)  # at first a block is its shortcut
        self.after = nn.Sequential(nn.GroupNorm(spec.groups, outward), nn.SiLU(), nn.Dropout(spec.dropout), last)
        self.shortcut = nn.Identity() if inward == outward else nn.Conv2d(inward, outward, 1)
        self.norm = nn.GroupNorm(spec.groups, outward) if attends else None
        self.attention = MultiHeadAttention(outward, spec.heads) if attends else None

    def forward(self, features: Tensor, told: Tensor) -> Tensor:
        """(N, inward, H, W), (N, E) to (N, outward, H, W)."""
        inner = self.after(self.before(features) + self.told(told)[:, :, None, None])  # (N, outward, H, W)
        result: Tensor = self.shortcut(features) + inner  # (N, outward, H, W)
        if self.attention is None or self.norm is None:
            return result
        places = self.norm(result).flatten(2).transpose(1, 2)  # (N, H * W, outward)
        attended: Tensor = self.attention(places, places)  # (N, H * W, outward)
        return result + attended.transpose(1, 2).reshape(result.shape)


def _doubled(features: Tensor, like: Tensor) -> Tensor:
    """Each place again to the right and below, (N, D, h, w) to the size of `like`: one less where that is odd."""
    larger = features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return larger[:, :, : like.shape[2], : like.shape[3]]
