"""WAV files written by hand."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray


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
GOOD = wav((TONE * 2**15).astype(np.int16))
