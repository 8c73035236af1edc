"""The graph of a language model: the network itself, or, if it keeps a state, a run of it over any number of tokens.

Legend: N batch, T length, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from components.identity.package import TensorSpec
from components.models.incremental import IncrementalDecoder
from components.tasks.decoding import LAST_ONLY
from components.tasks.task import Processor
from components.training.batches import Batch
from components.training.graphs.graph import BATCH, LENGTH, Chunks, Graph, compute, model_graph
from components.training.graphs.state import next_names, next_shapes, state_specs


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `logits` (N, T, V) of the token after each token; of the last token alone if `last_only` is 1."""
    plain = model_graph(network, processor, {"logits": [BATCH, LENGTH]})
    if not isinstance(network, IncrementalDecoder):
        return [plain]
    tokens, lengths = processor.inputs()
    states = state_specs(network.states())

    def chunks(batch: Batch) -> Chunks:
        """The first half of each text, then the rest."""
        known = batch[lengths] > 1  # (N,)
        whole, counts = batch[tokens][known], batch[lengths][known]  # (N, T), (N,)
        begin = counts // 2  # (N,)
        places = torch.arange(int((counts - begin).max()))[None] + begin[:, None]  # (N, T')
        rest = whole.gather(1, places.clamp(max=whole.shape[1] - 1))
        logits = compute(plain, {tokens: whole, lengths: counts})["logits"]  # (N, T, V)
        last = {LAST_ONLY: torch.tensor(1)}
        parts = [
            {tokens: whole[:, : int(begin.max())], lengths: begin, **last},
            {tokens: rest, lengths: counts - begin, **last},
        ]
        return Chunks(parts, {"logits": logits[torch.arange(len(counts)), counts - 1][:, None]})

    last_only = TensorSpec(name=LAST_ONLY, type="int64", shape=[])
    return [
        plain._replace(
            module=Extend(network),
            inputs=[*plain.inputs, last_only, *states],
            outputs={**plain.outputs, **next_shapes(states)},
            state=next_names(states),
            optional=[LAST_ONLY, *(spec.name for spec in states)],
            chunks=chunks,
            plain=plain,
        )
    ]


class Extend(nn.Module):
    """`IncrementalDecoder.extend` as a module of tensors."""

    def __init__(self, network: IncrementalDecoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, lengths: Tensor, last_only: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Arguments of the method to logits and the next state."""
        logits, following = self.network.extend(tokens, lengths, last_only, state)
        return logits, *following
