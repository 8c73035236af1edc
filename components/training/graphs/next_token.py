"""The graph of a language model: the network itself, or, if it keeps a state, a run of it over any number of tokens.

Legend: N batch, T length, V vocabulary.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from components.identity.package import TensorSpec
from components.models.incremental import IncrementalDecoder
from components.tasks.decoding import LOGITS_FROM
from components.tasks.task import Processor
from components.training.batches import Batch
from components.training.graphs.graph import BATCH, LENGTH, Chunks, Graph, compute, model_graph
from components.training.graphs.state import next_names, next_shapes, state_specs


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `logits` (N, T, V) of the token after each token, from position `logits_from` on."""
    plain = model_graph(network, processor, {"logits": [BATCH, LENGTH]})
    if not isinstance(network, IncrementalDecoder):
        return [plain]
    tokens, lengths = processor.inputs()
    states = state_specs(network.states())

    def chunks(batch: Batch) -> Chunks:
        """The first half of each text, then the rest without its last token, then that."""
        known = batch[lengths] > 1  # (N,)
        whole, counts = batch[tokens][known], batch[lengths][known]  # (N, T), (N,)
        bounds = [torch.zeros_like(counts), counts // 2, counts - 1, counts]  # (N,) each
        parts = []
        for begin, end in pairwise(bounds):
            places = torch.arange(max(1, int((end - begin).max())))[None] + begin[:, None]  # (N, T')
            part = whole.gather(1, places.clamp(max=whole.shape[1] - 1))
            parts.append({tokens: part, lengths: end - begin})
        logits = compute(plain, {tokens: whole, lengths: counts})["logits"]  # (N, T, V)
        return Chunks(parts, {"logits": logits[torch.arange(len(counts)), counts - 1][:, None]})

    logits_from = TensorSpec(name=LOGITS_FROM, type="int64", shape=[1])
    return [
        plain._replace(
            module=Extend(network),
            inputs=[*plain.inputs, logits_from, *states],
            outputs={**plain.outputs, **next_shapes(states)},
            state=next_names(states),
            optional=[LOGITS_FROM, *(spec.name for spec in states)],
            chunks=chunks,
            plain=plain,
        )
    ]


class Extend(nn.Module):
    """`IncrementalDecoder.extend` as a module of tensors."""

    def __init__(self, network: IncrementalDecoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, lengths: Tensor, logits_from: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Arguments of the method to logits and the next state."""
        logits, following = self.network.extend(tokens, lengths, logits_from, state)
        return logits, *following
