"""A Transformer encoder for texts and series: Vaswani et al. 2017, arXiv:1706.03762.

Legend: N batch, T length, P patches, C channels, D width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    spec: EncoderSpec, given: TokensInput | SeriesInput, wanted: ClassesOutput | TokenClassesOutput
) -> TransformerEncoder:
    """Texts or series to one class each, or one a token."""
    return TransformerEncoder(spec, given, wanted)


class PatchEmbedding(nn.Module):
    """A series to vectors: `patch` steps each, standardised, through one dense layer. The last is filled with zeros."""

    def __init__(self, given: SeriesInput, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.standardise = StandardiseSeries(given)
        self.dense = nn.Linear(patch * given.channels, width)

    def forward(self, series: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, C), lengths (N,) to (N, P, D), lengths (N,)."""
        standardised = self.standardise(series, lengths)  # (N, T, C)
        batch, longest, channels = standardised.shape
        padded = functional.pad(standardised, (0, 0, 0, -longest % self.patch))  # (N, P * patch, C)
        patches = padded.reshape(batch, -1, self.patch * channels)  # (N, P, patch * C)
        counts = torch.div(lengths + self.patch - 1, self.patch, rounding_mode="floor")  # (N,)
        return self.dense(patches), counts


class TransformerEncoder(nn.Module):
    """Vectors with positions, layers of self-attention, pooling and a dense layer (or a dense layer a token).

    Args:
        spec: depth, width and so on.
        given: what goes in; texts of at most `longest` tokens, or series.
        wanted: what comes out.

    Raises:
        UsageError: a class a token is wanted of patches of several.
    """

    head_names: Sequence[str] = ("pooling", "head")

    def __init__(
        self, spec: EncoderSpec, given: TokensInput | SeriesInput, wanted: ClassesOutput | TokenClassesOutput
    ) -> None:
        super().__init__()
        patch = spec.patch if isinstance(given, SeriesInput) else 1
        if patch > 1 and isinstance(wanted, TokenClassesOutput):
            raise UsageError("a class for every step needs patches of one step", where="model.patch", got=patch)
        self.embedding: nn.Module
        if isinstance(given, SeriesInput):
            self.embedding = PatchEmbedding(given, patch, spec.width)
        else:
            self.embedding = TokenEmbedding(
                given.vocabulary, spec.width, given.pad, scaled=spec.positions == "sinusoidal"
            )
        self.tokens = isinstance(given, TokensInput)
        self.positions = positions(spec.positions, -(-given.longest // patch), spec.width)
        self.dropout = nn.Dropout(spec.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(spec.width, spec.heads, spec.feed_forward, spec.dropout, spec.norm, "gelu")
            for _ in range(spec.depth)
        )
        self.norm = nn.LayerNorm(spec.width) if spec.norm == "pre" else nn.Identity()
        self.pooling = pooling(spec.pooling, spec.width) if isinstance(wanted, ClassesOutput) else None
        self.head = nn.Linear(spec.width, wanted.classes)

    def forward(self, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Tokens (N, T) or series (N, T, C), lengths (N,) (none where all are whole) to logits (N, K) or (N, T, K)."""
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
        if self.pooling is not None:
            features = self.pooling(features, lengths)  # (N, D)
        logits: Tensor = self.head(self.dropout(features))  # (N, K) or (N, T, K)
        return logits
