"""The two graphs of a translator: the encoder runs once for a source, the decoder once for each token of the target.

The source is tokens, or the frames of a sound.

The decoder of a network that keeps a state gets the newest token, the others all tokens so far.

Legend: N batch, S source length, T target length, D width, V vocabulary, R hypotheses: those of a source are one after
the other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from components.identity.package import TensorSpec
from components.models.incremental import IncrementalTranslator, StateSpec
from components.tasks.task import Processor
from components.training.batches import Batch
from components.training.graphs.graph import BATCH, LENGTH, TARGET_LENGTH, Chunks, Graph, compute, tensor_specs
from components.training.graphs.state import next_names, next_shapes, state_specs

_EXAMPLE_TOKENS = 3  # of a target in the examples: the begin token and two more
_SOURCES = "sources"  # the free size of the rows of a memory


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`encoder` gives what the decoder needs of the source; `decoder` gives `logits` (R, V) of the next token."""
    plain = plain_graphs(network, processor)
    return incremental_graphs(network, plain) if isinstance(network, IncrementalTranslator) else plain


def plain_graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`encoder` gives `memory` (N, S, D); `decoder` gives `logits` (N, V) of the token after the target so far."""
    source, source_lengths = tensor_specs(processor.arrays(), processor.inputs()[:2])
    encoder = Method(network, "encode")

    def feed_encoder(batch: Batch) -> tuple[Tensor, ...]:
        return batch[source.name], batch[source_lengths.name]

    def feed_decoder(batch: Batch) -> tuple[Tensor, ...]:
        with torch.no_grad():
            memory = encoder.eval()(*feed_encoder(batch))  # (N, S, D)
        # All targets of a batch are of equal length while it is decoded.
        tokens = min(_EXAMPLE_TOKENS, batch["target"].shape[1])
        return memory, batch[source_lengths.name], batch["target"][:, :tokens]

    sizes = [size for size in source.shape[2:] if isinstance(size, int)]  # of a frame; a token has none
    example = torch.ones(1, 2, *sizes, dtype=getattr(torch, source.type)), torch.full((1,), 2)
    with torch.inference_mode():
        width = encoder.eval()(*example).shape[-1]
    length: int | str = getattr(network, "memory_length", LENGTH)
    memory_spec = TensorSpec(name="memory", type="float32", shape=[BATCH, length, width])
    target = TensorSpec(name="target", type="int64", shape=[BATCH, TARGET_LENGTH])
    free = [size if isinstance(size, str) else None for size in (BATCH, length)]
    return [
        Graph("encoder", encoder, [source, source_lengths], {"memory": free}, feed_encoder),
        Graph(
            "decoder",
            Method(network, "decode"),
            [memory_spec, source_lengths, target],
            {"logits": [BATCH]},
            feed_decoder,
            single=_with_target_of_batch,
        ),
    ]


def incremental_graphs(network: IncrementalTranslator, plain: list[Graph]) -> list[Graph]:
    """`encoder` gives the memory, `decoder` reads the newest token of each hypothesis after the state of the others."""
    encoder, decoder = plain
    memories = network.memories()
    states = state_specs(network.states())
    first = {spec.name for spec in memories} & {spec.name for spec in states}  # the source determines them
    target = decoder.inputs[-1]
    remember = encoder._replace(
        module=Remember(network), outputs={spec.name: [BATCH, *_free(spec)] for spec in memories}, plain=encoder
    )

    names = [spec.name for spec in encoder.inputs]

    def feed(batch: Batch) -> tuple[Tensor, ...]:
        memory = compute(remember, {name: batch[name] for name in names})
        begin = batch["target"][:, : min(_EXAMPLE_TOKENS, batch["target"].shape[1])]
        return begin, *(memory[spec.name] for spec in memories)

    def chunks(batch: Batch) -> Chunks:
        """The first token of two hypotheses of each source, then the others: a target, and the same backwards."""
        whole = batch["target"].repeat_interleave(2, dim=0)  # (R, T)
        whole[1::2, 1:] = whole[1::2, 1:].flip(1)
        rows = torch.arange(len(batch["target"])).repeat_interleave(2)
        encoded = compute(encoder, {name: batch[name] for name in names})["memory"]
        of_rows = {"memory": encoded[rows], names[1]: batch[names[1]][rows], "target": whole}
        memory = compute(remember, {name: batch[name] for name in names})
        own = {name: value for name, value in memory.items() if name not in first}
        parts = [{"target": part, **own} for part in (whole[:, :1], whole[:, 1:])]
        parts[0] |= {name: memory[name][rows] for name in first}
        return Chunks(parts, compute(decoder, of_rows))

    inputs = [
        target,
        *(
            TensorSpec.model_validate({"name": spec.name, "type": spec.type, "shape": [_SOURCES, *spec.shape]})
            for spec in memories
            if spec.name not in first
        ),
        *states,
    ]
    return [
        remember,
        Graph(
            "decoder",
            ExtendTarget(network, len(memories) - len(first)),
            inputs,
            {"logits": [BATCH], **next_shapes(states)},
            feed,
            single=_with_target_of_batch,
            state=next_names(states),
            optional=[spec.name for spec in states if spec.name not in first],
            chunks=chunks,
            plain=decoder,
        ),
    ]


def _free(spec: StateSpec) -> list[str | None]:
    return [size if isinstance(size, str) else None for size in spec.shape]


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


class Remember(nn.Module):
    """`IncrementalTranslator.remember` as a module."""

    def __init__(self, network: IncrementalTranslator) -> None:
        super().__init__()
        self.network = network

    def forward(self, source: Tensor, source_lengths: Tensor) -> tuple[Tensor, ...]:
        """Arguments of the method to the tensors of the memory."""
        return tuple(self.network.remember(source, source_lengths))


class ExtendTarget(nn.Module):
    """`IncrementalTranslator.extend` as a module of tensors.

    Args:
        memories: number of the tensors of the memory.
    """

    def __init__(self, network: IncrementalTranslator, memories: int) -> None:
        super().__init__()
        self.network = network
        self._memories = memories

    def forward(self, target: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Target, memory and state to logits and the next state."""
        memory, state = rest[: self._memories], rest[self._memories :]
        logits, following = self.network.extend(target, memory, state)
        return logits, *following
