"""Headers of WAV files as players read them: sizes of streams, chunks without padding, bytes behind the sound.

libsndfile decodes the samples, but trusts the header: it takes a sound of unknown length (size 0) as empty and does not
find the sound behind a chunk of odd size without its padding byte. `plain` writes the header that fits what is there.

Format: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from components.core.errors import SampleError

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
MPEG, MP3 = 0x50, 0x55
# From https://www.rfc-editor.org/rfc/rfc2361 and Microsoft's mmreg.h.
CODINGS = {
    PCM: "PCM", 2: "Microsoft ADPCM", FLOAT: "float", A_LAW: "A-law", MU_LAW: "mu-law", 0x11: "IMA ADPCM",
    0x22: "TrueSpeech", 0x31: "GSM 6.10", 0x40: "G.721", 0x42: "G.723.1", 0x45: "G.726", MPEG: "MPEG audio",
    MP3: "MP3", 0x83: "G.729", 0xFF: "AAC", 0x160: "WMA 1", 0x161: "WMA 2", 0x162: "WMA Pro", 0x163: "WMA lossless",
    0x1610: "AAC", 0x2000: "AC-3", 0x2001: "DTS", EXTENSIBLE: "extensible",
}  # fmt: skip
LEAST_RATE, LARGEST_RATE, MOST_CHANNELS = 1_000, 768_000, 64
# A program that writes to a pipe cannot know the size, and writes one near 2 GiB, near 4 GiB or 0.
_STREAM = 0x7FF0_0000
_KNOWN = frozenset(
    {b"data", b"fmt ", b"fact", b"LIST", b"PEAK", b"bext", b"cue ", b"smpl", b"inst", b"JUNK", b"junk", b"PAD ",
     b"iXML", b"id3 ", b"ID3 ", b"afsp", b"_PMX", b"chna", b"axml", b"cart", b"acid", b"DISP", b"plst", b"labl"}
)  # fmt: skip


class Form(NamedTuple):
    """The chunk `fmt `: coding, channels, rate in Hz, bytes of a frame, bits of a sample, the bytes after these."""

    coding: int
    channels: int
    rate: int
    frame: int
    bits: int
    rest: bytes

    @property
    def name(self) -> str:
        """The coding, as text."""
        return f"coding {self.coding} ({CODINGS.get(self.coding, 'unknown')})"


def is_wav(content: bytes) -> bool:
    """Whether the first bytes are those of a WAV file of the usual kind."""
    return content[:4] == b"RIFF" and content[8:12] == b"WAVE"


def plain(content: bytes) -> bytes:
    """The sound of a WAV file with a header that fits it: a WAV file; of MP3 in a WAV file, the MP3 stream.

    Raises:
        SampleError: no format or data chunk, channels or rate out of range, frames that do not fit, or a sound that is
            shorter than a plausible size in the header.
    """
    form: Form | None = None
    fact = b""
    for name, size, start in _chunks(content):
        if name == b"fmt ":
            form = _form(content[start : start + size])
        elif name == b"fact":
            fact = content[start : start + size]
        elif name == b"data":
            if form is None:
                break
            _check(form)
            return _written(form, fact, content[start : _end(content, start, size, form.frame)])
    missing = "data" if form is not None else "format"
    raise SampleError(f"the WAV file has no {missing} chunk", expected=f"a chunk {missing.replace('format', 'fmt')}")


def form(content: bytes) -> Form | None:
    """The format of a WAV file; None if it has none."""
    return next(
        (_form(content[start : start + size]) for name, size, start in _chunks(content) if name == b"fmt "), None
    )


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, size and start of each chunk, up to `data`; a chunk of odd size may lack its padding byte."""
    place = 12
    while place + 8 <= len(content):
        name, size = struct.unpack("<4sI", content[place : place + 8])
        yield name, size, place + 8
        if name == b"data":
            return
        place += 8 + size
        if size % 2 and content[place : place + 4] not in _KNOWN:
            place += 1


def _form(chunk: bytes) -> Form | None:
    if len(chunk) < 16:
        return None
    coding, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", chunk[:16])
    if coding == EXTENSIBLE and len(chunk) >= 26:
        (coding,) = struct.unpack("<H", chunk[24:26])
        return Form(coding, channels, rate, frame, bits, b"")
    return Form(coding, channels, rate, frame, bits, chunk[16:])


def _check(form: Form) -> None:
    if not 1 <= form.channels <= MOST_CHANNELS or not LEAST_RATE <= form.rate <= LARGEST_RATE:
        raise SampleError(
            "channels or rate are out of range",
            got=f"{form.channels} channels, {form.rate} Hz",
            expected=f"at most {MOST_CHANNELS} channels, {LEAST_RATE} to {LARGEST_RATE} Hz",
        )
    if form.coding in (PCM, FLOAT) and form.frame * 8 != form.channels * form.bits:
        got = f"{form.name} of {form.bits} bits, {form.channels} channels in frames of {form.frame} bytes"
        expected = f"frames of {form.channels * form.bits / 8:g} bytes"
        raise SampleError("samples of the WAV file do not fill their frames", got=got, expected=expected)


def _end(content: bytes, start: int, size: int, frame: int) -> int:
    """Where the sound ends: after its size, or at the end of the file if the size is that of a stream.

    Raises:
        SampleError: the size is plausible, and more than a frame is missing.
    """
    there = len(content) - start
    if size >= _STREAM or (size == 0 and not _are_chunks(content, start)):
        return len(content)
    if size > there + max(1, frame):
        got, expected = f"{there} bytes of data", f"{size} bytes of data, as its header says"
        raise SampleError("the WAV file is truncated", got=got, expected=expected)
    return min(start + size, len(content))


def _are_chunks(content: bytes, place: int) -> bool:
    """Whether the bytes from here on are whole chunks of known names: then a sound of size 0 is empty."""
    while place + 8 <= len(content):
        name, size = struct.unpack("<4sI", content[place : place + 8])
        if name not in _KNOWN:
            return False
        place += 8 + size + size % 2
    return place >= len(content)


def _written(form: Form, fact: bytes, data: bytes) -> bytes:
    if form.coding in (MPEG, MP3):
        return data
    rate = form.rate * form.frame
    chunk = struct.pack("<HHIIHH", form.coding, form.channels, form.rate, rate, form.frame, form.bits)
    if form.coding not in (PCM, FLOAT):
        chunk += form.rest or struct.pack("<H", 0)
    if form.coding in (PCM, FLOAT):
        data = data[: len(data) - len(data) % form.frame]
    parts = [(b"fmt ", chunk), *([(b"fact", fact)] if fact else []), (b"data", data)]
    body = b"".join(name + struct.pack("<I", len(part)) + part + bytes(len(part) % 2) for name, part in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body
