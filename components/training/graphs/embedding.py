"""The embedding of a text as a further output of a graph: the features that the last layer reads.

It is computed on the way to the answer, so it costs no weight and no time. Legend: N batch, D width.
"""

from __future__ import annotations

from torch import Tensor, nn

from components.contracts.shapes import TokensInput
from components.models.text_encoder import TextEncoder
from components.tasks.task import EMBEDDING, Processor
from components.training.graphs.graph import BATCH, Graph


def with_embedding(plain: Graph, network: nn.Module, processor: Processor, activation: nn.Module) -> Graph:
    """The graph of a network of texts with the output `embedding` (N, D); other graphs as they are.

    Args:
        plain: the graph, with one output.
        activation: what follows the last layer.
    """
    if not isinstance(processor.input_spec(), TokensInput) or not isinstance(network, TextEncoder):
        return plain
    return plain._replace(
        module=Embedded(network, activation),
        outputs={**plain.outputs, EMBEDDING: [BATCH]},
        on_request=[EMBEDDING],
        plain=plain,
    )


class Embedded(nn.Module):
    """Features of a text, and the last layer with its activation."""

    def __init__(self, network: TextEncoder, activation: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.activation = activation

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Arguments of the network to its answer and the features (N, D)."""
        features = self.network.pooled(tokens, lengths)
        return self.activation(self.network.head(features)), features
