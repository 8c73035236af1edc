"""Ridge regression in closed form, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from components.preprocessing import ridge


@pytest.mark.parametrize(("samples", "features"), [(60, 7), (12, 40)])
def test_it_is_scikit_learns_on_standardised_features(samples: int, features: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, (samples, features))
    values[:, 0] = 5.0  # constant
    targets = rng.normal(size=(samples, 3))
    reference = make_pipeline(StandardScaler(), Ridge(alpha=2.5)).fit(values, targets)
    fresh = rng.normal(3, 2, (9, features))
    assert ridge.fit(values, targets, 2.5).predict(fresh) == pytest.approx(reference.predict(fresh), abs=1e-9)


def test_indicators_make_a_classifier() -> None:
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 3, 80)
    values = rng.normal(size=(80, 5)) + np.eye(5)[classes]
    reference = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0)).fit(values, classes)
    found = ridge.fit(values, ridge.indicators(classes, 3), 1.0).predict(values).argmax(axis=1)
    assert found.tolist() == reference.predict(values).tolist()
