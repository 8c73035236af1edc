"""The embedding of a sample as a further output of a graph: the features that the last layer reads.

It is computed on the way to the answer, so it costs no weight and no time. Legend: N batch, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from components.contracts.shapes import TokensInput
from components.identity.package import TensorSpec
from components.models.text_encoder import TextEncoder
from components.tasks.task import EMBEDDING, Processor
from components.training.graphs.graph import BATCH, Graph

_ROWS, _STEPS = 2, 4  # of the batch that a network is tried with


def with_embedding(plain: Graph, network: nn.Module, processor: Processor, activation: nn.Module) -> Graph:
    """The graph with the output `embedding` (N, D), where the last layer reads one vector of a sample; else as it is.

    Args:
        plain: the graph, with one output.
        activation: what follows the network.
    """
    module: nn.Module
    if isinstance(processor.input_spec(), TokensInput) and isinstance(network, TextEncoder):
        module = EmbeddedText(network, activation)
    elif (last := last_layer(network, plain.inputs)) is not None:
        module = Embedded(network, last, activation)
    else:
        return plain
    return plain._replace(
        module=module,
        outputs={**plain.outputs, EMBEDDING: [BATCH]},
        on_request=[EMBEDDING],
        plain=plain,
    )


def last_layer(network: nn.Module, inputs: Sequence[TensorSpec]) -> nn.Linear | None:
    """The last linear layer of a network, if it reads one vector of each sample, once; None otherwise.

    The network is tried with a batch of its input sizes.
    """
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linear:
        return None
    read: list[Any] = []
    hook = linear[-1].register_forward_pre_hook(lambda _module, arguments: read.append(arguments[0]))
    training = network.training
    try:
        with torch.inference_mode():
            network.eval()(*[_example(spec) for spec in inputs])
    except (RuntimeError, ValueError, IndexError, TypeError):  # a network of the user's that wants another batch
        return None
    finally:
        hook.remove()
        network.train(training)
    is_one_vector = len(read) == 1 and isinstance(read[0], Tensor) and read[0].ndim == 2 and len(read[0]) == _ROWS
    return linear[-1] if is_one_vector else None


def _example(spec: TensorSpec) -> Tensor:
    """A tensor of a graph's input: numbers of tokens, categories and lengths are 1, all others 0."""
    sizes = [size if isinstance(size, int) else _ROWS if size == BATCH else _STEPS for size in spec.shape]
    kind: torch.dtype = getattr(torch, spec.type)
    return torch.ones(sizes, dtype=kind) if kind == torch.int64 else torch.zeros(sizes, dtype=kind)


class EmbeddedText(nn.Module):
    """Features of a text, and the last layer with its activation."""

    def __init__(self, network: TextEncoder, activation: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.activation = activation

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Arguments of the network to its answer and the features (N, D)."""
        features = self.network.pooled(tokens, lengths)
        return self.activation(self.network.head(features)), features


class Embedded(nn.Module):
    """A network's answer, and what its last layer read.

    Args:
        last: a layer of the network.
    """

    def __init__(self, network: nn.Module, last: nn.Linear, activation: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.activation = activation
        self._last = [last]  # in a list: it is the network's own, and has its name there

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Arguments of the network to its answer and the features (N, D)."""
        read: list[Tensor] = []
        hook = self._last[0].register_forward_pre_hook(lambda _module, arguments: read.append(arguments[0]))
        try:
            answer = self.activation(self.network(*inputs))
        finally:
            hook.remove()
        return answer, read[0]
