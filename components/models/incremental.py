"""Networks that continue a text without reading it again: they keep a state of what they have read.

The state of attention is its keys and values (the cache of Pope et al. 2022, arXiv:2211.05102, section 2); the state of
a recurrent network is its hidden state. A chunk of tokens of any length is read with the state of the tokens before.

Legend: N batch, T length of the chunk, P tokens before it, h heads, D width, S source length, R hypotheses of all
samples: R is a multiple of N, and those of one sample are one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

HIDDEN = -1e30  # added to a score; finite, as a row of padding alone has no other scores, and softmax would be NaN
PAST = "past"  # the name of P in the shape of a state
SOURCE = "length"  # the name of S in the shape of a memory


class StateSpec(NamedTuple):
    """A tensor of a state or of a memory.

    Args:
        name: name of the tensor.
        shape: sizes after the batch axis; `PAST` is P, which is 0 at the begin, `SOURCE` is S.
        type: numpy's name of the type.
    """

    name: str
    shape: tuple[int | str, ...]
    type: str = "float32"


@runtime_checkable
class IncrementalDecoder(Protocol):
    """A language model that keeps a state."""

    def states(self) -> list[StateSpec]:
        """The tensors of the state; all are zero, or empty, before the first chunk."""

    def extend(
        self, tokens: Tensor, lengths: Tensor, logits_from: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Read a chunk (N, T) of lengths (N,), 0 included, padded at its end, after what the state has read.

        Returns:
            Logits (N, T - f, V) of the token after each, from position f of the chunk on (`logits_from`, int64 (1,)),
            and the next state.
        """


@runtime_checkable
class IncrementalTranslator(Protocol):
    """A decoder with a memory of its source that keeps a state."""

    def states(self) -> list[StateSpec]:
        """The tensors of the state."""

    def memories(self) -> list[StateSpec]:
        """The tensors of the memory; one with the name of a state is its first value."""

    def remember(self, source: Tensor, source_lengths: Tensor) -> list[Tensor]:
        """Source (N, S), lengths (N,) to the tensors of `memories`, with N rows each."""

    def extend(self, target: Tensor, memory: Sequence[Tensor], state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Read a chunk (R, T) of the target after what the state (R rows) has read.

        Args:
            memory: those of `memories` that are no state, N rows each.

        Returns:
            Logits (R, V) of the token after the last, and the next state.
        """


def bias(mask: Tensor) -> Tensor:
    """What is added to the scores of attention for a mask, float: 0 where it is True, else `HIDDEN`."""
    return torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, HIDDEN)


def causal(before: int, count: int) -> Tensor:
    """bool (T, P + T): a token of a chunk attends to all tokens before the chunk, to those before it, and to itself.

    Args:
        before: P.
        count: T.
    """
    places = torch.arange(before + count)
    return places[None] <= places[before:, None]


def dense(features: Tensor, weight: Tensor) -> Tensor:
    """Features (M, D) and a weight (V, D) to (M, V).

    With a bias, as it is a Gemm for the exporter, which reads the weight as it is. Of a MatMul, the graph would have a
    transposed copy of the weight besides the weight itself, if that is an embedding too.
    """
    return functional.linear(features, weight, torch.zeros(weight.shape[0]))
