"""The graphs of a speech recogniser: an encoder of frames and a decoder of tokens, as those of a translator."""

from __future__ import annotations

from torch import nn

from components.tasks.task import Processor
from components.training.graphs import translation
from components.training.graphs.graph import Graph


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`encoder` gives what the decoder needs of the sound; `decoder` gives `logits` (R, V) of the next token."""
    return translation.graphs(network, processor)
