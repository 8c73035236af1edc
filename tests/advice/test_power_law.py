"""Power laws: a known curve is found, and what is predicted comes true as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from components.advice import power_law
from components.advice.power_law import Point

SIZES = 10_000.0 / 2 ** np.arange(4, -1, -1)


def points(errors: np.ndarray, deviations: np.ndarray) -> list[Point]:
    return [Point(*values) for values in zip(SIZES, errors, deviations, strict=True)]


def test_a_curve_without_noise_is_found() -> None:
    errors = 0.05 + 3.0 * SIZES**-0.4
    law = power_law.fit(points(errors, errors * 1e-3))
    assert (law.floor, law.scale, law.exponent) == pytest.approx((0.05, 3.0, 0.4), rel=1e-3)
    assert law.birge == 1
    ahead = law.predict(20_000)
    assert ahead.lower < 0.05 + 3.0 * 20_000**-0.4 < ahead.upper
    assert ahead.value == pytest.approx(0.05 + 3.0 * 20_000**-0.4, rel=0.005)
    assert law.gain(SIZES[-1]).value == pytest.approx(3.0 * (1e4**-0.4 - 2e4**-0.4), rel=0.05)


def test_flat_points_promise_nothing() -> None:
    law = power_law.fit(points(np.full(5, 0.2), np.full(5, 0.002)))
    assert law.gain(SIZES[-1]).upper < 0.01
    scattered = power_law.fit(points(np.array([0.2, 0.3, 0.2, 0.3, 0.2]), np.full(5, 0.002)))
    assert scattered.birge > 10
    assert scattered.predict(20_000).upper - scattered.predict(20_000).lower > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("floor", "exponent", "noise"), [(0.1, 0.5, 0.03)])
def test_the_interval_holds_the_next_measurement_as_often_as_it_says(
    floor: float, exponent: float, noise: float
) -> None:
    """At twice the largest size; 90 % are asked for, and 100 trials have a standard deviation of 3 %."""
    rng = np.random.default_rng(0)
    curve = floor + 0.3 * (SIZES / SIZES[-1]) ** -exponent
    ahead = floor + 0.3 * 2**-exponent
    held = 0
    for _ in range(100):
        law = power_law.fit(points(curve * (1 + noise * rng.normal(size=5)), curve * noise))
        found = law.predict(2 * SIZES[-1], noise=noise * ahead)
        held += found.lower <= ahead * (1 + noise * rng.normal()) <= found.upper
    assert 0.83 <= held / 100 <= 0.99


def test_what_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="3 sizes or more, not 2"):
        power_law.fit([Point(1, 0.5, 0.1), Point(2, 0.4, 0.1), Point(2, 0.4, 0.1)])
    with pytest.raises(ValueError, match="above 0"):
        power_law.fit([Point(1, 0.5, 0.1), Point(2, 0.4, 0.0), Point(4, 0.4, 0.1)])
