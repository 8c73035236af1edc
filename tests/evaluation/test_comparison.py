"""Comparing two models' answers on the same samples."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from sklearn.metrics import f1_score

from components.evaluation.classification import ClassificationScores
from components.evaluation.comparison import ChampionComparison, Pairs, compare, count_pairs
from components.evaluation.metrics import Labels

CLASSES = ["cat", "dog", "owl"]
TRUTH = np.tile([0, 1, 2], 120)


def with_wrong(*rows: int) -> Labels:
    answers = TRUTH.copy()
    answers[list(rows)] = (answers[list(rows)] + 1) % 3
    return answers


def classified(answers: Labels, sure: float = 0.9) -> ClassificationScores:
    """Answers given with that probability, the rest shared out among the others."""
    probabilities = np.full((len(answers), len(CLASSES) + 1), (1 - sure) / len(CLASSES), np.float32)
    probabilities[np.arange(len(answers)), answers] = sure
    return ClassificationScores(probabilities, TRUTH, answers, CLASSES)


def compared(
    candidate: Labels, champion: Labels, metric: Literal["accuracy", "macro_f1"] = "accuracy", min_effect: float = 0.0
) -> ChampionComparison:
    return compare(classified(candidate), classified(champion), metric, min_effect=min_effect, confidence=0.95)


def test_pairs_are_counted_by_who_is_right() -> None:
    pairs = count_pairs(TRUTH, with_wrong(0, 1), with_wrong(1, 2, 3))
    assert pairs == Pairs(both=356, candidate_only=2, champion_only=1, neither=1)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_clear_gain_passes_and_a_clear_loss_does_not(metric: Literal["accuracy", "macro_f1"]) -> None:
    good, bad = with_wrong(0), with_wrong(*range(30))
    gain, loss = compared(good, bad, metric), compared(bad, good, metric)
    assert gain.passed
    assert not loss.passed
    assert gain.gain == pytest.approx(-loss.gain)
    assert gain.lower > 0
    assert loss.upper < 0


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_equal_answers_are_not_better_but_not_worse_either(metric: Literal["accuracy", "macro_f1"]) -> None:
    answers = with_wrong(1, 5, 9)
    assert not compared(answers, answers, metric).passed
    assert compared(answers, answers, metric, min_effect=-0.02).passed


def test_passing_is_the_lower_bound_above_the_least_effect() -> None:
    for wins in range(12):
        found = compared(with_wrong(0), with_wrong(*range(1, wins + 2)))
        assert found.passed == (found.lower > found.min_effect), wins


def test_macro_f1_is_the_metric() -> None:
    candidate, champion = with_wrong(*range(0, 60, 3)), with_wrong(*range(10))
    found = compared(candidate, champion, "macro_f1")
    expected = [f1_score(TRUTH, answers, average="macro") for answers in (candidate, champion)]
    assert [found.candidate, found.champion] == pytest.approx(expected)
    assert found.p_value is None


def test_each_class_is_compared() -> None:
    found = compared(with_wrong(0, 3, 6), with_wrong(1))
    assert [(row.name, row.samples) for row in found.slices] == [(name, 120) for name in CLASSES]
    assert found.slices[0].candidate == pytest.approx(117 / 120)
    assert found.slices[1].champion == pytest.approx(119 / 120)


def test_an_answer_that_is_none_of_the_classes_is_wrong() -> None:
    candidate = TRUTH.copy()
    candidate[:10] = len(CLASSES)
    assert compared(candidate, TRUTH).pairs == Pairs(350, 0, 10, 0)


def test_where_lower_is_better_the_gain_is_the_champions_figure_minus_the_candidates() -> None:
    good, bad = classified(with_wrong(0)), classified(with_wrong(*range(30)))
    found = compare(good, bad, "nll", higher_is_better=False, min_effect=0.0, confidence=0.95)
    assert found.candidate < found.champion
    assert found.gain == pytest.approx(found.champion - found.candidate)
    assert 0 < found.lower < found.gain < found.upper
    assert found.passed
    assert not compare(bad, good, "nll", higher_is_better=False, min_effect=-0.05, confidence=0.95).passed
