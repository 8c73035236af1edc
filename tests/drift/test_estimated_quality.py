"""Accuracy without labels: the interval covers the truth, and doubts are said."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.errors import UsageError
from components.drift.estimated_quality import EstimatedQuality, estimate, of_regression


def answers(rng: np.random.Generator, rows: int, low: float = 0.5, tilt: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and whether the answers are right: `tilt` of them are right less often than the confidence says."""
    confidences = rng.uniform(low, 1, rows)
    return confidences, rng.random(rows) < confidences - tilt


@pytest.mark.parametrize("tilt", [0.0, 0.15])
@pytest.mark.parametrize("low", [0.5, 0.7])
def test_the_interval_covers_the_accuracy(tilt: float, low: float) -> None:
    """Also where confidences are wrong by `tilt`, and the window's confidences are others than the reference's."""
    covered, widths = 0, []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        window, right = answers(rng, 150, low, tilt)
        found = estimate(*answers(rng, 400, 0.5, tilt), window)
        covered += found.low <= right.mean() <= found.high
        widths.append(found.high - found.low)
    assert covered >= 180  # of 200 at 95 %; fewer has a chance of about 0.1 %
    assert float(np.mean(widths)) < 0.25


def test_more_reference_and_more_rows_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for rows in (100, 1000, 10_000):
        found = estimate(*answers(rng, rows), answers(rng, rows)[0])
        widths.append(found.high - found.low)
        assert abs(found.value - 0.75) < 3 * widths[-1]
    assert widths == sorted(widths, reverse=True)


def test_doubts_are_said() -> None:
    rng = np.random.default_rng(0)
    reference = answers(rng, 500)
    assert estimate(*reference, answers(rng, 200)[0]).doubts == ()
    assert "drift was found in age" in estimate(*reference, answers(rng, 200)[0], drifted=("age",)).doubts[0]
    low = estimate(*reference, rng.uniform(0.2, 0.5, 200)).doubts
    assert "outside" in low[0]
    assert "mean confidence" in low[1]


def test_what_cannot_be_estimated_says_so() -> None:
    rng = np.random.default_rng(0)
    for found in (estimate(*answers(rng, 20), answers(rng, 50)[0]), estimate(*answers(rng, 90), []), of_regression(5)):
        assert isinstance(found, EstimatedQuality)
        assert found.metric is None
        assert np.isnan(found.value)
        assert len(found.doubts) == 1
    assert "labels" in of_regression(5).doubts[0]


@pytest.mark.parametrize("window", [[1.2], [np.nan], [[0.5]]])
def test_confidences_are_probabilities(window: list[float]) -> None:
    with pytest.raises(UsageError, match="probabilities"):
        estimate(*answers(np.random.default_rng(0), 90), window)


def test_always_right_is_possible() -> None:
    found = estimate(np.full(500, 0.99), np.ones(500, bool), np.full(50, 0.99))
    assert found.low < found.value <= found.high <= 1
    assert found.value > 0.98
