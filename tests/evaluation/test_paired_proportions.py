"""The exact paired test against published examples, against plain enumeration, and at its edges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from components.evaluation import paired_proportions as paired


def test_score_interval_of_a_published_example() -> None:
    # Airway hyper-responsiveness before and after stem cell transplantation; Fagerland, Lydersen and Laake 2014,
    # Statistics in Medicine 33:2850-2875, give Tango's interval as (-0.517, -0.026).
    assert paired.score_interval(1, 7, 21, 0.975) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_score_interval_of_another_implementation() -> None:
    # R's PropCIs 0.3: scoreci.mp(25, 28, 618, 0.90); its difference is the second count minus the first.
    assert paired.score_interval(28, 25, 618, 0.95) == pytest.approx((-0.0148, 0.0247), abs=5e-5)


def test_exact_p_value_of_a_published_example() -> None:
    # The same data, exact unconditional McNemar test: 0.035 two-sided, that is twice the one-sided at margin 0
    # (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91).
    assert 2 * paired.p_value(7, 1, 21, 0.0) == pytest.approx(0.035, abs=1e-3)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 0), (0, 4), (12, 5), (40, 40)])
def test_at_margin_zero_the_score_is_mcnemars(b: int, c: int) -> None:
    expected = (b - c) / np.sqrt(b + c) if b + c else 0.0
    assert float(paired.score(b, c, 360, 0.0)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (0, 1), (6, 1), (17, 17), (120, 80)])
def test_mid_p_against_scipy(b: int, c: int) -> None:
    if b + c == 0:
        expected = 0.5
    else:
        expected = stats.binomtest(b, b + c, alternative="greater").pvalue - stats.binom.pmf(b, b + c, 0.5) / 2
    assert paired.mid_p(b, c) == pytest.approx(expected, rel=1e-9)


def enumerated(b: int, c: int, n: int, margin: float) -> float:
    """The largest chance of a score as high, over a fine grid of the share of discordant samples, table by table."""
    low, high = stats.binomtest(b + c, n).proportion_ci(1 - paired.SHARE_ERROR, method="exact")
    tables = [(x, y) for x in range(n + 1) for y in range(n + 1 - x)]
    reached = float(paired.score(b, c, n, margin)) - 1e-9
    higher = [(x, y) for x, y in tables if float(paired.score(x, y, n, margin)) >= reached]
    worst = 0.0
    for share in np.linspace(max(low, abs(margin)), max(high, abs(margin)), 400):
        only_champion = (share - margin) / 2
        cells = [only_champion + margin, only_champion, 1 - share]
        chance = stats.multinomial(n, cells).pmf([(x, y, n - x - y) for x, y in higher]).sum()
        worst = max(worst, float(chance))
    return worst


@pytest.mark.parametrize(("b", "c"), [(0, 0), (2, 0), (0, 2), (3, 1), (5, 5), (9, 0)])
@pytest.mark.parametrize("margin", [-0.1, 0.0, 0.05])
def test_p_value_against_enumeration_of_every_table(b: int, c: int, margin: float) -> None:
    n = 12
    assert paired.p_value(b, c, n, margin) == pytest.approx(min(1, enumerated(b, c, n, margin) + 1e-4), abs=5e-4)


@pytest.mark.parametrize("margin", [-0.1, 0.0, 0.1])
def test_it_never_passes_more_often_than_stated(margin: float) -> None:
    """Not by simulation: the chance of all tables that pass, at a true difference of exactly the margin."""
    n, alpha = 18, 0.05
    passing = [
        (b, c, n - b - c)
        for b, c in itertools.product(range(n + 1), repeat=2)
        if b + c <= n and paired.p_value(b, c, n, margin) <= alpha
    ]
    rates = []
    for share in np.linspace(max(abs(margin), 0.01), 1, 60):
        only_champion = (share - margin) / 2
        cells = [only_champion + margin, only_champion, 1 - share]
        rates.append(stats.multinomial(n, cells).pmf(passing).sum())
    assert max(rates) <= alpha
    assert max(rates) > alpha / 2  # and not so seldom that nothing ever would


@pytest.mark.parametrize("n", [1, 30, 360, 10_000])
def test_without_a_difference_nothing_is_shown_to_be_better(n: int) -> None:
    assert paired.p_value(0, 0, n, 0.0) > 0.5
    lower, upper = paired.interval(0, 0, n, 0.95)
    assert lower < 0 < upper
    assert lower == pytest.approx(-upper)


def test_without_a_difference_many_samples_show_that_it_is_not_worse() -> None:
    # No discordant sample among n has probability at most (1 - 0.01)^n if 1 % or more are lost.
    assert paired.p_value(0, 0, 360, -0.01) == pytest.approx(0.99**360, abs=2e-4)
    assert paired.p_value(0, 0, 100, -0.01) > 0.05


def test_more_wins_never_make_it_less_sure() -> None:
    chances = [paired.p_value(b, 4, 360, 0.0) for b in range(16)]
    assert chances == sorted(chances, reverse=True)


def test_a_larger_margin_is_harder() -> None:
    chances = [paired.p_value(12, 4, 360, margin) for margin in (-0.05, -0.01, 0.0, 0.01, 0.05)]
    assert chances == sorted(chances)


@pytest.mark.parametrize(("b", "c", "n"), [(3, 0, 360), (0, 3, 360), (10, 4, 360), (60, 70, 2000), (5, 5, 10)])
def test_the_bounds_are_where_the_test_begins_to_reject(b: int, c: int, n: int) -> None:
    lower, upper = paired.interval(b, c, n, 0.95)
    assert lower < (b - c) / n < upper
    assert paired.p_value(b, c, n, lower - 1e-3) <= 0.05 < paired.p_value(b, c, n, lower + 1e-3)
    mirrored = paired.interval(c, b, n, 0.95)
    assert (-mirrored.upper, -mirrored.lower) == pytest.approx((lower, upper), abs=1e-12)


def test_the_exact_bounds_are_near_the_score_bounds_for_many_samples() -> None:
    exact, score = paired.interval(150, 110, 10_000, 0.95), paired.score_interval(150, 110, 10_000, 0.95)
    assert exact == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("table", [(-1, 0, 5, 0.0), (3, 3, 5, 0.0), (0, 0, 0, 0.0), (1, 1, 5, 1.0)])
def test_what_is_no_table_is_refused(table: tuple[int, int, int, float]) -> None:
    with pytest.raises(ValueError, match="impossible counts or margin"):
        paired.p_value(*table)
