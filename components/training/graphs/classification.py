"""Graphs of classifiers: the network with its softmax.

Legend: N batch, T length, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from components.tasks.task import Processor
from components.training.graphs.embedding import with_embedding
from components.training.graphs.graph import BATCH, LENGTH, Graph, model_graph


def of_samples(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `probabilities` (N, K)."""
    module = Probabilities(network)
    plain = model_graph(module, processor, {"probabilities": [BATCH]}, exact=True)
    return [with_embedding(plain, network, processor, module.activation)]


def of_tokens(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `probabilities` (N, T, K)."""
    return [model_graph(Probabilities(network), processor, {"probabilities": [BATCH, LENGTH]}, exact=True)]


def of_labels(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `probabilities` (N, K), each for itself."""
    module = Probabilities(network, exclusive=False)
    plain = model_graph(module, processor, {"probabilities": [BATCH]}, exact=True)
    return [with_embedding(plain, network, processor, module.activation)]


class Probabilities(nn.Module):
    """A network of logits (N, K) or (N, T, K), followed by softmax over the classes.

    Args:
        exclusive: whether a sample has exactly one class; else each logit has its own sigmoid.
    """

    def __init__(self, network: nn.Module, *, exclusive: bool = True) -> None:
        super().__init__()
        self.network = network
        self.activation = ClassProbabilities(exclusive=exclusive)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Inputs of the network to probabilities."""
        probabilities: Tensor = self.activation(self.network(*inputs))
        return probabilities


class ClassProbabilities(nn.Module):
    """Logits (..., K) to probabilities.

    Args:
        exclusive: as of `Probabilities`.

    Attributes:
        temperature: by which the logits are divided first (`components.training.calibration`); None: they are not.
    """

    def __init__(self, *, exclusive: bool = True) -> None:
        super().__init__()
        self._exclusive = exclusive
        self.temperature: float | None = None

    def forward(self, logits: Tensor) -> Tensor:
        """Logits to probabilities of the same shape."""
        if self.temperature is not None:
            logits = logits / self.temperature
        return logits.softmax(dim=-1) if self._exclusive else logits.sigmoid()
