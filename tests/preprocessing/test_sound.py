"""Log-mel frames against their definition, and trimming."""

from __future__ import annotations

import numpy as np
import pytest

from components.preprocessing import sound
from tests.preprocessing.wav_files import TONE


def test_log_mel_is_what_its_formula_says() -> None:
    """Against the definition: a sum over samples for each frame and bin, and triangles drawn bin by bin."""
    samples = np.random.default_rng(0).normal(size=500).astype(np.float32)
    rate, window, hop, size, bands = 8000, 200, 80, 256, 20
    found = sound.log_mel(samples, rate, bands=bands, window_ms=25, hop_ms=10)
    assert found.shape == (1 + (500 - window) // hop, bands)

    def mel(hertz: float) -> float:
        return 2595 * np.log10(1 + hertz / 700)

    hann = np.array([np.sin(np.pi * n / window) ** 2 for n in range(window)])
    turn = np.exp(-2j * np.pi * np.outer(np.arange(size // 2 + 1), np.arange(window)) / size)
    corners = [700 * (10 ** (m / 2595) - 1) for m in np.linspace(mel(0), mel(4000), bands + 2)]
    for frame, row in enumerate(found):
        power = np.abs(turn @ (samples[frame * hop : frame * hop + window] * hann)) ** 2
        for band in range(bands):
            low, mid, high = corners[band : band + 3]
            total = 0.0
            for bin_, value in enumerate(power):
                hertz = bin_ * rate / size
                if low < hertz <= mid:
                    total += value * (hertz - low) / (mid - low)
                elif mid < hertz < high:
                    total += value * (high - hertz) / (high - mid)
            assert row[band] == pytest.approx(np.log(max(total, 1e-10)), abs=1e-4)


def test_a_tone_is_loudest_in_its_band() -> None:
    for hertz in (500, 1500, 3000):
        tone = np.sin(2 * np.pi * hertz * np.arange(4000) / 8000).astype(np.float32)
        rows = sound.log_mel(tone, 8000, bands=16, window_ms=32, hop_ms=10)
        weights = sound.mel_weights(8000, 256, 16)
        assert (rows.argmax(axis=1) == weights[:, round(hertz / 8000 * 256)].argmax()).all()


def test_short_and_silent_sounds_have_frames_too() -> None:
    assert sound.log_mel(np.zeros(3, np.float32), 8000, bands=8, window_ms=25, hop_ms=10).tolist() == [
        [pytest.approx(np.log(1e-10))] * 8
    ]


def test_silence_at_the_ends_is_trimmed() -> None:
    quiet = np.full(1600, 1e-5, np.float32)
    samples = np.concatenate([quiet, TONE.astype(np.float32), quiet])
    assert (sound.trimmed(samples, 8000, 40) == TONE.astype(np.float32)).all()
    assert len(sound.trimmed(np.zeros(1000, np.float32), 8000, 40)) == 1000
