"""A Transformer encoder for texts and series: Vaswani et al. 2017, arXiv:1706.03762.

Legend: N batch, T length, P patches, C channels, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.architectures.transformer import EncoderSpec
from components.contracts.shapes import ClassesOutput, SeriesInput, TokenClassesOutput, TokensInput
from components.core.errors import UsageError
from components.models import masks
from components.models.embedding import TokenEmbedding
from components.models.pooling import pooling
from components.models.positions import positions
from components.models.standardise_series import StandardiseSeries
from components.models.transformer_layers import EncoderLayer


def build(
    config: EncoderSpec, input_spec: TokensInput | SeriesInput, output_spec: ClassesOutput | TokenClassesOutput
) -> TransformerEncoder:
    """A network from texts or series to one class, or to one class for each token."""
    return TransformerEncoder(config, input_spec, output_spec)


class PatchEmbedding(nn.Module):
    """Patches of standardised steps of a series through one dense layer; the last patch is padded with zeros."""

    def __init__(self, input_spec: SeriesInput, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.standardise = StandardiseSeries(input_spec)
        self.dense = nn.Linear(patch * input_spec.channels, width)

    def forward(self, series: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, C), lengths (N,) to (N, P, D), lengths (N,)."""
        standardised = self.standardise(series, lengths)  # (N, T, C)
        batch, max_length, channels = standardised.shape
        padded = functional.pad(standardised, (0, 0, 0, -max_length % self.patch))  # (N, P * patch, C)
        patches = padded.reshape(batch, -1, self.patch * channels)  # (N, P, patch * C)
        counts = torch.div(lengths + self.patch - 1, self.patch, rounding_mode="floor")  # (N,)
        return self.dense(patches), counts


class TransformerEncoder(nn.Module):
    """Vectors with positions, layers of self-attention, pooling and a dense layer (or a dense layer for each token).

    Args:
        config: sizes.
        input_spec: texts of at most `max_length` tokens, or series.
        output_spec: one class, or one class for each token.

    Raises:
        UsageError: one class for each step, but patches of several steps.
    """

    head_names: Sequence[str] = ("pooling", "head")

    def __init__(
        self,
        config: EncoderSpec,
        input_spec: TokensInput | SeriesInput,
        output_spec: ClassesOutput | TokenClassesOutput,
    ) -> None:
        super().__init__()
        patch = config.patch if isinstance(input_spec, SeriesInput) else 1
        if patch > 1 and isinstance(output_spec, TokenClassesOutput):
            raise UsageError("a class for every step needs patches of one step", where="model.patch", got=patch)
        self.embedding: nn.Module
        if isinstance(input_spec, SeriesInput):
            self.embedding = PatchEmbedding(input_spec, patch, config.width)
        else:
            self.embedding = TokenEmbedding(
                input_spec.vocabulary, config.width, input_spec.pad, scaled=config.positions == "sinusoidal"
            )
        self.tokens = isinstance(input_spec, TokensInput)
        self.positions = positions(config.positions, -(-input_spec.max_length // patch), config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, config.feed_forward, config.dropout, config.norm, "gelu")
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()
        every_step = isinstance(output_spec, TokenClassesOutput)
        self.pooling = None if every_step else pooling(config.pooling, config.width)
        self.head = nn.Linear(config.width, output_spec.classes)

    def forward(self, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Tokens (N, T) or series (N, T, C), lengths (N,) (None without padding) to logits (N, K) or (N, T, K)."""
        logits: Tensor = self.head(self.dropout(self.pooled(values, lengths)))  # (N, K) or (N, T, K)
        return logits

    def pooled(self, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As `forward`, to features (N, D), or (N, T, D) for a class of each step."""
        if lengths is None:
            lengths = masks.whole(values)  # (N,)
        if self.tokens:
            features = self.embedding(values)  # (N, T, D)
        else:
            features, lengths = self.embedding(values, lengths)  # (N, P, D)
        features = self.dropout(self.positions(features))  # (N, P, D)
        mask = masks.keys(lengths, features.shape[1])  # (N, 1, 1, P)
        for layer in self.layers:
            features = layer(features, mask)  # (N, P, D)
        features = self.norm(features)  # (N, P, D)
        return features if self.pooling is None else cast(Tensor, self.pooling(features, lengths))
