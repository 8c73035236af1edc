"""How the next token is chosen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from components.tasks.sampling import SamplingSettings, choose

LOGITS = np.log(np.asarray([0.5, 0.25, 0.15, 0.1]))


def shares(choice: SamplingSettings, logits: np.ndarray = LOGITS, count: int = 8000) -> list[float]:
    rng = np.random.default_rng(0)
    drawn = Counter(choose(logits, choice, rng) for _ in range(count))
    return [drawn[token] / count for token in range(len(logits))]


def test_no_temperature_takes_the_likeliest() -> None:
    assert shares(SamplingSettings(0.0, 0, 1.0), count=10) == [1, 0, 0, 0]


def test_draws_are_as_likely_as_the_model_says() -> None:
    assert shares(SamplingSettings(1.0, 0, 1.0)) == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=0.02)


def test_temperature_divides_the_logits() -> None:
    probabilities = np.exp(LOGITS / 2) / np.exp(LOGITS / 2).sum()
    assert shares(SamplingSettings(2.0, 0, 1.0)) == pytest.approx(probabilities, abs=0.02)


def test_only_the_k_likeliest_are_drawn() -> None:
    assert shares(SamplingSettings(1.0, 2, 1.0)) == pytest.approx([2 / 3, 1 / 3, 0, 0], abs=0.02)


@pytest.mark.parametrize(("share", "kept"), [(0.4, 1), (0.6, 2), (0.8, 3), (0.95, 4)])
def test_only_the_likeliest_share_is_drawn(share: float, kept: int) -> None:
    probabilities = np.asarray([0.5, 0.25, 0.15, 0.1][:kept])
    assert shares(SamplingSettings(1.0, 0, share))[:kept] == pytest.approx(
        probabilities / probabilities.sum(), abs=0.02
    )
    assert sum(shares(SamplingSettings(1.0, 0, share))[:kept]) == pytest.approx(1)


def test_what_is_impossible_is_not_drawn() -> None:
    assert shares(SamplingSettings(5.0, 0, 1.0), np.asarray([-np.inf, 0.0, -np.inf, 0.0]))[0::2] == [0, 0]
