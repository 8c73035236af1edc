"""The test of live accuracy: hand-computed evidence, its rate of false alarms, its delay."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from components.core.errors import UsageError
from components.drift import accuracy_watch
from components.drift.accuracy_watch import BETS, watch

HOURS = 730.0


def test_the_evidence_of_two_groups_by_hand() -> None:
    found = watch([(1, 1), (0, 2)], 0.9, false_alarms_per_month=1, windows_per_month=HOURS)
    rates = BETS / (1 - 0.9)
    first = (1 - 0.1 * rates) * (1 + 0.9 * rates)
    second = (1 + first) * (1 + 0.9 * rates) ** 2
    assert found.log10_evidence == pytest.approx(math.log10(second.mean()))
    assert found.log10_threshold == pytest.approx(math.log10(HOURS))
    assert (found.labels, found.right) == (4, 1)


def _groups(rng: np.random.Generator, accuracy: NDArray[np.float64]) -> list[tuple[int, int]]:
    sizes = rng.poisson(8, len(accuracy))
    right = rng.binomial(sizes, accuracy)
    return list(zip(right.tolist(), (sizes - right).tolist(), strict=True))


@pytest.mark.slow
def test_false_alarms_come_at_the_stated_rate_at_most_however_often_one_looks() -> None:
    rng = np.random.default_rng(0)
    months = 150
    alarms = sum(
        watch(_groups(rng, np.full(730, 0.9)), 0.9, false_alarms_per_month=0.5, windows_per_month=HOURS).alarm_at
        is not None
        for _ in range(months)
    )
    assert alarms <= 0.5 * months  # accuracy right at the limit, the worst case
    naive = 0  # a 95 % test of all labels so far, at each look, is wrong far more often
    for _ in range(50):
        groups = np.array(_groups(rng, np.full(730, 0.9))).cumsum(axis=0)
        counts = groups.sum(axis=1)
        naive += bool((groups[:, 0] / counts < 0.9 - 1.645 * np.sqrt(0.09 / counts)).any())
    assert naive / 50 > 0.5


def test_a_fall_is_seen_and_its_begin_is_named() -> None:
    rng = np.random.default_rng(1)
    accuracy = np.where(np.arange(300) < 200, 0.95, 0.7)
    found = watch(_groups(rng, accuracy), 0.9, false_alarms_per_month=1, windows_per_month=HOURS)
    assert found.alarm_at is not None
    assert 200 <= found.alarm_at < 215
    assert found.begin is not None
    assert 195 <= found.begin <= 205


def test_nothing_at_all_and_empty_groups() -> None:
    nothing = watch([], 0.9, false_alarms_per_month=1, windows_per_month=HOURS)
    assert (nothing.alarm_at, nothing.begin, nothing.log10_evidence) == (None, None, -math.inf)
    assert watch([(0, 0)] * 2000, 0.9, false_alarms_per_month=1, windows_per_month=HOURS).alarm_at is None


@pytest.mark.parametrize("limit", [0.0, 1.0, -1.0])
def test_no_limit(limit: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        accuracy_watch.watch([], limit, false_alarms_per_month=1, windows_per_month=HOURS)
