"""Resample a sound to another rate.

`soxr` is the resampler of new datasets. `kaiser` stays for packages that were trained with it and for datasets that
name it. Legend: T samples.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Resampler = Literal["soxr", "kaiser"]

_ZEROS = 24  # zero crossings of the Kaiser kernel on each side
_BETA = 8.0  # of its window: about 80 dB of damping
_PIECE = 8192


def resampled(samples: NDArray[np.float32], rate: int, target_rate: int, resampler: Resampler) -> NDArray[np.float32]:
    """Resample float32 (T,) to another rate: ceil(T * target_rate / rate) samples, of linear phase.

    Frequencies above half the lower rate are removed.
    """
    if rate == target_rate:
        return samples
    if resampler == "kaiser":
        return kaiser(samples, rate, target_rate)
    import soxr

    found = np.asarray(soxr.resample(samples, rate, target_rate, quality="HQ"), np.float32)
    count = -(-len(samples) * target_rate // rate)
    return np.pad(found, (0, max(0, count - len(found))))[:count]


def kaiser(samples: NDArray[np.float32], rate: int, target_rate: int) -> NDArray[np.float32]:
    """Resample to another rate by a Kaiser-windowed sinc filter of linear phase; ceil(T * target_rate / rate) samples.

    Frequencies above half the lower rate are removed. Oppenheim and Schafer, Discrete-Time Signal Processing, 4.6.
    """
    shared = math.gcd(rate, target_rate)
    up, down = target_rate // shared, rate // shared
    count = -(-len(samples) * up // down)
    slowest = max(up, down)
    taps = -(-_ZEROS * slowest // up)  # input samples on each side of an output sample
    padded = np.concatenate([np.zeros(taps), samples.astype(np.float64), np.zeros(taps + 1)])
    near = np.arange(-taps, taps + 1)  # (taps,)
    found = np.empty(count, np.float32)
    for begin in range(0, count, _PIECE):
        places = np.arange(begin, min(begin + _PIECE, count)) * down  # in steps of 1 / up of an input sample
        centre, phase = places // up, places % up
        distance = near * up - phase[:, None]  # (n, taps) in the same steps
        found[begin : begin + _PIECE] = (padded[centre[:, None] + near + taps] * kernel(distance, up, down)).sum(axis=1)
    return found


def kernel(distance: NDArray[np.int64], up: int, down: int) -> NDArray[np.float64]:
    """Filter weights at distances in units of 1 / up input samples; they sum to about 1 over the input samples."""
    slowest = max(up, down)
    reach = _ZEROS * slowest
    inside = np.clip(1 - np.square(distance / reach), 0, None)
    window = np.where(np.abs(distance) <= reach, np.i0(_BETA * np.sqrt(inside)) / np.i0(_BETA), 0)
    weights: NDArray[np.float64] = np.sinc(distance / slowest) * window * (up / slowest)
    return weights
