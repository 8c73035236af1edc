"""Both resamplers against references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from components.preprocessing import resampling
from components.preprocessing.resampling import Resampler


@pytest.mark.parametrize(("rate", "target_rate"), [(16_000, 8000), (8000, 16_000), (44_100, 8000), (11_025, 8000)])
def test_resampling_is_what_scipy_does_with_the_same_kernel(rate: int, target_rate: int) -> None:
    noise = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    shared = np.gcd(rate, target_rate)
    up, down = int(target_rate // shared), int(rate // shared)
    reach = 24 * max(up, down)
    weights = resampling.kernel(np.arange(-reach, reach + 1), up, down)
    expected = signal.resample_poly(noise.astype(np.float64), up, down, window=weights / up)  # it multiplies by up
    found = resampling.resampled(noise, rate, target_rate, "kaiser")
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("resampler", ["soxr", "kaiser"])
@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_a_tone_stays_a_tone_and_what_is_too_high_goes(rate: int, resampler: Resampler) -> None:
    low, high = (np.sin(2 * np.pi * hertz * np.arange(rate) / rate).astype(np.float32) for hertz in (1000, 5000))
    found = resampling.resampled(low, rate, 8000, resampler)
    expected = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    assert np.abs(found - expected)[200:-200].max() < 1e-3
    assert np.abs(resampling.resampled(high, rate, 8000, resampler))[200:-200].max() < 1e-3


@pytest.mark.parametrize("resampler", ["soxr", "kaiser"])
@pytest.mark.parametrize(("rate", "target_rate"), [(44_100, 16_000), (8_000, 16_000), (22_050, 16_000)])
def test_every_length_has_its_samples(rate: int, target_rate: int, resampler: Resampler) -> None:
    for count in (1, 2, 3, 100, 4001):
        found = resampling.resampled(np.ones(count, np.float32), rate, target_rate, resampler)
        assert (found.dtype, len(found)) == (np.float32, -(-count * target_rate // rate))


def test_an_equal_rate_changes_nothing() -> None:
    noise = np.random.default_rng(0).normal(size=300).astype(np.float32)
    assert resampling.resampled(noise, 8000, 8000, "soxr") is noise
