"""The quantile transform against scikit-learn's."""

from __future__ import annotations

import platform
from statistics import NormalDist

import numpy as np
import pytest
from sklearn.preprocessing import QuantileTransformer

from components.preprocessing import normal_quantiles, quantile_transform


@pytest.mark.parametrize("samples", [200, 6000])
def test_it_is_scikit_learns_between_the_ends(samples: int) -> None:
    rng = np.random.default_rng(0)
    train, test = np.round(rng.lognormal(size=samples), 2), np.round(rng.lognormal(size=500), 2)  # with equal values
    quantiles = quantile_transform.fit(train)
    count = len(quantiles)
    assert count == max(10, samples // 30)
    theirs = QuantileTransformer(n_quantiles=count, output_distribution="normal", subsample=samples)
    theirs.fit(train[:, None])
    np.testing.assert_allclose(quantiles, theirs.quantiles_[:, 0])
    inside = test[(test > quantiles[1]) & (test < quantiles[-2])]
    found = quantile_transform.transform(inside, np.array(quantiles), samples)
    np.testing.assert_allclose(found, theirs.transform(inside[:, None])[:, 0], atol=1e-9)


def test_the_ends_are_half_a_sample_away_and_equal_values_have_their_mean_rank() -> None:
    quantiles = np.array(quantile_transform.fit(np.arange(1000.0)))
    low, high, beyond = quantile_transform.transform(np.array([0.0, 999.0, 1e9]), quantiles, 1000)
    assert low == pytest.approx(-3.29, abs=0.01)  # the rank 0.0005
    assert high == beyond == pytest.approx(-low)
    mostly_zero = np.array(quantile_transform.fit(np.r_[np.zeros(900), np.arange(1.0, 101.0)]))
    (zero,) = quantile_transform.transform(np.zeros(1), mostly_zero, 1000)
    assert -0.5 < zero < 0  # the rank 0.45, and no end


def test_normal_scores_are_the_standard_librarys() -> None:
    rng = np.random.default_rng(0)
    borders = [0.5, 0.075, 0.925, *np.nextafter([0.075, 0.925], 0.5), *np.nextafter([0.075, 0.925], [0, 1])]
    values = np.concatenate([rng.random(20_000), np.linspace(1e-9, 1 - 1e-9, 1001), borders])
    theirs = np.array([NormalDist().inv_cdf(value) for value in values.tolist()])
    found = normal_quantiles.inverse(values)
    np.testing.assert_allclose(found, theirs, rtol=1e-14)
    if platform.machine() == "x86_64":  # elsewhere a compiler may fuse what the standard library multiplies and adds
        assert found.tobytes() == theirs.tobytes()
    one_by_one = np.concatenate([normal_quantiles.inverse(values[-30:]), normal_quantiles.inverse(values[:0])])
    assert one_by_one.tobytes() == found[-30:].tobytes()
