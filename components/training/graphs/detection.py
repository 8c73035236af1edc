"""The graph of a detector: the network with its `decode` method.

Legend: N batch, A boxes before suppression, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from components.tasks.task import Processor
from components.training.graphs.graph import BATCH, Graph, model_graph


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `boxes` (N, A, 4) and `scores` (N, A, K)."""
    return [model_graph(Decoded(network), processor, {"boxes": [BATCH], "scores": [BATCH]}, unordered=True)]


class Decoded(nn.Module):
    """A detector, followed by its decoding."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images to boxes (N, A, 4) and scores (N, A, K)."""
        boxes, scores = self.network.decode(self.network(images))  # type: ignore[operator]  # a detector has it
        return boxes, scores
