"""A convolutional network over time and frequency: Hershey et al. 2017, arXiv:1609.09430, its VGG form made small.

Legend: N batch, T frames, M mel bands, D width of a block, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.architectures.series import SpectrogramCnnSpec
from components.contracts.shapes import ClassesOutput, SeriesInput
from components.models import masks
from components.models.masked_batch_norm import MaskedBatchNorm
from components.models.pooling import pooling
from components.models.standardise_series import StandardiseSeries


def build(spec: SpectrogramCnnSpec, given: SeriesInput, wanted: ClassesOutput) -> SpectrogramCnn:
    """Log-mel frames, the bands as channels; any number of frames."""
    return SpectrogramCnn(spec, given, wanted.classes)


class SpectrogramCnn(nn.Module):
    """Blocks that halve time and frequency, then one vector of the frames through a dense layer.

    Args:
        spec: depth, width and so on.
        given: bands and their statistics.
        classes: number of classes K.
    """

    head_names: Sequence[str] = ("pooling", "head")

    def __init__(self, spec: SpectrogramCnnSpec, given: SeriesInput, classes: int) -> None:
        super().__init__()
        self.standardise = StandardiseSeries(given)
        widths = [1, *(spec.width << index for index in range(spec.depth))]
        self.blocks = nn.ModuleList(
            SpectrogramBlock(inward, outward, spec.convolutions) for inward, outward in itertools.pairwise(widths)
        )
        bands = given.channels
        for _ in range(spec.depth):
            bands = -(-bands // 2)
        self.pooling = pooling(spec.pooling, widths[-1] * bands)
        self.dropout = nn.Dropout(spec.dropout)
        self.head = nn.Linear(widths[-1] * bands, classes)

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(N, T, M), lengths (N,) (none where all are whole) to logits (N, K)."""
        lengths = masks.whole(frames) if lengths is None else lengths.clamp(min=1)  # (N,)
        features = self.standardise(frames, lengths)[:, None]  # (N, 1, T, M)
        for block in self.blocks:
            features, lengths = block(features, lengths)  # (N, D, T / 2, M / 2), (N,)
        rows = features.transpose(1, 2).flatten(2)  # (N, T', D * M')
        logits: Tensor = self.head(self.dropout(self.pooling(rows, lengths)))  # (N, K)
        return logits


class SpectrogramBlock(nn.Module):
    """Convolutions, each with batch normalisation and ReLU, then of each 2x2 the largest; zero stays beyond the end."""

    def __init__(self, inward: int, outward: int, convolutions: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inward if index == 0 else outward, outward, 3, padding=1, bias=False)
            for index in range(convolutions)
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(outward) for _ in range(convolutions))

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, inward, T, M), lengths (N,) to (N, outward, ceil(T / 2), ceil(M / 2)), lengths (N,)."""
        longest, bands = features.shape[2:]
        inside = masks.inside(lengths, longest)[:, None, :, None]  # (N, 1, T, 1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            features = functional.relu(norm(convolution(features), inside))  # (N, outward, T, M)
        padded = functional.pad(features, (0, bands % 2, 0, longest % 2))  # (N, outward, 2 ceil(T / 2), 2 ceil(M / 2))
        return functional.max_pool2d(padded, 2), torch.div(lengths + 1, 2, rounding_mode="floor")
