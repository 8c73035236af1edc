"""The graph of a regression: the network itself."""

from __future__ import annotations

from torch import nn

from components.tasks.task import Processor
from components.training.graphs.embedding import with_embedding
from components.training.graphs.graph import BATCH, Graph, model_graph


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `value` (batch, 1), scaled by the target's mean and standard deviation."""
    plain = model_graph(network, processor, {"value": [BATCH]})
    return [with_embedding(plain, network, processor, nn.Identity())]
