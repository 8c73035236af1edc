"""WAV files, rates and log-mel frames, each against a reference."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from components.core.errors import SampleError
from components.preprocessing import sound


def wav(samples: NDArray[np.generic], rate: int = 8000, *, coding: int = 1, extensible: bool = False) -> bytes:
    """Samples of any type (T,) or (T, C) as a WAV file, written by hand; int8 stands for 24 bits, (T, C, 3)."""
    bits = 24 if samples.ndim == 3 else samples.dtype.itemsize * 8
    channels = samples.shape[1] if samples.ndim > 1 else 1
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else coding, channels, rate, rate * frame, frame, bits)
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 0, coding) + bytes(14)
    data = samples.tobytes()
    body = b"fmt " + struct.pack("<I", len(form)) + form + b"LIST" + struct.pack("<I", 3) + b"abc\x00"
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


TONE = np.sin(2 * np.pi * 440 * np.arange(4000) / 8000) * 0.5


@pytest.mark.parametrize(
    ("samples", "coding", "step"),
    [
        (np.round(TONE * 127 + 128).astype(np.uint8), 1, 1 / 64),
        ((TONE * 2**15).astype(np.int16), 1, 2**-14),
        ((TONE * 2**31).astype(np.int32), 1, 1e-7),
        ((TONE * 2**31).astype("<i4").view(np.uint8).reshape(-1, 1, 4)[..., 1:], 1, 2**-22),
        (TONE.astype(np.float32), 3, 1e-7),
        (TONE, 3, 1e-7),
    ],
    ids=["8 bits", "16 bits", "32 bits", "24 bits", "float", "double"],
)
@pytest.mark.parametrize("extensible", [False, True])
def test_every_coding_is_read(samples: NDArray[np.generic], coding: int, step: float, extensible: bool) -> None:
    found = sound.read(wav(samples, coding=coding, extensible=extensible))
    assert (found.rate, found.channels, found.samples.dtype) == (8000, 1, np.float32)
    assert np.abs(found.samples - TONE).max() <= step


def test_what_the_standard_library_writes_is_read() -> None:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        left, right = (TONE * 2**15).astype(np.int16), np.zeros(4000, np.int16)
        file.writeframes(np.stack([left, right], axis=1).tobytes())
    found = sound.read(stream.getvalue())
    assert (found.rate, found.channels, len(found.samples)) == (16_000, 2, 4000)
    assert np.abs(found.samples - TONE / 2).max() < 2**-14  # the mean of the channels


GOOD = wav((TONE * 2**15).astype(np.int16))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not a WAV"),
        (b"ID3 no wave file at all", "not a WAV"),
        (GOOD[:-100], "truncated"),
        (GOOD[:40], "truncated|no data chunk"),
        (wav(np.zeros(0, np.int16)), "empty"),
        (wav(np.array([0.1, np.nan], np.float32), coding=3), "not finite"),
        (wav(np.zeros(8, np.uint8), coding=7), "coding"),
        (wav(np.zeros(8, np.int16), rate=3), "out of range"),
        (b"RIFF\x04\x00\x00\x00WAVE", "format"),
    ],
)
def test_what_is_no_sound_is_refused_and_seen(content: bytes, what: str) -> None:
    with pytest.raises(SampleError, match=what):
        sound.read(content)
    seen = sound.describe(content)
    assert seen["readable"] is False
    assert seen["error"]
    assert tuple(seen) == sound.DESCRIBED


def test_a_recorder_that_did_not_know_the_length_is_believed() -> None:
    place = GOOD.index(b"data") + 4
    content = GOOD[:place] + b"\xff\xff\xff\xff" + GOOD[place + 4 :]
    assert (sound.read(content).samples == sound.read(GOOD).samples).all()


def test_facts_of_sounds() -> None:
    seen = sound.describe(GOOD)
    assert (seen["readable"], seen["seconds"], seen["rate"], seen["channels"]) == (True, 0.5, 8000, 1)
    assert seen["peak"] == pytest.approx(0.5, abs=1e-3)
    assert seen["rms"] == pytest.approx(0.5 / 2**0.5, abs=1e-3)
    assert seen["silent"] is False
    assert sound.describe(wav(np.zeros(100, np.int16)))["silent"] is True
    assert sound.describe(wav(np.zeros((100, 2), np.int16)))["channels"] == 2


@pytest.mark.parametrize(("rate", "target_rate"), [(16_000, 8000), (8000, 16_000), (44_100, 8000), (11_025, 8000)])
def test_resampling_is_what_scipy_does_with_the_same_kernel(rate: int, target_rate: int) -> None:
    noise = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    shared = np.gcd(rate, target_rate)
    up, down = int(target_rate // shared), int(rate // shared)
    reach = 24 * max(up, down)
    weights = sound.kernel(np.arange(-reach, reach + 1), up, down)
    expected = signal.resample_poly(noise.astype(np.float64), up, down, window=weights / up)  # it multiplies by up
    found = sound.resampled(noise, rate, target_rate)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_a_tone_stays_a_tone_and_what_is_too_high_goes(rate: int) -> None:
    low, high = (np.sin(2 * np.pi * hertz * np.arange(rate) / rate).astype(np.float32) for hertz in (1000, 5000))
    found = sound.resampled(low, rate, 8000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    assert np.abs(found - expected)[200:-200].max() < 1e-3
    assert np.abs(sound.resampled(high, rate, 8000))[200:-200].max() < 1e-3


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
