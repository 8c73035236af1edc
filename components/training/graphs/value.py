"""The graph of a regression: the network itself."""

from __future__ import annotations

from torch import nn

from components.tasks.task import Processor
from components.training.graphs.graph import BATCH, Graph, model_graph


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `value` (batch, 1), scaled by the target's mean and standard deviation."""
    return [model_graph(network, processor, {"value": [BATCH]})]
