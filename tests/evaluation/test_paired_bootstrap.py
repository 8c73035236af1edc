"""The paired bootstrap of macro F1 against a plain one, and where the two models hardly differ."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluation import paired_bootstrap
from components.evaluation.metrics import Labels, confusion_matrix, macro_f1


def labels(samples: int, classes: int, wrong: float, seed: int) -> tuple[Labels, Labels]:
    """Truth and answers of which a share is wrong."""
    random = np.random.default_rng(seed)
    truth = np.random.default_rng(0).integers(0, classes, samples)
    missed = random.random(samples) < wrong
    return truth, np.where(missed, (truth + random.integers(1, classes, samples)) % classes, truth)


def test_against_a_plain_bootstrap_sample_by_sample() -> None:
    truth, candidate = labels(300, 4, 0.15, 1)
    _, champion = labels(300, 4, 0.30, 2)
    random = np.random.default_rng(3)
    plain = []
    for _ in range(2000):
        rows = random.integers(0, 300, 300)
        scores = [macro_f1(confusion_matrix(truth[rows], answers[rows], 4)) for answers in (candidate, champion)]
        plain.append(scores[0] - scores[1])
    found = paired_bootstrap.macro_f1_interval(truth, candidate, champion, 4, 0.95)
    assert found == pytest.approx((np.quantile(plain, 0.05), np.quantile(plain, 0.95)), abs=0.012)


def test_the_same_samples_give_the_same_bounds() -> None:
    truth, candidate = labels(200, 3, 0.2, 1)
    first, second = (
        paired_bootstrap.macro_f1_interval(truth, candidate, truth, 3, 0.95, resamples=500) for _ in range(2)
    )
    assert first == second


def test_of_equal_answers_nobody_is_sure() -> None:
    truth, answers = labels(360, 10, 0.05, 1)
    lower, upper = paired_bootstrap.macro_f1_interval(truth, answers, answers, 10, 0.95)
    assert -0.02 < lower < 0 < upper < 0.02
    few = paired_bootstrap.macro_f1_interval(truth[:40], answers[:40], answers[:40], 10, 0.95)
    assert few.lower < -0.02


def test_an_answer_outside_of_the_classes_counts_as_wrong() -> None:
    truth, champion = labels(200, 3, 0.1, 1)
    candidate = champion.copy()
    candidate[:50] = 3
    assert paired_bootstrap.macro_f1_interval(truth, candidate, champion, 4, 0.95).upper < 0


def test_a_single_class_is_no_error() -> None:
    truth = np.zeros(20, np.int64)
    lower, upper = paired_bootstrap.macro_f1_interval(truth, truth, truth, 2, 0.95, resamples=200)
    assert lower <= 0 <= upper
