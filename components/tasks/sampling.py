"""Sampling of text in numpy; a graph gives the logits of the next token.

Legend: N samples, n samples that are not finished, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.tasks.beam_search import log_softmax

NextTokenLogits = Callable[[Sequence[NDArray[np.int64]]], NDArray[np.floating]]


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

    tokens: NDArray[np.int64]
    score: float
    stopped: str


def write(
    step: NextTokenLogits,
    prompts: Sequence[NDArray[np.int64]],
    choice: SamplingSettings,
    *,
    end: int,
    never: Sequence[int],
    max_tokens: int,
    window: int,
    seed: int,
    stop: Callable[[NDArray[np.int64], NDArray[np.int64]], bool],
) -> list[Continuation]:
    """Sample a continuation of each prompt. Each prompt has its own generator, so batching changes no answer.

    Args:
        step: maps texts of unequal lengths, tokens (T,) each, to the logits (N, V) of their next tokens.
        end: the token that ends a text; it is not part of the continuation.
        never: tokens that are never sampled.
        max_tokens: largest length of a continuation.
        window: number of last tokens that the network sees.
        stop: whether a prompt with its continuation so far contains a stop text.
    """
    found = [Continuation(np.zeros(0, np.int64), 0.0, "length") for _ in prompts]
    rng = [np.random.default_rng(seed) for _ in prompts]
    active = list(range(len(prompts)))
    for _ in range(max_tokens):
        if not active:
            break
        texts = [np.concatenate([prompts[row], found[row].tokens])[-window:] for row in active]
        logits = step(texts).astype(np.float64)  # (n, V)
        logits[:, list(never)] = -np.inf
        likely = log_softmax(logits)
        going: list[int] = []
        for row, line, probabilities in zip(active, logits, likely, strict=True):
            token = choose(line, choice, rng[row])
            if token == end:
                found[row] = found[row]._replace(stopped="end")
                continue
            before = found[row]
            tokens = np.append(before.tokens, token)
            score = before.score + (float(probabilities[token]) - before.score) / len(tokens)
            stopped = stop(prompts[row], tokens)
            found[row] = Continuation(tokens, score, "stop" if stopped else "length")
            if not stopped:
                going.append(row)
        active = going
    return found


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
