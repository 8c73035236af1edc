"""Whether an Ogg file ends in the middle of a page, which decoders leave out. Format: RFC 3533, 6."""

from __future__ import annotations

from components.core.errors import SampleError

_HEADER = 27  # bytes before the segment table


def check(content: bytes) -> None:
    """Refuse an Ogg file that was cut; a stream that ends with a whole page is no cut file.

    Raises:
        SampleError: the last page is not complete.
    """
    place = 0
    while content[place : place + 4] == b"OggS":
        segments = content[place + _HEADER : place + _HEADER + _number(content, place + _HEADER - 1)]
        size = _HEADER + len(segments) + sum(segments)
        if len(segments) < _number(content, place + _HEADER - 1) or place + size > len(content):
            got = f"{len(content) - place} bytes of the last page"
            raise SampleError("the Ogg file is truncated", got=got, expected=f"at least {size}")
        place += size


def _number(content: bytes, place: int) -> int:
    """The byte at a place; 1 behind the end, so that a cut header has a segment that is missing."""
    return content[place] if place < len(content) else 1
