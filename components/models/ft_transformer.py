"""FT-Transformer: a Transformer over a token for each column of a table: Gorishniy et al. 2021, arXiv:2106.11959.

Legend: N batch, T columns, D width, S size of the output.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from components.contracts.architectures.table import FtTransformerSpec
from components.contracts.shapes import ClassesOutput, TableInput, ValuesOutput
from components.models.table_inputs import TableTokens
from components.models.transformer_layers import EncoderLayer


def build(
    config: FtTransformerSpec, input_spec: TableInput, output_spec: ClassesOutput | ValuesOutput
) -> FtTransformer:
    """A network from rows to classes or to a number."""
    return FtTransformer(config, input_spec, output_spec.classes)


class FtTransformer(nn.Module):
    """Pre-norm layers over the tokens of the columns and of the answer; a dense layer over the answer's token."""

    def __init__(self, config: FtTransformerSpec, input_spec: TableInput, size: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(config.width)
        self.tokens = TableTokens(input_spec, config.width)
        self.answer = nn.Parameter(torch.empty(config.width).uniform_(-bound, bound))
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, config.feed_forward, config.dropout, activation="gelu")
            for _ in range(config.depth)
        )
        self.layers[0].attention_norm = nn.Identity()  # as in the paper: tokens are not normalised before attention
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, size)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The arrays of a row to (N, S)."""
        tokens = self.tokens(inputs)  # (N, T, D)
        answer = self.answer.expand(tokens.shape[0], 1, -1)  # (N, 1, D)
        features = torch.cat([answer, tokens], dim=1)  # (N, 1 + T, D)
        for layer in self.layers:
            features = layer(features)
        outputs: Tensor = self.head(torch.relu(self.norm(features[:, 0])))
        return outputs
