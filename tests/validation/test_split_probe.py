"""The probe's area under the curve, and that folds do not see their own samples."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.validation import split_probe
from components.validation.sample_features import Features


def test_the_area_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 300)
    scores = np.round(rng.normal(size=300) + 0.4 * truth, 1)  # with ties
    assert split_probe._area(scores, truth) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)


@pytest.mark.parametrize(("shift", "lowest", "highest"), [(0.0, 0.4, 0.6), (1.5, 0.7, 0.9)])
def test_splits_that_are_alike_are_not_told_apart(shift: float, lowest: float, highest: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 150))
    values[300:, 3] += shift
    found = split_probe.probe(Features(values, [f"f{number}" for number in range(150)]), (300, 100))
    assert found.auc is not None
    assert lowest < found.auc < highest
    assert found.warns == (shift > 0)
    assert [name.split()[0] for name in found.telling[:1]] == (["f3"] if shift else [])
