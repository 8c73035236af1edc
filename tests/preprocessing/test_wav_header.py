"""Headers of WAV files that do not fit what is there."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from components.core.errors import SampleError
from components.preprocessing import sound_file, wav_header
from tests.preprocessing.wav_files import GOOD, TONE, wav

SAMPLES = (TONE * 2**15).astype(np.int16)
DATA = SAMPLES.tobytes()
FORM = struct.pack("<HHIIHH", 1, 1, 8000, 16_000, 2, 16)


def chunk(name: bytes, content: bytes, size: int | None = None, pad: bool = True) -> bytes:
    padding = bytes(len(content) % 2) if pad else b""
    return name + struct.pack("<I", len(content) if size is None else size) + content + padding


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4 if size is None else size) + b"WAVE" + body


FMT = chunk(b"fmt ", FORM)


@pytest.mark.parametrize(
    "content",
    [
        riff(FMT, chunk(b"data", DATA)),
        riff(FMT, chunk(b"data", DATA, 0x7FFFEFDC), size=0x7FFFF000),
        riff(FMT, chunk(b"data", DATA, 0x7FFFFFFF), size=0x7FFFFFFF),
        riff(FMT, chunk(b"data", DATA, 0x80000000), size=0x80000024),
        riff(FMT, chunk(b"data", DATA, 0xFFFFFFFF - 44), size=0xFFFFFFFF),
        riff(FMT, chunk(b"LIST", b"INFOISFT\x04\x00\x00\x00Lavf"), chunk(b"data", DATA, 0xFFFFFFFF), size=0xFFFFFFFF),
        riff(FMT, chunk(b"data", DATA, 0), size=0),
        riff(FMT, chunk(b"data", DATA), chunk(b"LIST", b"INFO", 4000)),
        riff(FMT, chunk(b"LIST", b"abc"), chunk(b"data", DATA)),
        riff(FMT, chunk(b"LIST", b"abc", pad=False), chunk(b"data", DATA)),
        riff(FMT, chunk(b"data", DATA), bytes(1000)),
        riff(FMT, chunk(b"data", DATA), size=36),
        riff(FMT, chunk(b"data", DATA, len(DATA) + 2)),
        riff(FMT, chunk(b"data", DATA, len(DATA)), b"\x01"),
    ],
    ids=["plain", "sox", "2 GiB less one", "arecord", "4 GiB less", "ffmpeg", "zero", "cut list", "padded", "unpadded",
         "junk behind", "riff wrong", "a frame missing", "odd end"],
)  # fmt: skip
def test_the_sound_is_what_is_there(content: bytes) -> None:
    assert (sound_file.read(content).samples == sound_file.read(GOOD).samples).all()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (riff(FMT, chunk(b"data", DATA[:4000], 8000)), "truncated"),
        (riff(FMT, chunk(b"data", b"")), "empty"),
        (riff(FMT, chunk(b"data", b""), chunk(b"LIST", b"INFO")), "empty"),
        (riff(chunk(b"data", DATA)), "no format chunk"),
        (riff(FMT), "no data chunk"),
        (riff(chunk(b"fmt ", FORM[:8]), chunk(b"data", DATA)), "no format chunk"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 32_000, 4, 24)), chunk(b"data", DATA)), "fill their"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 0, 0, 2, 16)), chunk(b"data", DATA)), "out of range"),
    ],
)
def test_what_cannot_be_is_refused(content: bytes, what: str) -> None:
    with pytest.raises(SampleError, match=what):
        sound_file.read(content)


def test_every_prefix_of_a_file_is_refused() -> None:
    content = wav(SAMPLES[:40], extensible=True)
    for end in range(len(content) - 2):  # a frame may be missing
        with pytest.raises(SampleError):
            sound_file.read(content[:end])
    assert len(sound_file.read(content[:-2]).samples) == 39


def test_codings_have_names() -> None:
    for coding, name in ((0x161, "WMA"), (0x83, "G.729"), (0x1234, "unknown")):
        form = wav_header.form(wav(np.zeros(8, np.uint8), coding=coding))
        assert form is not None
        assert name in form.name
