"""A convolutional network along time: Wang et al. 2017, arXiv:1611.06455, with pooling between its blocks.

Legend: N batch, T length, C channels, D width of a block, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.architectures.series import SeriesCnnSpec
from components.contracts.shapes import ClassesOutput, SeriesInput
from components.models import masks
from components.models.masked_batch_norm import MaskedBatchNorm
from components.models.pooling import pooling
from components.models.standardise_series import StandardiseSeries


def build(config: SeriesCnnSpec, input_spec: SeriesInput, output_spec: ClassesOutput) -> SeriesCnn:
    """A network for series of any length."""
    return SeriesCnn(config, input_spec, output_spec.classes)


class SeriesCnn(nn.Module):
    """Blocks that halve the length, then a dense layer over the pooled steps.

    Args:
        config: sizes.
        input_spec: channels and their statistics.
        classes: number of classes K.
    """

    head_names: Sequence[str] = ("pooling", "head")

    def __init__(self, config: SeriesCnnSpec, input_spec: SeriesInput, classes: int) -> None:
        super().__init__()
        self.standardise = StandardiseSeries(input_spec)
        widths = [config.width << min(index, 3) for index in range(config.depth)]
        self.blocks = nn.ModuleList(
            SeriesBlock(in_features, out_features, config.window)
            for in_features, out_features in zip([input_spec.channels, *widths], widths, strict=False)
        )
        self.pooling = pooling(config.pooling, widths[-1])
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, series: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(N, T, C), lengths (N,) (None without padding) to logits (N, K)."""
        lengths = masks.whole(series) if lengths is None else lengths.clamp(min=1)  # (N,)
        features = self.standardise(series, lengths).transpose(1, 2)  # (N, C, T)
        for block in self.blocks:
            features, lengths = block(features, lengths)  # (N, D, T / 2), (N,)
        logits: Tensor = self.head(self.dropout(self.pooling(features.transpose(1, 2), lengths)))  # (N, K)
        return logits


class SeriesBlock(nn.Module):
    """Convolution, batch normalisation, ReLU, and max pooling by 2; padding stays zero."""

    def __init__(self, in_features: int, out_features: int, window: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(in_features, out_features, window, padding=window // 2, bias=False)
        self.norm = MaskedBatchNorm(out_features)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, in_features, T), lengths (N,) to (N, out_features, ceil(T / 2)), lengths (N,)."""
        max_length = features.shape[2]
        inside = masks.inside(lengths, max_length)[:, None, :]  # (N, 1, T)
        features = functional.relu(self.norm(self.convolution(features), inside))  # (N, out_features, T)
        pooled = functional.max_pool1d(
            functional.pad(features, (0, max_length % 2)), 2
        )  # (N, out_features, ceil(T / 2))
        return pooled, torch.div(lengths + 1, 2, rounding_mode="floor")
