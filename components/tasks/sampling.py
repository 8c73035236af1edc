"""Text after a prompt over a graph that gives the next token, in numpy: the loop runs here, the network in the graph.

Legend: N samples, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.tasks.beam_search import log_softmax

Step = Callable[[Sequence[NDArray[np.int64]]], NDArray[np.floating]]


class Choice(NamedTuple):
    """How the next token is chosen.

    Args:
        temperature: 0 takes the likeliest; above it, logits are divided by it.
        top_k: only the k likeliest (0: all).
        top_p: only the likeliest that have so much of the probability together (Holtzman et al., arXiv:1904.09751).
    """

    temperature: float
    top_k: int
    top_p: float


class Written(NamedTuple):
    """The tokens after a prompt, their mean log-probability (0 of none), and why there are no more."""

    tokens: NDArray[np.int64]
    score: float
    stopped: str


def write(
    step: Step, prompts: Sequence[NDArray[np.int64]], choice: Choice, *, end: int, never: Sequence[int], most: int,
    window: int, seed: int, stop: Callable[[NDArray[np.int64], NDArray[np.int64]], bool],
) -> list[Written]:  # fmt: skip
    """Go on after each prompt. A sample's answer does not depend on those beside it: each draws from its own seed.

    Args:
        step: texts of unequal lengths, tokens (T,) each, to logits (N, V) of what follows each.
        end: the token that ends a text, which is not part of it.
        most: tokens to write.
        window: the network sees at most so many, the last ones.
        stop: whether a prompt and what is written after it hold what ends it.
    """
    found = [Written(np.zeros(0, np.int64), 0.0, "length") for _ in prompts]
    dice = [np.random.default_rng(seed) for _ in prompts]
    active = list(range(len(prompts)))
    for _ in range(most):
        if not active:
            break
        texts = [np.concatenate([prompts[row], found[row].tokens])[-window:] for row in active]
        logits = step(texts).astype(np.float64)  # (n, V)
        logits[:, list(never)] = -np.inf
        likely = log_softmax(logits)
        going: list[int] = []
        for row, line, odds in zip(active, logits, likely, strict=True):
            token = choose(line, choice, dice[row])
            if token == end:
                found[row] = found[row]._replace(stopped="end")
                continue
            before = found[row]
            tokens = np.append(before.tokens, token)
            score = before.score + (float(odds[token]) - before.score) / len(tokens)
            stopped = stop(prompts[row], tokens)
            found[row] = Written(tokens, score, "stop" if stopped else "length")
            if not stopped:
                going.append(row)
        active = going
    return found


def choose(logits: NDArray[np.float64], choice: Choice, dice: np.random.Generator) -> int:
    """One token, from logits (V,)."""
    if choice.temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")
    order = order[: choice.top_k] if choice.top_k else order
    scaled = logits[order] / choice.temperature
    odds = np.exp(scaled - scaled[0])
    odds /= odds.sum()
    if choice.top_p < 1:  # the one that crosses the share is still in
        kept = 1 + int(np.searchsorted(odds.cumsum(), choice.top_p))
        order, odds = order[:kept], odds[:kept] / odds[:kept].sum()
    return int(order[min(int(np.searchsorted(odds.cumsum(), dice.random(), side="right")), len(order) - 1)])
