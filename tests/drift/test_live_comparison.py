"""Live comparisons: an error that holds at every look, exactly where it can be computed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.drift import comparison
from components.core.errors import UsageError
from components.drift.live_comparison import log_wealth
from components.drift.sequential import LiveComparison


def test_the_wealth_of_one_unit_is_fair() -> None:
    """Over the exact distribution of a block, the expected wealth is 1 at the margin, below it no more."""
    values = np.array([-1.0, 0.0, 1.0])
    for better, worse in ((0.2, 0.2), (0.05, 0.05), (0.3, 0.1)):
        margin = better - worse
        wealth = [
            math.exp(log_wealth(values, np.array(counts), np.array([margin]))[0])
            for counts in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
        ]
        assert np.dot(wealth, [worse, 1 - better - worse, better]) == pytest.approx(1.0)
        assert np.dot(wealth, [worse + 0.1, 0.9 - better - worse, better]) < 1


@pytest.mark.slow
def test_equal_models_are_seldom_promoted_and_naive_looks_promote_them() -> None:
    runs = 80
    promoted, _ = comparison.promoted(runs, 0.9, 0.0, paired=True, looks=50)
    assert promoted <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / runs)
    assert np.mean([comparison.naive(number) for number in range(40)]) > 0.2


def test_a_better_challenger_is_found_paired_and_unpaired() -> None:
    assert comparison.run(1, 0.85, 0.08, paired=True) is not None
    assert comparison.run(1, 0.8, 0.15, paired=False) is not None


def test_a_worse_challenger_is_called_worse_and_the_decision_stays() -> None:
    state = LiveComparison(alpha=0.05, paired=True)
    state = state.update_paired(both_right=50, only_challenger=5, only_champion=60, both_wrong=5)
    assert state.decision == "worse"
    assert state.high < 0
    state = state.update_paired(both_right=0, only_challenger=500, only_champion=0, both_wrong=0)
    assert state.decision == "worse"


def test_labels_wait_until_they_make_a_unit() -> None:
    state = LiveComparison(alpha=0.05, champions=9)
    state = state.update(champion_right=4, champion_wrong=2, challenger_right=2, challenger_wrong=1)
    assert (state.units, state.waiting) == (0, (4, 2, 2, 1))
    state = state.update(champion_right=10, champion_wrong=0, challenger_right=0, challenger_wrong=0)
    assert state.units == 1
    assert sum(state.waiting) == 6 + 10 + 3 - 10
    assert state.labels == (14, 2, 2, 1)
    assert LiveComparison.from_json(state.to_json()) == state


def test_the_confidence_sequence_covers_the_difference_at_all_looks() -> None:
    missed = 0
    for number in range(40):
        rng = np.random.default_rng(number)
        state = LiveComparison(alpha=0.1, paired=True)
        for _ in range(30):
            gained, lost, both = rng.multinomial(50, [0.15, 0.05, 0.8])
            state = state.update_paired(
                both_right=int(both), only_challenger=int(gained), only_champion=int(lost), both_wrong=0
            )
        missed += not state.low <= 0.1 <= state.high
        assert state.high - state.low < 0.15
    assert missed <= 10  # 4 expected at most; more than 10 has a chance below 0.2 %


def test_a_margin_moves_the_decision() -> None:
    labels = {"both_right": 900, "only_challenger": 40, "only_champion": 40, "both_wrong": 20}
    assert LiveComparison(alpha=0.05, paired=True).update_paired(**labels).decision == "undecided"
    lenient = LiveComparison(alpha=0.05, paired=True, min_effect=-0.05).update_paired(**labels)
    assert lenient.decision == "better"


def test_labels_of_the_other_kind_are_refused() -> None:
    with pytest.raises(UsageError, match="paired"):
        LiveComparison(alpha=0.05, paired=True).update(
            champion_right=1, champion_wrong=0, challenger_right=1, challenger_wrong=0
        )
    with pytest.raises(UsageError, match="negative"):
        LiveComparison(alpha=0.05, paired=True).update_paired(
            both_right=-1, only_challenger=0, only_champion=0, both_wrong=0
        )
