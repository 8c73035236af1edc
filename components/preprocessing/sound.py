"""From samples of a sound to log-mel frames. Training and serving share this code.

Legend: T samples of a sound or frames of a spectrogram, B bands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-10  # smallest power of a band; its logarithm, -23, stands for silence


def trimmed(samples: NDArray[np.float32], rate: int, below_db: float) -> NDArray[np.float32]:
    """Cut silence at both ends: pieces of 10 ms that are more than `below_db` below the loudest piece."""
    size = max(1, rate // 100)
    pieces = np.zeros(-(-len(samples) // size) * size)
    pieces[: len(samples)] = np.square(samples, dtype=np.float64)
    power = pieces.reshape(-1, size).sum(axis=1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (-below_db / 10))
    return samples[loud[0] * size : (loud[-1] + 1) * size]


def log_mel(
    samples: NDArray[np.float32], rate: int, *, bands: int, window_ms: float, hop_ms: float
) -> NDArray[np.float32]:
    """Frames of log power in mel bands, float32 (T, B): ln(max(power in the band, 1e-10)).

    A frame is `window_ms` of sound under a periodic Hann window; frame i starts at i * `hop_ms`. A sound shorter than a
    frame is padded with zeros to one frame.
    """
    window, hop = frame_sizes(rate, window_ms, hop_ms)
    size = 1 << (window - 1).bit_length()
    padded = np.zeros(max(len(samples), window))
    padded[: len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]  # (T, window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    power = np.square(np.abs(np.fft.rfft(frames * hann, size)))  # (T, size / 2 + 1)
    return np.log(np.maximum(power @ mel_weights(rate, size, bands).T, FLOOR)).astype(np.float32)


def frame_sizes(rate: int, window_ms: float, hop_ms: float) -> tuple[int, int]:
    """Number of samples in a frame, and from the start of one frame to the start of the next."""
    return max(2, round(rate * window_ms / 1000)), max(1, round(rate * hop_ms / 1000))


def mel_weights(rate: int, size: int, bands: int) -> NDArray[np.float64]:
    """Triangular filters of height 1 over the bins of a transform of `size` samples, (B, size / 2 + 1).

    Their corners are equidistant on the mel scale of O'Shaughnessy (1987), as in HTK: 2595 log10(1 + f / 700), from 0
    to half the rate.
    """
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), bands + 2) / 2595) - 1)  # Hz
    bins = np.fft.rfftfreq(size, 1 / rate)
    rise = (bins - corners[:-2, None]) / np.diff(corners)[:-1, None]
    fall = (corners[2:, None] - bins) / np.diff(corners)[1:, None]
    weights: NDArray[np.float64] = np.clip(np.minimum(rise, fall), 0, None)
    return weights
