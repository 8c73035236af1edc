"""The inputs of networks for rows of a table.

Legend: N batch, F columns of numbers, G columns of categories, D width, k frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from components.contracts.architectures.table import MlpSpec
from components.contracts.shapes import TableInput


def separate(inputs: Sequence[Tensor], spec: TableInput) -> tuple[Tensor | None, Tensor | None]:
    """Numbers (N, F) and categories (N, G) from a network's inputs; None for those that the table does not have."""
    numbers = inputs[0] if spec.numbers else None
    return numbers, inputs[-1] if spec.cardinalities else None


def category_embedding(cardinality: int, width: int) -> nn.Embedding:
    """Vectors of the categories of a column; that of the unknown category begins at 0.

    Without an unknown category in train, its vector is not learned, and 0 is the most neutral.
    """
    embedding = nn.Embedding(cardinality, width)
    bound = 1 / math.sqrt(width)
    nn.init.uniform_(embedding.weight, -bound, bound)
    nn.init.zeros_(embedding.weight[0].detach())
    return embedding


class PeriodicNumbers(nn.Module):
    """Each number through sines and cosines of learned frequencies, a dense layer of its own and ReLU: Gorishniy et al.
    2022, arXiv:2203.05556, section 3.3 (PLR).

    Args:
        columns: F.
        frequencies: k, for each column.
        scale: standard deviation of the initial frequencies.
        width: D.
    """

    def __init__(self, columns: int, frequencies: int, scale: float, width: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.randn(columns, frequencies) * scale)
        bound = 1 / math.sqrt(2 * frequencies)
        self.weight = nn.Parameter(torch.empty(columns, 2 * frequencies, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, width).uniform_(-bound, bound))

    def forward(self, numbers: Tensor) -> Tensor:
        """(N, F) to (N, F, D)."""
        angles = 2 * math.pi * self.frequencies * numbers[..., None]  # (N, F, k)
        waves = torch.cat([angles.sin(), angles.cos()], dim=2)  # (N, F, 2 k)
        mapped = torch.matmul(waves.transpose(0, 1), self.weight).transpose(0, 1)  # (N, F, D)
        return torch.relu(mapped + self.bias)


class TableVector(nn.Module):
    """Numbers, plain or periodic, and the embedded categories as one vector of size `features`."""

    def __init__(self, config: MlpSpec, spec: TableInput) -> None:
        super().__init__()
        self.spec = spec
        self.periodic = (
            PeriodicNumbers(spec.numbers, config.frequencies, config.frequency_scale, config.embedding)
            if spec.numbers and config.numbers == "periodic"
            else None
        )
        widths = [min(config.embedding, (cardinality + 1) // 2) for cardinality in spec.cardinalities]
        self.embeddings = nn.ModuleList(map(category_embedding, spec.cardinalities, widths))
        self.features = spec.numbers * (config.embedding + 1 if self.periodic is not None else 1) + sum(widths)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """The network's inputs to (N, features)."""
        numbers, categories = separate(inputs, self.spec)
        parts = [] if numbers is None else [numbers]
        if numbers is not None and self.periodic is not None:
            parts.append(self.periodic(numbers).flatten(1))
        if categories is not None:
            parts += [embedding(categories[:, place]) for place, embedding in enumerate(self.embeddings)]
        return torch.cat(parts, dim=1)


class TableTokens(nn.Module):
    """A token for each column: number times vector plus bias, or the category's vector plus the column's bias
    (arXiv:2106.11959, section 3.3)."""

    def __init__(self, spec: TableInput, width: int) -> None:
        super().__init__()
        self.spec = spec
        bound = 1 / math.sqrt(width)
        columns = spec.numbers + len(spec.cardinalities)
        self.weight = nn.Parameter(torch.empty(spec.numbers, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, width).uniform_(-bound, bound))
        self.embeddings = nn.ModuleList(category_embedding(cardinality, width) for cardinality in spec.cardinalities)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """The network's inputs to (N, F + G, D)."""
        numbers, categories = separate(inputs, self.spec)
        parts = [] if numbers is None else [numbers[..., None] * self.weight]  # (N, F, D)
        if categories is not None:
            vectors = [embedding(categories[:, place]) for place, embedding in enumerate(self.embeddings)]
            parts.append(torch.stack(vectors, dim=1))  # (N, G, D)
        return torch.cat(parts, dim=1) + self.bias
