"""Convolutions over the words of a text: Kim 2014, arXiv:1408.5882.

Legend: N batch, T length, E embedding, F filters of a window, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.architectures.text import KimSpec
from components.contracts.shapes import ClassesOutput, TokensInput
from components.models import masks


def build(config: KimSpec, input_spec: TokensInput, output_spec: ClassesOutput) -> Kim:
    """A network for texts of any length, also of length 0."""
    return Kim(config, input_spec, output_spec.classes)


class Kim(nn.Module):
    """Convolutions of several window widths with max pooling over the text; then dropout and a dense layer.

    Every window that overlaps the text counts; the text is padded with zeros, in a batch as alone.

    Args:
        config: windows and filters.
        input_spec: the vocabulary.
        classes: number of classes K.
    """

    def __init__(self, config: KimSpec, input_spec: TokensInput, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(input_spec.vocabulary, config.embedding, padding_idx=input_spec.pad)
        with torch.no_grad():
            # Small, as in the paper: with a variance of 1, rare words stay noise (SST-2: two points less).
            nn.init.uniform_(self.embedding.weight, -0.25, 0.25)
            self.embedding.weight[input_spec.pad] = 0.0
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.embedding, config.filters, window, padding=window - 1) for window in config.windows
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.filters * len(config.windows), classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to logits (N, K)."""
        inside = masks.inside(lengths, tokens.shape[1])[..., None]  # (N, T, 1)
        vectors = self.embedding(tokens).masked_fill(~inside, 0.0).transpose(1, 2)  # (N, E, T)
        largest = [self._largest(convolution, vectors, lengths) for convolution in self.convolutions]
        logits: Tensor = self.head(self.dropout(torch.cat(largest, dim=1)))  # (N, K)
        return logits

    def _largest(self, convolution: nn.Module, vectors: Tensor, lengths: Tensor) -> Tensor:
        """(N, E, T) to (N, F): the maximum over the T + window - 1 windows that overlap the text."""
        features = functional.relu(convolution(vectors))  # (N, F, T + window - 1)
        beyond = features.shape[2] - vectors.shape[2]  # window - 1
        touching = masks.inside(lengths.clamp(min=1) + beyond, features.shape[2])  # (N, T + window - 1)
        return features.masked_fill(~touching[:, None, :], 0.0).amax(dim=2)
