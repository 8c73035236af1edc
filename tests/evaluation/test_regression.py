"""Figures of a regression against scikit-learn's, under weights too; and through a graph of another scale."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ValuesOutput
from components.evaluation import paired_bootstrap
from components.evaluation.regression import SCORER, RegressionScores, weighted_median
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.stored import StoredSplit
from components.tasks import find


def scores(noise: float, samples: int = 200) -> RegressionScores:
    rng = np.random.default_rng(0)
    truth = rng.normal(1e6, 300, samples)
    return RegressionScores(truth + rng.normal(0, noise, samples), truth)


def test_figures_are_scikit_learns_and_so_are_those_of_resamples() -> None:
    scored, rng = scores(100), np.random.default_rng(1)
    index = rng.integers(0, scored.samples, scored.samples)
    weights = np.stack([np.ones(scored.samples), np.bincount(index, minlength=scored.samples)])
    for row, chosen in enumerate((np.arange(scored.samples), index)):
        truth, values = scored.truth[chosen], scored.values[chosen]
        expected = {
            "r2": metrics.r2_score(truth, values),
            "rmse": metrics.root_mean_squared_error(truth, values),
            "mae": metrics.mean_absolute_error(truth, values),
            "median_absolute_error": metrics.median_absolute_error(truth, values),
        }
        found = {name: scored.resampled(name, weights)[row] for name in expected}
        assert found == pytest.approx(expected)
        assert row or scored.figures() == pytest.approx(expected)
    assert weighted_median(np.array([1.0, 2.0, 9.0, 4.0]), np.ones((1, 4))) == [3.0]
    with pytest.raises(KeyError):
        scored.resampled("accuracy", weights)


def test_the_bootstrap_sees_a_better_model() -> None:
    better, worse = scores(50), scores(100)
    for metric in ("r2", "rmse", "median_absolute_error"):
        higher = metric == "r2"
        bounds = paired_bootstrap.interval(better, worse, metric, 0.95, higher_is_better=higher, resamples=500)
        assert bounds.lower > 0
        same = paired_bootstrap.interval(better, better, metric, 0.95, higher_is_better=higher, resamples=50)
        assert (same.lower, same.upper) == (0, 0)


@pytest.mark.slow
def test_slices_tables_and_pictures(tmp_path: Path) -> None:
    scored = scores(100)
    assert [part.samples for part in scored.slices()] == [50] * 4
    assert scored.document()["residuals"][2]["quantile"] == 0.5
    scored.draw(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"predictions.png", "residuals.png"}
    assert "MAE" in scored.card_lines().limits[0]
    constant = RegressionScores(np.ones(4), np.ones(4))
    assert constant.figures()["r2"] == 0
    assert [part.samples for part in constant.slices()] == [4]


def test_a_package_of_another_scale_is_scored_in_the_targets_units(tmp_path: Path) -> None:
    truth = np.arange(8.0)
    specs = (ArraySpec(name="target", type="float32", shape=(1,)),)
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "target.npy", ((truth - 3) / 2)[:, None].astype(np.float32))
    data: Any = SimpleNamespace(output_spec=lambda: ValuesOutput(mean=3, std=2), inputs=lambda: ("target",))
    package = SimpleNamespace(output_spec=lambda: ValuesOutput(mean=10, std=4), inputs=lambda: ("target",))
    answers = ((truth + 1 - 10) / 4)[:, None].astype(np.float32)  # each one too large by 1
    answers[7] = np.nan
    predictor: Any = SimpleNamespace(processor=package, outputs=lambda graph, feed: {"value": answers})
    split = StoredSplit(tmp_path / "test", specs)
    frozen = FrozenSplit(tmp_path, find("tabular-regression"), specs, split, [], data)
    scored = SCORER.score(predictor, frozen, lambda count: None)
    assert scored.not_finite == 1
    np.testing.assert_allclose(scored.truth, truth, atol=1e-6)
    np.testing.assert_allclose(scored.values, [*(truth[:7] + 1), 10], atol=1e-6)
