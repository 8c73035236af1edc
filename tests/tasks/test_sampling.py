"""How the next token is chosen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from components.tasks.sampling import Choice, choose

LOGITS = np.log(np.asarray([0.5, 0.25, 0.15, 0.1]))


def shares(choice: Choice, logits: np.ndarray = LOGITS, count: int = 8000) -> list[float]:
    dice = np.random.default_rng(0)
    drawn = Counter(choose(logits, choice, dice) for _ in range(count))
    return [drawn[token] / count for token in range(len(logits))]


def test_no_temperature_takes_the_likeliest() -> None:
    assert shares(Choice(0.0, 0, 1.0), count=10) == [1, 0, 0, 0]


def test_draws_are_as_likely_as_the_model_says() -> None:
    assert shares(Choice(1.0, 0, 1.0)) == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=0.02)


def test_temperature_divides_the_logits() -> None:
    odds = np.exp(LOGITS / 2) / np.exp(LOGITS / 2).sum()
    assert shares(Choice(2.0, 0, 1.0)) == pytest.approx(odds, abs=0.02)


def test_only_the_k_likeliest_are_drawn() -> None:
    assert shares(Choice(1.0, 2, 1.0)) == pytest.approx([2 / 3, 1 / 3, 0, 0], abs=0.02)


@pytest.mark.parametrize(("share", "kept"), [(0.4, 1), (0.6, 2), (0.8, 3), (0.95, 4)])
def test_only_the_likeliest_share_is_drawn(share: float, kept: int) -> None:
    odds = np.asarray([0.5, 0.25, 0.15, 0.1][:kept])
    assert shares(Choice(1.0, 0, share))[:kept] == pytest.approx(odds / odds.sum(), abs=0.02)
    assert sum(shares(Choice(1.0, 0, share))[:kept]) == pytest.approx(1)


def test_what_is_impossible_is_not_drawn() -> None:
    assert shares(Choice(5.0, 0, 1.0), np.asarray([-np.inf, 0.0, -np.inf, 0.0]))[0::2] == [0, 0]
