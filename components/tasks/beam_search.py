"""Beam search in numpy; a graph gives the logits of the next token.

Legend: N samples, n samples that are not finished, B beams, R hypotheses in one call, t tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 64  # values whose maximum is compared first

NextTokenLogits = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.floating]]


class Hypothesis(NamedTuple):
    """Tokens without the begin and end token; log-probability of all tokens, divided by the length penalty."""

    tokens: NDArray[np.int64]
    score: float


def search(
    step: NextTokenLogits, count: int, *, begin: int, end: int, never: Sequence[int], beams: int, length_penalty: float,
    max_length: int, reorder: Callable[[NDArray[np.int64]], None] | None = None,
) -> list[Hypothesis]:  # fmt: skip
    """The best hypothesis of each of `count` samples.

    The score of a finished hypothesis is log P / ((5 + length) / 6) ** length_penalty (Wu et al. 2016,
    arXiv:1609.08144, eq. 14); the length includes the end token. A sample is finished, and leaves the batch, as soon as
    no open hypothesis can reach a higher score. A hypothesis of `max_length` tokens is scored without an end token.

    Args:
        step: maps the sample of each row (R,) and its tokens so far (R, t), from `begin` on, to logits (R, V).
        never: tokens that are never chosen.
        reorder: called between two calls of `step` with the row of the last call (R,) that each row of the next
            continues.
    """
    best = [Hypothesis(np.zeros(0, np.int64), -np.inf) for _ in range(count)]
    active = np.arange(count)  # (n,)
    tokens = np.full((count, beams, 1), begin, np.int64)  # (n, B, t)
    scores = np.full((count, beams), -np.inf)  # (n, B); at first all beams are equal, so only one counts
    scores[:, 0] = 0
    for length in range(1, max_length + 1):
        logits = np.array(step(np.repeat(active, beams), tokens.reshape(-1, length)))  # (n * B, V)
        logits[:, list(never)] = -np.inf
        offsets = scores - log_normaliser(logits).reshape(scores.shape)  # (n, B)
        indices, log_probabilities = top(logits.reshape(*scores.shape, -1), offsets, 2 * beams)  # (n, 2B) each
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
        continued = (beams * rows + parents[rows, open_])[going]  # (n, B)
        active, tokens, scores = active[going], tokens[going], scores[going]
        if not len(active):
            return best
        if reorder is not None and length < max_length:
            reorder(continued.reshape(-1))
    for row, sample in enumerate(active.tolist()):  # the best open hypothesis has a higher score than any finished one
        best[sample] = Hypothesis(
            tokens[row, 0, 1:].copy(), float(scores[row, 0]) / penalty(max_length, length_penalty)
        )
    return best


def penalty(length: int, strength: float) -> float:
    """The length penalty: the divisor of the log-probability of `length` tokens."""
    return float(((5 + length) / 6) ** strength)


def log_normaliser(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithm of the sum of exp over the last axis, to 1e-7: exp is of the type of the logits, the sum is float64."""
    largest = logits.max(axis=-1, keepdims=True)
    sums = np.exp(logits - largest).astype(np.float64).sum(axis=-1)
    result: NDArray[np.float64] = np.log(sums) + largest[..., 0]
    return result


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the softmax over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def top(
    logits: NDArray[np.floating], offsets: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices (n, count) and values of the largest of logits (n, B, V) plus offsets (n, B), over B and V together.

    In falling order, ties by their index. Only values from a bound on are sorted: the largest of the maxima of blocks.
    """
    samples, beams, size = logits.shape
    blocks = size // BLOCK
    if blocks < count:
        return _top((logits + offsets[..., None]).reshape(samples, -1), count)
    maxima = logits[..., : blocks * BLOCK].reshape(samples, beams, BLOCK, blocks).max(axis=2)  # (n, B, blocks)
    maxima = (maxima + offsets[..., None]).reshape(samples, -1)
    bounds = np.partition(maxima, -count, axis=1)[:, -count]  # (n,): at least `count` values are as large
    with np.errstate(invalid="ignore"):  # a beam without a hypothesis is -inf, and so is its bound
        lower = np.nextafter((bounds[:, None] - offsets).astype(logits.dtype), logits.dtype.type(-np.inf))  # (n, B)
    indices, values = np.empty((samples, count), np.int64), np.empty((samples, count))
    for sample in range(samples):
        beam, token = np.nonzero(logits[sample] >= lower[sample][:, None])
        found = logits[sample][beam, token] + offsets[sample][beam]
        order = np.argsort(-found, kind="stable")[:count]  # found in the order of the indices
        indices[sample], values[sample] = (beam * size + token)[order], found[order]
    return indices, values


def _top(values: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices and values of the `count` largest values of each row, in falling order, ties by their index."""
    indices = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
    largest = np.take_along_axis(values, indices, axis=1)
    order = np.argsort(-largest, axis=1, kind="stable")
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(largest, order, axis=1)
