"""Ranks without drift: exactly uniform and independent, also of small references and equal values."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from components.drift import alternatives, conformal_ranks, e_detector
from components.drift.distances import Real


def numbers(rng: np.random.Generator, streams: int, rows: int, kind: str) -> Real:
    values = rng.standard_normal((streams, rows))
    if kind == "ties":
        values = np.round(values)
    if kind == "missing":
        values = np.where(rng.random(values.shape) < 0.4, np.nan, np.round(values))
    return conformal_ranks.ordered(values)


@pytest.mark.parametrize("kind", ["continuous", "ties", "missing"])
def test_ranks_of_numbers_are_uniform_and_windows_independent(kind: str) -> None:
    """4,000 references of 23 rows; of windows of 5 and 7 rows each rank is uniform, and pairs are uncorrelated."""
    rng = np.random.default_rng(1)
    streams = 4000
    reference = numbers(rng, streams, 23, kind)
    cuts, ties, counts = conformal_ranks.make_grid(reference, rng.random(reference.shape))
    assert (counts.sum(axis=-1) == 24).all()
    found = []
    for rows in (5, 7):
        window = numbers(rng, streams, rows, kind)
        cells = conformal_ranks.find_cells(window, rng.random(window.shape), cuts, ties)
        ranks, counts = conformal_ranks.ranks_of_cells(cells, counts, rng.random(window.shape))
        found.append(ranks)
    ranks = np.concatenate(found, axis=-1)
    assert ranks.min() >= 0
    assert ranks.max() <= 1
    assert stats.kstest(ranks.ravel(), "uniform").pvalue > 1e-3
    correlations = np.corrcoef(ranks.T)[np.triu_indices(12, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(streams)
    # Means of windows against one unchanging reference are correlated: what the construction is there for.
    assert abs(np.corrcoef(found[0].mean(axis=1), found[1].mean(axis=1))[0, 1]) < 4 / np.sqrt(streams)


def test_ranks_against_an_unchanging_reference_depend_on_each_other() -> None:
    rng = np.random.default_rng(1)
    reference = numbers(rng, 4000, 23, "continuous")
    cuts, ties, counts = conformal_ranks.make_grid(reference, rng.random(reference.shape))
    means = []
    for _ in range(2):
        window = numbers(rng, 4000, 40, "continuous")
        cells = conformal_ranks.find_cells(window, rng.random(window.shape), cuts, ties)
        alone = [conformal_ranks.ranks_of_cells(cells[:, [at]], counts, rng.random((4000, 1)))[0] for at in range(40)]
        means.append(np.concatenate(alone, axis=1).mean(axis=1))
    assert np.corrcoef(*means)[0, 1] > 0.4


def test_ranks_of_categories_are_uniform_and_independent() -> None:
    rng = np.random.default_rng(1)
    streams, names = 4000, 30  # with names that most references lack
    shares = 1 / np.arange(1, names + 1) ** 1.5
    edges = np.cumsum(shares / shares.sum())[:-1]
    counts = conformal_ranks.histogram(np.searchsorted(edges, rng.random((streams, 23))), names)
    found = []
    for rows in (4, 6):
        rows_ = np.searchsorted(edges, rng.random((streams, rows)))
        ranks, counts = conformal_ranks.ranks_of_categories(rows_, counts, rng.random(rows_.shape))
        found.append(ranks)
    ranks = np.concatenate(found, axis=-1)
    assert stats.kstest(ranks.ravel(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(ranks.T)[np.triu_indices(10, 1)]).max() < 4 / np.sqrt(streams)


def test_an_unseen_category_has_the_lowest_ranks() -> None:
    counts = np.array([600.0, 0.0, 400.0])
    ranks, after = conformal_ranks.ranks_of_categories(np.array([1, 1, 0]), counts, np.full(3, 0.5))
    assert (ranks[:2] < 0.002).all()
    assert after.tolist() == [601, 2, 400]


def test_cells_of_rows_have_the_probabilities_of_the_urn() -> None:
    """All orders of 6 distinct values, 4 of them the reference: the cells of the last two, counted exactly."""
    seen: Counter[tuple[int, int]] = Counter()
    place = conformal_ranks.grid_places(4)
    assert place.tolist() == [1, 2, 3, 4]
    for order in permutations(range(6)):
        values = np.array(order, np.float64)
        cuts, ties, _ = conformal_ranks.make_grid(values[:4], np.zeros(4))
        cells = conformal_ranks.find_cells(values[4:], np.zeros(2), cuts, ties)
        seen[int(cells[0]), int(cells[1])] += 1
    for (first, second), count in seen.items():
        chance = Fraction(1, 5) * Fraction(1 + (first == second), 6)
        assert Fraction(count, 720) == chance


def test_a_chunk_more_or_less_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    cells, draws = rng.integers(0, 5, (2, 200)), rng.random((2, 200))
    whole = conformal_ranks.ranks_of_cells(cells, np.ones((2, 5)), draws)
    of_names = conformal_ranks.ranks_of_categories(cells, np.ones((2, 5)), draws)
    monkeypatch.setattr(conformal_ranks, "_CHUNK", 7)
    for first, second in zip(whole, conformal_ranks.ranks_of_cells(cells, np.ones((2, 5)), draws), strict=True):
        assert first == pytest.approx(second)
    for first, second in zip(of_names, conformal_ranks.ranks_of_categories(cells, np.ones((2, 5)), draws), strict=True):
        assert first == pytest.approx(second)


def test_alternatives_are_distributions() -> None:
    bank = alternatives.bank()
    assert (np.exp(bank.log_ratios) @ alternatives.NULL) == pytest.approx(1.0)
    assert np.exp(bank.log_weights).sum() == pytest.approx(1.0)
    assert len(set(bank.names)) == len(bank.names)
    assert alternatives.cell_counts(np.array([0.0, 1.0, 0.5])).sum() == 3


def test_the_detector_is_the_sum_over_all_beginnings() -> None:
    """log(M) by the recursion equals the weighted sum of likelihood ratios from each window on."""
    rng = np.random.default_rng(0)
    windows = rng.multinomial(30, alternatives.NULL, size=6).astype(np.float64)
    detector = e_detector.start()
    for number, counts in enumerate(windows, start=1):
        detector, evidence = e_detector.advance(detector, counts, number)
    bank = alternatives.bank()
    ratios = windows @ bank.log_ratios.T
    summed = sum(np.exp(ratios[begin:].sum(axis=0)) for begin in range(6))
    assert float(evidence) == pytest.approx(np.log(np.exp(bank.log_weights) @ summed))
