"""Beam search over a graph that gives the next token, in numpy: the loop runs here, the network in the graph.

Legend: N samples, B beams, R hypotheses in one call, t tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NextTokenLogits = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.floating]]


class Hypothesis(NamedTuple):
    """Tokens without the first and the last one, and the log-probability of them over the length penalty."""

    tokens: NDArray[np.int64]
    score: float


def search(
    step: NextTokenLogits, count: int, *, begin: int, end: int, never: Sequence[int], beams: int, length_penalty: float,
    max_length: int,
) -> list[Hypothesis]:  # fmt: skip
    """The best hypothesis of each of `count` samples.

    A finished hypothesis is worth log P / ((5 + length) / 6) ** length_penalty (Wu et al. 2016, arXiv:1609.08144, 14),
    its end counted. A sample is done when no open one can become worth more; its rows leave the batch. One that is cut
    at `max_length` tokens is worth what it is.

    Args:
        step: the sample of each row (R,) and its tokens so far (R, t), `begin` first, to logits (R, V).
        never: tokens that are not chosen.
    """
    best = [Hypothesis(np.zeros(0, np.int64), -np.inf) for _ in range(count)]
    active = np.arange(count)  # (n,)
    tokens = np.full((count, beams, 1), begin, np.int64)  # (n, B, t)
    scores = np.full((count, beams), -np.inf)  # (n, B); at first all beams are one
    scores[:, 0] = 0
    for length in range(1, max_length + 1):
        logits = step(np.repeat(active, beams), tokens.reshape(-1, length)).astype(np.float64)  # (n * B, V)
        logits[:, list(never)] = -np.inf
        whole = scores[..., None] + log_softmax(logits).reshape(len(active), beams, -1)  # (n, B, V)
        places, found = _top(whole.reshape(len(active), -1), 2 * beams)  # (n, 2B) each
        parents, chosen = np.divmod(places, logits.shape[1])
        ends = chosen == end
        worth = np.where(ends, found / penalty(length, length_penalty), -np.inf)[:, :beams]
        first = worth.argmax(axis=1)  # (n,)
        for row, sample in enumerate(active.tolist()):
            if worth[row, first[row]] > best[sample].score:
                kept = tokens[row, parents[row, first[row]], 1:]
                best[sample] = Hypothesis(kept.copy(), float(worth[row, first[row]]))
        open_ = np.argsort(ends, axis=1, kind="stable")[:, :beams]  # those that go on, the best first
        rows = np.arange(len(active))[:, None]
        scores = np.where(ends[rows, open_], -np.inf, found[rows, open_])
        tokens = np.concatenate([tokens[rows, parents[rows, open_]], chosen[rows, open_][..., None]], axis=2)
        hope = scores[:, 0] / penalty(max_length, length_penalty)  # log P only falls, the penalty is largest at the end
        going = hope > np.asarray([best[sample].score for sample in active.tolist()])
        active, tokens, scores = active[going], tokens[going], scores[going]
        if not len(active):
            return best
    for row, sample in enumerate(active.tolist()):  # whose best open one is worth more than any finished one
        best[sample] = Hypothesis(
            tokens[row, 0, 1:].copy(), float(scores[row, 0]) / penalty(max_length, length_penalty)
        )
    return best


def penalty(length: int, strength: float) -> float:
    """What a hypothesis of `length` tokens is divided by."""
    return float(((5 + length) / 6) ** strength)


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    found: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found


def _top(values: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Places and values of the `count` largest of each row, the largest first, equal ones by their place."""
    places = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
    found = np.take_along_axis(values, places, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(found, order, axis=1)
