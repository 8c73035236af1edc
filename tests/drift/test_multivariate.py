"""Whole rows and embeddings: valid p-values, and what single columns do not show."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from components.drift.multivariate import domain_classifier, maximum_mean_discrepancy


def pairs(rng: np.random.Generator, rows: int, correlation: float) -> pd.DataFrame:
    first = rng.standard_normal(rows)
    second = correlation * first + math.sqrt(1 - correlation**2) * rng.standard_normal(rows)
    return pd.DataFrame({"first": first, "second": second, "noise": rng.choice(["a", "b", None], rows)})


@pytest.mark.slow
def test_the_classifier_sees_a_lost_correlation_and_names_the_columns() -> None:
    rng = np.random.default_rng(0)
    found = domain_classifier(pairs(rng, 1200, 0.95), pairs(rng, 600, 0.0), seed=0)
    assert found.p_value < 1e-6
    assert found.statistic > 0.7
    assert set(list(found.importances)[:2]) == {"first", "second"}
    assert found.importances["noise"] < 0.05
    again = domain_classifier(pairs(np.random.default_rng(1), 300, 0.5), pairs(np.random.default_rng(2), 300, 0.5), 3)
    assert again == domain_classifier(
        pairs(np.random.default_rng(1), 300, 0.5), pairs(np.random.default_rng(2), 300, 0.5), 3
    )
    assert again.p_value > 0.01


def test_the_classifier_needs_rows_and_columns() -> None:
    rng = np.random.default_rng(0)
    table = pairs(rng, 100, 0.0)
    assert math.isnan(domain_classifier(table, table.iloc[:5], 0).p_value)
    assert math.isnan(domain_classifier(table, pd.DataFrame({"other": range(50)}), 0).p_value)


def test_p_values_of_the_discrepancy_are_uniform_without_drift() -> None:
    rng = np.random.default_rng(0)
    found = [
        maximum_mean_discrepancy(rng.standard_normal((40, 3)), rng.standard_normal((25, 3)), seed).p_value
        for seed in range(60)
    ]
    assert 0.3 < float(np.mean(found)) < 0.7
    assert sum(value <= 0.1 for value in found) <= 14  # 6 expected; more than 14 has a chance of 0.1 %


def test_the_discrepancy_is_the_one_of_its_definition() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((12, 2)), rng.standard_normal((15, 2)) + 1
    rows = np.vstack([first, second])
    distances = ((rows[:, None] - rows[None]) ** 2).sum(axis=-1)
    median = np.median(distances[np.triu_indices(27, 1)])

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(axis=-1) / (2 * median))

    inside = [(kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1)) for a in (first, second)]
    found = maximum_mean_discrepancy(first, second, seed=0)
    assert found.statistic == pytest.approx(sum(inside) - 2 * kernel(first, second).mean())
    assert found.p_value <= 0.05


def test_equal_rows_are_no_drift() -> None:
    assert maximum_mean_discrepancy(np.zeros((20, 4)), np.zeros((20, 4)), 0).p_value == 1.0
    assert math.isnan(maximum_mean_discrepancy(np.zeros((20, 4)), np.zeros((2, 4)), 0).p_value)
