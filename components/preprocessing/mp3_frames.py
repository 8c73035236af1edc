"""Damage in MP3 files, which decoders skip: impossible side information, and frames or bytes that are not there.

Format: ISO/IEC 11172-3, 2.4.1.7; the Xing header: https://www.codeproject.com/Articles/8295/MPEG-Audio-Frame-Header.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from components.core.errors import SampleError

_BITRATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1, layer III, in kbit/s
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
)
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # by version
_MOST_BIG_VALUES = 288  # pairs of the 576 values of a granule
_ADDED = 3 * 1152  # samples that an encoder adds at both ends, and a decoder takes away
_MOST_DAMAGED = 0.1  # of the frames; a file that was cut out of another begins with one


class _Frame(NamedTuple):
    """A frame: where it starts, its bytes, the bytes of its header, whether it is MPEG 1, its channels."""

    start: int
    size: int
    header: int
    is_first_version: bool
    channels: int


def is_mp3(content: bytes) -> bool:
    """Whether the first bytes are an ID3 tag or the header of a frame of layer III."""
    return content[:3] == b"ID3" or _frame(content, 0) is not None


def check(content: bytes) -> int:
    """Refuse an MP3 file that is damaged; the least number of samples of a channel that a decoder should find in it.

    Raises:
        SampleError: more than a tenth of the frames cannot be decoded or is missing, or the file is shorter than its
            Xing header says.
    """
    count = damaged = stated = samples = 0
    for frame in _frames(content):
        if not count:
            stated = _stated_frames(content, frame)
        count += 1
        samples += 1152 if frame.is_first_version else 576
        damaged += not _is_possible(content, frame)
    damaged += max(0, stated - count)
    if damaged > _MOST_DAMAGED * max(stated, count):
        got = f"{damaged:,} of {max(stated, count):,} frames cannot be decoded"
        raise SampleError("the MP3 file is damaged", got=got)
    return max(0, int((1 - _MOST_DAMAGED) * samples) - _ADDED)


def _frames(content: bytes) -> Iterator[_Frame]:
    """Frames of layer III with a fixed rate each, from the first that another follows."""
    place = _behind_tag(content)
    chained = False
    while 0 <= place <= len(content) - 4:
        frame = _frame(content, place)
        following = frame and (frame.start + frame.size >= len(content) or _frame(content, frame.start + frame.size))
        if frame is None or not (chained or following):
            chained, place = False, content.find(b"\xff", place + 1)
            continue
        yield frame
        chained, place = True, frame.start + frame.size


def _behind_tag(content: bytes) -> int:
    """Where the sound starts: behind an ID3v2 tag, whose size has seven bits a byte."""
    if content[:3] != b"ID3" or len(content) < 10:
        return 0
    size = 0
    for byte in content[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _frame(content: bytes, place: int) -> _Frame | None:
    head = content[place : place + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # eleven bits of ones, layer III
        return None
    version, bitrate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version not in _RATES or not 1 <= bitrate <= 14 or rate == 3:
        return None
    first = version == 3
    size = (144 if first else 72) * 1000 * _BITRATES[not first][bitrate] // _RATES[version][rate] + (head[2] >> 1 & 1)
    return _Frame(place, size, 4 if head[1] & 1 else 6, first, 1 if head[3] >> 6 == 3 else 2)


def _is_possible(content: bytes, frame: _Frame) -> bool:
    """Whether the side information of a frame can be decoded; a last frame that is cut is."""
    first, channels = frame.is_first_version, frame.channels
    before = (18 if channels == 1 else 20) if first else 8 + channels
    each, granules = (59, 2) if first else (63, 1)
    size = (before + each * granules * channels) // 8
    side = content[frame.start + frame.header : frame.start + frame.header + size]
    if len(side) < size:
        return True
    bits = int.from_bytes(side, "big")

    def field(place: int, width: int) -> int:
        return bits >> (size * 8 - place - width) & ((1 << width) - 1)

    switching = 33 if first else 38
    for place in range(before, before + each * granules * channels, each):
        if field(place + 12, 9) > _MOST_BIG_VALUES or (
            field(place + switching, 1) and not field(place + switching + 1, 2)
        ):
            return False
    return True


def _stated_frames(content: bytes, frame: _Frame) -> int:
    """The number of frames in the Xing header, which is in the first frame; 0 if there is none.

    Raises:
        SampleError: the file is shorter than the header says.
    """
    tag = content[frame.start : frame.start + frame.size]
    place = max(tag.find(b"Xing"), tag.find(b"Info"))
    if place < 0:
        return 0
    flags, *numbers = (int.from_bytes(tag[begin : begin + 4], "big") for begin in range(place + 4, place + 16, 4))
    frames = numbers.pop(0) if flags & 1 else 0
    there = len(content) - frame.start
    if flags & 2 and numbers[0] > there + frame.size:
        got, expected = f"{there} bytes", f"{numbers[0]}, as its header says"
        raise SampleError("the MP3 file is truncated", got=got, expected=expected)
    return frames
