"""The graph of a network for segmentation: the network with its softmax over the classes of each pixel.

Legend: N batch, K classes, H height, W width.
"""

from __future__ import annotations

from torch import Tensor, nn

from components.tasks.task import Processor
from components.training.graphs.graph import BATCH, Graph, model_graph


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `probabilities` (N, K, H, W)."""
    return [model_graph(PixelProbabilities(network), processor, {"probabilities": [BATCH]})]


class PixelProbabilities(nn.Module):
    """A network of logits (N, K, H, W), followed by softmax over the classes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Images to probabilities (N, K, H, W)."""
        logits: Tensor = self.network(images)
        return logits.softmax(dim=1)
