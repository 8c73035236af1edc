"""From WAV files to log-mel frames. Training and serving share this code.

Legend: T samples of a sound or frames of a spectrogram, C channels, B bands.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.core.errors import SampleError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
SILENT = 1e-4  # a peak below -80 dB of full scale: less than a step of 13 bits
FLOOR = 1e-10  # smallest power of a band; its logarithm, -23, stands for silence
DESCRIBED = ("readable", "error", "seconds", "rate", "channels", "peak", "rms", "silent")

_ZEROS = 24  # zero crossings of the resampling kernel on each side
_BETA = 8.0  # of its Kaiser window: about 80 dB of damping
_PIECE = 8192
_LEAST_RATE, _LARGEST_RATE, _MOST_CHANNELS = 1_000, 768_000, 64


class Sound(NamedTuple):
    """Samples float32 (T,) in -1..1 (the mean of the channels), the sampling rate in Hz, the number of channels."""

    samples: NDArray[np.float32]
    rate: int
    channels: int


def read(content: bytes) -> Sound:
    """Read a WAV file: PCM of 8, 16, 24 or 32 bits, or float of 32 or 64 bits; several channels are averaged.

    Format: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html

    Raises:
        SampleError: the content is no WAV file, is truncated, empty, of an unsupported encoding, or not finite.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise SampleError("not a WAV file", got=f"{len(content)} bytes", expected="RIFF/WAVE")
    chunks = _chunks(content)
    if b"fmt " not in chunks or len(chunks[b"fmt "]) < 16:
        raise SampleError("the WAV file has no format chunk", expected="a chunk fmt")
    if b"data" not in chunks:
        raise SampleError("the WAV file has no data chunk", expected="a chunk data")
    form = chunks[b"fmt "]
    coding, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", form[:16])
    if coding == EXTENSIBLE and len(form) >= 26:
        (coding,) = struct.unpack("<H", form[24:26])
    if not 1 <= channels <= _MOST_CHANNELS or not _LEAST_RATE <= rate <= _LARGEST_RATE:
        expected = f"at most {_MOST_CHANNELS} channels, {_LEAST_RATE} to {_LARGEST_RATE} Hz"
        raise SampleError("channels or rate are out of range", got=f"{channels} channels, {rate} Hz", expected=expected)
    if (coding, bits) not in _CODINGS or frame != channels * bits // 8:
        got = f"coding {coding}, {bits} bits, {frame} bytes a frame"
        raise SampleError("unsupported WAV encoding", got=got, expected="PCM of 8 to 32 bits, or float")
    data = chunks[b"data"]
    whole = _numbers(data[: len(data) - len(data) % frame], coding, bits).reshape(-1, channels)  # (T, C)
    if not len(whole):
        raise SampleError("the sound is empty", got="0 samples", expected="at least one")
    if not np.isfinite(whole).all():
        raise SampleError("the sound is not finite", got="NaN or infinity", expected="numbers in -1..1")
    return Sound(whole.mean(axis=1, dtype=np.float64).astype(np.float32), rate, channels)


def describe(content: bytes) -> dict[str, object]:
    """Facts about a WAV file, readable or not: `DESCRIBED`. Silent: no sample is above -80 dB of full scale."""
    try:
        sound = read(content)
    except SampleError as error:
        return dict(zip(DESCRIBED, (False, error.what, 0.0, 0, 0, 0.0, 0.0, True), strict=True))
    samples = sound.samples.astype(np.float64)
    peak, rms = float(np.abs(samples).max()), float(np.sqrt(np.square(samples).mean()))
    return dict(
        zip(
            DESCRIBED,
            (True, None, len(samples) / sound.rate, sound.rate, sound.channels, peak, rms, peak < SILENT),
            strict=True,
        )
    )


def resampled(samples: NDArray[np.float32], rate: int, target_rate: int) -> NDArray[np.float32]:
    """Resample to another rate by a Kaiser-windowed sinc filter of linear phase; ceil(T * target_rate / rate) samples.

    Frequencies above half the lower rate are removed. Oppenheim and Schafer, Discrete-Time Signal Processing, 4.6.
    """
    if rate == target_rate:
        return samples
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


_CODINGS = {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)}


def _chunks(content: bytes) -> dict[bytes, bytes]:
    """The first chunk of each kind. A size of all ones (a stream of unknown length) means the rest of the file."""
    found: dict[bytes, bytes] = {}
    place = 12
    while place + 8 <= len(content):
        name, size = struct.unpack("<4sI", content[place : place + 8])
        body = content[place + 8 : place + 8 + size]
        if len(body) < size and size != 0xFFFFFFFF:
            expected = f"{size} bytes of {name.decode('latin-1').strip()}"
            raise SampleError("the WAV file is truncated", got=f"{len(body)} bytes", expected=expected)
        found.setdefault(name, body)
        place += 8 + size + size % 2
    return found


def _numbers(data: bytes, coding: int, bits: int) -> NDArray[np.float64]:
    """Interleaved samples in -1..1."""
    if coding == FLOAT:
        return np.frombuffer(data, "<f4" if bits == 32 else "<f8").astype(np.float64)
    if bits == 8:  # the only unsigned encoding
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    if bits == 24:
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float64) / 2**31
    return np.frombuffer(data, f"<i{bits // 8}").astype(np.float64) / 2.0 ** (bits - 1)
