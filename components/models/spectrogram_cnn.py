"""A convolutional network over time and frequency: a small form of the VGG of Hershey et al. 2017, arXiv:1609.09430.

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


def build(config: SpectrogramCnnSpec, input_spec: SeriesInput, output_spec: ClassesOutput) -> SpectrogramCnn:
    """A network for any number of log-mel frames, with the bands as channels of the series."""
    return SpectrogramCnn(config, input_spec, output_spec.classes)


class SpectrogramCnn(nn.Module):
    """Blocks that halve time and frequency, then a dense layer over the pooled frames.

    Args:
        config: sizes.
        input_spec: bands and their statistics.
        classes: number of classes K.
    """

    head_names: Sequence[str] = ("pooling", "head")

    def __init__(self, config: SpectrogramCnnSpec, input_spec: SeriesInput, classes: int) -> None:
        super().__init__()
        self.standardise = StandardiseSeries(input_spec)
        widths = [1, *(config.width << index for index in range(config.depth))]
        self.blocks = nn.ModuleList(
            SpectrogramBlock(in_features, out_features, config.convolutions)
            for in_features, out_features in itertools.pairwise(widths)
        )
        bands = input_spec.channels
        for _ in range(config.depth):
            bands = -(-bands // 2)
        self.pooling = pooling(config.pooling, widths[-1] * bands)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(widths[-1] * bands, classes)

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(N, T, M), lengths (N,) (None without padding) to logits (N, K)."""
        lengths = masks.whole(frames) if lengths is None else lengths.clamp(min=1)  # (N,)
        features = self.standardise(frames, lengths)[:, None]  # (N, 1, T, M)
        for block in self.blocks:
            features, lengths = block(features, lengths)  # (N, D, T / 2, M / 2), (N,)
        rows = features.transpose(1, 2).flatten(2)  # (N, T', D * M')
        logits: Tensor = self.head(self.dropout(self.pooling(rows, lengths)))  # (N, K)
        return logits


class SpectrogramBlock(nn.Module):
    """Convolutions, each with batch normalisation and ReLU, then 2x2 max pooling; padding stays zero."""

    def __init__(self, in_features: int, out_features: int, convolutions: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(in_features if index == 0 else out_features, out_features, 3, padding=1, bias=False)
            for index in range(convolutions)
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(out_features) for _ in range(convolutions))

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, in_features, T, M), lengths (N,) to (N, out_features, ceil(T / 2), ceil(M / 2)), lengths (N,)."""
        max_length, bands = features.shape[2:]
        inside = masks.inside(lengths, max_length)[:, None, :, None]  # (N, 1, T, 1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            features = functional.relu(norm(convolution(features), inside))  # (N, out_features, T, M)
        padded = functional.pad(
            features, (0, bands % 2, 0, max_length % 2)
        )  # (N, out_features, 2 ceil(T / 2), 2 ceil(M / 2))
        return functional.max_pool2d(padded, 2), torch.div(lengths + 1, 2, rounding_mode="floor")
