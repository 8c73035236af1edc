"""Beam search in numpy; a graph gives the logits of the next token.

Legend: N samples, n samples that are not finished, B beams, R hypotheses in one call, t tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NextTokenLogits = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.floating]]


class Hypothesis(NamedTuple):
    """Tokens without the begin and end token; log-probability of all tokens, divided by the length penalty."""

    tokens: NDArray[np.int64]
    score: float


def search(
    step: NextTokenLogits, count: int, *, begin: int, end: int, never: Sequence[int], beams: int, length_penalty: float,
    max_length: int,
) -> list[Hypothesis]:  # fmt: skip
    """The best hypothesis of each of `count` samples.

    The score of a finished hypothesis is log P / ((5 + length) / 6) ** length_penalty (Wu et al. 2016,
    arXiv:1609.08144, eq. 14); the length includes the end token. A sample is finished, and leaves the batch, as soon as
    no open hypothesis can reach a higher score. A hypothesis of `max_length` tokens is scored without an end token.

    Args:
        step: maps the sample of each row (R,) and its tokens so far (R, t), from `begin` on, to logits (R, V).
        never: tokens that are never chosen.
    """
    best = [Hypothesis(np.zeros(0, np.int64), -np.inf) for _ in range(count)]
    active = np.arange(count)  # (n,)
    tokens = np.full((count, beams, 1), begin, np.int64)  # (n, B, t)
    scores = np.full((count, beams), -np.inf)  # (n, B); at first all beams are equal, so only one counts
    scores[:, 0] = 0
    for length in range(1, max_length + 1):
        logits = step(np.repeat(active, beams), tokens.reshape(-1, length)).astype(np.float64)  # (n * B, V)
        logits[:, list(never)] = -np.inf
        extended = scores[..., None] + log_softmax(logits).reshape(len(active), beams, -1)  # (n, B, V)
        indices, log_probabilities = _top(extended.reshape(len(active), -1), 2 * beams)  # (n, 2B) each
        parents, chosen = np.divmod(indices, logits.shape[1])
        ends = chosen == end
        finished = np.where(ends, log_probabilities / penalty(length, length_penalty), -np.inf)[:, :beams]
        first = finished.argmax(axis=1)  # (n,)
        for row, sample in enumerate(active.tolist()):
            if finished[row, first[row]] > best[sample].score:
                kept = tokens[row, parents[row, first[row]], 1:]
                best[sample] = Hypothesis(kept.copy(), float(finished[row, first[row]]))
        open_ = np.argsort(ends, axis=1, kind="stable")[:, :beams]  # the best hypotheses that continue
        rows = np.arange(len(active))[:, None]
        scores = np.where(ends[rows, open_], -np.inf, log_probabilities[rows, open_])
        tokens = np.concatenate([tokens[rows, parents[rows, open_]], chosen[rows, open_][..., None]], axis=2)
        bound = scores[:, 0] / penalty(
            max_length, length_penalty
        )  # log P only falls; the penalty is largest at the end
        going = bound > np.asarray([best[sample].score for sample in active.tolist()])
        active, tokens, scores = active[going], tokens[going], scores[going]
        if not len(active):
            return best
    for row, sample in enumerate(active.tolist()):  # the best open hypothesis has a higher score than any finished one
        best[sample] = Hypothesis(
            tokens[row, 0, 1:].copy(), float(scores[row, 0]) / penalty(max_length, length_penalty)
        )
    return best


def penalty(length: int, strength: float) -> float:
    """The length penalty: the divisor of the log-probability of `length` tokens."""
    return float(((5 + length) / 6) ** strength)


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the softmax over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _top(values: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices and values of the `count` largest values of each row, in falling order, ties by their index."""
    indices = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
    largest = np.take_along_axis(values, indices, axis=1)
    order = np.argsort(-largest, axis=1, kind="stable")
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(largest, order, axis=1)
