"""Greedy texts of an encoder and a decoder for a part of a split, during training.

Legend: N samples, S source length, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.contracts.array_spec import lengths
from components.preprocessing.stored import StoredSplit
from components.training.batches import on_device

BATCH = 50
FURTHER_TOKENS = 10  # a text has at most this many tokens more than the longest reference of its batch


class Writing(NamedTuple):
    """How texts are written.

    Args:
        begin: tokens that every text begins with.
        end: the token that ends a text.
        never: tokens that a text never has; `never_first`: that do not follow the begin.
    """

    begin: tuple[int, ...]
    end: int
    never: Sequence[int] = ()
    never_first: Sequence[int] = ()


class References(Protocol):
    """A processor that knows the true texts."""

    def references(self, batch: dict[str, Any]) -> list[str]:
        """The true texts of a batch, as the data has them."""


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Numbers of at most so many samples, spread evenly over all."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))


def texts(
    network: nn.Module, split: StoredSplit, rows: NDArray[np.int64], names: tuple[str, str], writing: Writing,
    max_length: int, device: torch.device,
) -> list[NDArray[np.int64]]:  # fmt: skip
    """The tokens that a network writes for samples of a split, without those that begin and end a text.

    Args:
        names: the arrays of the source and of the target.
        max_length: largest number of tokens.
    """
    found: list[NDArray[np.int64]] = []
    source, target = names
    for begin in range(0, len(rows), BATCH):
        batch = on_device(split.batch(rows[begin : begin + BATCH]), device)
        longest = min(max_length, batch[target].shape[1] + FURTHER_TOKENS)
        written = write(network, batch[source], batch[lengths(source)], writing, longest)
        found += [_until(row, writing.end) for row in written.cpu().numpy()]
    return found


def references(split: StoredSplit, rows: NDArray[np.int64], processor: References, name: str) -> list[str]:
    """The true texts of samples, from an array that is there on request."""
    return processor.references(split.batch(rows, (name,)))


@torch.inference_mode()
def write(network: nn.Module, source: Tensor, source_lengths: Tensor, writing: Writing, max_length: int) -> Tensor:
    """The likeliest next token again and again: int64 (N, T) without the begin, with whatever follows an end.

    Args:
        network: has `encode` and `decode`.
        source, source_lengths: (N, S, ...) and (N,).
        max_length: largest T.
    """
    writer = cast(Any, network)
    memory = writer.encode(source, source_lengths)  # (N, S, D)
    begin = torch.tensor(writing.begin, device=source.device)
    target = begin[None].expand(len(source), -1)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    never = torch.tensor(list(writing.never), dtype=torch.int64, device=source.device)
    first = torch.tensor(list(writing.never_first), dtype=torch.int64, device=source.device)
    for step in range(max_length):
        logits = writer.decode(memory, source_lengths, target).float().index_fill(1, never, -torch.inf)  # (N, V)
        if step == 0:
            logits = logits.index_fill(1, first, -torch.inf)
        following = logits.argmax(dim=1)
        target = torch.cat([target, following[:, None]], dim=1)
        ended |= following == writing.end
        if bool(ended.all()):
            break
    return target[:, len(writing.begin) :]


def _until(tokens: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    ends = np.flatnonzero(tokens == end)
    return tokens[: ends[0]] if len(ends) else tokens
