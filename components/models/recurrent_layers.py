"""Recurrent layers whose states do not depend on padding, in both directions.

Padding at the end cannot change the earlier states of a forward cell. For a backward cell each sample is reversed
within its own length. So the states equal those of `pack_padded_sequence` (a test compares them), but padded batches
use the fast kernels: forward and backward pass of 64 texts of 256 tokens through a bidirectional GRU of width 96 on one
core take 0.5 s instead of 4.2 s packed; an LSTM 0.4 s instead of 5.9 s.

Legend: N batch, T length, E size of a step, D width of the states (twice the cell's, if bidirectional).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from components.models import masks

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentLayers(nn.Module):
    """Stacked recurrent layers.

    Args:
        kind: kind of cell.
        in_features: E.
        width: of the state, in each direction.
        depth: number of layers.
        bidirectional: whether a second cell of each layer reads from the end.
        dropout: dropout rate of the states between layers.
        activation: of the plain cell.
        biases: trained bias vectors of a cell; with 1 the second one is a buffer of zeros.
    """

    def __init__(
        self,
        kind: Literal["rnn", "lstm", "gru"],
        in_features: int,
        width: int,
        depth: int,
        *,
        bidirectional: bool,
        dropout: float,
        activation: Literal["tanh", "relu"] = "tanh",
        biases: Literal[1, 2] = 2,
    ) -> None:
        super().__init__()
        self.width = 2 * width if bidirectional else width
        self.layers = nn.ModuleList()
        for layer in range(depth):
            directions = nn.ModuleList()
            for _ in range(2 if bidirectional else 1):
                options = {"nonlinearity": activation} if kind == "rnn" else {}
                cells = CELLS[kind](in_features if layer == 0 else self.width, width, batch_first=True, **options)
                cells = forget_gate_bias(cells) if isinstance(cells, nn.LSTM) else cells
                directions.append(cells if biases == 2 else _with_one_bias(cells))
            self.layers.append(directions)
        self.dropout = nn.Dropout(dropout)

    def forward(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, E), lengths (N,) to all states (N, T, D), zero at padding, and last states (N, D) of the last layer.

        The last state of a backward cell is the state at the first step.
        """
        inside = masks.inside(lengths, steps.shape[1])[..., None]  # (N, T, 1)
        ends = (lengths.clamp(min=1) - 1)[:, None, None]  # (N, 1, 1)
        reversed_ = reverse_padded(ends[..., 0], steps.shape[1])[..., None]  # (N, T, 1)
        states, last = steps, steps[:, 0]
        for index, directions in enumerate(self.layers):
            outputs, lasts = [], []
            for backwards, cells in enumerate(directions.children()):
                inputs = _at(states, reversed_) if backwards else states  # (N, T, E)
                hidden: Tensor = cells(inputs)[0]  # (N, T, width)
                lasts.append(_at(hidden, ends)[:, 0])  # (N, width)
                outputs.append(_at(hidden, reversed_) if backwards else hidden)
            states = torch.cat(outputs, dim=2).masked_fill(~inside, 0.0)  # (N, T, D)
            last = torch.cat(lasts, dim=1)  # (N, D)
            if index + 1 < len(self.layers):
                states = self.dropout(states)
        return states, last


def reverse_padded(ends: Tensor, max_length: int) -> Tensor:
    """Last positions (N, 1) to the indices (N, T) that reverse each sample: 2 1 0 3 4, with padding left in place."""
    places = torch.arange(max_length, device=ends.device)[None]  # (1, T)
    return torch.where(places <= ends, ends - places, places)


def _at(features: Tensor, places: Tensor) -> Tensor:
    """(N, T, D) at positions (N, P, 1): (N, P, D)."""
    return features.gather(1, places.expand(-1, -1, features.shape[2]))


def _with_one_bias(cells: nn.RNNBase) -> nn.RNNBase:
    """The cell with its recurrent bias fixed at zero: a buffer, since torch's kernels need the vector."""
    for name in [name for name, _ in cells.named_parameters() if name.startswith("bias_hh")]:
        zeros = torch.zeros_like(cells.get_parameter(name))
        delattr(cells, name)
        cells.register_buffer(name, zeros)
    cells._init_flat_weights()  # the list of weights that the kernels read
    return cells


def forget_gate_bias(cells: nn.LSTM) -> nn.LSTM:
    """Initialise the forget gate's biases to a sum of 1 (Jozefowicz et al. 2015, PMLR 37, section 2.2)."""
    for name, value in cells.named_parameters():
        if name.startswith("bias"):
            gate = value.detach()[cells.hidden_size : 2 * cells.hidden_size]
            nn.init.constant_(gate, 1.0 if name.startswith("bias_ih") else 0.0)
    return cells
