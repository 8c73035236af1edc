"""The two graphs of a translator: the encoder runs once for a source, the decoder once for each token of the target.

Legend: N batch, S source length, T target length, D width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from components.identity.package import TensorSpec
from components.tasks.task import Processor
from components.training.batches import Batch
from components.training.graphs.graph import BATCH, LENGTH, TARGET_LENGTH, Graph

_EXAMPLE_TOKENS = 3  # of a target in the examples: the begin token and two more


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`encoder` gives `memory` (N, S, D); `decoder` gives `logits` (N, V) of the token after the target so far."""
    source, source_lengths = (
        TensorSpec(name="source", type="int64", shape=[BATCH, LENGTH]),
        TensorSpec(name="source_lengths", type="int64", shape=[BATCH]),
    )
    encoder = Method(network, "encode")

    def feed_encoder(batch: Batch) -> tuple[Tensor, ...]:
        return batch["source"], batch["source_lengths"]

    def feed_decoder(batch: Batch) -> tuple[Tensor, ...]:
        with torch.no_grad():
            memory = encoder.eval()(batch["source"], batch["source_lengths"])  # (N, S, D)
        # All targets of a batch are of equal length while it is decoded.
        return memory, batch["source_lengths"], batch["target"][:, : min(_EXAMPLE_TOKENS, batch["target"].shape[1])]

    example = torch.ones(1, 2, dtype=torch.int64), torch.full((1,), 2)
    with torch.inference_mode():
        width = encoder.eval()(*example).shape[-1]
    memory_spec = TensorSpec(name="memory", type="float32", shape=[BATCH, LENGTH, width])
    target = TensorSpec(name="target", type="int64", shape=[BATCH, TARGET_LENGTH])
    return [
        Graph("encoder", encoder, [source, source_lengths], {"memory": [BATCH, LENGTH]}, feed_encoder),
        Graph(
            "decoder",
            Method(network, "decode"),
            [memory_spec, source_lengths, target],
            {"logits": [BATCH]},
            feed_decoder,
            single=_with_target_of_batch,
        ),
    ]


def _with_target_of_batch(batch: Batch, row: int, single: Batch) -> Batch:
    """The batch of one sample with its target padded as in the whole batch: the decoder's feed cuts both alike."""
    return {**single, "target": batch["target"][row : row + 1]}


class Method(nn.Module):
    """A method of a network as a module."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self._name = name

    def forward(self, *inputs: Tensor) -> Tensor:
        """Arguments of the method to its result."""
        result: Tensor = getattr(self.network, self._name)(*inputs)
        return result
