"""Forecasts by a Transformer over patches of each channel separately: PatchTST, Nie et al. 2023, arXiv:2211.14730.

Legend: N batch, L steps seen, C channels, P patches, S steps of a patch, D width, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.architectures.series import PatchTstSpec
from components.contracts.shapes import ForecastOutput, SeriesInput
from components.core.errors import UsageError
from components.models.instance_norm import InstanceNorm
from components.models.positions import LearnedPositions
from components.models.standardise_series import StandardiseSeries
from components.models.transformer_layers import EncoderLayer


def build(config: PatchTstSpec, input_spec: SeriesInput, output_spec: ForecastOutput) -> PatchTst:
    """A network for series of one length that is at least the length of a patch.

    Raises:
        UsageError: the series have several lengths, or are shorter than a patch.
    """
    if not input_spec.fixed:
        raise UsageError("a forecast is made from series of one length", where="model.name", got=input_spec.kind)
    if input_spec.max_length < config.patch:
        raise UsageError(
            "a patch is longer than the series",
            where="model.patch",
            got=config.patch,
            expected=f"<= {input_spec.max_length}",
        )
    return PatchTst(config, input_spec, output_spec)


class ChannelBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of the last axis: (N, P, D) to (N, P, D)."""

    def forward(self, features: Tensor) -> Tensor:
        """Over batch and patches."""
        return super().forward(features.transpose(1, 2)).transpose(1, 2)


class PatchTst(nn.Module):
    """Patches with positions, layers of self-attention, and one dense layer from all patches to all steps ahead.

    Every channel is a separate series; all channels share the weights.

    Args:
        config: patch, stride and sizes.
        input_spec: number of steps L, and statistics of the series.
        output_spec: horizon and quantiles.
    """

    head_names: Sequence[str] = ("head",)

    def __init__(self, config: PatchTstSpec, input_spec: SeriesInput, output_spec: ForecastOutput) -> None:
        super().__init__()
        self.horizon, self.quantiles = output_spec.horizon, len(output_spec.quantiles)
        self.patch, self.stride = config.patch, config.stride
        # As in the paper, the series is padded by one stride with its last value.
        patches = (input_spec.max_length + config.stride - config.patch) // config.stride + 1
        self.instance_norm = config.instance_norm
        self.standardise = StandardiseSeries(input_spec)
        self.embedding = nn.Linear(config.patch, config.width)
        self.positions = LearnedPositions(patches, config.width)
        self.dropout = nn.Dropout(config.dropout)
        normalisation = ChannelBatchNorm if config.normalisation == "batch" else nn.LayerNorm
        self.layers = nn.ModuleList(
            EncoderLayer(
                config.width, config.heads, config.feed_forward, config.dropout, config.norm, "gelu", normalisation
            )
            for _ in range(config.depth)
        )
        self.head_dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(patches * config.width, self.horizon * self.quantiles)

    def forward(self, past: Tensor) -> Tensor:
        """(N, L, C) to (N, horizon, C, Q), both in the units of the series."""
        steps = self.standardise(past)  # (N, L, C)
        norm = InstanceNorm.of(steps) if self.instance_norm else None
        rows = (steps if norm is None else norm.apply(steps)).transpose(1, 2)  # (N, C, L)
        features = self.encode(rows.flatten(0, 1))  # (N * C, P, D)
        ahead = self.head(self.head_dropout(features.flatten(1)))  # (N * C, horizon * Q)
        channels = past.shape[2]
        values = ahead.view(-1, channels, self.horizon, self.quantiles).transpose(1, 2)  # (N, horizon, C, Q)
        return self.standardise.undo(values if norm is None else norm.undo(values))

    def encode(self, rows: Tensor) -> Tensor:
        """Series of one channel (N, L) to the vectors of their patches (N, P, D)."""
        padded = functional.pad(rows[:, None], (0, self.stride), mode="replicate")[:, 0]  # (N, L + stride)
        starts = range(0, padded.shape[1] - self.patch + 1, self.stride)
        # Slices, because the exporter does not support `unfold`; their number is fixed, since L is.
        patches = torch.stack([padded[:, start : start + self.patch] for start in starts], dim=1)  # (N, P, S)
        features: Tensor = self.dropout(self.positions(self.embedding(patches)))  # (N, P, D)
        for layer in self.layers:
            features = layer(features)  # (N, P, D)
        return features
