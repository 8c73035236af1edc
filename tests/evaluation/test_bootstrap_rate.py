"""The paired bootstrap of any metric: against a plain one, and how often it passes what is no better. All seeded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.champion_gate import most_by_chance
from components.evaluation import paired_bootstrap
from components.evaluation.additive_metrics import AdditiveScores
from components.evaluation.scorer import CardLines, Real, Slice

pytestmark = pytest.mark.slow

CANDIDATES = 250
RESAMPLES = 500
ALPHA = 0.05


class Nothing:
    """Sums that are not shown."""

    def slices(self, total: Real) -> list[Slice]:
        return []

    def document(self, total: Real) -> dict[str, Any]:
        return {}

    def draw(self, total: Real, folder: Path) -> None:
        return None

    def card_lines(self, total: Real, samples: int) -> CardLines:
        return CardLines([], [])


def mean(values: Real, overlap: int = 1) -> AdditiveScores:
    """A model with those values (N,), scored by their mean."""
    summands = np.stack([values, np.ones(len(values))], axis=1)
    return AdditiveScores(summands, {"mean": lambda total: total[:, 0] / total[:, 1]}, Nothing(), 0, overlap)


def entities(right: Real, found: Real, true: Real) -> AdditiveScores:
    """A tagger with so many entities in each sample, scored by their F1."""
    summands = np.stack([right, found, true], axis=1)
    return AdditiveScores(summands, {"f1": lambda total: 2 * total[:, 0] / (total[:, 1] + total[:, 2])}, Nothing())


def passed(
    candidate: AdditiveScores, champion: AdditiveScores, metric: str, seed: int, min_effect: float, higher: bool = True
) -> bool:
    bounds = paired_bootstrap.interval(
        candidate, champion, metric, 1 - ALPHA, higher_is_better=higher, resamples=RESAMPLES, seed=seed
    )
    return bounds.lower > min_effect


def test_against_a_plain_bootstrap_sample_by_sample() -> None:
    random = np.random.default_rng(0)
    ours, theirs = random.normal(1.0, 1, 400), random.normal(0.8, 1, 400)
    rows = random.integers(0, 400, (4000, 400))
    plain = ours[rows].mean(axis=1) - theirs[rows].mean(axis=1)
    found = paired_bootstrap.interval(mean(ours), mean(theirs), "mean", 0.95)
    assert found == pytest.approx((np.quantile(plain, 0.05), np.quantile(plain, 0.95)), abs=0.01)
    turned = paired_bootstrap.interval(mean(ours), mean(theirs), "mean", 0.95, higher_is_better=False)
    assert turned == pytest.approx((-found.upper, -found.lower))


def test_a_pair_that_is_the_same_everywhere_has_no_gain_and_no_uncertainty() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert paired_bootstrap.interval(mean(values), mean(values), "mean", 0.95) == (0, 0)


@pytest.mark.parametrize(("differing", "sure"), [(1, False), (3, False), (4, False), (7, True), (12, True)])
def test_a_few_samples_that_all_speak_for_it_are_as_good_as_a_sign_test(differing: int, sure: bool) -> None:
    """Of so many samples that differ, all for the candidate: chance alone does that in 1 of 2 ** differing cases."""
    champion = np.zeros(500)
    candidate = champion.copy()
    candidate[:differing] = 1
    assert passed(mean(candidate), mean(champion), "mean", 0, 0.0) == sure


@pytest.mark.parametrize("size", [60, 400])
def test_false_passes_of_a_mean_of_skewed_values(size: int) -> None:
    """As of losses: log-normal, alike in both models for the most part. Lower is better."""
    random = np.random.default_rng(size)
    count = 0
    for number in range(CANDIDATES):
        common = random.lognormal(0, 1, size)
        models = [mean(common * random.lognormal(0, 0.3, size)) for _ in range(2)]
        count += passed(*models, "mean", number, 0.0, higher=False)
    assert count / CANDIDATES <= most_by_chance(CANDIDATES)


@pytest.mark.parametrize(("size", "alike"), [(80, 0.0), (300, 0.9), (300, 0.99)])
def test_false_passes_of_entity_f1(size: int, alike: float) -> None:
    """Two taggers of the same quality that answer so many samples alike."""
    random = np.random.default_rng(size)
    count = 0
    for number in range(CANDIDATES):
        true = random.poisson(1.0, size)
        same = random.random(size) < alike
        right, wrong = random.binomial(true, 0.6), random.poisson(0.3, size)
        models = []
        for _ in range(2):
            own = np.where(same, right, random.binomial(true, 0.6))
            models.append(entities(own, own + np.where(same, wrong, random.poisson(0.3, size)), true))
        count += passed(*models, "f1", number, 0.0)
    assert count / CANDIDATES <= most_by_chance(CANDIDATES)


def wandering(random: np.random.Generator, size: int, length: int) -> Real:
    """Values (N,) of which neighbours within a window share what they are made of, as errors of overlapping windows."""
    return np.convolve(random.normal(size=size + length - 1), np.ones(length) / np.sqrt(length), mode="valid")


def test_false_passes_of_overlapping_windows_drawn_in_runs_and_one_by_one() -> None:
    """Runs keep the rate that is stated; windows drawn one by one would pass a third of what is no better."""
    random = np.random.default_rng(5)
    size, length, candidates = 900, 30, 120
    counts = {1: 0, length: 0}
    for number in range(candidates):
        ours, theirs = wandering(random, size, length), wandering(random, size, length)
        for overlap in counts:
            counts[overlap] += passed(mean(ours, overlap), mean(theirs, overlap), "mean", number, 0.0)
    assert counts[length] / candidates <= most_by_chance(candidates)
    assert counts[1] / candidates > 0.25


def test_a_true_gain_mostly_passes() -> None:
    random = np.random.default_rng(7)
    count = 0
    for number in range(40):
        common = random.lognormal(0, 1, 400)
        better, worse = mean(common * random.lognormal(-0.15, 0.3, 400)), mean(common * random.lognormal(0, 0.3, 400))
        count += passed(better, worse, "mean", number, 0.0, higher=False)
    assert count / 40 > 0.8
