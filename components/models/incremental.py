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

from components.models import masks

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
        self, tokens: Tensor, lengths: Tensor, last_only: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Read a chunk (N, T) of lengths (N,), padded at its end, after what the state has read.

        Returns:
            Logits (N, T, V) of the token after each, or (N, 1, V) of the token after the last of each row if
            `last_only`, int64 (), is 1; and the next state.
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

    def extend(
        self, target: Tensor, source_lengths: Tensor, memory: Sequence[Tensor], state: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Read a chunk (R, T) of the target after what the state (R rows) has read.

        Args:
            memory: those of `memories` that are no state, N rows each.

        Returns:
            Logits (R, V) of the token after the last, and the next state.
        """


def causal_bias(past: Tensor, max_length: int) -> Tensor:
    """0 where a token of a chunk attends, else -inf: float (N, 1, T, P + T).

    Args:
        past: bool (N, P), the real ones of the tokens before the chunk.
        max_length: T.
    """
    before = past[:, None, :].expand(-1, max_length, -1)  # (N, T, P)
    within = masks.causal(max_length, past.device)[None].expand(past.shape[0], -1, -1)  # (N, T, T)
    return bias(torch.cat([before, within], dim=2)[:, None])


def bias(mask: Tensor) -> Tensor:
    """A mask of attention, True where a query attends, as what is added to the scores."""
    return torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, float("-inf"))


def last_positions(lengths: Tensor, max_length: int, last_only: Tensor) -> Tensor:
    """Positions (N, T) of all tokens, or (N, 1) of the last of each row if `last_only`, int64 (), is 1."""
    count = 1 + (max_length - 1) * (1 - last_only)  # ()
    every = torch.arange(count, device=lengths.device)[None]  # type: ignore[call-overload]  # traced, so of any size
    ends = (lengths.clamp(min=1) - 1)[:, None]  # (N, 1)
    return ends * last_only + every * (1 - last_only)
