"""Sampling of text in numpy; a graph gives the logits of the next token.

Legend: N samples, n samples that are not finished, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.tasks.beam_search import log_normaliser

Tokens = NDArray[np.int64]
# The texts so far (T,) and, but for the first call, which of the texts of the last call each of them continues (n,), to
# the logits (n, V) of their next tokens.
NextTokenLogits = Callable[[Sequence[Tokens], Tokens | None], NDArray[np.floating]]


class SamplingSettings(NamedTuple):
    """How the next token is sampled.

    Args:
        temperature: divisor of the logits; 0 always takes the likeliest token.
        top_k: sample from the k likeliest tokens (0: all).
        top_p: sample from the likeliest tokens whose probabilities sum to this (Holtzman et al., arXiv:1904.09751).
    """

    temperature: float
    top_k: int
    top_p: float


class Continuation(NamedTuple):
    """The tokens after a prompt, their mean log-probability (0 without tokens), and the reason of the end."""

    tokens: list[int]
    score: float
    stopped: str


def write(
    step: NextTokenLogits,
    prompts: Sequence[Tokens],
    choice: SamplingSettings,
    *,
    ends: Collection[int],
    never: Sequence[int],
    max_tokens: int,
    seed: int,
    stop: Callable[[int, int], bool],
) -> Iterator[Sequence[Continuation]]:
    """Sample a continuation of each prompt, token by token: after each step all continuations so far, in order.

    Each prompt has its own generator, so batching changes no answer. Nothing is computed before the next step is asked.

    Args:
        step: maps texts of unequal lengths to the logits of their next tokens.
        ends: the tokens that end a text; they are not part of the continuation.
        never: tokens that are never sampled.
        max_tokens: largest length of a continuation.
        stop: maps the number of a prompt and its next token, to be called once for each, to whether its text ends.
    """
    found = [Continuation([], 0.0, "length") for _ in prompts]
    texts = [np.concatenate([prompt, np.zeros(max_tokens, np.int64)]) for prompt in prompts]  # (T + max_tokens,)
    rng = [np.random.default_rng(seed) for _ in prompts]
    active, kept = list(range(len(prompts))), None
    for _ in range(max_tokens):
        if not active:
            return
        sizes = [len(prompts[row]) + len(found[row].tokens) for row in active]
        logits = np.array(step([texts[row][:size] for row, size in zip(active, sizes, strict=True)], kept))  # (n, V)
        logits[:, list(never)] = -np.inf
        normalisers = log_normaliser(logits)  # (n,)
        likeliest = logits.argmax(axis=1)  # (n,)
        going: list[int] = []
        for place, row in enumerate(active):
            line = logits[place]
            token = (
                int(likeliest[place]) if choice.temperature == 0 else choose(line.astype(np.float64), choice, rng[row])
            )
            if token in ends:
                found[row] = found[row]._replace(stopped="end")
                continue
            tokens, score, _ = found[row]
            tokens.append(token)
            texts[row][sizes[place]] = token
            score += (float(line[token]) - float(normalisers[place]) - score) / len(tokens)
            stopped = stop(row, token)
            found[row] = Continuation(tokens, score, "stop" if stopped else "length")
            if not stopped:
                going.append(place)
        active, kept = [active[place] for place in going], np.asarray(going, np.int64)
        yield found


def choose(logits: NDArray[np.float64], choice: SamplingSettings, rng: np.random.Generator) -> int:
    """Sample one token from logits (V,)."""
    if choice.temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")
    order = order[: choice.top_k] if choice.top_k else order
    scaled = logits[order] / choice.temperature
    probabilities = np.exp(scaled - scaled[0])
    probabilities /= probabilities.sum()
    if choice.top_p < 1:  # includes the token that crosses the sum
        kept = 1 + int(np.searchsorted(probabilities.cumsum(), choice.top_p))
        order, probabilities = order[:kept], probabilities[:kept] / probabilities[:kept].sum()
    return int(order[min(int(np.searchsorted(probabilities.cumsum(), rng.random(), side="right")), len(order) - 1)])
