"""The graph of a forecaster: the network itself."""

from __future__ import annotations

from torch import nn

from components.tasks.task import Processor
from components.training.graphs.graph import BATCH, Graph, model_graph


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `values` (batch, horizon, channels, quantiles)."""
    return [model_graph(network, processor, {"values": [BATCH]})]
