"""The U-Net of DDPM: Ho et al. 2020, arXiv:2006.11239, appendix B; conditioned on the class as in arXiv:2207.12598.

The layers predict the velocity, sqrt(a) * noise - sqrt(1 - a) * image with a = alphas_cumprod of the step, and the
noise follows from it (Salimans and Ho 2022, arXiv:2202.00512, appendix D). At steps of small a, an error of a directly
predicted noise would be divided by sqrt(a) in sampling, and leave speckles in the image.

Legend: N batch, C channels of an image, H height, W width, D channels of a level, E size of the condition, K classes,
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
from components.preprocessing.noise_schedule import alphas_cumprod


def build(config: UNetSpec, input_spec: NoiseInput, output_spec: NoiseOutput) -> UNet:
    """A network for images of any size; a level after one of odd size has the larger half."""
    return UNet(config, input_spec)


class UNet(nn.Module):
    """Levels down, a middle with attention, and levels up with skip connections from the levels down.

    Args:
        config: channels and depth.
        input_spec: channels of an image, number of classes K, and the noise schedule; class K is the empty class.
    """

    head_names: Sequence[str] = ("head",)
    image_share: Tensor
    noise_share: Tensor

    def __init__(self, config: UNetSpec, input_spec: NoiseInput) -> None:
        super().__init__()
        alphas = torch.from_numpy(alphas_cumprod(input_spec.schedule, input_spec.steps))  # (S,)
        self.register_buffer("image_share", alphas.sqrt().float(), persistent=False)
        self.register_buffer("noise_share", (1 - alphas).sqrt().float(), persistent=False)
        condition = 4 * config.width
        self.step = StepEmbedding(config.width, condition)
        self.label = nn.Embedding(input_spec.classes + 1, condition)
        self.first = nn.Conv2d(input_spec.channels, config.width, 3, padding=1)
        widths = [config.width * multiplier for multiplier in config.multipliers]
        seen, channels = [config.width], config.width  # channels of the skip connections
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            blocks = nn.ModuleList()
            for _ in range(config.blocks):
                blocks.append(Block(channels, width, condition, config, attends=level in config.attention))
                channels = width
                seen.append(channels)
            self.down.append(blocks)
            if level + 1 < len(widths):
                self.shrink.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                seen.append(channels)
        self.middle = nn.ModuleList(
            Block(channels, channels, condition, config, attends=attends) for attends in (True, False)
        )
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            blocks = nn.ModuleList()
            for _ in range(config.blocks + 1):
                blocks.append(Block(channels + seen.pop(), width, condition, config, attends=level in config.attention))
                channels = width
            self.up.append(blocks)
            if level:
                self.grow.append(nn.Conv2d(channels, channels, 3, padding=1))
        last = nn.Conv2d(channels, input_spec.channels, 3, padding=1)
        nn.init.zeros_(last.weight)  # the initial velocity is near zero, its mean
        self.head = nn.Sequential(nn.GroupNorm(config.groups, channels), nn.SiLU(), last)

    def fit_pretrained(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights in the form of this version.

        In earlier packages the layers `condition` have the name `told`, and `label` has a last row without a use.
        """
        renamed = {name.replace(".told.", ".condition."): value for name, value in weights.items()}
        classes = self.label.num_embeddings
        return {
            name: value[:classes] if name.endswith("label.weight") and len(value) == classes + 1 else value
            for name, value in renamed.items()
        }

    def forward(self, noisy: Tensor, step: Tensor, label: Tensor) -> Tensor:
        """Noisy images (N, C, H, W), steps int64 (N,), classes int64 (N,) (K: empty) to their noise (N, C, H, W)."""
        condition = self.step(step) + self.label(label)  # (N, E)
        features = self.first(noisy)  # (N, D, H, W)
        seen = [features]
        for level, blocks in enumerate(self.down):
            for block in cast(nn.ModuleList, blocks):
                features = block(features, condition)  # (N, D, H / 2^level, W / 2^level)
                seen.append(features)
            if level < len(self.shrink):
                features = self.shrink[level](features)
                seen.append(features)
        for block in self.middle:
            features = block(features, condition)
        for level, blocks in enumerate(self.up):
            for block in cast(nn.ModuleList, blocks):
                features = block(torch.cat([features, seen.pop()], dim=1), condition)
            if level < len(self.grow):
                features = self.grow[level](_doubled(features, seen[-1]))
        velocity: Tensor = self.head(features)  # (N, C, H, W)
        image_share, noise_share = (share[step][:, None, None, None] for share in (self.image_share, self.noise_share))
        return noise_share * noisy + image_share * velocity


class StepEmbedding(nn.Module):
    """sin and cos of the step at wavelengths from 2 pi to 10000 * 2 pi, through two dense layers."""

    rates: Tensor

    def __init__(self, width: int, out_features: int) -> None:
        super().__init__()
        half = (width + 1) // 2
        rates = torch.exp(torch.arange(half) * (-math.log(10000.0) / half))  # (width / 2,)
        self.register_buffer("rates", rates, persistent=False)
        self.dense = nn.Sequential(nn.Linear(2 * half, out_features), nn.SiLU(), nn.Linear(out_features, out_features))

    def forward(self, step: Tensor) -> Tensor:
        """int64 (N,) to (N, out_features)."""
        condition: Tensor = self.dense(self.waves(step))
        return condition

    def waves(self, step: Tensor) -> Tensor:
        """int64 (N,) to (N, width)."""
        angles = step[:, None].to(self.rates.dtype) * self.rates  # (N, width / 2)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Block(nn.Module):
    """Two convolutions with a residual connection; the condition is added between them. Then optional attention."""

    def __init__(self, in_features: int, out_features: int, condition: int, config: UNetSpec, *, attends: bool) -> None:
        super().__init__()
        self.before = nn.Sequential(
            nn.GroupNorm(math.gcd(config.groups, in_features), in_features),
            nn.SiLU(),
            nn.Conv2d(in_features, out_features, 3, padding=1),
        )
        self.condition = nn.Sequential(nn.SiLU(), nn.Linear(condition, out_features))
        last = nn.Conv2d(out_features, out_features, 3, padding=1)
        nn.init.zeros_(last.weight)  # initially a block is its shortcut
        self.after = nn.Sequential(
            nn.GroupNorm(config.groups, out_features), nn.SiLU(), nn.Dropout(config.dropout), last
        )
        self.shortcut = nn.Identity() if in_features == out_features else nn.Conv2d(in_features, out_features, 1)
        self.norm = nn.GroupNorm(config.groups, out_features) if attends else None
        self.attention = MultiHeadAttention(out_features, config.heads) if attends else None

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(N, in_features, H, W), (N, E) to (N, out_features, H, W)."""
        inner = self.after(
            self.before(features) + self.condition(condition)[:, :, None, None]
        )  # (N, out_features, H, W)
        result: Tensor = self.shortcut(features) + inner  # (N, out_features, H, W)
        if self.attention is None or self.norm is None:
            return result
        places = self.norm(result).flatten(2).transpose(1, 2)  # (N, H * W, out_features)
        attended: Tensor = self.attention(places, places)  # (N, H * W, out_features)
        return result + attended.transpose(1, 2).reshape(result.shape)


def _doubled(features: Tensor, like: Tensor) -> Tensor:
    """Nearest-neighbour upsampling by 2 of (N, D, h, w), cropped to the size of `like`."""
    larger = features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return larger[:, :, : like.shape[2], : like.shape[3]]
