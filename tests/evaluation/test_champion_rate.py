"""A/A: candidates no better than the champion pass no more often than stated. Seeded; the benchmark does more of it."""

from __future__ import annotations

from typing import Literal

import pytest

from benchmarks.champion_gate import Setting, most_by_chance, promotions

CANDIDATES = 500
ALIKE = Setting(360, 0.97, 0.9)
APART = Setting(360, 0.93, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("setting", [ALIKE, APART])
@pytest.mark.parametrize("effect", [0.0, -0.01, -0.02])
def test_false_promotions_by_accuracy(setting: Setting, effect: float) -> None:
    assert promotions("accuracy", setting, effect, effect, CANDIDATES) <= most_by_chance(CANDIDATES)


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "effect"), [(ALIKE, -0.01), (APART, 0.0)])
def test_false_promotions_by_macro_f1(setting: Setting, effect: float) -> None:
    assert promotions("macro_f1", setting, effect, effect, CANDIDATES // 2) <= most_by_chance(CANDIDATES // 2)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_true_gain_is_mostly_promoted(metric: Literal["accuracy", "macro_f1"]) -> None:
    assert promotions(metric, Setting(360, 0.90, 0.8), 0.06, 0.0, 30) > 0.8
