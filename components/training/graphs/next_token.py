"""The graph of a language model: the network itself."""

from __future__ import annotations

from torch import nn

from components.tasks.task import Processor
from components.training.graphs.graph import BATCH, LENGTH, Graph, model_graph


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `logits` (batch, length, vocabulary) of the token after each token."""
    return [model_graph(network, processor, {"logits": [BATCH, LENGTH]})]
