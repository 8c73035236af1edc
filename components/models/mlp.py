"""Dense layers over rows of a table; with residual blocks the ResNet of Gorishniy et al. 2021, arXiv:2106.11959.

Legend: N batch, D width, S size of the output.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from components.contracts.architectures.table import MlpSpec
from components.contracts.shapes import ClassesOutput, TableInput, ValuesOutput
from components.models.table_inputs import TableVector

Normalisation = Literal["batch", "layer", "none"]


def build(config: MlpSpec, input_spec: TableInput, output_spec: ClassesOutput | ValuesOutput) -> Mlp:
    """A network from rows to classes or to a number."""
    return Mlp(config, input_spec, output_spec.classes)


class Mlp(nn.Module):
    """Blocks of width D over the vector of a row, then a dense layer."""

    def __init__(self, config: MlpSpec, input_spec: TableInput, size: int) -> None:
        super().__init__()
        self.vector = TableVector(config, input_spec)
        width = config.width
        blocks: list[nn.Module] = []
        if config.residual:
            blocks.append(nn.Linear(self.vector.features, width))
            blocks += [ResidualMlpBlock(width, config.dropout, config.normalisation) for _ in range(config.depth)]
            blocks += [_norm(config.normalisation, width), nn.ReLU()]
        else:
            for in_features in [self.vector.features, *[width] * (config.depth - 1)]:
                norm = _norm(config.normalisation, width)
                blocks += [nn.Linear(in_features, width), norm, nn.ReLU(), nn.Dropout(config.dropout)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, size)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The arrays of a row to (N, S)."""
        outputs: Tensor = self.head(self.blocks(self.vector(inputs)))
        return outputs


class ResidualMlpBlock(nn.Module):
    """x + dropout(dense(dropout(relu(dense(norm(x))))))."""

    def __init__(self, width: int, dropout: float, normalisation: Normalisation) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _norm(normalisation, width),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.Dropout(dropout),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) to (N, D)."""
        return torch.add(features, self.layers(features))


def _norm(kind: Normalisation, width: int) -> nn.Module:
    return {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[kind](width) if kind != "none" else nn.Identity()
