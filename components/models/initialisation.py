"""Keras' initial weights: Glorot and Bengio 2010, PMLR 9, for what reads inputs; orthogonal recurrent weights (Saxe et
al. 2014, arXiv:1312.6120).

Legend: I inputs, O outputs of a layer; H width of a state, G gates of a cell.
"""

from __future__ import annotations

from torch import nn


def glorot(network: nn.Module) -> None:
    """Draw all weights of dense, convolutional and recurrent layers anew; biases are 0, of an LSTM's forget gate 1.

    Embeddings and normalisations keep theirs. The draw is from torch's global generator.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)  # (O, I, ...)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.RNNBase):
            _recurrent(layer)


def _recurrent(cells: nn.RNNBase) -> None:
    for name, value in cells.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(value)  # (G * H, I)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(value)  # (G * H, H)
        else:
            nn.init.zeros_(value)
            if isinstance(cells, nn.LSTM) and name.startswith("bias_ih"):
                nn.init.ones_(value.detach()[cells.hidden_size : 2 * cells.hidden_size])
