"""Comparison of columns: against scipy and values by hand, and on tables as they come."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from components.drift import distances
from components.drift.columns import ColumnDrift, adjusted, compare


def one(reference: object, window: object) -> ColumnDrift:
    (found,) = compare(pd.DataFrame({"x": reference}), pd.DataFrame({"x": window}))
    return found


def test_numbers_are_compared_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    reference, window = rng.normal(2, 3, 500), rng.normal(3, 3, 200)
    found = one(reference, window)
    assert (found.kind, found.test) == ("number", "ks")
    assert found.p_value == stats.ks_2samp(reference, window).pvalue
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(reference, window) / reference.std())
    assert (found.reference_rows, found.window_rows) == (500, 200)


def test_categories_are_compared_as_scipy_does() -> None:
    reference, window = list("a" * 60 + "b" * 30 + "c" * 10), list("a" * 30 + "b" * 40 + "c" * 30)
    found = one(reference, window)
    assert (found.kind, found.test, found.wasserstein) == ("category", "chi2", None)
    assert found.p_value == pytest.approx(stats.chi2_contingency([[60, 30, 10], [30, 40, 30]]).pvalue)
    by_hand = sum((q - p) * math.log(q / p) for p, q in ((0.6, 0.3), (0.3, 0.4), (0.1, 0.3)))
    assert found.psi == pytest.approx(by_hand)
    middle = ((0.6 + 0.3) / 2, (0.3 + 0.4) / 2, (0.1 + 0.3) / 2)
    divergence = sum(
        0.5 * share * math.log2(share / m)
        for shares in ((0.6, 0.3, 0.1), (0.3, 0.4, 0.3))
        for share, m in zip(shares, middle, strict=True)
    )
    assert found.jensen_shannon == pytest.approx(math.sqrt(divergence))


def test_psi_of_numbers_is_over_deciles_of_the_reference() -> None:
    found = one(np.arange(100.0), np.arange(50.0))
    # The window has 0.2 in each of the five lower deciles and nothing above: the floor of 1e-4 stands for nothing.
    by_hand = 5 * (0.2 - 0.1) * math.log(2) + 5 * (1e-4 - 0.1) * math.log(1e-4 / 0.1)
    assert found.psi == pytest.approx(by_hand)


def test_the_order_of_rows_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"x": rng.normal(size=80), "y": rng.choice(list("abc"), 80), "z": rng.random(80) < 0.3})
    other = table.sample(frac=0.6, random_state=2)
    shuffled = compare(table.sample(frac=1, random_state=3), other.sample(frac=1, random_state=4))
    for first, second in zip(compare(table, other), shuffled, strict=True):
        assert first[:3] == second[:3]
        assert first[3:] == pytest.approx(second[3:])


def test_the_reference_does_not_drift_from_itself() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({
        "number": rng.lognormal(size=300),
        "holes": np.where(rng.random(300) < 0.2, np.nan, rng.random(300)),
        "few": rng.integers(0, 3, 300),
        "text": rng.choice(list("abcdefgh"), 300),
        "truth": rng.random(300) < 0.1,
        "constant": 7,
        "when": pd.date_range("2026-01-01", periods=300, freq="h"),
    })  # fmt: skip
    for found in compare(table, table):
        assert (found.p_value, found.psi, found.jensen_shannon) == (1.0, 0.0, 0.0), found.column
        assert found.wasserstein in (0.0, None)
        assert found.kind == ("category" if found.column in ("text", "truth") else "number")


@pytest.mark.parametrize(
    ("reference", "window", "kind", "drifts"),
    [
        ([5.0] * 50, [5.0] * 20, "number", False),
        ([5.0] * 50, [6.0] * 20, "number", True),
        ([5.0] * 50, [4.0] * 20, "number", True),
        ([True, False] * 40, [True] * 40, "category", True),
        ([1.0, 2.0] * 40, [np.nan] * 30, "number", True),
        ([1.0, np.nan] * 40, [np.nan, 1.0] * 30, "number", False),
        (["a", "b"] * 40, [None] * 30, "category", True),
        (["a", "b"] * 40, ["c"] * 30, "category", True),
        ([1e300, -1e300] * 40, [1e300] * 30, "number", True),
        ([1e-320, 0.0] * 40, [0.0, 1e-320] * 30, "number", False),
        ([np.inf, 1.0] * 40, [-np.inf, 1.0] * 30, "number", True),
        ([10**400, 1] * 40, [1, 10**400] * 30, "number", False),
        ([1.0, 2.0, 3.0] * 20, [2.0], "number", False),
        (["a", "b"] * 40, ["a"], "category", False),
        (["a", "b"] * 40, [1.5, 2.5] * 20, "category", True),
        ([1, 2, 3] * 40, ["x", "y"] * 20, "number", True),
        (pd.Categorical(["a", "b"] * 40), pd.Categorical(["b"] * 40), "category", True),
        (pd.array([1, None, 3] * 20, "Int64"), pd.array([1, None, 3] * 20, "Int64"), "number", False),
        (pd.array([True, None] * 30, "boolean"), pd.array([True] * 30, "boolean"), "category", True),
        (pd.to_datetime(["2026-01-01", None] * 30), pd.to_datetime(["2027-01-01", None] * 30), "number", True),
    ],
)
def test_columns_as_they_come(reference: object, window: object, kind: str, drifts: bool) -> None:
    found = one(reference, window)
    assert found.kind == kind
    assert (found.p_value < 1e-3) is drifts
    assert (found.psi > 0.1) is drifts or len(window) == 1  # type: ignore[arg-type]
    assert 0 <= found.jensen_shannon <= 1
    assert found.wasserstein is None or math.isfinite(found.wasserstein)


def test_missing_values_are_shares_and_drift() -> None:
    found = one([1.0, 2.0, 3.0, np.nan] * 50, [1.0, np.nan, np.nan, 3.0] * 50)
    assert (found.missing_reference, found.missing_window) == (0.25, 0.5)
    assert found.p_value < 1e-4


def test_what_cannot_be_compared_is_reported() -> None:
    reference = pd.DataFrame({"id": [f"id-{n}" for n in range(300)], "x": range(300), "gone": 1.0, "list": [[1]] * 300})
    window = pd.DataFrame({"id": ["id-1"], "x": [4], "list": [[2]], "new": ["a"]})
    found = {one.column: one for one in compare(reference, window)}
    assert {name: entry.kind for name, entry in found.items()} == {
        "id": "other",
        "x": "number",
        "gone": "only_reference",
        "list": "other",
        "new": "only_window",
    }
    assert math.isnan(found["gone"].p_value)
    assert found["gone"].test == "none"
    assert compare(reference, window.iloc[:0])[1].test == "none"


def test_p_values_are_adjusted_by_benjamini_and_yekutieli() -> None:
    found = adjusted([0.01, math.nan, 0.02, 0.5])
    harmonic = 1 + 1 / 2 + 1 / 3
    assert found[0] == pytest.approx(0.01 * 3 * harmonic)
    assert found[2] == pytest.approx(0.02 * 3 / 2 * harmonic)
    assert math.isnan(found[1])
    assert len(adjusted([])) == 0


def test_a_value_of_few_has_a_bin_of_its_own() -> None:
    edges = distances.bin_edges(np.array([0.0, 1.0]))
    counts = distances.bin_counts(np.array([-1, 0, 0, 0.5, 1, 2, np.nan]), edges)
    assert counts.tolist() == [1, 2, 1, 1, 1, 1]
